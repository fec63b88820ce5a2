//! What is known of the jobs of a state, and what can be done with one that nobody works on.

use serde::Serialize;
use volley_commit::{JobId, Outcome, jobs};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::recovery::unlockable;
use crate::resume;
use crate::write::{ModelUse, models_of};

/// A job as its records tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobStatus {
    /// Its id.
    pub job: JobId,
    /// `running`, `cut_off`, `committed`, `published` or `aborted`.
    pub state: &'static str,
    /// What was run, such as a file; empty if nobody said.
    pub name: String,
    /// How many splits it has.
    pub splits: u32,
    /// How many of them are done.
    pub splits_done: usize,
    /// `error`, `append`, `overwrite` or `overwrite_partitions`.
    pub mode: String,
    /// URL of its destination.
    pub destination: String,
    /// The models that score.
    pub models: Vec<ModelUse>,
    /// URL of the place of its rejects, if it has one.
    pub rejects: Option<String>,
    /// Rows of its result, once it is decided.
    pub rows: Option<u64>,
    /// Rows that it rejected, once it is decided.
    pub rejected: Option<u64>,
    /// Files that it published.
    pub files: Option<usize>,
    /// Why it was given up, if it was.
    pub reason: Option<String>,
}

impl Engine {
    /// The jobs of the state, in order of age.
    pub async fn jobs(&self) -> Result<Vec<JobStatus>, EngineError> {
        let mut all = vec![];
        for id in jobs(&self.shared.state).await? {
            match self.job(id).await {
                Ok(job) => all.push(job),
                // It died before it had a plan.
                Err(error) if error.code() == "unknown_job" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// One job. Errors: `unknown_job`.
    pub async fn job(&self, id: JobId) -> Result<JobStatus, EngineError> {
        let job = resume::recorded(&self.shared, id).await?;
        let (outcome, published) = (job.outcome().await?, job.published().await?);
        let state = match (&outcome, &published) {
            (None, _) if self.is_held(id)? => "running",
            (None, _) => "cut_off",
            (Some(Outcome::Aborted { .. }), _) => "aborted",
            (Some(Outcome::Committed { .. }), None) => "committed",
            (Some(Outcome::Committed { .. }), Some(_)) => "published",
        };
        let (tally, reason) = match outcome {
            Some(Outcome::Committed { tally, .. }) => (Some(tally), None),
            Some(Outcome::Aborted { reason }) => (None, Some(reason)),
            None => (None, None),
        };
        let plan = job.plan();
        Ok(JobStatus {
            job: id,
            state,
            name: plan.pinned.origin.as_ref().map(|origin| origin.name.clone()).unwrap_or_default(),
            splits: plan.spec.splits,
            splits_done: job.sealed().await?,
            mode: plan.spec.mode.to_string(),
            destination: plan.destination.clone(),
            models: models_of(&job),
            rejects: plan.rejects.as_ref().map(|rejects| rejects.destination.clone()),
            rows: tally.map(|tally| tally.rows_out),
            rejected: tally.map(|tally| tally.rejected),
            files: published.map(|published| published.files.len()),
            reason,
        })
    }

    /// The jobs of a run, in order of age: those of generations that were given up too.
    pub async fn jobs_of_run(&self, run: JobId) -> Result<Vec<JobStatus>, EngineError> {
        let mut of_run = vec![];
        for id in jobs(&self.shared.state).await? {
            // What has no plan has not begun.
            if let Ok(job) = resume::recorded(&self.shared, id).await
                && job.plan().pinned.origin.as_ref().is_some_and(|origin| origin.run == run)
            {
                of_run.push(self.job(id).await?);
            }
        }
        Ok(of_run)
    }

    /// Whether somebody works on a job.
    fn is_held(&self, id: JobId) -> Result<bool, EngineError> {
        match self.shared.locks.take_of_dead(id).map_err(|error| unlockable(&error))? {
            None => Ok(true),
            Some(_) => Ok(false),
        }
    }
}
