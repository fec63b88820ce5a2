//! Hidden columns that say where a row came from, put into a plan right before it runs.
//!
//! They begin at the scans and end above the highest node that scores, always behind all other columns, so nobody in
//! between counts them. They are put in when a plan has been decoded: what a user sees of a plan does not have them,
//! and DataFusion would not encode those of a Parquet scan.
//!
//! A Parquet scan gives the file and the number of the row in it, whatever is pruned and wherever a split begins.
//! Other sources give the number of the row among all that its split reads of them. What joins or aggregates rows
//! carries neither.

mod numbered;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::functions::core::{file_row_index, input_file_name};
use datafusion::functions::string::concat;
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use volley_connect::{WriteExec, carrying, shown_store};
use volley_predict::{LOCATION_COLUMNS, PredictExec, location_fields};

use numbered::NumberedRowsExec;

/// Nodes that hand on all columns of their inputs, whatever those are.
const PASSING: [&str; 10] = [
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "GlobalLimitExec",
    "LocalLimitExec",
    "PredictExec",
    "RepartitionExec",
    "SortExec",
    "SortPreservingMergeExec",
    "UnionExec",
];

/// The plan of a write, with its rows' locations wherever something scores.
pub(crate) fn with_locations(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let located = plan.transform_down(|node| {
        if !node.is::<WriteExec>() {
            return Ok(Transformed::no(node));
        }
        let input = hidden(node.children()[0].clone(), true)?;
        let write = replace_children_if_necessary(node, vec![input])?;
        Ok(Transformed::new(write, true, TreeNodeRecursion::Jump))
    })?;
    Ok(located.data)
}

/// The same plan, with locations below what scores in it. `of_split`: its partitions are those of the splits.
fn hidden(plan: Arc<dyn ExecutionPlan>, of_split: bool) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.is::<PredictExec>()
        && let Some(carried) = carry(&plan, of_split)?
    {
        return without_locations(carried, &plan.schema());
    }
    let own = carrying(plan.as_ref());
    let children = plan.children().into_iter().enumerate();
    let children = children.map(|(nth, child)| hidden(child.clone(), of_split && own.contains(&nth)));
    let children = children.collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(plan, children)
}

fn without_locations(carried: Arc<dyn ExecutionPlan>, schema: &Schema) -> Result<Arc<dyn ExecutionPlan>> {
    let own = columns(&carried.schema(), schema.fields().len());
    Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(own, carried, schema)?))
}

/// The plan with locations behind its columns; none if its rows have none.
fn carry(plan: &Arc<dyn ExecutionPlan>, of_split: bool) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if plan.children().is_empty() {
        return match parquet_scan(plan)? {
            Some(scan) => Ok(Some(scan)),
            None if of_split => Ok(Some(Arc::new(NumberedRowsExec::try_new(plan.clone())?))),
            None => Ok(None),
        };
    }
    if !PASSING.contains(&plan.name()) && !plan.is::<FilterExec>() && !plan.is::<ProjectionExec>() {
        return Ok(None);
    }
    let own = carrying(plan.as_ref());
    let mut inputs = vec![];
    for (nth, child) in plan.children().into_iter().enumerate() {
        let Some(carried) = carry(child, of_split && own.contains(&nth))? else { return Ok(None) };
        inputs.push(carried);
    }
    over(plan, inputs).map(Some)
}

/// The node over inputs that carry locations.
fn over(plan: &Arc<dyn ExecutionPlan>, mut inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let input = inputs.swap_remove(0);
        let width = input.schema().fields().len();
        let kept = filter
            .projection()
            .as_ref()
            .map(|kept| kept.iter().copied().chain(width - LOCATION_COLUMNS..width).collect::<Vec<_>>());
        let filter = FilterExecBuilder::from(filter).apply_projection(None)?.with_input(input);
        return Ok(Arc::new(filter.apply_projection(kept)?.build()?));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let input = inputs.swap_remove(0);
        let all = columns(&input.schema(), input.schema().fields().len());
        let hidden = all[all.len() - LOCATION_COLUMNS..].iter().cloned();
        let exprs: Vec<_> = projection.expr().iter().cloned().chain(hidden).collect();
        let schema = with_location_fields(&plan.schema());
        return Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(exprs, input, &schema)?));
    }
    replace_children_if_necessary(plan.clone(), inputs)
}

fn columns(schema: &Schema, count: usize) -> Vec<ProjectionExpr> {
    let column = |(index, field): (usize, &Arc<Field>)| {
        ProjectionExpr::new(Arc::new(Column::new(field.name(), index)), field.name().clone())
    };
    schema.fields().iter().enumerate().take(count).map(column).collect()
}

fn with_location_fields(schema: &Schema) -> Schema {
    let fields: Vec<_> = schema.fields().iter().cloned().chain(location_fields()).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// A scan of Parquet files that gives file and row itself; none if the plan is no such scan.
fn parquet_scan(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(source) = plan.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source) else { return Ok(None) };
    let Some(scan) = source.downcast_ref::<FileScanConfig>() else { return Ok(None) };
    if !scan.file_source().is::<ParquetSource>() {
        return Ok(None);
    }
    let schema = plan.schema();
    let [file, row] = location_fields();
    let store = Literal::new(ScalarValue::Utf8(Some(shown_store(scan.object_store_url.as_str()))));
    let name = call(concat(), vec![Arc::new(store), call(input_file_name(), vec![], DataType::Utf8)], DataType::Utf8);
    // A dictionary of one text: the name is not copied for each row.
    let name = Arc::new(CastExpr::new(name, file.data_type().clone(), None));
    let mut exprs = columns(&schema, schema.fields().len());
    exprs.push(ProjectionExpr::new(name, file.name().clone()));
    exprs.push(ProjectionExpr::new(call(file_row_index(), vec![], DataType::Int64), row.name().clone()));
    let scan = source.try_swapping_with_projection(&ProjectionExprs::new(exprs))?;
    Ok(scan.map(|scan| Arc::new(DataSourceExec::new(scan)) as _))
}

fn call(function: Arc<ScalarUDF>, arguments: Vec<Arc<dyn PhysicalExpr>>, gives: DataType) -> Arc<dyn PhysicalExpr> {
    let name = function.name().to_owned();
    let field = Arc::new(Field::new(&name, gives, true));
    Arc::new(ScalarFunctionExpr::new(&name, function, arguments, field, Arc::new(ConfigOptions::default())))
}
