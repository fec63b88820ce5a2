//! One write, from its physical plan to its published result: begin, run the splits, commit, publish.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use volley_commit::{Job, JobId, JobSpec, Location, Outcome};
use volley_connect::{PackedPlan, WriteContext, WriteExec, pack_splits, with_write_context};
use volley_predict::{Pins, Site};

use crate::codec::PlanCodec;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::progress::{Progress, metric_sum};

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
        let (job, context) = self.begin(plan.as_ref()).await?;
        *self.shared.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.clone());
        let plan = with_write_context(plan, &Arc::new(context)).map_err(|error| self.told(error))?;
        self.progress.begin(plan.clone(), plan.output_partitioning().partition_count(), rows_total);
        let finished = self.finish(&job, plan.clone(), independent).await;
        self.progress.end();
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (rows, files) = finished?;
        Ok(Summary {
            job: job.id().to_string(),
            rows,
            rejected: 0,
            null_scores: metric_sum(plan.as_ref(), "null_scores"),
            seconds: start.elapsed().as_secs_f64(),
            models: self.models(),
            destination: job.plan().destination.clone(),
            files,
        })
    }

    async fn begin(&self, plan: &dyn ExecutionPlan) -> Result<(Job, WriteContext), EngineError> {
        let write = write_of(plan).expect("only a plan that writes becomes a job");
        let target = write.target();
        let at = |url: &str| {
            volley_connect::location(url, &self.shared.runtime).map_err(|e| EngineError::new(e.code(), e.to_string()))
        };
        let destination = at(&target.destination)?;
        let staging = at(&staging_url(&destination))?;
        let spec = JobSpec {
            job: JobId::new(),
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

    async fn finish(
        &self,
        job: &Job,
        plan: Arc<dyn ExecutionPlan>,
        independent: bool,
    ) -> Result<(u64, usize), EngineError> {
        if let Err(error) = self.write(plan, independent).await {
            // The job is given up whatever its abort says: without an outcome, recovery aborts it again.
            let _ = job.abort(&error.to_string()).await;
            return Err(error);
        }
        match self.decide(job).await? {
            Outcome::Aborted { reason } => Err(EngineError::new("aborted", format!("the job was given up: {reason}"))),
            Outcome::Committed { tally, .. } => {
                let published = job.publish().await?;
                Ok((tally.rows_out, published.files.len()))
            }
        }
    }

    /// Commits, and gives the job up if it was refused before the decision.
    async fn decide(&self, job: &Job) -> Result<Outcome, EngineError> {
        match job.commit().await {
            Ok(outcome) => Ok(outcome),
            Err(error) => match job.abort(&error.to_string()).await? {
                Outcome::Aborted { .. } => Err(error.into()),
                committed => Ok(committed),
            },
        }
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
        while let Some(split) = running.join_next().await {
            // Dropping the set stops the other splits.
            split
                .map_err(|panic| EngineError::new("panicked", panic.to_string()))?
                .map_err(|error| self.told(error))?;
            self.progress.split_done();
        }
        Ok(())
    }

    fn told(&self, error: DataFusionError) -> EngineError {
        EngineError::from_datafusion(&error, self.sites)
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

/// A folder beside the destination, so that publishing is a rename within one file system.
fn staging_url(destination: &Location) -> String {
    let folder = destination.url.trim_end_matches('/');
    let parent = Path::new(folder).parent().map_or(String::new(), |parent| parent.display().to_string());
    format!("{parent}/.volley-staging/")
}
