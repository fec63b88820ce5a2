//! One engine a process: the state, the registry, the models and the stores that its sessions share.

use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::local::LocalFileSystem;
use url::Url;
use volley_commit::Location;
use volley_model::Limits;
use volley_predict::ModelHost;
use volley_registry::Registry;

use crate::error::EngineError;
use crate::locks::JobLocks;
use crate::recovery::{self, finish_dead};
use crate::running::{Running, Stopping};
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
    pub locks: JobLocks,
    pub running: Running,
}

impl Engine {
    /// Opens the state, finishes what processes that died left behind, and opens the registry.
    pub async fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        let runtime = runtime(&settings)?;
        let folder = std::path::absolute(settings.base.join(&settings.state)).map_err(|e| bad_state(&settings, &e))?;
        std::fs::create_dir_all(&folder).map_err(|error| bad_state(&settings, &error))?;
        let locks = JobLocks::open(&folder).map_err(|error| bad_state(&settings, &error))?;
        let url = Url::from_directory_path(&folder).map_err(|()| EngineError::new("bad_state", "no absolute path"))?;
        let state = volley_connect::location(url.as_str(), &runtime)?;
        let recovered = finish_dead(&locks, &state, &runtime).await?;
        let registry = Registry::open(&settings.registry, &settings.registry_base)?.with_base(&settings.base);
        let registry = Arc::new(registry);
        let host = ModelHost::new(registry.clone(), Limits::default()).with_runtimes(settings.runtimes());
        let host = Arc::new(host);
        let shared = Shared { settings, state, registry, host, runtime, locks, running: Running::default() };
        Ok(Self { shared: Arc::new(shared), recovered: recovered.iter().map(recovery::told).collect() })
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

    /// Asks the jobs that are being written to stop. One without a decision gives itself up, so that its
    /// destination stays as it was; one that is committed goes on until it is published. Either way the work
    /// that writes it then ends by itself.
    pub fn stop(&self) -> Stopping<'_> {
        self.shared.running.stop()
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

fn bad_state(settings: &EngineSettings, error: &dyn std::error::Error) -> EngineError {
    let message = format!("the state folder `{}` cannot be used: {error}", settings.state.display());
    EngineError::new("bad_state", message)
}
