//! What runs the splits of a job: its plan, made ready in the same way by every process that runs some of them.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{FutureExt, TryStreamExt};
use volley_commit::Job;
use volley_connect::{
    Inputs, PackedPlan, PinnedStores, WriteContext, reading_through, with_write_context, writes_the_same_rows,
};

use super::{ModelUse, WriteJob, models_of, write_of};
use crate::error::EngineError;
use crate::{located, rejecting};

/// A job that is begun, and how its splits are run.
pub(crate) struct Work {
    pub(super) job: Job,
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) independent: bool,
    /// Whether the plan is stored with the job: only of such a plan can another process run splits.
    pub(super) is_stored: bool,
    repeats: bool,
    pub(super) inputs: Inputs,
    pub(super) stores: Arc<PinnedStores>,
    pub(super) task: Arc<TaskContext>,
}

impl Work {
    /// Whether it gives the same rows, in any order, each time it runs over the same files.
    pub(crate) fn repeats(&self) -> bool {
        self.repeats
    }

    pub(super) fn splits(&self) -> usize {
        self.plan.output_partitioning().partition_count()
    }

    /// Runs one split to its receipt, alone.
    pub(crate) async fn run(&self, split: u32) -> Result<(), EngineError> {
        let told = |error: DataFusionError| match self.stores.changed() {
            // Readers put other words around a file that changed, and some keep only the text.
            Some(changed) => changed.into(),
            None => super::told(&error, &[]),
        };
        let run = async {
            let rows = self.plan.execute(split as usize, self.task.clone())?;
            rows.try_for_each(|_| async { Ok(()) }).await
        };
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(done) => done.map_err(told),
            Err(panic) => Err(EngineError::new("panicked", text_of(panic.as_ref()))),
        }
    }

    /// The rows that a split has written so far in this process.
    pub(crate) fn rows_written(&self, split: u32) -> u64 {
        let metrics = write_of(self.plan.as_ref()).and_then(ExecutionPlan::metrics).unwrap_or_default();
        let of_split = metrics.iter().filter(|metric| metric.partition() == Some(split as usize));
        let rows = of_split.filter(|metric| metric.value().name() == "rows_written");
        rows.map(|metric| metric.value().as_usize() as u64).sum()
    }
}

impl WriteJob<'_> {
    /// The work of a job that was begun before, by the plan that was stored then. `rejected` rows are in its receipts.
    pub(crate) async fn work_of_stored(&self, job: &Job, rejected: u64) -> Result<Work, EngineError> {
        let unreadable =
            || EngineError::new("not_resumable", format!("the plan of job {} cannot be read any more", job.id()));
        let inputs = serde_json::from_value(job.plan().pinned.inputs.clone()).map_err(|_| unreadable())?;
        let physical = job.physical().await?.ok_or_else(unreadable)?;
        self.work(job, inputs, Some(&physical), None, rejected)
    }

    /// Makes a plan ready to be run. It is decoded from its stored bytes, so that whoever goes on with the job
    /// later runs what was run at first; a plan that cannot be stored runs as it is. `rejected` rows are in the
    /// receipts already.
    pub(crate) fn work(
        &self,
        job: &Job,
        inputs: Inputs,
        physical: Option<&[u8]>,
        packed: Option<PackedPlan>,
        rejected: u64,
    ) -> Result<Work, EngineError> {
        let told = |error| self.told(error);
        let stores = PinnedStores::new(&inputs, &self.shared.runtime);
        let runtime = stores.runtime(&self.shared.runtime).map_err(told)?;
        let task = Arc::new(TaskContext::from(self.state).with_runtime(runtime.clone()));
        let independent = packed.as_ref().is_none_or(|packed| packed.independent);
        let plan = match (physical, packed) {
            (Some(bytes), _) => self.codec().decode(bytes, &task),
            (None, Some(packed)) => reading_through(packed.plan, &runtime),
            (None, None) => unreachable!("a job that is gone on with has a stored plan"),
        };
        let mut context = WriteContext::new(job.id(), job.state().url.clone());
        let models = models_of(job);
        context.provenance = footer(&models);
        context.model = digests(&models);
        context.inputs = inputs.clone();
        let plan = with_write_context(plan.map_err(told)?, &Arc::new(context)).map_err(told)?;
        let plan = match self.shared.settings.round_trip_plans {
            true => self.codec().round_trip(plan, &task).map_err(told)?,
            false => plan,
        };
        let repeats = writes_the_same_rows(&plan);
        // What is hidden in a plan does not travel: whoever runs it puts it in.
        let plan = located::with_locations(plan).map_err(told)?;
        let task = rejecting::task(&task, job, &plan, rejected);
        let is_stored = physical.is_some();
        Ok(Work { job: job.clone(), plan, independent, is_stored, repeats, inputs, stores, task })
    }
}

/// What the footer of each file says about its models.
fn footer(models: &[ModelUse]) -> BTreeMap<String, String> {
    let label = |model: &ModelUse| match model.version {
        Some(version) => format!("{}/{version} sha256:{}", model.name, model.sha256),
        None => format!("{} sha256:{}", model.name, model.sha256),
    };
    let labels: Vec<_> = models.iter().map(label).collect();
    BTreeMap::from_iter((!labels.is_empty()).then(|| ("volley.models".to_string(), labels.join(", "))))
}

/// What a receipt says about the models of its split.
fn digests(models: &[ModelUse]) -> Option<String> {
    let digests: Vec<_> = models.iter().map(|model| model.sha256.as_str()).collect();
    (!digests.is_empty()).then(|| digests.join(","))
}

/// What a panic said.
fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "a split panicked".to_owned(), |text| format!("a split panicked: {text}"))
}
