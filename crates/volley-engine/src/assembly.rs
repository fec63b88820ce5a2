//! Assembles DataFusion with our nodes, rules, tables and settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use volley_connect::{TableFactory, WritePlanner, WriteRule};
use volley_predict::{ModelHost, PredictOptions, PredictPlanner, PredictRule, PruneCalls, TopRowsFirst};

use crate::engine::Shared;
use crate::system;

/// A context with everything of ours in its place.
pub(crate) fn context(shared: &Shared) -> SessionContext {
    let base = shared.settings.ground();
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config(shared))
        .with_runtime_env(shared.runtime.clone())
        .with_query_planner(Arc::new(Planner { host: shared.host.clone() }))
        // Calls before writes: a call that does not fit has no type that a file could hold.
        .with_analyzer_rule(Arc::new(PredictRule::new(shared.host.clone())))
        .with_analyzer_rule(Arc::new(WriteRule::new(base.clone())))
        .with_optimizer_rule(Arc::new(PruneCalls))
        .with_optimizer_rule(Arc::new(TopRowsFirst));
    let context = TableFactory::new(base).install(SessionContext::new_with_state(builder.build()));
    system::install(&context, &shared.registry);
    context
}

fn config(shared: &Shared) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(shared.settings.cores)
        .with_information_schema(true)
        .with_option_extension(PredictOptions::default());
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    config
}

/// The state of a new session with these settings, for a plan that is made already.
pub(crate) fn state_with(shared: &Shared, settings: &BTreeMap<String, String>) -> Result<SessionState> {
    let mut state = context(shared).state();
    for (name, value) in settings {
        state.config_mut().options_mut().set(name, value)?;
    }
    Ok(state)
}

/// The session's state as one statement needs it. A write keeps the partitions of its scan, since they are
/// its splits: nothing may cut scans anew or deal rows around.
pub(crate) fn state_for(context: &SessionContext, statement: &Statement) -> SessionState {
    let mut state = context.state();
    if writes(statement) {
        let options = state.config_mut().options_mut();
        options.optimizer.repartition_file_scans = false;
        options.optimizer.enable_round_robin_repartition = false;
        options.execution.enable_file_stream_work_stealing = false;
    }
    state
}

fn writes(statement: &Statement) -> bool {
    match statement {
        Statement::CopyTo(_) => true,
        Statement::Statement(inner) => matches!(inner.as_ref(), SqlStatement::Insert(_)),
        Statement::Explain(explain) => writes(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::Reset(_) => false,
    }
}

/// Analyzes the query inside EXPLAIN and CREATE VIEW, so that what is wrong with it is told as for any other:
/// DataFusion prints the one's errors as rows, and looks at the other's query when the view is read.
pub(crate) fn check_inner(plan: &LogicalPlan, state: &SessionState) -> Result<()> {
    let inner = match plan {
        LogicalPlan::Explain(explain) => &explain.plan,
        LogicalPlan::Ddl(DdlStatement::CreateView(view)) => &view.input,
        _ => return Ok(()),
    };
    state.analyzer().execute_and_check(inner.as_ref().clone(), state.config_options(), |_, _| {}).map(drop)
}

/// Whether a plan would write.
pub(crate) fn is_write(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Copy(_) | LogicalPlan::Dml(_))
}

/// DataFusion's planner, which also knows our nodes.
#[derive(Debug)]
struct Planner {
    host: Arc<ModelHost>,
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let ours = vec![Arc::new(PredictPlanner::new(self.host.clone())) as _, Arc::new(WritePlanner) as _];
        DefaultPhysicalPlanner::with_extension_planners(ours).create_physical_plan(plan, session).await
    }
}
