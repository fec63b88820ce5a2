//! One write, from its physical plan to its published result: begin, run the splits, commit, publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use volley_commit::{Job, JobId, JobSpec, Outcome, Published, is_disk_full};
use volley_connect::{PackedPlan, WriteContext, WriteExec, pack_splits, with_write_context};
use volley_predict::{Pins, Site};

use crate::codec::PlanCodec;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::progress::{Progress, metric_sum};
use crate::recovery::{finish_dead, release, unlockable};
use crate::running::{Entry, interrupted, pending};

/// Waits between the tries of a commit or a publish: short at first, since publishing is mostly renaming.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a write did.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// Files published.
    pub files: usize,
}

/// A model that scored in a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    rows: u64,
    files: usize,
    plan: Arc<dyn ExecutionPlan>,
    destination: String,
}

/// A write that is to be run.
pub(crate) struct WriteJob<'a> {
    pub shared: &'a Shared,
    pub progress: &'a Progress,
    pub state: &'a SessionState,
    pub pins: &'a Pins,
    pub sites: &'a [Site],
}

impl WriteJob<'_> {
    /// Runs the plan, which holds a [`WriteExec`], and publishes what it wrote.
    pub(crate) async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Summary, EngineError> {
        let start = Instant::now();
        let settings = &self.shared.settings;
        let packed = pack_splits(plan, &self.shared.runtime, settings.split_rows, settings.split_bytes).await;
        let PackedPlan { plan, splits, independent } = packed.map_err(|error| self.told(error))?;
        let rows_total = splits.iter().map(|split| split.rows).sum();
        self.check_append(plan.as_ref()).await?;
        let id = JobId::new();
        let entry = self.shared.running.enter(id)?;
        // Before anything is recorded of the job: without its lock, it would be taken for dead.
        let lock = self.shared.locks.take(id).map_err(|error| unlockable(&error))?;
        let done = self.write_and_publish(&entry, id, plan, independent, rows_total).await;
        self.progress.end();
        release(lock, &self.shared.state, id).await;
        done.map(|done| self.summary(id, done, start))
    }

    async fn check_append(&self, plan: &dyn ExecutionPlan) -> Result<(), EngineError> {
        let write = write_of(plan).expect("only a plan that writes becomes a job");
        Ok(volley_connect::check_append(write, self.state).await?)
    }

    async fn write_and_publish(
        &self,
        entry: &Entry<'_>,
        id: JobId,
        plan: Arc<dyn ExecutionPlan>,
        independent: bool,
        rows_total: Option<u64>,
    ) -> Result<Done, EngineError> {
        let (job, context) = self.begin(id, plan.as_ref()).await?;
        let plan = with_write_context(plan, &Arc::new(context)).map_err(|error| self.told(error))?;
        self.progress.begin(plan.clone(), plan.output_partitioning().partition_count(), rows_total);
        let written = match self.shared.fit.check(&job).await {
            Ok(()) => self.write(plan.clone(), independent).await,
            Err(unfit) => Err(unfit.into()),
        };
        if let Err(error) = written {
            // The job is given up whatever its abort says: without an outcome, recovery aborts it again.
            let _ = job.abort(&error.to_string()).await;
            return Err(error);
        }
        match self.decide(&job).await? {
            Outcome::Aborted { reason } => Err(EngineError::new("aborted", format!("the job was given up: {reason}"))),
            Outcome::Committed { tally, .. } => {
                entry.committed();
                let files = self.publish(&job).await?.files.len();
                Ok(Done { rows: tally.rows_out, files, plan, destination: job.plan().destination.clone() })
            }
        }
    }

    fn summary(&self, id: JobId, done: Done, start: Instant) -> Summary {
        Summary {
            job: id.to_string(),
            rows: done.rows,
            rejected: 0,
            null_scores: metric_sum(done.plan.as_ref(), "null_scores"),
            seconds: start.elapsed().as_secs_f64(),
            models: self.models(),
            destination: done.destination,
            files: done.files,
        }
    }

    async fn begin(&self, id: JobId, plan: &dyn ExecutionPlan) -> Result<(Job, WriteContext), EngineError> {
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
            provenance: self.provenance(),
        };
        let mut context = WriteContext::new(spec.job, self.shared.state.url.clone());
        context.provenance = self.footer();
        let job = Job::begin(&self.shared.state, &destination, &staging, spec).await?;
        Ok((job, context))
    }

    /// Commits, and gives the job up if it was refused before the decision.
    async fn decide(&self, job: &Job) -> Result<Outcome, EngineError> {
        match self.commit(job).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => match job.abort(&error.to_string()).await? {
                Outcome::Aborted { .. } => Err(error),
                committed => Ok(committed),
            },
        }
    }

    /// Commits, and waits while another job has its turn at the destination.
    async fn commit(&self, job: &Job) -> Result<Outcome, EngineError> {
        let mut pauses = self.pauses();
        loop {
            let error = match job.commit().await {
                Err(error) if error.is_transient() => error,
                decided => return Ok(decided?),
            };
            // The job whose turn it is may be dead. Whether it can be finished shows at the next try.
            let settle = self.shared.settings.store_settle;
            let _ = finish_dead(&self.shared.locks, &self.shared.state, &self.shared.runtime, settle).await;
            let pause = pauses.next().ok_or(error)?;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.running.stopped() => return Err(interrupted()),
            }
        }
    }

    /// Publishes what is committed. Whatever stops this, the job has not failed.
    async fn publish(&self, job: &Job) -> Result<Published, EngineError> {
        let mut pauses = self.pauses();
        loop {
            let error = match job.publish().await {
                Ok(published) => return Ok(published),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if error.is_transient() => tokio::time::sleep(pause).await,
                _ => return Err(pending(job.id(), &error.to_string())),
            }
        }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let end = Instant::now() + self.shared.settings.commit_wait;
        let growing = std::iter::successors(Some(PAUSE_MIN), |pause| Some((*pause * 2).min(PAUSE_MAX)));
        growing.take_while(move |_| Instant::now() < end)
    }

    /// Runs every split to its receipt. As many independent splits run at a time as there are cores; those of
    /// a plan with a shuffle wait for each other, so all run.
    async fn write(&self, plan: Arc<dyn ExecutionPlan>, independent: bool) -> Result<(), EngineError> {
        let task = self.state.task_ctx();
        let splits = plan.output_partitioning().partition_count();
        let at_once = if independent { self.shared.settings.cores } else { splits };
        let run = if self.shared.settings.round_trip_plans {
            PlanCodec::new(self.shared.host.clone()).round_trip(plan, &task).map_err(|error| self.told(error))?
        } else {
            plan
        };
        let permits = Arc::new(Semaphore::new(at_once.max(1)));
        let mut running = JoinSet::new();
        for split in 0..splits {
            running.spawn(run_split(run.clone(), split, task.clone(), permits.clone()));
        }
        let ended = tokio::select! {
            ended = self.all_of(&mut running) => ended,
            () = self.shared.running.stopped() => Err(interrupted()),
        };
        // What still runs would stage files after the abort has removed them.
        running.shutdown().await;
        ended
    }

    async fn all_of(&self, splits: &mut JoinSet<Result<(), DataFusionError>>) -> Result<(), EngineError> {
        while let Some(split) = splits.join_next().await {
            split
                .map_err(|panic| EngineError::new("panicked", panic.to_string()))?
                .map_err(|error| self.told(error))?;
            self.progress.split_done();
        }
        Ok(())
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

    fn provenance(&self) -> Map<String, Value> {
        let models = self.models();
        Map::from_iter([("models".to_string(), json!(models))])
    }

    /// What the footer of each file says about its models.
    fn footer(&self) -> BTreeMap<String, String> {
        let label = |model: &ModelUse| match model.version {
            Some(version) => format!("{}/{version} sha256:{}", model.name, model.sha256),
            None => format!("{} sha256:{}", model.name, model.sha256),
        };
        let models: Vec<_> = self.models().iter().map(label).collect();
        BTreeMap::from_iter((!models.is_empty()).then(|| ("volley.models".to_string(), models.join(", "))))
    }
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

async fn run_split(
    plan: Arc<dyn ExecutionPlan>,
    split: usize,
    task: Arc<TaskContext>,
    permits: Arc<Semaphore>,
) -> Result<(), DataFusionError> {
    let _permit = permits.acquire().await.expect("the permits outlive their splits");
    plan.execute(split, task)?.try_for_each(|_| async { Ok(()) }).await
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
