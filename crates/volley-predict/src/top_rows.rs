//! The optimizer rule that scores only the rows which ORDER BY … LIMIT keeps, where no key is a score.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::node::PredictNode;

/// Puts a copy of a sort that has a limit below the Predict nodes under it.
///
/// The sort above stays: it is what orders the result. Physical planning drops it where the order still holds.
#[derive(Debug, Default)]
pub struct TopRowsFirst;

impl OptimizerRule for TopRowsFirst {
    fn name(&self) -> &str {
        "top_rows_before_predict"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Sort(Sort { expr, input, fetch: Some(fetch) }) = &plan else {
            return Ok(Transformed::no(plan));
        };
        let top = Top { keys: expr.clone(), rows: *fetch };
        match top.below(input)? {
            Some(input) => {
                let sort = Sort { expr: expr.clone(), input: Arc::new(input), fetch: Some(*fetch) };
                Ok(Transformed::yes(LogicalPlan::Sort(sort)))
            }
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The first rows by some keys.
struct Top {
    keys: Vec<SortExpr>,
    rows: usize,
}

impl Top {
    /// `plan` with only its first rows taken below its lowest Predict node; none if there is no such node, a key is
    /// a score, or no more rows come from below.
    fn below(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let Some(top) = self.over(plan.schema(), |index| projection.expr[index].clone().unalias())? else {
                    return Ok(None);
                };
                let Some(input) = top.below(&projection.input)? else { return Ok(None) };
                let schema = projection.schema.clone();
                let projection = Projection::try_new_with_schema(projection.expr.clone(), Arc::new(input), schema)?;
                Ok(Some(LogicalPlan::Projection(projection)))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let column = |index| Expr::Column(Column::from(alias.input.schema().qualified_field(index)));
                let Some(top) = self.over(plan.schema(), column)? else { return Ok(None) };
                let Some(input) = top.below(&alias.input)? else { return Ok(None) };
                let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                Ok(Some(LogicalPlan::SubqueryAlias(alias)))
            }
            _ => predict_node(plan).map_or(Ok(None), |node| self.below_node(node)),
        }
    }

    fn below_node(&self, node: &PredictNode) -> Result<Option<LogicalPlan>> {
        let is_score = |column: &Column| node.calls().iter().any(|call| call.column == column.name);
        let reads_score = self.keys.iter().any(|key| key.expr.column_refs().into_iter().any(is_score));
        if reads_score || rows_max(node.input()).is_some_and(|rows| rows <= self.rows) {
            return Ok(None);
        }
        let input = match self.below(node.input())? {
            Some(input) => input,
            None => LogicalPlan::Sort(Sort {
                expr: self.keys.clone(),
                input: Arc::new(node.input().clone()),
                fetch: Some(self.rows),
            }),
        };
        let node = Arc::new(PredictNode::new(input, node.calls().to_vec())?);
        Ok(Some(LogicalPlan::Extension(Extension { node })))
    }

    /// The same rows by keys over the plan below, given what each column of `schema` is there. None if a key
    /// would then be computed anew with another value.
    fn over(&self, schema: &DFSchema, below: impl Fn(usize) -> Expr) -> Result<Option<Self>> {
        let replaced = |expr: Expr| match &expr {
            Expr::Column(column) => Ok(Transformed::yes(below(schema.index_of_column(column)?))),
            _ => Ok(Transformed::no(expr)),
        };
        let key = |key: &SortExpr| Ok(key.with_expr(key.expr.clone().transform(replaced)?.data));
        let keys = self.keys.iter().map(key).collect::<Result<Vec<_>>>()?;
        let volatile = keys.iter().any(|key| key.expr.is_volatile());
        Ok((!volatile).then_some(Self { keys, rows: self.rows }))
    }
}

fn predict_node(plan: &LogicalPlan) -> Option<&PredictNode> {
    let LogicalPlan::Extension(Extension { node }) = plan else { return None };
    node.as_any().downcast_ref()
}

/// The most rows that a plan gives, where its form tells.
fn rows_max(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::Projection(projection) => rows_max(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => rows_max(&alias.input),
        _ => predict_node(plan).map_or_else(|| plan.max_rows(), |node| rows_max(node.input())),
    }
}
