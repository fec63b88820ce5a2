//! Finishing the jobs of processes that died.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use volley_commit::{Job, JobId, Location, Opener, Recovered, Side, is_unfinished, recover, unfinished};
use volley_connect::is_remote;

use crate::error::EngineError;
use crate::locks::{JobLock, JobLocks};

/// Finishes the jobs of a state that nobody holds the lock of, and says what became of each. Those of living
/// processes are left alone, however many there are.
///
/// A request that a dead process sent may still be on its way to a bucket, and could take away what we put there:
/// `settle` is how long it may take.
pub(crate) async fn finish_dead(
    locks: &JobLocks,
    state: &Location,
    runtime: &Arc<RuntimeEnv>,
    settle: Duration,
) -> Result<Vec<Recovered>, EngineError> {
    let mut jobs: BTreeSet<JobId> = unfinished(state).await?.into_iter().collect();
    // A file may be left of a job that was over before its process died.
    jobs.extend(locks.jobs().map_err(|error| unlockable(&error))?);
    let open = {
        let runtime = runtime.clone();
        move |url: &str| volley_connect::location(url, &runtime).map_err(|error| error.into())
    };
    let mut finished = vec![];
    let mut is_settled = false;
    for job in jobs {
        let Some(lock) = locks.take_of_dead(job).map_err(|error| unlockable(&error))? else { continue };
        // Asked again under the lock: another recovery may have been here first.
        if is_unfinished(state, job).await? {
            if !is_settled && publishes_remotely(state, job, &open).await {
                tokio::time::sleep(settle).await;
                is_settled = true;
            }
            finished.extend(recover(state, job, &open).await);
        }
        release(lock, state, job).await;
    }
    Ok(finished)
}

/// Whether the destination of a job is in a bucket.
async fn publishes_remotely(state: &Location, job: JobId, open: &Opener) -> bool {
    // Without a readable plan nothing will be touched.
    Job::open(state, job, open).await.is_ok_and(|job| is_remote(&job.plan().destination))
}

/// Lets the lock of a job go. Its file stays as long as the job has work to do, as the sign that it is dead.
pub(crate) async fn release(lock: JobLock, state: &Location, job: JobId) {
    if let Ok(false) = is_unfinished(state, job).await {
        lock.remove();
    }
}

/// What became of a job, in one line.
pub(crate) fn told(recovered: &Recovered) -> String {
    let Recovered { job, destination, side } = recovered;
    match side {
        Side::RolledForward(published) => {
            let files = published.files.len();
            format!("job {job} had been committed: its {files} files are now published in {destination}")
        }
        Side::Discarded => format!("job {job} had not been committed: {destination} is as it was"),
        Side::Failed(error) => format!("job {job} cannot be finished now: {error} [{}]", error.code()),
    }
}

pub(crate) fn unlockable(error: &std::io::Error) -> EngineError {
    EngineError::new("bad_state", format!("jobs cannot be locked in the state folder: {error}"))
}
