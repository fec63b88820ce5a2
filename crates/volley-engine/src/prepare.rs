//! From a parsed statement to a logical plan with pinned models.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{DFSchema, ParamValues, plan_datafusion_err};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::FutureExt;
use volley_predict::sql::{View, collect_calls, fill_inputs, inline_views};
use volley_predict::{Pins, Site, UnboundPredict};
use volley_registry::Registry;

use crate::error::EngineError;
use crate::params::{self, Params};
use crate::snapshot::Snapshot;

/// A statement that is ready to be analyzed, optimized and run.
#[derive(Debug)]
pub struct Prepared {
    /// The plan; its predict calls know their models, and are bound by the analyzer.
    pub plan: LogicalPlan,
    /// The models of the statement.
    pub pins: Pins,
    /// Where the statement's calls stand.
    pub sites: Vec<Site>,
}

/// What preparing a statement needs to know of its session.
pub struct Preparation<'a> {
    /// Tables, functions and settings.
    pub state: &'a SessionState,
    /// Views whose definitions hold predict calls.
    pub views: &'a HashMap<String, View>,
    /// Models that the job has pinned already.
    pub pins: &'a Pins,
    /// Where models are looked up.
    pub registry: &'a Registry,
    /// Values for `$name`.
    pub params: &'a Params,
}

impl Preparation<'_> {
    /// Pins the statement's models and plans it. No model is loaded.
    pub async fn prepare(&self, mut statement: Statement) -> Result<Prepared, EngineError> {
        volley_connect::settle_statement(&mut statement)
            .map_err(|error| EngineError::new(error.code(), error.to_string()))?;
        inline_views(&mut statement, self.views);
        let calls = collect_calls(&mut statement);
        if !calls.problems.is_empty() {
            return Err(EngineError::all(calls.problems));
        }
        let sites = calls.sites;
        let told = |error: DataFusionError| EngineError::from_datafusion(&error, &sites);
        if sites.is_empty() {
            let plan = self.state.statement_to_plan(statement).await.map_err(told)?;
            let plan = self.with_params(plan)?;
            return Ok(Prepared { plan, pins: Pins::default(), sites });
        }
        let pins = Pins::resolve(self.pins, &sites, self.registry).await.map_err(EngineError::all)?;
        let snapshot = Snapshot::of(&statement, self.state).await.map_err(told)?;
        let state = planning_state(self.state, snapshot, &pins);
        let mut schema_of = |query: Query| schema_of(query, &state);
        let problems = fill_inputs(&mut statement, &pins, &mut schema_of).map_err(told)?;
        if !problems.is_empty() {
            return Err(EngineError::all(problems));
        }
        let plan = plan_now(statement, &state).map_err(told)?;
        let plan = self.with_params(plan)?;
        Ok(Prepared { plan, pins, sites })
    }

    fn with_params(&self, plan: LogicalPlan) -> Result<LogicalPlan, EngineError> {
        let told = |error: DataFusionError| EngineError::from_datafusion(&error, &[]);
        let mut used: Vec<String> = plan.get_parameter_names().map_err(told)?.into_iter().collect();
        if used.is_empty() {
            return Ok(plan);
        }
        used.sort();
        let values: HashMap<_, _> = self.params.scalars().into_iter().collect();
        if let Some(name) =
            used.iter().map(|name| name.trim_start_matches('$')).find(|name| !values.contains_key(*name))
        {
            return Err(params::unset(name));
        }
        plan.with_param_values(ParamValues::from(values)).map_err(told)
    }
}

/// The session's state, seeing only the statement's tables, with predict functions that know its models.
fn planning_state(state: &SessionState, snapshot: Snapshot, pins: &Pins) -> SessionState {
    let mut functions: Vec<_> = state.scalar_functions().values().cloned().collect();
    functions.extend(UnboundPredict::all(&Arc::new(pins.clone())));
    SessionStateBuilder::new_from_existing(state.clone())
        .with_catalog_list(Arc::new(snapshot))
        .with_scalar_functions(functions)
        .build()
}

fn schema_of(query: Query, state: &SessionState) -> DataFusionResult<DFSchema> {
    let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
    Ok(plan_now(statement, state)?.schema().as_ref().clone())
}

/// Plans over a snapshot, which never waits.
fn plan_now(statement: Statement, state: &SessionState) -> DataFusionResult<LogicalPlan> {
    state
        .statement_to_plan(statement)
        .now_or_never()
        .unwrap_or_else(|| Err(plan_datafusion_err!("a table of the statement was not looked up before planning")))
}
