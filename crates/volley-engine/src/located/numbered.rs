//! The node that counts the rows of a source that has no better name for them.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
};
use futures::StreamExt;
use volley_predict::location_fields;

/// Its input's rows, each with its number in its partition and no file.
#[derive(Debug)]
pub(super) struct NumberedRowsExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl NumberedRowsExec {
    pub(super) fn try_new(input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let of_input = input.schema();
        let fields: Vec<_> = of_input.fields().iter().cloned().chain(location_fields()).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, of_input.metadata().clone()));
        let columns = of_input.fields().iter().enumerate().map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            (column, field.name().clone())
        });
        let mapping = ProjectionMapping::try_new(columns, &of_input)?;
        let equivalences = input.equivalence_properties().project(&mapping, schema.clone());
        let partitioning = input.output_partitioning().clone();
        let properties =
            PlanProperties::new(equivalences, partitioning, input.pipeline_behavior(), input.boundedness());
        Ok(Self { input, schema, properties: Arc::new(properties) })
    }
}

impl DisplayAs for NumberedRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("NumberedRowsExec")
    }
}

impl ExecutionPlan for NumberedRowsExec {
    fn name(&self) -> &str {
        "NumberedRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) => Ok(Arc::new(Self::try_new(input)?)),
            None => internal_err!("rows to be numbered come from one input"),
        }
    }

    fn execute(&self, partition: usize, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema.clone();
        let mut next = 0;
        let numbered = self.input.execute(partition, task)?.map(move |batch| {
            let batch = batch?;
            let end = next + batch.num_rows() as i64;
            let numbers = Int64Array::from_iter_values(next..end);
            next = end;
            let [file, _] = location_fields();
            let location: [ArrayRef; 2] = [new_null_array(file.data_type(), batch.num_rows()), Arc::new(numbers)];
            let columns = batch.columns().iter().cloned().chain(location).collect();
            Ok(RecordBatch::try_new(schema.clone(), columns)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), numbered)))
    }
}
