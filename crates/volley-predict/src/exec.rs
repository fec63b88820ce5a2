//! The physical node that scores: one batch in, the same rows with their scores out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use datafusion::arrow::compute::{filter, filter_record_batch, take};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::cast::{as_boolean_array, as_uint32_array};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
};
use futures::StreamExt;

use crate::call::BoundCall;
use crate::host::{LoadedModel, ModelHost};

/// Scoring yields at least this often, so that a cancelled job stops and other work goes on.
const SLICE_TIME_MAX: Duration = Duration::from_millis(100);

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

fn output_schema(input: &Schema, calls: &[ExecCall]) -> SchemaRef {
    let scores = calls.iter().map(|call| Arc::new(Field::new(&call.column, call.call.data_type().clone(), true)));
    let fields: Vec<_> = input.fields().iter().cloned().chain(scores).collect();
    Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()))
}

/// The input's partitioning and order hold: its columns keep their places and rows keep theirs.
fn output_properties(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Result<PlanProperties> {
    let input_schema = input.schema();
    let columns = input_schema.fields().iter().enumerate().map(|(index, field)| {
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
        statistics.column_statistics.extend(self.calls.iter().map(|_| ColumnStatistics::new_unknown()));
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let metrics = PredictMetrics::new(&self.metrics, partition);
        let scoring = Scoring {
            input,
            calls: self.calls.clone(),
            host: self.host.clone(),
            schema: self.schema.clone(),
            models: Vec::new(),
            rest: None,
            slice_rows: usize::MAX,
            metrics,
        };
        let batches = futures::stream::try_unfold(scoring, |mut scoring| async move {
            Ok(scoring.next().await?.map(|batch| (batch, scoring)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}

struct PredictMetrics {
    rows_scored: Count,
    null_scores: Count,
    output_rows: Count,
    load_time: Time,
    score_time: Time,
}

impl PredictMetrics {
    fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            rows_scored: MetricBuilder::new(set).counter("rows_scored", partition),
            null_scores: MetricBuilder::new(set).counter("null_scores", partition),
            output_rows: MetricBuilder::new(set).output_rows(partition),
            load_time: MetricBuilder::new(set).subset_time("load_time", partition),
            score_time: MetricBuilder::new(set).subset_time("score_time", partition),
        }
    }
}

/// One partition at work.
struct Scoring {
    input: SendableRecordBatchStream,
    calls: Vec<ExecCall>,
    host: Arc<ModelHost>,
    schema: SchemaRef,
    /// One for each call, once loaded.
    models: Vec<Arc<LoadedModel>>,
    /// What is left of a batch that takes more than one slice.
    rest: Option<RecordBatch>,
    slice_rows: usize,
    metrics: PredictMetrics,
}

impl Scoring {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(slice) = self.next_slice().await? else { return Ok(None) };
        if self.models.is_empty() {
            self.load().await?;
        }
        let start = Instant::now();
        let scored = self.score(&slice)?;
        self.pace(slice.num_rows(), start.elapsed());
        tokio::task::yield_now().await;
        Ok(Some(scored))
    }

    async fn next_slice(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.input.next().await {
                Some(batch) => batch?,
                None => return Ok(None),
            },
        };
        if batch.num_rows() <= self.slice_rows {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(self.slice_rows, batch.num_rows() - self.slice_rows));
        Ok(Some(batch.slice(0, self.slice_rows)))
    }

    async fn load(&mut self) -> Result<()> {
        let start = Instant::now();
        for call in &self.calls {
            self.models.push(self.host.model(&call.call.pin).await?);
        }
        self.metrics.load_time.add_elapsed(start);
        Ok(())
    }

    fn score(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let _timer = self.metrics.score_time.timer();
        let mut columns = batch.columns().to_vec();
        for (call, model) in self.calls.iter().zip(&self.models) {
            columns.push(self.column(call, model, batch)?);
        }
        self.metrics.output_rows.add(batch.num_rows());
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn column(&self, call: &ExecCall, model: &LoadedModel, batch: &RecordBatch) -> Result<ArrayRef> {
        if call.guards.is_empty() {
            return self.scores(call, model, batch);
        }
        let reached = reached(&call.guards, batch)?;
        match reached.true_count() {
            0 => Ok(new_null_array(call.call.data_type(), batch.num_rows())),
            all if all == batch.num_rows() => self.scores(call, model, batch),
            _ => {
                let scores = self.scores(call, model, &filter_record_batch(batch, &reached)?)?;
                Ok(take(&scores, &places(&reached), None)?)
            }
        }
    }

    fn scores(&self, call: &ExecCall, model: &LoadedModel, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let arguments = call
            .arguments
            .iter()
            .map(|argument| argument.evaluate(batch)?.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        let scored = model.score(&call.call, &arguments, rows)?;
        self.metrics.rows_scored.add(rows);
        self.metrics.null_scores.add(scored.null_scores);
        Ok(scored.result)
    }

    /// Makes the next slice take about [`SLICE_TIME_MAX`] at most, going by the last one.
    fn pace(&mut self, rows: usize, took: Duration) {
        if took > SLICE_TIME_MAX {
            let share = SLICE_TIME_MAX.as_secs_f64() / took.as_secs_f64();
            self.slice_rows = ((rows as f64 * share) as usize).max(1);
        } else if rows >= self.slice_rows {
            self.slice_rows = self.slice_rows.saturating_mul(2);
        }
    }
}

/// The rows for which one of the lists of conditions holds in full.
fn reached(guards: &[Vec<Arc<dyn PhysicalExpr>>], batch: &RecordBatch) -> Result<BooleanArray> {
    let mut flags = vec![false; batch.num_rows()];
    for conditions in guards {
        for row in rows_that_pass(conditions, batch)?.values() {
            flags[*row as usize] = true;
        }
    }
    Ok(BooleanArray::from(flags))
}

/// Each condition sees the rows that the ones before it left: a later one may fail on the others.
fn rows_that_pass(conditions: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<UInt32Array> {
    let mut rows = UInt32Array::from_iter_values(0..batch.num_rows() as u32);
    let mut left = batch.clone();
    for condition in conditions {
        let value = condition.evaluate(&left)?.into_array(left.num_rows())?;
        let passes = as_boolean_array(&value)?;
        rows = as_uint32_array(&filter(&rows, passes)?)?.clone();
        left = filter_record_batch(&left, passes)?;
    }
    Ok(rows)
}

/// For each row its place among the rows that are set; null for the others.
fn places(set: &BooleanArray) -> UInt32Array {
    let mut next = 0;
    let place = |flag: bool| {
        flag.then(|| {
            next += 1;
            next - 1
        })
    };
    set.values().iter().map(place).collect()
}
