//! Finishing the jobs of processes that died.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::execution::runtime_env::RuntimeEnv;
use volley_commit::{JobId, Location, Recovered, Side, is_unfinished, recover, unfinished};

use crate::error::EngineError;
use crate::locks::{JobLock, JobLocks};

/// Finishes the jobs of a state that nobody holds the lock of, and says what became of each. Those of living
/// processes are left alone, however many there are.
pub(crate) async fn finish_dead(
    locks: &JobLocks,
    state: &Location,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Vec<Recovered>, EngineError> {
    let mut jobs: BTreeSet<JobId> = unfinished(state).await?.into_iter().collect();
    // A file may be left of a job that was over before its process died.
    jobs.extend(locks.jobs().map_err(|error| unlockable(&error))?);
    let open = {
        let runtime = runtime.clone();
        move |url: &str| volley_connect::location(url, &runtime).map_err(|error| error.into())
    };
    let mut finished = vec![];
    for job in jobs {
        let Some(lock) = locks.take_of_dead(job).map_err(|error| unlockable(&error))? else { continue };
        // Asked again under the lock: another recovery may have been here first.
        if is_unfinished(state, job).await? {
            finished.extend(recover(state, job, &open).await);
        }
        release(lock, state, job).await;
    }
    Ok(finished)
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
