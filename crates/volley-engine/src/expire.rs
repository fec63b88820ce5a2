//! Giving up jobs that were cut off, and forgetting those that are long over.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use volley_commit::{Job, JobId, Keys, jobs};

use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::locks::JobLock;
use crate::recovery::{release, unlockable};
use crate::resume;

/// What became of the jobs that are long over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Forgotten {
    /// Those that are forgotten now.
    #[serde(rename = "forgotten")]
    pub jobs: Vec<JobId>,
    /// Those that are not.
    pub kept: Vec<NotForgotten>,
}

/// A job that is not forgotten, because a store does not let us see to what it left in staging.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotForgotten {
    /// The job.
    pub job: JobId,
    /// What the store said.
    pub reason: String,
}

impl Engine {
    /// Gives up one job that was cut off, or all of them, and says which. Their destinations are as they were.
    /// Errors: `unknown_job`, `job_running`, `not_resumable` if it is decided.
    pub async fn expire(&self, job: Option<JobId>) -> Result<Vec<JobId>, EngineError> {
        if let Some(id) = job {
            return match self.give_up(&resume::open(&self.shared, id).await?).await? {
                true => Ok(vec![id]),
                false => Err(EngineError::new("job_over", format!("job {id} is over: nothing of it can be given up"))),
            };
        }
        let mut expired = vec![];
        for status in self.jobs().await?.into_iter().filter(|status| status.state == "cut_off") {
            if self.give_up(&resume::open(&self.shared, status.job).await?).await? {
                expired.push(status.job);
            }
        }
        Ok(expired)
    }

    async fn give_up(&self, job: &Job) -> Result<bool, EngineError> {
        let lock = self.shared.locks.take_of_dead(job.id()).map_err(|error| unlockable(&error))?;
        let lock = lock.ok_or_else(|| resume::running_elsewhere(job.id()))?;
        let is_open = job.outcome().await?.is_none();
        if is_open {
            job.abort("it was given up by `volley jobs expire`").await?;
        }
        release(lock, &self.shared.state, job.id()).await;
        Ok(is_open)
    }

    /// Forgets the runs of which every job is over for at least `age`, an hour at the least: their plans, the receipts
    /// of their splits, their keys. What stays of a job is its outcome, its receipt, and what it published, so that
    /// its files can be verified and replaced as before. A job without a decision, or not published, is never
    /// forgotten, nor is another job of its run.
    pub async fn forget(&self, age: Duration) -> Result<Forgotten, EngineError> {
        let shared = &self.shared;
        let keys = Keys::of(&shared.state).await?;
        let mut runs: BTreeMap<JobId, Vec<JobId>> = BTreeMap::new();
        for id in jobs(&shared.state).await? {
            match resume::recorded(shared, id).await {
                Ok(job) => {
                    let run = job.plan().pinned.origin.as_ref().map_or(id, |origin| origin.run);
                    runs.entry(run).or_default().push(id);
                }
                // It is forgotten, or died before it had a plan.
                Err(error) if error.code() == "unknown_job" => {}
                Err(error) => return Err(error),
            }
        }
        let (now, mut forgotten) = (SystemTime::now(), Forgotten::default());
        for (run, jobs) in runs {
            if let Some(over) = OverRun::of(shared, &jobs, now, age).await? {
                keys.forget(run).await?;
                over.forget(shared, now, age, &mut forgotten).await;
            }
        }
        Ok(forgotten)
    }
}

/// The jobs of a run that is over, which nobody works on while this is held.
struct OverRun(Vec<(JobId, JobLock)>);

impl OverRun {
    /// None if a job of the run is at work, or not over for long enough.
    async fn of(shared: &Shared, jobs: &[JobId], now: SystemTime, age: Duration) -> Result<Option<Self>, EngineError> {
        let mut held = vec![];
        for &id in jobs {
            let is_over = match shared.locks.take_of_dead(id).map_err(|error| unlockable(&error))? {
                Some(lock) => {
                    held.push((id, lock));
                    resume::recorded(shared, id).await?.is_over_for(now, age).await?
                }
                None => false,
            };
            if !is_over {
                for (id, lock) in held {
                    release(lock, &shared.state, id).await;
                }
                return Ok(None);
            }
        }
        Ok(Some(Self(held)))
    }

    async fn forget(self, shared: &Shared, now: SystemTime, age: Duration, forgotten: &mut Forgotten) {
        for (id, lock) in self.0 {
            let done: Result<_, EngineError> =
                async { Ok(resume::open(shared, id).await?.forget(now, age).await?) }.await;
            match done {
                Ok(true) => forgotten.jobs.push(id),
                Ok(false) => {}
                Err(error) => forgotten.kept.push(NotForgotten { job: id, reason: error.to_string() }),
            }
            release(lock, &shared.state, id).await;
        }
    }
}
