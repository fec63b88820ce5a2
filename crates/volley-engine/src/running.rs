//! The jobs that this process is writing, and how they are asked to stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use volley_commit::{Job, JobId};

use crate::error::EngineError;

/// The jobs of an engine, or of one of its sessions, that are being written.
#[derive(Debug, Default)]
pub(crate) struct Running {
    jobs: Mutex<BTreeMap<JobId, Phase>>,
    stopping: watch::Sender<bool>,
    /// Those of the engine, for a session's.
    above: Option<Arc<Running>>,
}

/// Stops the jobs of one session.
#[derive(Debug, Clone)]
pub struct Stopper(pub(crate) Arc<Running>);

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It can still be given up.
    Undecided,
    /// Its result will appear, whatever happens.
    Committed,
}

/// A job while it is being written.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    running: &'a Running,
    job: JobId,
}

/// As long as this lives, jobs that are not decided yet give themselves up, and none begins.
#[derive(Debug)]
pub struct Stopping<'a>(&'a Running);

impl Stopper {
    /// Asks the session's jobs to stop, for good: those that are not decided give themselves up or are kept to be
    /// gone on with, those that are go on, and none begins.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Whether a job is being written, which ends in order by itself and should be waited for.
    pub fn is_writing(&self) -> bool {
        !self.0.jobs().is_empty()
    }

    /// Ends when they are asked to, by whoever asks.
    pub async fn stopped(&self) {
        self.0.stopped().await;
    }
}

impl Running {
    /// The jobs of a session.
    pub(crate) fn below(above: Arc<Self>) -> Arc<Self> {
        Arc::new(Self { above: Some(above), ..Self::default() })
    }

    /// Refused while jobs are asked to stop.
    pub(crate) fn enter(&self, job: JobId) -> Result<Entry<'_>, EngineError> {
        if self.all().any(|running| *running.stopping.borrow()) {
            return Err(interrupted());
        }
        for running in self.all() {
            running.jobs().insert(job, Phase::Undecided);
        }
        Ok(Entry { running: self, job })
    }

    /// These and those above.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |running| running.above.as_deref())
    }

    pub(crate) fn stop(&self) -> Stopping<'_> {
        self.stopping.send_replace(true);
        Stopping(self)
    }

    /// Ends when jobs are asked to stop.
    pub(crate) async fn stopped(&self) {
        let waits = self.all().map(|running| {
            Box::pin(async move {
                // The sender lives in `running`, so the wait cannot fail.
                let _ = running.stopping.subscribe().wait_for(|stopping| *stopping).await;
            })
        });
        futures::future::select_all(waits).await;
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<JobId, Phase>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    pub(crate) fn committed(&self) {
        for running in self.running.all() {
            running.jobs().insert(self.job, Phase::Committed);
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        for running in self.running.all() {
            running.jobs().remove(&self.job);
        }
    }
}

impl Stopping<'_> {
    /// Whether a job is being given up, or goes on because it is decided: the work that writes it should be
    /// let go on until it ends.
    pub fn is_writing(&self) -> bool {
        !self.0.jobs().is_empty()
    }

    /// What to say when there is no time to wait for that end.
    pub fn cut_off(&self) -> EngineError {
        match self.0.jobs().iter().next() {
            Some((job, Phase::Committed)) => pending(*job, "there was no time to wait for them"),
            Some((job, Phase::Undecided)) => EngineError::new(
                "interrupted",
                format!("stopped before job {job} could be left in order: the next volley command sees to it"),
            ),
            None => interrupted(),
        }
    }
}

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.stopping.send_replace(false);
    }
}

/// A job was given up because its user stopped it.
pub(crate) fn interrupted() -> EngineError {
    EngineError::new("interrupted", "stopped: what was not committed is given up, its destination is as it was")
}

/// A job was left before its decision, and can be gone on with.
pub(crate) fn kept(job: &Job, sealed: usize, cause: &EngineError) -> EngineError {
    let (id, splits) = (job.id(), job.plan().spec.splits);
    let why = match cause.code() {
        "interrupted" => "stopped".to_owned(),
        _ => cause.problems.first().map_or_else(String::new, |problem| problem.message.clone()),
    };
    let message = format!(
        "{why}: {sealed} of {splits} splits of job {id} are done and kept; the same command with --resume goes on, `volley jobs expire {id}` gives it up"
    );
    EngineError::new(cause.code(), message)
}

/// A job is decided, and its result does not lie at the destination yet.
pub(crate) fn pending(job: JobId, cause: &str) -> EngineError {
    let message = format!(
        "job {job} is committed, its files are not all in place: {cause}; the next volley command on this state goes on"
    );
    EngineError::new("publish_pending", message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

    use super::*;

    #[test]
    fn a_job_that_cannot_be_waited_for_is_told_by_its_side_of_the_decision() {
        let running = Running::default();
        let entry = running.enter(JobId::new()).unwrap();
        let stopping = running.stop();
        assert!(stopping.is_writing());
        assert_eq!(stopping.cut_off().code(), "interrupted");
        entry.committed();
        assert_eq!(stopping.cut_off().code(), "publish_pending");
        drop(entry);
        assert!(!stopping.is_writing());
    }

    #[tokio::test]
    async fn a_session_is_stopped_alone_and_with_all_of_its_engine() {
        let engine = Arc::new(Running::default());
        let (one, other) = (Running::below(engine.clone()), Running::below(engine.clone()));
        let entry = one.enter(JobId::new()).unwrap();
        Stopper(one.clone()).stop();
        one.stopped().await;
        assert_eq!(one.enter(JobId::new()).unwrap_err().code(), "interrupted");
        assert!(other.enter(JobId::new()).is_ok());
        let stopping = engine.stop();
        other.stopped().await;
        assert!(stopping.is_writing(), "the engine knows the jobs of its sessions");
        drop(entry);
        assert!(!stopping.is_writing());
        assert_eq!(other.enter(JobId::new()).unwrap_err().code(), "interrupted");
    }

    #[test]
    fn no_job_begins_while_jobs_are_asked_to_stop() {
        let running = Running::default();
        let stopping = running.stop();
        assert_eq!(running.enter(JobId::new()).unwrap_err().code(), "interrupted");
        drop(stopping);
        assert!(running.enter(JobId::new()).is_ok());
    }
}
