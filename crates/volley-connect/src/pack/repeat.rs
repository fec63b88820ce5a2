//! Whether a plan gives the same rows each time it runs: what a split may stand on that is computed again later.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

/// Nodes whose rows follow from those of their inputs, whatever order these come in.
const FOLLOW: [&str; 17] = [
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "CrossJoinExec",
    "DataSourceExec",
    "EmptyExec",
    "FilterExec",
    "HashJoinExec",
    "LazyMemoryExec",
    "NestedLoopJoinExec",
    "PlaceholderRowExec",
    "PredictExec",
    "ProjectionExec",
    "RepartitionExec",
    "SortExec",
    "SortMergeJoinExec",
    "SortPreservingMergeExec",
];

/// Aggregates that are the same in every order. A sum of floats is not, in its last digits.
const IN_ANY_ORDER: [&str; 6] = ["bool_and", "bool_or", "count", "max", "min", "sum"];

/// Whether a plan gives the same rows, in any order, each time it runs over the same files. When in doubt it does
/// not: a limit keeps other rows each time, a random number is another.
pub(super) fn gives_the_same_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let node = match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) => aggregate.aggr_expr().iter().all(|aggregate| is_exact(aggregate)),
        None => plan.name() == "UnionExec" || FOLLOW.contains(&plan.name()),
    };
    node && plan.fetch().is_none() && !is_volatile(plan) && plan.children().into_iter().all(gives_the_same_rows)
}

fn is_exact(aggregate: &AggregateFunctionExpr) -> bool {
    let name = aggregate.fun().name();
    let is_float = matches!(aggregate.field().data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
    IN_ANY_ORDER.contains(&name) && !(name == "sum" && is_float)
}

fn is_volatile(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut found = false;
    let mut look = |expr: &Arc<dyn PhysicalExpr>| -> Result<TreeNodeRecursion> {
        found |= datafusion::physical_expr_common::physical_expr::is_volatile(expr);
        Ok(TreeNodeRecursion::Continue)
    };
    // An expression that cannot be looked at may be anything.
    plan.apply_expressions(&mut look).is_err() || found
}

/// Whether a node with one carrying input gives one row for each row of it.
pub(super) fn keeps_rows(plan: &dyn ExecutionPlan) -> bool {
    let is_join = plan.children().len() > 1 && plan.name() != "ScalarSubqueryExec";
    !is_join && matches!(plan.cardinality_effect(), CardinalityEffect::Equal)
}
