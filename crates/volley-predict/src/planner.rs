//! Makes the physical node of a [`PredictNode`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use crate::exec::{ExecCall, PredictExec};
use crate::host::ModelHost;
use crate::node::PredictNode;

/// Plans [`PredictNode`]s to score with one host.
#[derive(Debug)]
pub struct PredictPlanner {
    host: Arc<ModelHost>,
}

impl PredictPlanner {
    /// A planner whose nodes score with `host`.
    pub fn new(host: Arc<ModelHost>) -> Self {
        Self { host }
    }
}

#[async_trait]
impl ExtensionPlanner for PredictPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<PredictNode>() else { return Ok(None) };
        let schema = node.input().schema();
        let physical = |exprs: &[Expr]| -> Result<Vec<Arc<dyn PhysicalExpr>>> {
            exprs.iter().map(|expr| planner.create_physical_expr(expr, schema, session, context)).collect()
        };
        let calls = node.calls().iter().map(|call| {
            Ok(ExecCall {
                call: call.call.clone(),
                arguments: physical(&call.arguments)?,
                guards: call.guards.iter().map(|list| physical(list)).collect::<Result<_>>()?,
                column: call.column.clone(),
            })
        });
        let calls = calls.collect::<Result<Vec<_>>>()?;
        Ok(Some(Arc::new(PredictExec::try_new(inputs[0].clone(), calls, self.host.clone())?)))
    }
}
