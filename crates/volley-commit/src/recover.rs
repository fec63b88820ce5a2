//! Finishing what dead processes left: published if it was decided, discarded if not.

use crate::error::{Error, Result};
use crate::job::{Job, JobId, Opener, Outcome};
use crate::location::Location;
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

/// Finishes every unfinished job of a state and says what became of each; nothing is left for a
/// second call, except jobs that [`Side::Failed`].
///
/// **The caller guarantees that no other process works with this state**, by an exclusive lock that
/// dies with its holder, and that this process has no job running in it: a job without a decision is
/// taken for dead and is aborted.
pub async fn recover(state: &Location, open: &Opener) -> Result<Vec<Recovered>> {
    let mut recovered = vec![];
    for name in Records(state.clone()).names("open").await? {
        let Ok(job) = name.parse() else { continue };
        recovered.extend(recover_job(state, job, open).await);
    }
    Ok(recovered)
}

/// `None` if nothing was left but the mark.
async fn recover_job(state: &Location, job: JobId, open: &Opener) -> Option<Recovered> {
    let failed = |error| Some(Recovered { job, destination: String::new(), side: Side::Failed(error) });
    match needs_no_work(state, job).await {
        Ok(true) => return None,
        Ok(false) => {}
        Err(error) => return failed(error),
    }
    match Job::open(state, job, open).await {
        Ok(found) => Some(Recovered {
            job,
            destination: found.plan().destination.clone(),
            side: finish(&found).await.unwrap_or_else(Side::Failed),
        }),
        Err(error) => failed(error),
    }
}

/// Takes the mark from a job that never had a plan, and so staged nothing, or that is published.
async fn needs_no_work(state: &Location, job: JobId) -> Result<bool> {
    let records = Records(state.clone());
    let idle = !records.exists(&record::plan_key(job)).await? || records.exists(&record::published_key(job)).await?;
    if idle {
        records.remove(&record::open_key(job)).await?;
    }
    Ok(idle)
}

async fn finish(job: &Job) -> Result<Side> {
    match job.abort("its process ended before the decision").await? {
        Outcome::Aborted { .. } => Ok(Side::Discarded),
        Outcome::Committed { .. } => job.publish().await.map(Side::RolledForward),
    }
}
