//! One engine a process: the state, the registry, the models and the stores that its sessions share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use tokio::task::JoinHandle;
use volley_commit::{Facts, JobId, Location};
use volley_connect::{Reach, Stores};
use volley_model::Limits;
use volley_predict::{ModelHost, Pins};
use volley_registry::Registry;

use crate::assembly;
use crate::driver::{Driver, Witness};
use crate::error::EngineError;
use crate::fit::FitStores;
use crate::locks::JobLocks;
use crate::progress::Progress;
use crate::recovery::{Intent, finish_dead};
use crate::registry;
use crate::resume::{self, Request, Run, Step};
use crate::running::{Running, Stopping};
use crate::session::Session;
use crate::settings::EngineSettings;
use crate::state::{self, Role};
use crate::work_folder::{WorkFolder, no_folder};
use crate::write::{Summary, WriteJob};

/// Runs statements in this process.
#[derive(Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    recovered: Vec<String>,
    finishing: Mutex<Option<JoinHandle<Vec<String>>>>,
}

/// What the sessions of an engine share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub settings: Arc<EngineSettings>,
    pub state: Location,
    pub registry: Arc<Registry>,
    pub host: Arc<ModelHost>,
    pub runtime: Arc<RuntimeEnv>,
    pub stores: Arc<Stores>,
    pub fit: Arc<FitStores>,
    pub locks: JobLocks,
    /// What is running. A session has its own below that of the engine, so that it can be stopped alone.
    pub running: Arc<Running>,
    /// Who has the splits of jobs run elsewhere, if anybody does.
    pub driver: Option<Arc<dyn Driver>>,
    /// Where rows are spilled to, if the settings say.
    pub work_folder: Option<Arc<WorkFolder>>,
}

impl Engine {
    /// Opens the state, finishes what processes that died left behind, and opens the registry. Jobs that were cut
    /// off and can be gone on with are kept, and told in [`Engine::recovered`].
    pub async fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        Self::open_for(settings, &Intent::Anything).await
    }

    /// The same for a command that may go on with a job, which is then left to it in any case.
    pub async fn open_for(settings: EngineSettings, intent: &Intent) -> Result<Self, EngineError> {
        Opened::open(settings).await?.engine(intent).await
    }

    /// Looks at the jobs of a state, also of one that another process owns: runs and finishes none. A job without a
    /// decision counts as running then.
    pub async fn guest(settings: EngineSettings) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared::open(settings, Role::Guest).await?);
        Ok(Self { shared, recovered: vec![], finishing: Mutex::default() })
    }

    /// The same engine, which has the splits of its jobs run by a driver wherever another process can run them. To be
    /// called before the first session.
    #[must_use]
    pub fn with_driver(mut self, driver: Arc<dyn Driver>) -> Self {
        driver.attach(Witness { state: self.shared.state.clone() });
        self.shared = Arc::new(Shared { driver: Some(driver), ..self.shared.as_ref().clone() });
        self
    }

    /// The run that a key stands for: the same for the same request, however often it is asked for. What is done
    /// of it is not done again. Errors: `key_reused` if another request came with the key before.
    pub async fn run_of_key(&self, key: &str, request: &Request) -> Result<Run, EngineError> {
        Run::of_key(&self.shared, key, request).await
    }

    /// The last run of a request that was cut off. Errors: `nothing_to_resume`.
    pub async fn run_cut_off(&self, request: &Request) -> Result<Run, EngineError> {
        Run::last(&self.shared, request).await
    }

    /// The run of a job. Errors: `unknown_job`, `resume_mismatch` if it was begun for another request.
    pub async fn run_of_job(&self, job: JobId, request: &Request) -> Result<Run, EngineError> {
        Run::of_job(&self.shared, job, request).await
    }

    /// Goes on with a job that was cut off, by the plan that was stored when it began. `progress` tells how far it
    /// is. Errors: `unknown_job`, `job_running`, `not_resumable`, and those of running it.
    pub async fn go_on(&self, job: JobId, progress: &Progress) -> Result<Summary, EngineError> {
        let job = resume::open(&self.shared, job).await?;
        let state = assembly::state_with(&self.shared, &job.plan().pinned.settings)?;
        let step = Some(Step::of(&job)?);
        let (pins, sites) = (Pins::default(), []);
        let work = WriteJob { shared: &self.shared, progress, state: &state, pins: &pins, sites: &sites, step };
        work.go_on().await
    }

    /// What became of jobs that an earlier process left unfinished: one line each.
    pub fn recovered(&self) -> &[String] {
        &self.recovered
    }

    /// The same for what could not be seen to at once, because the process that owned the state before may still act;
    /// returns when that is done. Nothing on a state in a folder.
    pub async fn recovered_later(&self) -> Vec<String> {
        let finishing = self.finishing.lock().unwrap_or_else(PoisonError::into_inner).take();
        match finishing {
            Some(finishing) => finishing.await.unwrap_or_default(),
            None => vec![],
        }
    }

    /// Ends when another process has taken over the state, and says so: nothing can be published here any more. On a
    /// state in a folder it never ends.
    pub async fn replaced(&self) -> EngineError {
        let Some(owner) = self.shared.locks.owner() else { return std::future::pending().await };
        loop {
            match owner.check().await {
                // A store that does not answer says nothing of owners.
                Err(error) if !error.is_transient() => return error.into(),
                _ => tokio::time::sleep(self.shared.state.waits.lease).await,
            }
        }
    }

    /// Lets the next process work on the state at once. Only if no job is at work here, and none begins after this; for
    /// a state in a folder there is nothing to do.
    pub async fn close(&self) -> Result<(), EngineError> {
        match self.shared.locks.owner() {
            Some(owner) if self.shared.locks.is_idle() => Ok(owner.release().await?),
            _ => Ok(()),
        }
    }

    /// Where the relative paths of statements begin.
    pub fn base(&self) -> &std::path::Path {
        &self.shared.settings.base
    }

    /// How far statements reach.
    pub fn reach(&self) -> &Reach {
        &self.shared.settings.reach
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
        let running = Running::below(self.shared.running.clone());
        Session::new(Arc::new(Shared { running, ..self.shared.as_ref().clone() }))
    }

    /// Asks the jobs that are being written to stop. One without a decision gives itself up, so that its
    /// destination stays as it was; one that is committed goes on until it is published. Either way the work
    /// that writes it then ends by itself.
    pub fn stop(&self) -> Stopping<'_> {
        self.shared.running.stop()
    }
}

/// What an engine works with, before it looks at what processes that died left behind.
#[derive(Debug)]
pub struct Opened(Arc<Shared>);

impl Opened {
    /// Opens the state, and takes it over if it lies in a bucket; and the registry.
    pub async fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        Ok(Self(Arc::new(Shared::open(settings, Role::Owner).await?)))
    }

    /// Records of a caller's own, in a folder of the state.
    pub fn facts(&self, folder: &str) -> Facts {
        Facts::new(&self.0.state, folder, self.0.locks.owner().cloned())
    }

    /// Finishes what was left behind, but not what the intent is about.
    pub async fn engine(self, intent: &Intent) -> Result<Engine, EngineError> {
        let shared = self.0;
        let waits = shared.locks.owner().map_or(Duration::ZERO, |owner| owner.waits_for());
        let (recovered, finishing) = match waits.is_zero() {
            true => (finish_dead(&shared, intent).await?.told(), None),
            false => (vec![], Some(tokio::spawn(finish_later(shared.clone(), intent.clone())))),
        };
        Ok(Engine { shared, recovered, finishing: Mutex::new(finishing) })
    }
}

impl Shared {
    /// Opens stores and registry, and the state, which is made if it is not there.
    pub(crate) async fn open(settings: EngineSettings, role: Role) -> Result<Self, EngineError> {
        let stores = Stores::new(&settings.connections, settings.environment.clone(), settings.store_budget);
        let stores = Arc::new(stores.map_err(volley_connect::ConnectError::from)?);
        let work_folder = work_folder(&settings)?;
        let runtime = runtime(&settings, stores.clone(), work_folder.as_deref())?;
        let (state, locks) = state::open(&settings, &runtime, role).await?;
        let registry = Arc::new(registry::open(&settings, &runtime, &stores)?.with_base(&settings.base));
        let host = ModelHost::new(registry.clone(), Limits::default());
        let host = host.with_runtimes(settings.runtimes()).keeping(settings.model_cache_bytes);
        let host = Arc::new(host);
        let (fit, running, settings, driver) = (Arc::default(), Arc::default(), Arc::new(settings), None);
        Ok(Self { settings, state, registry, host, runtime, stores, fit, locks, running, driver, work_folder })
    }
}

fn work_folder(settings: &EngineSettings) -> Result<Option<Arc<WorkFolder>>, EngineError> {
    let Some(folder) = &settings.work_folder else { return Ok(None) };
    let folder = settings.base.join(folder);
    let opened = WorkFolder::open(&folder).map_err(|error| no_folder(&folder, &error))?;
    Ok(Some(Arc::new(opened)))
}

fn runtime(
    settings: &EngineSettings,
    stores: Arc<Stores>,
    work_folder: Option<&WorkFolder>,
) -> Result<Arc<RuntimeEnv>, EngineError> {
    let disk = match work_folder {
        Some(folder) => DiskManagerMode::Directories(vec![folder.path().to_owned()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    RuntimeEnvBuilder::new()
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .with_memory_pool(Arc::new(FairSpillPool::new(settings.memory_bytes)))
        .with_object_store_registry(stores)
        // DataFusion keeps listings by path alone and for ever: one bucket's would be taken for another's, and
        // files that a publish has removed would be read.
        .with_object_list_cache_limit(0)
        .build_arc()
        .map_err(|error| EngineError::from_datafusion(&error, &[]))
}

/// What is decided and not published waits until the owner of the state before can do nothing any more; all else goes
/// on meanwhile.
async fn finish_later(shared: Arc<Shared>, intent: Intent) -> Vec<String> {
    match finish_dead(&shared, &intent).await {
        Ok(tended) => tended.told(),
        Err(error) => vec![error.to_string()],
    }
}
