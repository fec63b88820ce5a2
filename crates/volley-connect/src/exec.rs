//! The physical write: each input partition is one split, staged as files and sealed by a receipt.

mod columns;
mod encode;
mod files;
mod footer;
mod hive;
mod rejects;
mod row_sum;
mod split;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
};
use serde::{Deserialize, Serialize};
use volley_commit::{JobId, Receipt};

use crate::inputs::Inputs;
use crate::write::{WriteTarget, output_schema};

pub use rejects::{SplitTask, SplitTasks};

pub(crate) use columns::{check_columns, file_columns, plain_schema};
pub(crate) use row_sum::RowSum;

/// The job that a write works for. Made by whoever began the job, and travels in plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteContext {
    /// The job, begun with [`volley_commit::Job::begin`].
    pub job: JobId,
    /// URL of the state folder that it was begun in. Its plan names destination and staging.
    pub state: String,
    /// The split of each partition of the plan, for a plan that has only some of the job's splits.
    /// Without it partition `n` is split `n`.
    pub splits: Option<Vec<u32>>,
    /// What Parquet footers say beside `volley.job` and `volley.split`. Must not depend on time or
    /// attempts, or a repeated split would have other bytes.
    pub provenance: BTreeMap<String, String>,
    /// The digest of the model that scores, for receipts.
    pub model: Option<String>,
    /// The files that the plan reads, as they were when the job was planned.
    pub inputs: Inputs,
}

impl WriteContext {
    /// A context for a plan that has all splits of the job.
    pub fn new(job: JobId, state: impl Into<String>) -> Self {
        let (provenance, inputs) = (BTreeMap::new(), Inputs::default());
        Self { job, state: state.into(), splits: None, provenance, model: None, inputs }
    }

    fn split(&self, partition: usize) -> Result<u32> {
        let split = match &self.splits {
            Some(splits) => splits.get(partition).copied(),
            None => u32::try_from(partition).ok(),
        };
        match split {
            Some(split) => Ok(split),
            None => internal_err!("partition {partition} of job {} has no split", self.job),
        }
    }
}

/// Gives every [`WriteExec`] of a plan its job.
pub fn with_write_context(plan: Arc<dyn ExecutionPlan>, context: &Arc<WriteContext>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        Ok(match node.downcast_ref::<WriteExec>() {
            Some(write) => Transformed::yes(Arc::new(write.with_context(context.clone()))),
            None => Transformed::no(node),
        })
    })
    .map(|transformed| transformed.data)
}

/// Writes each partition of its input as one split of a job, and gives one row for each: `split`,
/// `rows`, `files`, `bytes`.
///
/// A split with a receipt is not computed again. An error, or dropping the stream, leaves nothing but
/// staged files, which the job's abort removes.
#[derive(Debug, Clone)]
pub struct WriteExec {
    input: Arc<dyn ExecutionPlan>,
    target: Arc<WriteTarget>,
    context: Option<Arc<WriteContext>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WriteExec {
    /// A write that knows no job yet. Fails with `unsupported_columns` when the format or the
    /// partitioning cannot hold the input's columns.
    pub fn new(input: Arc<dyn ExecutionPlan>, target: WriteTarget) -> crate::Result<Self> {
        check_columns(&input.schema(), &target)?;
        Ok(Self {
            properties: Arc::new(properties(&input)),
            input,
            target: Arc::new(target),
            context: None,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same write for a job.
    pub fn with_context(&self, context: Arc<WriteContext>) -> Self {
        Self { context: Some(context), metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    /// What is written.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Where it goes.
    pub fn target(&self) -> &WriteTarget {
        &self.target
    }

    /// The job, if the write has one in itself.
    pub fn context(&self) -> Option<&Arc<WriteContext>> {
        self.context.as_ref()
    }

    /// The node's own job, else the session's.
    fn job_context(&self, task: &TaskContext) -> Result<Arc<WriteContext>> {
        let of_session = || task.session_config().get_extension::<WriteContext>();
        match self.context.clone().or_else(of_session) {
            Some(context) => Ok(context),
            None => internal_err!("a write to {} was executed without a job", self.target.destination),
        }
    }
}

fn properties(input: &Arc<dyn ExecutionPlan>) -> PlanProperties {
    let schema = Arc::new(output_schema());
    let partitions = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
    PlanProperties::new(EquivalenceProperties::new(schema), partitions, EmissionType::Final, input.boundedness())
        .with_scheduling_type(SchedulingType::Cooperative)
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WriteExec: {}", self.target)
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &str {
        "WriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    // Partitions are splits: a repartition in between would make their rows depend on timing.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    // Keeps the optimizer from dropping an ORDER BY below.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        let properties = Arc::new(properties(&input));
        Ok(Arc::new(Self { input, properties, metrics: ExecutionPlanMetricsSet::new(), ..self.as_ref().clone() }))
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = self.job_context(&task)?;
        let work = split::Work {
            split: context.split(partition)?,
            partition,
            input: self.input.clone(),
            target: self.target.clone(),
            counters: split::Counters::new(&self.metrics, partition),
            context,
            task,
        };
        let row = async move { Ok(receipt_row(&work.receipt().await?)) };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), futures::stream::once(row))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

fn receipt_row(receipt: &Receipt) -> RecordBatch {
    let schema: SchemaRef = Arc::new(output_schema());
    let number = |n: u64| Arc::new(UInt64Array::from(vec![n])) as ArrayRef;
    let columns = vec![
        Arc::new(UInt32Array::from(vec![receipt.split])) as ArrayRef,
        number(receipt.tally.rows_out),
        number(receipt.files.len() as u64),
        number(receipt.files.iter().map(|file| file.bytes).sum()),
    ];
    RecordBatch::try_new(schema, columns).expect("the columns are those of the schema")
}
