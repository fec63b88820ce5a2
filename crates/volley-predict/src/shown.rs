//! The calls of a plan as EXPLAIN shows them.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::call::BoundCall;
use crate::function::BoundPredict;
use crate::node::PredictNode;

/// A call with its arguments. Displays as a line for the model and a line for each of its inputs:
///
/// ```text
/// predict(flights/1 sha256:0123456789ab, runtime: tract)
///   distance <- f.distance: Int32 -> double -> float (rounds), nan
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ShownCall {
    call: Arc<BoundCall>,
    arguments: Vec<String>,
}

/// The calls of an analyzed plan and its subqueries, each once, from the top.
pub fn shown_calls(plan: &LogicalPlan) -> Result<Vec<ShownCall>> {
    let mut calls = vec![];
    let mut add = |call: &Arc<BoundCall>, arguments: &[Expr]| {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let shown = ShownCall { call: call.clone(), arguments };
        if !calls.contains(&shown) {
            calls.push(shown);
        }
    };
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(predict) = extension.node.as_any().downcast_ref::<PredictNode>()
        {
            predict.calls().iter().for_each(|call| add(&call.call, &call.arguments));
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(function) = expr
                    && let Some(bound) = function.func.inner().downcast_ref::<BoundPredict>()
                {
                    add(bound.call(), &function.args);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(calls)
}

impl fmt::Display for ShownCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        self.call.binding.inputs.iter().try_for_each(|input| write!(f, "\n  {}", input.fed_by(&self.arguments)))
    }
}
