//! Who runs the splits of a job: this process, or a driver that has others do it.
//!
//! Everything else about a job stays where its statement was planned: beginning it, deciding it, publishing it and
//! going on with it. A driver changes nothing of what a split is. It names splits to processes that have a
//! [`Worker`](crate::Worker) on the same state, and waits for their receipts.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use volley_commit::{Job, JobId, Location, Proof};

use crate::error::EngineError;
use crate::progress::{AtWork, Progress};
use crate::running::Running;
use crate::write::{ModelUse, models_of};

/// Has splits run by other processes.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync {
    /// Is told, before it has to drive anything, what shows whether a process has the same state.
    fn attach(&self, witness: Witness);

    /// Runs splits, and ends when [`Splits::is_done`] has said of each that it has its receipt: nothing else counts,
    /// however it was reported. A split may be run twice, by mistake or after a loss: its first receipt stands.
    ///
    /// Ends with an error as soon as a split can have none, and with [`Splits::interrupted`] soon after
    /// [`Splits::stopped`]; then it has asked everyone to stop who still runs a split.
    async fn drive(&self, splits: &Splits<'_>) -> Result<(), EngineError>;
}

/// Sees whether another process writes into the state of an engine.
#[derive(Debug, Clone)]
pub struct Witness {
    pub(crate) state: Location,
}

impl Witness {
    /// Whether a [`Worker`](crate::Worker) has written a proof into this state; it is taken away then.
    pub async fn sees(&self, proof: Proof) -> Result<bool, EngineError> {
        Ok(proof.take(&self.state).await?)
    }

    /// Where the state lies.
    pub fn place(&self) -> &str {
        &self.state.url
    }
}

/// The splits of a job that are to be run, each of which can be computed alone and gives the same rows each time.
pub struct Splits<'a> {
    job: &'a Job,
    waiting: Vec<u32>,
    counted: Mutex<BTreeSet<u32>>,
    progress: &'a Progress,
    running: &'a Running,
}

impl<'a> Splits<'a> {
    /// The splits of a job that have no receipt yet. Those that have one count as done.
    pub(crate) async fn of(job: &'a Job, progress: &'a Progress, running: &'a Running) -> Result<Self, EngineError> {
        let waiting = job.unsealed().await?;
        for _ in waiting.len()..job.plan().spec.splits as usize {
            progress.split_done();
        }
        Ok(Self { job, waiting, counted: Mutex::default(), progress, running })
    }

    /// Their job.
    pub fn job(&self) -> JobId {
        self.job.id()
    }

    /// Their numbers.
    pub fn waiting(&self) -> &[u32] {
        &self.waiting
    }

    /// The models that score.
    pub fn models(&self) -> Vec<ModelUse> {
        models_of(self.job)
    }

    /// Whether a split has its receipt. The first yes counts it.
    pub async fn is_done(&self, split: u32) -> Result<bool, EngineError> {
        let Some(receipt) = self.job.receipt(split).await? else { return Ok(false) };
        if self.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(split) {
            self.progress.split_done();
            self.progress.rows_done_elsewhere(receipt.tally.rows_out);
        }
        Ok(true)
    }

    /// Says who is at work on splits that are not done yet.
    pub fn under_way(&self, executors: Vec<AtWork>) {
        self.progress.at_work_elsewhere(executors);
    }

    /// Tells whoever watches the job something, in one line.
    pub fn note(&self, text: String) {
        self.progress.note(text);
    }

    /// Ends when the job is asked to stop.
    pub async fn stopped(&self) {
        self.running.stopped().await;
    }

    /// What to end with then.
    pub fn interrupted() -> EngineError {
        crate::running::interrupted()
    }
}

impl fmt::Debug for Splits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Splits").field("job", &self.job()).field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
