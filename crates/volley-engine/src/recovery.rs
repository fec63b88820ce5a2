//! Finishing the jobs of processes that died, and keeping those that can be gone on with.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use url::{Position, Url};
use volley_commit::{Job, JobId, Location, Recovered, Side, is_unfinished, recover_by, unfinished};
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
    /// To go on with all of these runs.
    Runs(BTreeSet<JobId>),
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
    // Whoever took the state over waits for them by himself, and for longer.
    let is_settled = locks.owner().is_some();
    let mut recovery = Recovery { shared, intent, is_settled, silent: BTreeSet::new(), tended: Tended::default() };
    for job in jobs {
        let Some(lock) = locks.take_of_dead(job).map_err(|error| unlockable(&error))? else { continue };
        // Asked again under the lock: another recovery may have been here first.
        if is_unfinished(state, job).await? {
            recovery.see_to(job).await;
        }
        release(lock, state, job).await;
    }
    Ok(recovery.tended)
}

/// One look at all jobs that are dead.
struct Recovery<'a> {
    shared: &'a Shared,
    intent: &'a Intent,
    /// Whether the requests of the dead have had their time to arrive.
    is_settled: bool,
    /// The buckets that did not answer, for as long as calls are tried again: the next job would wait as long.
    silent: BTreeSet<String>,
    tended: Tended,
}

impl Recovery<'_> {
    async fn see_to(&mut self, job: JobId) {
        let bucket = bucket_of(self.shared, job).await;
        if let Some(bucket) = bucket.as_ref().filter(|bucket| self.silent.contains(*bucket)) {
            self.tended.finished.extend(unanswered(self.shared, job, bucket).await);
            return;
        }
        match waiting(self.shared, job, self.intent).await {
            Waiting::No => {
                // What cannot even be opened will not be touched.
                if !self.is_settled && bucket.is_some() && resume::open(self.shared, job).await.is_ok() {
                    tokio::time::sleep(self.shared.settings.store_settle).await;
                    self.is_settled = true;
                }
                let (state, open) = (&self.shared.state, resume::opener(self.shared));
                let recovered = recover_by(self.shared.locks.owner(), state, job, &open).await;
                if let Some(Recovered { side: Side::Failed(error), .. }) = &recovered
                    && is_silence(error)
                {
                    self.silent.extend(bucket);
                }
                self.tended.finished.extend(recovered);
            }
            Waiting::For(kept) => self.tended.kept.push(*kept),
            Waiting::Unanswered => self.silent.extend(bucket),
            Waiting::LeftAlone => {}
        }
    }
}

/// The bucket that a job publishes its result to, or else its rejects, if any is one: without a readable plan nothing
/// will be touched.
async fn bucket_of(shared: &Shared, job: JobId) -> Option<String> {
    let job = resume::recorded(shared, job).await.ok()?;
    let rejects = job.plan().rejects.as_ref().map(|rejects| &rejects.destination);
    let mut places = [Some(&job.plan().destination), rejects].into_iter().flatten();
    let url = Url::parse(places.find(|place| is_remote(place))?).ok()?;
    Some(url[..Position::BeforePath].to_owned())
}

/// What is to be told of a job whose bucket has not answered before: one that is decided waits to be published.
async fn unanswered(shared: &Shared, job: JobId, bucket: &str) -> Option<Recovered> {
    let found = resume::recorded(shared, job).await.ok()?;
    let is_decided = found.outcome().await.ok()?.is_some();
    let source = "it does not answer".into();
    let side = Side::Failed(volley_commit::Error::Unreachable { url: bucket.to_owned(), source });
    is_decided.then(|| Recovered { job, destination: found.plan().destination.clone(), side })
}

/// Whether a store did not answer, after all that its budget allows for.
fn is_silence(error: &volley_commit::Error) -> bool {
    error.is_transient() && !matches!(error, volley_commit::Error::DestinationBusy { .. })
}

enum Waiting {
    No,
    For(Box<Kept>),
    /// Whether it may be given up is not known: its bucket does not answer.
    Unanswered,
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
        Intent::Runs(runs) => job.plan().pinned.origin.as_ref().is_some_and(|origin| runs.contains(&origin.run)),
    };
    match is_waiting(shared, &job, is_ours).await {
        Ok(false) => Waiting::No,
        Ok(true) if !is_ours => match job.sealed().await {
            Ok(sealed) => Waiting::For(Box::new(Kept { job, sealed })),
            Err(_) => Waiting::LeftAlone,
        },
        // What a store did not answer is no reason to give anything up.
        Err(error) if is_silence(&error) => Waiting::Unanswered,
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
