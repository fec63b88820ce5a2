//! The decision about a job, and the publishing of what is committed: both tried again while it may help.

use std::time::{Duration, Instant};

use volley_commit::{Job, Outcome, Published};

use super::WriteJob;
use crate::error::EngineError;
use crate::recovery::{Intent, finish_dead};
use crate::running::{interrupted, pending};

/// Waits between the tries of a commit or a publish: short at first, since publishing is mostly renaming.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl WriteJob<'_> {
    /// Commits, and leaves the job if it was refused before the decision.
    pub(super) async fn decide(&self, job: &Job) -> Result<Outcome, EngineError> {
        match self.commit(job).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                let error = self.leave(job, error).await;
                // A commit may have come first whose answer was lost.
                match job.outcome().await? {
                    Some(committed @ Outcome::Committed { .. }) => Ok(committed),
                    _ => Err(error),
                }
            }
        }
    }

    /// Commits, and waits while another job has its turn at the destination.
    async fn commit(&self, job: &Job) -> Result<Outcome, EngineError> {
        let mut pauses = self.pauses();
        loop {
            let error = match job.commit().await {
                Err(error) if error.is_transient() => error,
                decided => return Ok(decided?),
            };
            // The job whose turn it is may be dead.
            if finish_dead(self.shared, &Intent::Anything).await.is_ok_and(|tended| tended.has_finished()) {
                continue;
            }
            let pause = pauses.next().ok_or(error)?;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.running.stopped() => return Err(interrupted()),
            }
        }
    }

    /// Publishes what is committed. Whatever stops this, the job has not failed.
    pub(super) async fn publish(&self, job: &Job) -> Result<Published, EngineError> {
        let mut pauses = self.pauses();
        loop {
            let error = match job.publish().await {
                Ok(published) => return Ok(published),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if error.is_transient() => tokio::time::sleep(pause).await,
                _ => return Err(pending(job.id(), &error.to_string())),
            }
        }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let end = Instant::now() + self.shared.settings.commit_wait;
        let growing = std::iter::successors(Some(PAUSE_MIN), |pause| Some((*pause * 2).min(PAUSE_MAX)));
        growing.take_while(move |_| Instant::now() < end)
    }
}
