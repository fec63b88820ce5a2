//! Finishing the jobs of processes that died, and keeping those that can be gone on with.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use volley_commit::{Job, JobId, Location, Recovered, Side, is_unfinished, recover, unfinished};
use volley_connect::is_remote;

use crate::engine::Shared;
use crate::error::EngineError;
use crate::locks::JobLock;
use crate::resume::{self, Request};

/// What a command has come to do: what it is about to go on with is left to it.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Nothing that concerns a job that was begun before.
    Anything,
    /// To run a request.
    Request(Request),
    /// To go on with a job.
    Job(JobId),
}

/// What recovery found.
#[derive(Debug, Default)]
pub(crate) struct Tended {
    pub finished: Vec<Recovered>,
    pub kept: Vec<Kept>,
}

/// A job that was cut off before its decision and waits for whoever goes on with it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub job: Job,
    pub sealed: usize,
}

/// Finishes the jobs of a state that nobody holds the lock of, except those that may still be gone on with. Those
/// of living processes are left alone, however many there are.
///
/// A request that a dead process sent may still be on its way to a bucket, and could take away what we put there:
/// the setting `store_settle` is how long it may take.
pub(crate) async fn finish_dead(shared: &Shared, intent: &Intent) -> Result<Tended, EngineError> {
    let (locks, state) = (&shared.locks, &shared.state);
    let mut jobs: BTreeSet<JobId> = unfinished(state).await?.into_iter().collect();
    // A file may be left of a job that was over before its process died.
    jobs.extend(locks.jobs().map_err(|error| unlockable(&error))?);
    let open = resume::opener(shared);
    let mut tended = Tended::default();
    let mut is_settled = false;
    for job in jobs {
        let Some(lock) = locks.take_of_dead(job).map_err(|error| unlockable(&error))? else { continue };
        // Asked again under the lock: another recovery may have been here first.
        if is_unfinished(state, job).await? {
            match waiting(shared, job, intent).await {
                Waiting::No => {
                    if !is_settled && publishes_remotely(shared, job).await {
                        tokio::time::sleep(shared.settings.store_settle).await;
                        is_settled = true;
                    }
                    tended.finished.extend(recover(state, job, &open).await);
                }
                Waiting::For(kept) => tended.kept.push(kept),
                Waiting::LeftAlone => {}
            }
        }
        release(lock, state, job).await;
    }
    Ok(tended)
}

/// Whether a destination of a job is in a bucket.
async fn publishes_remotely(shared: &Shared, job: JobId) -> bool {
    // Without a readable plan nothing will be touched.
    let remotely = |job: Job| {
        let rejects = job.plan().rejects.as_ref().map(|rejects| rejects.destination.as_str());
        [Some(job.plan().destination.as_str()), rejects].into_iter().flatten().any(is_remote)
    };
    resume::open(shared, job).await.is_ok_and(remotely)
}

enum Waiting {
    No,
    For(Kept),
    LeftAlone,
}

/// Whether a dead job is to be kept. One that has its turn at the destination is not: nobody else could publish
/// there.
async fn waiting(shared: &Shared, id: JobId, intent: &Intent) -> Waiting {
    // What cannot be opened is told by whoever tries to finish it.
    let Ok(job) = resume::open(shared, id).await else { return Waiting::No };
    let is_ours = match intent {
        Intent::Anything => false,
        Intent::Request(request) => request.is_of(&job),
        Intent::Job(meant) => *meant == id,
    };
    match is_waiting(shared, &job, is_ours).await {
        Ok(false) => Waiting::No,
        Ok(true) if !is_ours => match job.sealed().await {
            Ok(sealed) => Waiting::For(Kept { job, sealed }),
            Err(_) => Waiting::LeftAlone,
        },
        // What a store did not answer is no reason to give anything up.
        Ok(true) | Err(_) => Waiting::LeftAlone,
    }
}

async fn is_waiting(shared: &Shared, job: &Job, is_ours: bool) -> volley_commit::Result<bool> {
    if job.outcome().await?.is_some() {
        return Ok(false);
    }
    if is_ours {
        return Ok(true);
    }
    let is_fresh = job.last_written().await?.is_some_and(|last| age(last) < shared.settings.keep_cut_off);
    Ok(resume::is_resumable(job) && is_fresh && !job.has_turn().await?)
}

fn age(moment: SystemTime) -> Duration {
    SystemTime::now().duration_since(moment).unwrap_or_default()
}

/// Lets the lock of a job go. Its file stays as long as the job has work to do, as the sign that it is dead.
pub(crate) async fn release(lock: JobLock, state: &Location, job: JobId) {
    if let Ok(false) = is_unfinished(state, job).await {
        lock.remove();
    }
}

impl Tended {
    /// Whether a job is over that was not before.
    pub(crate) fn has_finished(&self) -> bool {
        self.finished.iter().any(|recovered| !matches!(recovered.side, Side::Failed(_)))
    }

    /// One line for each job.
    pub(crate) fn told(&self) -> Vec<String> {
        self.finished.iter().map(told).chain(self.kept.iter().map(Kept::told)).collect()
    }
}

impl Kept {
    fn told(&self) -> String {
        let plan = self.job.plan();
        let name = plan.pinned.origin.as_ref().map_or("", |origin| origin.name.as_str());
        format!(
            "job {} of {name} was cut off with {} of {} splits done: `volley jobs resume` goes on with it, `volley jobs expire` gives it up",
            self.job.id(),
            self.sealed,
            plan.spec.splits
        )
    }
}

/// What became of a job, in one line.
fn told(recovered: &Recovered) -> String {
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
