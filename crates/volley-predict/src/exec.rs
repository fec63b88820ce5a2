//! The physical node that scores: one batch in, the same rows with their scores out, but for those that a model fails
//! at where the task takes rejects.

mod guards;
mod scoring;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
};

use crate::call::BoundCall;
use crate::host::ModelHost;
use crate::locations::width;
use crate::rejects::ScoringSplit;
use scoring::{PredictMetrics, Scoring};

/// One call of the node, in physical form. See [`crate::NodeCall`].
#[derive(Debug, Clone)]
pub struct ExecCall {
    /// The pinned and bound call.
    pub call: Arc<BoundCall>,
    /// The argument columns, in the order of the binding.
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// Lists of conditions, one of which must hold in full for a row to be scored; empty for every row.
    pub guards: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    /// Name of the result's column.
    pub column: String,
}

/// Scores its input's rows, partition by partition, in the order they come.
#[derive(Debug)]
pub struct PredictExec {
    input: Arc<dyn ExecutionPlan>,
    calls: Vec<ExecCall>,
    host: Arc<ModelHost>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PredictExec {
    /// A node that scores with `host`.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, calls: Vec<ExecCall>, host: Arc<ModelHost>) -> Result<Self> {
        let schema = output_schema(&input.schema(), &calls);
        let properties = Arc::new(output_properties(&input, &schema)?);
        Ok(Self { input, calls, host, schema, properties, metrics: ExecutionPlanMetricsSet::new() })
    }

    /// What is scored.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The calls, in the order of their columns.
    pub fn calls(&self) -> &[ExecCall] {
        &self.calls
    }
}

/// The locations of rows, where there are any, stay behind all other columns: nobody below or above counts them.
fn output_schema(input: &Schema, calls: &[ExecCall]) -> SchemaRef {
    let scores = calls.iter().map(|call| Arc::new(Field::new(&call.column, call.call.data_type().clone(), true)));
    let (own, locations) = input.fields().split_at(width(input));
    let fields: Vec<_> = own.iter().cloned().chain(scores).chain(locations.iter().cloned()).collect();
    Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()))
}

/// The input's partitioning and order hold: its columns keep their places and rows keep theirs.
fn output_properties(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<PlanProperties> {
    let input_schema = input.schema();
    let own = input_schema.fields().iter().take(width(&input_schema));
    let columns = own.enumerate().map(|(index, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        (column, field.name().clone())
    });
    let mapping = ProjectionMapping::try_new(columns, &input_schema)?;
    let equivalences = input.equivalence_properties().project(&mapping, schema.clone());
    let partitioning = input.output_partitioning().clone();
    Ok(PlanProperties::new(equivalences, partitioning, input.pipeline_behavior(), input.boundedness()))
}

impl DisplayAs for PredictExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "PredictExec: ")?;
        for (index, call) in self.calls.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} := {}", call.column, call.call)?;
            for (index, guard) in call.guards.iter().enumerate() {
                let conditions: Vec<_> = guard.iter().map(ToString::to_string).collect();
                write!(f, "{}{}", if index == 0 { " where " } else { " or " }, conditions.join(", "))?;
            }
        }
        Ok(())
    }
}

impl ExecutionPlan for PredictExec {
    fn name(&self) -> &str {
        "PredictExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::try_new(children.swap_remove(0), self.calls.clone(), self.host.clone())?))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in self.calls.iter().flat_map(|call| call.arguments.iter().chain(call.guards.iter().flatten())) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = inputs[0].as_ref().clone();
        statistics.total_byte_size = datafusion::common::stats::Precision::Absent;
        statistics.column_statistics.truncate(width(&self.input.schema()));
        statistics.column_statistics.resize(self.schema.fields().len(), ColumnStatistics::new_unknown());
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let split = ScoringSplit::of(&context);
        let input = self.input.execute(partition, context)?;
        let metrics = PredictMetrics::new(&self.metrics, partition);
        let scoring = Scoring {
            input,
            calls: self.calls.clone(),
            host: self.host.clone(),
            schema: self.schema.clone(),
            models: Vec::new(),
            split,
            rest: Vec::new(),
            slice_rows: usize::MAX,
            metrics,
        };
        let batches = futures::stream::try_unfold(scoring, |mut scoring| async move {
            Ok(scoring.next().await?.map(|batch| (batch, scoring)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}
