//! One engine a process: the state, the registry, the models and the stores that its sessions share.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::local::LocalFileSystem;
use url::Url;
use volley_commit::{Job, Location, Recovered, Side};
use volley_model::Limits;
use volley_predict::ModelHost;
use volley_registry::Registry;

use crate::error::EngineError;
use crate::session::Session;
use crate::settings::EngineSettings;

/// Runs statements in this process.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    recovered: Vec<String>,
}

/// What the sessions of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub settings: EngineSettings,
    pub state: Location,
    pub registry: Arc<Registry>,
    pub host: Arc<ModelHost>,
    pub runtime: Arc<RuntimeEnv>,
    /// The job that is being written, so that it can be given up in order.
    pub running: Mutex<Option<Job>>,
    /// Held for the life of the engine: as long as it is, no other process takes our jobs for dead.
    _lock: File,
}

impl Engine {
    /// Opens the state, finishes what processes that died left behind, and opens the registry.
    pub async fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        let runtime = runtime(&settings)?;
        let folder = std::path::absolute(settings.base.join(&settings.state)).map_err(|e| bad_state(&settings, &e))?;
        std::fs::create_dir_all(&folder).map_err(|error| bad_state(&settings, &error))?;
        let lock = open_lock(&folder).map_err(|error| bad_state(&settings, &error))?;
        let url = Url::from_directory_path(&folder).map_err(|()| EngineError::new("bad_state", "no absolute path"))?;
        let state =
            volley_connect::location(url.as_str(), &runtime).map_err(|e| EngineError::new(e.code(), e.to_string()))?;
        let recovered = recover_if_alone(&lock, &state, &runtime).await.map_err(|e| bad_state(&settings, &e))?;
        let registry = Registry::open(&settings.registry, &settings.registry_base)?.with_base(&settings.base);
        let registry = Arc::new(registry);
        let host = Arc::new(ModelHost::new(registry.clone(), Limits::default()));
        let shared = Shared { settings, state, registry, host, runtime, running: Mutex::default(), _lock: lock };
        Ok(Self { shared: Arc::new(shared), recovered: recovered.into_iter().flatten().map(|r| told(&r)).collect() })
    }

    /// What became of jobs that an earlier process left unfinished: one line each.
    pub fn recovered(&self) -> &[String] {
        &self.recovered
    }

    /// The registry that models come from.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    /// The models of this process.
    pub fn host(&self) -> &Arc<ModelHost> {
        &self.shared.host
    }

    /// A new session, with no tables and no models pinned.
    pub fn session(&self) -> Session {
        Session::new(self.shared.clone())
    }

    /// Gives up the job that was being written when its future was dropped: its destination stays as it
    /// was. Without this, the next engine on the same state does so.
    pub async fn abort_running(&self) -> Result<(), EngineError> {
        let job = self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = job {
            job.abort("stopped by its user").await?;
        }
        Ok(())
    }
}

fn runtime(settings: &EngineSettings) -> Result<Arc<RuntimeEnv>, EngineError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(settings.memory_bytes)))
        .build_arc()
        .map_err(|error| EngineError::from_datafusion(&error, &[]))?;
    let files = LocalFileSystem::new().with_automatic_cleanup(true);
    let root = Url::parse("file:///").expect("a constant URL");
    runtime.register_object_store(&root, Arc::new(files));
    Ok(runtime)
}

fn open_lock(folder: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(folder.join("lock"))
}

/// Takes the shared lock, and before that, if nobody else holds it, finishes what was left behind: an
/// exclusive lock proves that every other process of this state is dead.
async fn recover_if_alone(
    lock: &File,
    state: &Location,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Option<Vec<Recovered>>, std::io::Error> {
    let alone = lock.try_lock().is_ok();
    let recovered = if alone {
        let runtime = runtime.clone();
        let open = move |url: &str| volley_connect::location(url, &runtime).map_err(|error| error.into());
        Some(volley_commit::recover(state, &open).await.map_err(std::io::Error::other)?)
    } else {
        None
    };
    if alone {
        lock.unlock()?;
    }
    lock.lock_shared()?;
    Ok(recovered)
}

fn told(recovered: &Recovered) -> String {
    let Recovered { job, destination, side } = recovered;
    match side {
        Side::RolledForward(published) => {
            format!(
                "job {job} had been committed: its {} files are now published in {destination}",
                published.files.len()
            )
        }
        Side::Discarded => format!("job {job} had not been committed: {destination} is as it was"),
        Side::Failed(error) => format!("job {job} cannot be finished now: {error} [{}]", error.code()),
    }
}

fn bad_state(settings: &EngineSettings, error: &dyn std::error::Error) -> EngineError {
    let message = format!("the state folder `{}` cannot be used: {error}", settings.state.display());
    EngineError::new("bad_state", message)
}
