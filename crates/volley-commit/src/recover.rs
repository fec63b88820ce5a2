//! Finishing what dead processes left: published if it was decided, discarded if not.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::job::{Job, JobId, Opener, Outcome};
use crate::local::LocalFolder;
use crate::location::Location;
use crate::owner::Owner;
use crate::publish::Published;
use crate::record::{self, Records};

/// A job that was found unfinished.
#[derive(Debug)]
pub struct Recovered {
    /// The job.
    pub job: JobId,
    /// URL of its destination; empty if its plan cannot be read.
    pub destination: String,
    /// What became of it.
    pub side: Side,
}

/// What became of an unfinished job.
#[derive(Debug)]
pub enum Side {
    /// It was committed, and now its result is published.
    RolledForward(Published),
    /// It was not committed, and now it never will be; its destination is as before.
    Discarded,
    /// It could not be finished now. The next recovery tries again.
    Failed(Error),
}

/// The jobs of a state that may still have work to do, also those that others work on now; in order of age.
pub async fn unfinished(state: &Location) -> Result<Vec<JobId>> {
    let names = Records(state.clone()).names("open").await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// All jobs that a state knows, in order of age.
pub async fn jobs(state: &Location) -> Result<Vec<JobId>> {
    let mut jobs: Vec<JobId> = state.folders("jobs").await?.iter().filter_map(|name| name.parse().ok()).collect();
    jobs.sort();
    Ok(jobs)
}

/// Whether a job may still have work to do.
pub async fn is_unfinished(state: &Location, job: JobId) -> Result<bool> {
    Records(state.clone()).exists(&record::open_key(job)).await
}

/// Finishes a job and says what became of it; `None` if nothing was left to do but to tidy up. Nothing is
/// left for a second call, unless it [`Side::Failed`].
///
/// **The caller guarantees that nobody else works on this job**, by a lock that dies with its holder: a job
/// without a decision is taken for dead and is aborted.
pub async fn recover(state: &Location, job: JobId, open: &Opener) -> Option<Recovered> {
    recover_by(None, state, job, open).await
}

/// The same where no lock dies with its holder, while `owner` is the owner of the state.
pub async fn recover_by(owner: Option<&Arc<Owner>>, state: &Location, job: JobId, open: &Opener) -> Option<Recovered> {
    remove_cut_off(state, job).await;
    let failed = |error| Some(Recovered { job, destination: String::new(), side: Side::Failed(error) });
    let found = match begun(state, job, open).await {
        Ok(Some(found)) => found.guarded_by(owner),
        Ok(None) => return None,
        Err(error) => return failed(error),
    };
    let (job, destination) = (found.id(), found.plan().destination.clone());
    match finish(&found).await {
        Ok(None) => None,
        Ok(Some(side)) => Some(Recovered { job, destination, side }),
        Err(error) => Some(Recovered { job, destination, side: Side::Failed(error) }),
    }
}

/// The job, unless it never had a plan and so staged nothing: then its mark is removed.
async fn begun(state: &Location, job: JobId, open: &Opener) -> Result<Option<Job>> {
    let records = Records(state.clone());
    if records.exists(&record::plan_key(job)).await? {
        return Job::open(state, job, open).await.map(Some);
    }
    records.remove(&record::open_key(job)).await?;
    Ok(None)
}

async fn finish(job: &Job) -> Result<Option<Side>> {
    let was_published = job.is_published().await?;
    match job.abort("its process ended before the decision").await? {
        Outcome::Aborted { .. } => Ok(Some(Side::Discarded)),
        Outcome::Committed { .. } => {
            let published = job.publish().await?;
            Ok((!was_published).then_some(Side::RolledForward(published)))
        }
    }
}

/// What the dead process left of records that it was creating.
async fn remove_cut_off(state: &Location, job: JobId) {
    if let Some(state) = LocalFolder::of(state) {
        for prefix in [record::open_key(job), record::job_folder(job), record::receipts_folder(job)] {
            state.remove_cut_off(&prefix).await;
        }
    }
}
