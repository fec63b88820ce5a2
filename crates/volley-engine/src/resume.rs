//! Going on with what was cut off: runs, the jobs in them, and the plans that were stored for it.
//!
//! A run is one execution of one request. Its jobs are named by the run, the statement, and how often that was
//! begun anew, so that whoever knows the run finds them. A job whose splits keep their rows is gone on with by the
//! plan that was stored when it began: nothing is planned again, so neither a moved alias nor a new file matters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use object_store::memory::InMemory;
use object_store::path::Path;
use volley_commit::{Job, JobId, Location, Opener, Origin, Outcome, job_of_key, request_digest, unfinished};
use volley_connect::PackedPlan;

use crate::assembly;
use crate::codec::PlanCodec;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::locks::JobLock;
use crate::progress::Progress;
use crate::recovery::{release, unlockable};

/// How the records call a job that is gone on with split by split.
pub(crate) const SPLITS: &str = "splits";
/// How they call one that is begun anew as a whole.
pub(crate) const WHOLE: &str = "whole";

/// What is told of the latter when it begins.
pub(crate) const ANEW: &str =
    "note: the splits of this job depend on each other or on chance: cut off, it is begun anew as a whole";

/// The largest plan that is stored. More than that are rows rather than a plan.
const PLAN_BYTES_MAX: usize = 32 << 20;

/// What somebody asked for, in one spelling.
#[derive(Debug, Clone)]
pub struct Request {
    /// What people know it by, such as its file.
    pub name: String,
    digest: String,
}

impl Request {
    /// `body` is everything that makes it the same request.
    pub fn new(name: impl Into<String>, body: &[u8]) -> Self {
        Self { name: name.into(), digest: request_digest(body) }
    }

    /// 64 hexadecimal digits that stand for it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether a job was begun for it.
    pub(crate) fn is_of(&self, job: &Job) -> bool {
        job.plan().pinned.origin.as_ref().is_some_and(|origin| origin.request == self.digest)
    }
}

/// One execution of a request, and how far it is.
#[derive(Debug)]
pub struct Run {
    id: JobId,
    request: Request,
    writes: AtomicU32,
}

impl Run {
    fn of(id: JobId, request: &Request) -> Self {
        Self { id, request: request.clone(), writes: AtomicU32::new(0) }
    }

    /// A new run.
    pub fn new(request: &Request) -> Self {
        Self::of(JobId::new(), request)
    }

    /// The run of that name, begun or not: whoever chose the name keeps to one request for it.
    pub fn named(id: JobId, request: &Request) -> Self {
        Self::of(id, request)
    }

    /// Its name, which is that of its first job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The run that a key stands for, begun or not. Errors: `key_reused`.
    pub(crate) async fn of_key(shared: &Shared, key: &str, request: &Request) -> Result<Self, EngineError> {
        let id = job_of_key(&shared.state, key, request.digest.as_bytes(), JobId::new()).await?;
        Ok(Self::of(id, request))
    }

    /// The last run of a request that was cut off. Errors: `nothing_to_resume`.
    pub(crate) async fn last(shared: &Shared, request: &Request) -> Result<Self, EngineError> {
        let mut last = None;
        for id in unfinished(&shared.state).await? {
            // What has no plan has not begun.
            if let Ok(job) = recorded(shared, id).await
                && request.is_of(&job)
            {
                last = last.max(job.plan().pinned.origin.as_ref().map(|origin| origin.run));
            }
        }
        let nothing = || {
            let message = format!("no job of {} was cut off: run it without --resume", request.name);
            EngineError::new("nothing_to_resume", message)
        };
        last.map(|run| Self::of(run, request)).ok_or_else(nothing)
    }

    /// The run of a job. Errors: `resume_mismatch` if that was begun for another request.
    pub(crate) async fn of_job(shared: &Shared, job: JobId, request: &Request) -> Result<Self, EngineError> {
        let job = open(shared, job).await?;
        match &job.plan().pinned.origin {
            Some(origin) if request.is_of(&job) => Ok(Self::of(origin.run, request)),
            Some(origin) => {
                let message = format!(
                    "job {} was begun for {} with another text, other parameters or in another folder than {} has now: run that one, or `volley jobs resume {}`, which needs no file",
                    job.id(),
                    origin.name,
                    request.name,
                    job.id()
                );
                Err(EngineError::new("resume_mismatch", message))
            }
            None => Err(not_resumable(&job)),
        }
    }

    /// The place of the next statement that writes.
    pub(crate) fn step(&self) -> Step {
        let statement = self.writes.fetch_add(1, Ordering::Relaxed);
        let origin =
            Origin { run: self.id, request: self.request.digest.clone(), name: self.request.name.clone(), statement };
        Step { origin, only: None }
    }

    /// Lets the statement whose place was asked for last ask for it again.
    pub(crate) fn step_back(&self) {
        self.writes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place in a run: the jobs of one of its statements.
#[derive(Debug)]
pub(crate) struct Step {
    origin: Origin,
    /// Of these, the only one that is asked for.
    only: Option<JobId>,
}

/// A name for a job that is to be begun, and its lock.
pub(crate) struct Slot {
    pub id: JobId,
    pub lock: JobLock,
    pub origin: Option<Origin>,
}

/// What is at a place in a run.
pub(crate) enum Found {
    /// No job, or only such as were given up.
    Nothing(Slot),
    /// A job that was cut off.
    Begun(Job, JobLock),
    /// A job that is done.
    Published(Job),
}

impl Step {
    /// The place of one job that was begun before. Errors: `not_resumable`.
    pub(crate) fn of(job: &Job) -> Result<Self, EngineError> {
        match &job.plan().pinned.origin {
            Some(origin) => Ok(Self { origin: origin.clone(), only: Some(job.id()) }),
            None => Err(not_resumable(job)),
        }
    }

    /// What became of this statement in this run so far. What cannot be gone on with is given up here.
    pub(crate) async fn find(&self, shared: &Shared, progress: &Progress) -> Result<Found, EngineError> {
        for generation in 0.. {
            let id = self.only.unwrap_or_else(|| self.origin.run.derived(self.origin.statement, generation));
            let lock = shared.locks.take_in_turn(id).await.map_err(|error| unlockable(&error))?;
            let lock = lock.ok_or_else(|| running_elsewhere(id))?;
            let job = match open(shared, id).await {
                Err(error) if error.code() == "unknown_job" && self.only.is_none() => {
                    return Ok(Found::Nothing(Slot { id, lock, origin: Some(self.origin.clone()) }));
                }
                job => job?,
            };
            match (job.outcome().await?, job.published().await?) {
                (Some(Outcome::Committed { .. }), Some(_)) => {
                    release(lock, &shared.state, id).await;
                    return Ok(Found::Published(job));
                }
                (None, _) if !is_resumable(&job) => {
                    progress.note(format!("job {id} cannot be gone on with: it is begun anew as a whole"));
                    job.abort("it could not be gone on with").await?;
                }
                (Some(Outcome::Aborted { .. }), _) => {}
                _ => return Ok(Found::Begun(job, lock)),
            }
            release(lock, &shared.state, id).await;
            if self.only.is_some() {
                return Err(not_resumable(&job));
            }
        }
        unreachable!("generations have no end")
    }
}

/// Opens a job of the engine's state.
pub(crate) async fn open(shared: &Shared, job: JobId) -> Result<Job, EngineError> {
    Ok(shared.locks.guarded(Job::open(&shared.state, job, &opener(shared)).await?))
}

/// Opens a job for what its records tell, and no more: there may be no way to its destination today.
pub(crate) async fn recorded(shared: &Shared, job: JobId) -> Result<Job, EngineError> {
    let nowhere = |url: &str| Ok(Location::new(Arc::new(InMemory::new()), Path::default(), url));
    Ok(Job::open(&shared.state, job, &nowhere).await?)
}

/// Gives the locations that plans recorded.
pub(crate) fn opener(shared: &Shared) -> Box<Opener> {
    let runtime = shared.runtime.clone();
    Box::new(move |url: &str| volley_connect::location(url, &runtime).map_err(|error| error.into()))
}

/// Whether a job without a decision can be gone on with split by split, by this version.
pub(crate) fn is_resumable(job: &Job) -> bool {
    let pinned = &job.plan().pinned;
    pinned.origin.is_some()
        && pinned.determinism.as_deref() == Some(SPLITS)
        && pinned.version.as_deref() == Some(env!("CARGO_PKG_VERSION"))
}

/// The bytes of a plan by which each of its splits can be computed again; none if that is not so.
pub(crate) fn stored(packed: &PackedPlan, codec: &PlanCodec) -> Option<Vec<u8>> {
    if !packed.repeatable || !is_of_files(&packed.plan) {
        return None;
    }
    // What cannot travel still can run here.
    let bytes = codec.encode(packed.plan.clone()).ok()?;
    (bytes.len() <= PLAN_BYTES_MAX).then_some(bytes)
}

/// Rows in memory are gone with the process, and would be stored with the plan.
fn is_of_files(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut of_files = true;
    let looked = plan.apply(|node| {
        if let Some(source) = node.downcast_ref::<DataSourceExec>() {
            of_files &= source.data_source().is::<FileScanConfig>();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    looked.is_ok() && of_files
}

/// The settings of a session that differ from those of a new one.
pub(crate) fn settings(shared: &Shared, state: &SessionState) -> BTreeMap<String, String> {
    let fresh = assembly::context(shared);
    let fresh: BTreeMap<_, _> =
        fresh.state().config_options().entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
    let of_session = state.config_options().entries().into_iter();
    let changed = of_session.filter(|entry| fresh.get(&entry.key) != Some(&entry.value));
    changed.filter_map(|entry| Some((entry.key, entry.value?))).collect()
}

pub(crate) fn running_elsewhere(job: JobId) -> EngineError {
    EngineError::new("job_running", format!("job {job} is at work in another process: wait for it"))
}

fn not_resumable(job: &Job) -> EngineError {
    let message = format!("job {} cannot be gone on with: it was given up, or was not begun by `volley run`", job.id());
    EngineError::new("not_resumable", message)
}
