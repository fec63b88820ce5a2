//! Splits of jobs that another process began, run in this one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use volley_commit::{JobId, Proof};
use volley_predict::{ModelHost, Pins};

use crate::assembly;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::progress::Progress;
use crate::resume;
use crate::settings::EngineSettings;
use crate::state::Role;
use crate::write::{Work, WriteJob};

/// How long the plan of a job is kept ready after its last split here, with what its joins have collected.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Runs splits by the plans that lie in a state, and nothing else: begins no job, decides none, recovers none.
pub struct Worker {
    shared: Arc<Shared>,
    jobs: Arc<Jobs>,
}

/// The jobs whose plans are ready.
#[derive(Default)]
struct Jobs(Mutex<HashMap<JobId, Ready>>);

#[derive(Clone)]
struct Ready {
    work: Arc<OnceCell<Arc<Work>>>,
    last_used: Instant,
}

impl Worker {
    /// Opens the state, which must be there already if it is a folder, and shows that it can be read and written.
    /// Errors: `bad_state`, and those of [`Engine::open`](crate::Engine::open).
    pub async fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared::open(settings, Role::Worker).await?);
        Ok(Self { shared, jobs: Arc::default() })
    }

    /// Shows whoever has chosen a proof that this is its state.
    pub async fn prove(&self, proof: Proof) -> Result<(), EngineError> {
        Ok(proof.write(&self.shared.state).await?)
    }

    /// The models of this process.
    pub fn host(&self) -> &Arc<ModelHost> {
        &self.shared.host
    }

    /// Runs one split of a job until it has its receipt. One that has a receipt is not computed again. To stop it,
    /// drop the future: it ends at the next slice of rows.
    ///
    /// Errors: `unknown_job`, `not_resumable` for a job without a stored plan, and those of running it.
    pub async fn run(&self, job: JobId, split: u32) -> Result<(), EngineError> {
        let done = match self.work(job).await {
            Ok(work) => work.run(split).await,
            Err(error) => Err(error),
        };
        self.jobs.forget_later(job);
        done
    }

    /// The rows of a split that were written here so far.
    pub fn rows_written(&self, job: JobId, split: u32) -> u64 {
        let ready = self.jobs.lock().get(&job).cloned();
        ready.and_then(|ready| ready.work.get().map(|work| work.rows_written(split))).unwrap_or(0)
    }

    async fn work(&self, job: JobId) -> Result<Arc<Work>, EngineError> {
        // Splits of one job that begin at once make its plan ready once.
        self.jobs.of(job).get_or_try_init(|| self.made_ready(job)).await.cloned()
    }

    async fn made_ready(&self, id: JobId) -> Result<Arc<Work>, EngineError> {
        let job = resume::open(&self.shared, id).await?;
        if job.plan().pinned.version.as_deref() != Some(env!("CARGO_PKG_VERSION")) {
            let message = format!("another version of Volley made the plan of job {id}");
            return Err(EngineError::new("not_resumable", message));
        }
        let state = assembly::state_with(&self.shared, &job.plan().pinned.settings)?;
        let (pins, sites, progress) = (Pins::default(), [], Progress::default());
        let write = WriteJob {
            shared: &self.shared,
            progress: &progress,
            state: &state,
            pins: &pins,
            sites: &sites,
            step: None,
        };
        // Only a job with rejects has to know how many there are.
        let rejected = match job.plan().rejects {
            Some(_) => job.receipts().await?.into_iter().flatten().map(|receipt| receipt.tally.rejected).sum(),
            None => 0,
        };
        write.work_of_stored(&job, rejected).await.map(Arc::new)
    }
}

impl Jobs {
    fn of(&self, job: JobId) -> Arc<OnceCell<Arc<Work>>> {
        let ready = || Ready { work: Arc::default(), last_used: Instant::now() };
        let mut jobs = self.lock();
        let ready = jobs.entry(job).or_insert_with(ready);
        ready.last_used = Instant::now();
        ready.work.clone()
    }

    fn forget_later(self: &Arc<Self>, job: JobId) {
        let used = Instant::now();
        if let Some(ready) = self.lock().get_mut(&job) {
            ready.last_used = used;
        }
        let jobs = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE_MAX).await;
            let Some(jobs) = jobs.upgrade() else { return };
            let mut jobs = jobs.lock();
            // Whoever uses it still, or has since, will come by again.
            let is_idle = |work: &Arc<Work>| Arc::strong_count(work) == 1;
            let is_idle = |ready: &Ready| ready.last_used <= used && ready.work.get().is_none_or(is_idle);
            if jobs.get(&job).is_some_and(is_idle) {
                jobs.remove(&job);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Ready>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
