//! One write, from its physical plan to its published result: begin, run the splits, commit, publish.

mod decision;
mod splits;
mod work;

use std::sync::Arc;
use std::time::Instant;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use volley_commit::{Job, JobId, JobSpec, Origin, Outcome, Pinned, Tally, is_disk_full};
use volley_connect::{Inputs, WriteExec, pack_splits};
use volley_predict::{Pins, Site, rejects_schema};

use crate::codec::PlanCodec;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::locks::JobLock;
use crate::progress::{Progress, metric_sum};
use crate::recovery::{release, unlockable};
use crate::rejecting;
use crate::resume::{self, Found, Slot, Step};
use crate::running::{Entry, kept};
pub(crate) use work::Work;

/// What a write did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The job's id.
    pub job: String,
    /// Rows published.
    pub rows: u64,
    /// Rows that went to the rejects.
    pub rejected: u64,
    /// Rows whose score is NULL.
    pub null_scores: u64,
    /// From planning to publication.
    pub seconds: f64,
    /// The models that scored.
    pub models: Vec<ModelUse>,
    /// URL of the destination.
    pub destination: String,
    /// URL of the place of the rejects, if there is one.
    pub rejects: Option<String>,
    /// Files published.
    pub files: usize,
}

/// A model that scored in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelUse {
    /// Its name, or its location.
    pub name: String,
    /// Its version, if it came from a registry.
    pub version: Option<u64>,
    /// Its digest.
    pub sha256: String,
}

/// What is known of a write when it is published.
struct Done {
    tally: Tally,
    files: usize,
}

/// A write that is to be run.
pub(crate) struct WriteJob<'a> {
    pub shared: &'a Shared,
    pub progress: &'a Progress,
    pub state: &'a SessionState,
    pub pins: &'a Pins,
    pub sites: &'a [Site],
    /// The place in a run that can be gone on with; none for what is given up when it is stopped.
    pub step: Option<Step>,
}

impl WriteJob<'_> {
    /// Runs the plan, which holds a [`WriteExec`], and publishes what it wrote; or goes on with the job that was
    /// begun at this place of the run before.
    pub(crate) async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Summary, EngineError> {
        let start = Instant::now();
        let found = match &self.step {
            Some(step) => step.find(self.shared, self.progress).await?,
            None => Found::Nothing(Slot::alone(self.shared)?),
        };
        match found {
            Found::Nothing(slot) => self.run_new(slot, plan, start).await,
            Found::Begun(job, lock) => self.run_begun(job, lock, start).await,
            Found::Published(job) => self.summary_of(&job, start).await,
        }
    }

    /// Goes on with the job at this place of a run, whose plan is stored. Errors: `not_resumable`.
    pub(crate) async fn go_on(&self) -> Result<Summary, EngineError> {
        let start = Instant::now();
        let step = self.step.as_ref().expect("who goes on says with what");
        match step.find(self.shared, self.progress).await? {
            Found::Begun(job, lock) => self.run_begun(job, lock, start).await,
            Found::Published(job) => self.summary_of(&job, start).await,
            Found::Nothing(slot) => Err(EngineError::new("unknown_job", format!("no job {} is known here", slot.id))),
        }
    }

    async fn run_new(&self, slot: Slot, plan: Arc<dyn ExecutionPlan>, start: Instant) -> Result<Summary, EngineError> {
        let Slot { id, lock, origin } = slot;
        let done = self.begin_and_publish(id, origin, plan).await;
        self.progress.end();
        release(lock, &self.shared.state, id).await;
        done.map(|(job, done)| summary(&job, done, start))
    }

    async fn run_begun(&self, job: Job, lock: JobLock, start: Instant) -> Result<Summary, EngineError> {
        let id = job.id();
        let done = self.go_on_and_publish(job).await;
        self.progress.end();
        release(lock, &self.shared.state, id).await;
        done.map(|(job, done)| summary(&job, done, start))
    }

    async fn begin_and_publish(
        &self,
        id: JobId,
        origin: Option<Origin>,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<(Job, Done), EngineError> {
        let settings = &self.shared.settings;
        let plan = self.accounted(plan)?;
        let packed = pack_splits(plan, &self.shared.runtime, settings.split_rows, settings.split_bytes).await;
        let packed = packed.map_err(|error| self.told(error))?;
        let rows_total = packed.splits.iter().map(|split| split.rows).sum();
        self.check_append(packed.plan.as_ref()).await?;
        let entry = self.shared.running.enter(id)?;
        let inputs = Inputs::of(&packed).map_err(|error| self.told(error))?;
        let physical = resume::stored(&packed, &self.codec());
        if origin.is_some() && physical.is_none() {
            self.progress.note(resume::ANEW.to_owned());
        }
        let pinned = Pinned {
            inputs: serde_json::to_value(&inputs).unwrap_or_default(),
            determinism: Some(if physical.is_some() { resume::SPLITS } else { resume::WHOLE }.to_owned()),
            origin,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            settings: resume::settings(self.shared, self.state),
            // What nobody can go on with needs no plan, unless others run it.
            physical: physical.clone().filter(|_| self.step.is_some() || self.shared.driver.is_some()),
        };
        let job = self.begin(id, packed.plan.as_ref(), pinned).await?;
        let work = self.work(&job, inputs, physical.as_deref(), Some(packed), 0);
        let work = self.or_leave(&job, work).await?;
        self.write_and_publish(&entry, work, rows_total).await
    }

    fn accounted(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, EngineError> {
        let accounted = rejecting::accounted(plan.clone())?;
        let partitions =
            write_of(plan.as_ref()).map_or(1, |write| write.input().output_partitioning().partition_count());
        if partitions > 1 && !Arc::ptr_eq(&plan, &accounted) {
            self.progress.note(rejecting::ONE_SPLIT.to_owned());
        }
        Ok(accounted)
    }

    async fn go_on_and_publish(&self, job: Job) -> Result<(Job, Done), EngineError> {
        let entry = self.shared.running.enter(job.id())?;
        if job.outcome().await?.is_some() {
            return self.decide_and_publish(&entry, &job, None).await;
        }
        let work = self.work_again(&job).await?;
        self.write_and_publish(&entry, work, None).await
    }

    /// The work of a job that was begun before, by the plan that was stored then.
    async fn work_again(&self, job: &Job) -> Result<Work, EngineError> {
        let (id, sealed) = (job.id(), job.sealed().await?);
        self.progress.note(format!("going on with job {id}: {sealed} of {} splits are done", job.plan().spec.splits));
        let done = job.receipts().await?.into_iter().flatten();
        self.work_of_stored(job, done.map(|receipt| receipt.tally.rejected).sum()).await
    }

    fn codec(&self) -> PlanCodec {
        PlanCodec::new(self.shared.host.clone())
    }

    async fn check_append(&self, plan: &dyn ExecutionPlan) -> Result<(), EngineError> {
        let write = write_of(plan).expect("only a plan that writes becomes a job");
        volley_connect::check_append(write.target(), &write.input().schema(), self.state).await?;
        match write.target().of_rejects() {
            Some(rejects) => Ok(volley_connect::check_append(&rejects, &rejects_schema(), self.state).await?),
            None => Ok(()),
        }
    }

    async fn write_and_publish(
        &self,
        entry: &Entry<'_>,
        work: Work,
        rows_total: Option<u64>,
    ) -> Result<(Job, Done), EngineError> {
        let job = &work.job;
        self.progress.begin(work.plan.clone(), work.splits(), rows_total);
        let written = match self.shared.fit.check(job).await {
            Ok(()) => self.drive(&work).await,
            Err(unfit) => Err(unfit.into()),
        };
        self.or_leave(job, written).await?;
        // Partitions of the scoring nodes are not those of the write where these depend on each other.
        let null_scores = (!work.independent).then(|| metric_sum(work.plan.as_ref(), "null_scores"));
        self.decide_and_publish(entry, job, null_scores).await
    }

    /// Rows without a score are as the receipts say, unless somebody knows better.
    async fn decide_and_publish(
        &self,
        entry: &Entry<'_>,
        job: &Job,
        null_scores: Option<u64>,
    ) -> Result<(Job, Done), EngineError> {
        match self.decide(job).await? {
            Outcome::Aborted { reason } => Err(EngineError::new("aborted", format!("the job was given up: {reason}"))),
            Outcome::Committed { tally, .. } => {
                entry.committed();
                let files = self.publish(job).await?.files.len();
                let null_scores = null_scores.unwrap_or(tally.null_scores);
                Ok((job.clone(), Done { tally: Tally { null_scores, ..tally }, files }))
            }
        }
    }

    async fn or_leave<T>(&self, job: &Job, done: Result<T, EngineError>) -> Result<T, EngineError> {
        match done {
            Ok(done) => Ok(done),
            Err(error) => Err(self.leave(job, error).await),
        }
    }

    /// Leaves a job that has no decision, because of `error`: as it is if that is no fault of the job and it can be
    /// gone on with, else it is given up.
    async fn leave(&self, job: &Job, error: EngineError) -> EngineError {
        let may_stay = (error.code() == "interrupted" || error.is_transient()) && resume::is_resumable(job);
        // With its turn it would keep every other job from the destination. Where a store does not answer, a later
        // command will ask.
        let has_turn = error.code() != "store_unavailable" && matches!(job.has_turn().await, Ok(true));
        if may_stay && !has_turn {
            return match job.sealed().await {
                Ok(sealed) => kept(job, sealed, &error),
                Err(_) => error,
            };
        }
        // The job is given up whatever its abort says: without an outcome, recovery aborts it again.
        let _ = job.abort(&error.to_string()).await;
        error
    }

    /// What a job did that was published before.
    async fn summary_of(&self, job: &Job, start: Instant) -> Result<Summary, EngineError> {
        let tally = match job.outcome().await? {
            Some(Outcome::Committed { tally, .. }) => tally,
            _ => Tally::default(),
        };
        let files = job.published().await?.map_or(0, |published| published.files.len());
        self.progress.note(format!("job {} was published before: nothing is scored again", job.id()));
        Ok(summary(job, Done { tally, files }, start))
    }

    async fn begin(&self, id: JobId, plan: &dyn ExecutionPlan, pinned: Pinned) -> Result<Job, EngineError> {
        let write = write_of(plan).expect("only a plan that writes becomes a job");
        let target = write.target();
        let destination = volley_connect::location(&target.destination, &self.shared.runtime)?;
        let staging = volley_connect::staging(&destination, &self.shared.stores, &self.shared.runtime)?;
        let spec = JobSpec {
            job: id,
            mode: target.mode,
            splits: u32::try_from(plan.output_partitioning().partition_count())
                .map_err(|_| EngineError::new("too_many_splits", "the plan has more than four billion splits"))?,
            extension: target.format.extension().to_string(),
            provenance: Map::from_iter([("models".to_string(), json!(self.models()))]),
        };
        let rejects = match &target.rejects {
            Some(rejects) => Some(rejecting::place(rejects, self.shared)?),
            None => None,
        };
        let job = Job::begin_pinned(&self.shared.state, &destination, &staging, rejects, spec, pinned).await?;
        Ok(self.shared.locks.guarded(job))
    }

    fn told(&self, error: DataFusionError) -> EngineError {
        told(&error, self.sites)
    }

    fn models(&self) -> Vec<ModelUse> {
        let mut models: Vec<ModelUse> = Vec::new();
        for (_, pin) in self.pins.iter() {
            // The last part of a location is not enough to find it again.
            let name = pin.version.map_or_else(|| pin.reference.clone(), |_| pin.name.clone());
            let model = ModelUse { name, version: pin.version, sha256: pin.sha256.to_string() };
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }
}

impl Slot {
    /// A job of its own, whose lock is held before anything is recorded of it: without, it would be taken for dead.
    fn alone(shared: &Shared) -> Result<Self, EngineError> {
        let id = JobId::new();
        let lock = shared.locks.take(id).map_err(|error| unlockable(&error))?;
        Ok(Self { id, lock, origin: None })
    }
}

fn summary(job: &Job, done: Done, start: Instant) -> Summary {
    Summary {
        job: job.id().to_string(),
        rows: done.tally.rows_out,
        rejected: done.tally.rejected,
        null_scores: done.tally.null_scores,
        seconds: start.elapsed().as_secs_f64(),
        models: models_of(job),
        destination: job.plan().destination.clone(),
        rejects: job.plan().rejects.as_ref().map(|rejects| rejects.destination.clone()),
        files: done.files,
    }
}

/// The models that a job was begun with.
pub(crate) fn models_of(job: &Job) -> Vec<ModelUse> {
    let models = job.plan().spec.provenance.get("models").cloned().unwrap_or(Value::Null);
    serde_json::from_value(models).unwrap_or_default()
}

/// The write of a plan, if it is one: its root, or below the node that holds the results of scalar subqueries.
pub(crate) fn write_of(plan: &dyn ExecutionPlan) -> Option<&WriteExec> {
    match plan.downcast_ref::<WriteExec>() {
        None if plan.name() == "ScalarSubqueryExec" => {
            plan.children().into_iter().next().and_then(|input| write_of(input.as_ref()))
        }
        write => write,
    }
}

fn told(error: &DataFusionError, sites: &[Site]) -> EngineError {
    let told = EngineError::from_datafusion(error, sites);
    match (is_disk_full(error), told.problems.first()) {
        (true, Some(problem)) => EngineError::new("disk_full", format!("the disk is full: {}", problem.message)),
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use volley_connect::ConnectError;

    use super::*;

    #[test]
    fn a_full_disk_is_told_as_what_it_is() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let store = object_store::Error::Generic { store: "LocalFileSystem", source: full().into() };
        let staged = ConnectError::Store { path: "/out".to_owned(), source: Box::new(store), transient: true };
        for error in [DataFusionError::IoError(full()), staged.into()] {
            let told = told(&error.context("while writing"), &[]);
            assert_eq!(told.code(), "disk_full");
            assert!(told.to_string().starts_with("the disk is full: "), "{told}");
        }
        let other = DataFusionError::Execution("no".to_owned());
        assert_eq!(told(&other, &[]).code(), "execution_failed");
    }
}
