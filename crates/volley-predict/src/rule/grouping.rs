//! Grouping sets over calls: a score has to have a name before it can be in some sets and not in others.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};

use super::extract::holds_call;

/// Computes what an aggregate's GROUPING SETS, ROLLUP or CUBE score in a projection below it, under the names that
/// the aggregate gives them. Any other plan stays as it is.
pub(super) fn calls_below_sets(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(plan) };
    let scoring = scoring_members(&aggregate.group_expr);
    if scoring.is_empty() {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let own = aggregate.input.schema().columns().into_iter().map(Expr::Column);
    let named = scoring.iter().map(|expr| expr.clone().alias(name(expr)));
    let input = Projection::try_new(own.chain(named).collect(), aggregate.input)?;
    let by_name = |member: Expr| match scoring.contains(&member) {
        true => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name(&member))))),
        false => Ok(Transformed::no(member)),
    };
    let groups = aggregate.group_expr.into_iter().map(|group| Ok(group.map_children(by_name)?.data));
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let aggregate = Aggregate::try_new(Arc::new(LogicalPlan::Projection(input)), groups, aggregate.aggr_expr)?;
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// The members of grouping sets that hold a call, each once.
fn scoring_members(groups: &[Expr]) -> Vec<Expr> {
    let sets = groups.iter().filter_map(|group| match group {
        Expr::GroupingSet(sets) => Some(sets),
        _ => None,
    });
    let mut scoring: Vec<Expr> = Vec::new();
    for member in sets.flat_map(|sets| sets.distinct_expr()) {
        if holds_call(member) && !scoring.contains(member) {
            scoring.push(member.clone());
        }
    }
    scoring
}

fn name(expr: &Expr) -> String {
    expr.schema_name().to_string()
}
