//! The optimizer rule that drops calls whose scores nobody reads: a view's score that a query leaves out
//! costs nothing.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::node::PredictNode;

/// Drops unread calls. It must run after projections were pushed down, so that every reader is explicit.
#[derive(Debug, Default)]
pub struct PruneCalls;

impl OptimizerRule for PruneCalls {
    fn name(&self) -> &str {
        "prune_predict_calls"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        prune(plan, None)
    }
}

/// `read`: unqualified column names that are read above; none when that is not known.
fn prune(plan: LogicalPlan, read: Option<HashSet<String>>) -> Result<Transformed<LogicalPlan>> {
    let below = match &plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => Some(names(&plan.expressions())),
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            read.map(|read| read.into_iter().chain(names(&plan.expressions())).collect())
        }
        LogicalPlan::Extension(Extension { node }) => match node.as_any().downcast_ref::<PredictNode>() {
            Some(predict) => return prune_node(predict, read),
            None => None,
        },
        _ => None,
    };
    plan.map_children(|child| prune(child, below.clone()))
}

fn prune_node(node: &PredictNode, read: Option<HashSet<String>>) -> Result<Transformed<LogicalPlan>> {
    let kept: Vec<_> = match &read {
        Some(read) => node.calls().iter().filter(|call| read.contains(&call.column)).cloned().collect(),
        None => node.calls().to_vec(),
    };
    let dropped = kept.len() < node.calls().len();
    let used = kept.iter().flat_map(|call| call.arguments.iter().chain(call.guards.iter().flatten()));
    let below = read.map(|read| read.into_iter().chain(used.flat_map(column_names)).collect());
    let input = prune(node.input().clone(), below)?;
    let changed = dropped || input.transformed;
    let plan = if kept.is_empty() {
        input.data
    } else {
        LogicalPlan::Extension(Extension { node: Arc::new(PredictNode::new(input.data, kept)?) })
    };
    Ok(Transformed::new_transformed(plan, changed))
}

fn names(expressions: &[Expr]) -> HashSet<String> {
    expressions.iter().flat_map(column_names).collect()
}

fn column_names(expr: &Expr) -> Vec<String> {
    expr.column_refs().into_iter().map(|column| column.name.clone()).collect()
}
