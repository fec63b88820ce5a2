//! From a parsed statement to a logical plan with pinned models.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::CatalogProviderList;
use datafusion::common::{ParamValues, ResolvedTableReference, plan_datafusion_err};
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Ident, Query};
use futures::FutureExt;
use futures::future::BoxFuture;
use volley_connect::Base;
use volley_predict::sql::{collect_calls, fill_inputs, named_places};
use volley_predict::{Pins, Site, UnboundPredict};
use volley_registry::Registry;

use crate::error::{EngineError, missing_table};
use crate::gate;
use crate::params::{self, Params};
use crate::snapshot::Snapshot;
use crate::system;
use crate::views::{Views, statement_of, view_made_by};

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
    /// Views that score.
    pub views: &'a Views,
    /// Models that the job has pinned already.
    pub pins: &'a Pins,
    /// Where models are looked up.
    pub registry: &'a Registry,
    /// Values for `$name`.
    pub params: &'a Params,
    /// Where paths begin, and how far they lead.
    pub base: &'a Base,
}

impl Preparation<'_> {
    /// Pins the models of the statement and of the views that it reads, and plans it. No model is loaded.
    pub async fn prepare(&self, mut statement: Statement) -> Result<Prepared, EngineError> {
        volley_connect::settle_statement(&mut statement)?;
        let made = view_made_by(&statement, self.state).map_err(|error| self.told(&error, &[]))?;
        self.prepare_below(statement, &made.into_iter().collect::<Vec<_>>(), self.pins).await
    }

    /// Prepares a statement, or the query of a view that was reached through the views of `above`. What is pinned
    /// in `known` stays so.
    async fn prepare_below(
        &self,
        mut statement: Statement,
        above: &[ResolvedTableReference],
        known: &Pins,
    ) -> Result<Prepared, EngineError> {
        let places = named_places(&mut statement);
        self.plan(statement, above, known).await.map_err(|error| error.at_names(&places))
    }

    async fn plan(
        &self,
        mut statement: Statement,
        above: &[ResolvedTableReference],
        known: &Pins,
    ) -> Result<Prepared, EngineError> {
        let calls = collect_calls(&mut statement);
        if !calls.problems.is_empty() {
            return Err(EngineError::all(calls.problems));
        }
        let sites = calls.sites;
        let told = |error: DataFusionError| self.told(&error, &sites);
        let read = self.views.read_by(&statement, self.state).map_err(told)?;
        if sites.is_empty() && read.is_empty() {
            let plan = self.state.statement_to_plan(statement).await.map_err(told)?;
            let plan = self.with_params(plan)?;
            return Ok(Prepared { plan, pins: Pins::default(), sites });
        }
        gate::check_models(&sites, self.base)?;
        let mut pins = Pins::default();
        let mut known = known.clone();
        let mut views = HashMap::new();
        for name in read {
            let view = self.prepare_view(&name, above, &known).await?;
            known.extend(&view.pins);
            pins.extend(&view.pins);
            views.insert(name, Arc::new(ViewTable::new(view.plan, None)) as _);
        }
        let own = Pins::resolve(&known, &sites, self.registry).await.map_err(EngineError::all)?;
        pins.extend(&own);
        let snapshot = Snapshot::of(&statement, self.state, views).await.map_err(told)?;
        let state = planning_state(self.state, snapshot, &own);
        let mut schema_of = |query: Query| Ok(plan_now(statement_of(query), &state)?.schema().as_ref().clone());
        let problems = fill_inputs(&mut statement, &own, &mut schema_of).map_err(told)?;
        if !problems.is_empty() {
            return Err(EngineError::all(problems));
        }
        let plan = plan_now(statement, &state).map_err(told)?;
        let plan = self.with_params(plan)?;
        Ok(Prepared { plan, pins, sites })
    }

    /// Prepares the query of a view. What is wrong in it stands where the statement names the view.
    fn prepare_view<'b>(
        &'b self,
        name: &'b ResolvedTableReference,
        above: &'b [ResolvedTableReference],
        known: &'b Pins,
    ) -> BoxFuture<'b, Result<Prepared, EngineError>> {
        async move {
            if above.contains(name) {
                let message = format!("view `{}` reads itself", name.table);
                return Err(EngineError::new("recursive_view", message));
            }
            let view = self.views.get(name).expect("only views that are there are prepared");
            let above = [above, std::slice::from_ref(name)].concat();
            let prepared = self.prepare_below(statement_of(view.query.clone()), &above, known).await;
            let prepared = prepared.map_err(|error| error.in_view(&name.table))?;
            let plan = with_columns(prepared.plan, &view.columns).map_err(|error| self.told(&error, &[]))?;
            Ok(Prepared { plan, ..prepared })
        }
        .boxed()
    }

    fn told(&self, error: &DataFusionError, sites: &[Site]) -> EngineError {
        match missing_table(error) {
            Some(name) => EngineError::no_table(&name, error, &table_names(self.state.catalog_list().as_ref())),
            None => EngineError::from_datafusion(error, sites),
        }
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

/// The names of all tables and views of a session, in order; those of `system` are nobody's, and have longer names.
pub(crate) fn table_names(catalogs: &dyn CatalogProviderList) -> Vec<String> {
    let catalogs = catalogs.catalog_names().into_iter().filter_map(|name| catalogs.catalog(&name));
    let schemas = catalogs.flat_map(|catalog| {
        let names = catalog.schema_names().into_iter().filter(|name| name != system::SCHEMA);
        names.filter_map(|name| catalog.schema(&name)).collect::<Vec<_>>()
    });
    let mut names: Vec<_> = schemas.flat_map(|schema| schema.table_names()).collect();
    names.sort();
    names
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

/// A view's plan with the column names that were given with the view.
fn with_columns(plan: LogicalPlan, names: &[Ident]) -> DataFusionResult<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns();
    let renamed = columns.into_iter().zip(names).map(|(column, name)| {
        let name = if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() };
        Expr::Column(column).alias(name)
    });
    LogicalPlanBuilder::from(plan).project(renamed.collect::<Vec<_>>())?.build()
}

/// Plans over a snapshot, which never waits.
fn plan_now(statement: Statement, state: &SessionState) -> DataFusionResult<LogicalPlan> {
    state
        .statement_to_plan(statement)
        .now_or_never()
        .unwrap_or_else(|| Err(plan_datafusion_err!("a table of the statement was not looked up before planning")))
}
