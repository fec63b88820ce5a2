//! A session: its tables, views and settings, and the running of its statements one after another.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToSource, CopyToStatement, CreateExternalTable, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement, Value};
use futures::{StreamExt, stream};
use volley_predict::Pins;
use volley_predict::sql::{View, contains_call};

use crate::assembly;
use crate::codec::PlanCodec;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::explain::explained_calls;
use crate::params::Params;
use crate::prepare::{Preparation, Prepared, table_names};
use crate::progress::Progress;
use crate::script::ScriptStatement;
use crate::write::{Summary, WriteJob, write_of};

/// Runs statements that see each other's tables, views and settings. A model is pinned by the first
/// statement that names it, and stays so: a session is one job, unless [`Session::forget_pins`] is called.
pub struct Session {
    shared: Arc<Shared>,
    context: SessionContext,
    views: HashMap<String, View>,
    pins: Pins,
    progress: Arc<Progress>,
}

/// What a statement gives.
pub enum Answer {
    /// Rows of a query.
    Rows(Rows),
    /// A result that was published.
    Published(Summary),
    /// Nothing but that it is done.
    Done,
}

/// The rows of a query, as they come.
pub struct Rows {
    /// Their columns.
    pub schema: SchemaRef,
    /// Batches of them.
    pub stream: SendableRecordBatchStream,
}

/// Where the rows of a query go that does not say so itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The destination: a folder.
    pub to: String,
    /// `error`, `append` or `overwrite`.
    pub mode: String,
    /// `parquet`, `csv`, `json` or `arrow`.
    pub format: String,
    /// Columns whose values become folders.
    pub partitioned_by: Vec<String>,
}

impl Rows {
    /// The rows of a plan; before them, those that explain its calls.
    fn of(explained: Option<RecordBatch>, stream: SendableRecordBatchStream) -> Result<Self> {
        let schema = stream.schema();
        let first = explained.map(|batch| Ok(batch.with_schema(schema.clone())?));
        let stream = RecordBatchStreamAdapter::new(schema.clone(), stream::iter(first).chain(stream));
        Ok(Self { schema, stream: Box::pin(stream) })
    }
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let context = assembly::context(&shared);
        Self { shared, context, views: HashMap::new(), pins: Pins::default(), progress: Arc::default() }
    }

    /// Runs one statement.
    pub async fn run(&mut self, statement: &ScriptStatement, params: &Params) -> Result<Answer, EngineError> {
        match statement {
            ScriptStatement::Sql(statement) => self.run_sql(statement.as_ref().clone(), params).await,
            ScriptStatement::CreateTableAs { table, query } => self.create_table_as(table, query, params).await,
        }
    }

    /// Runs a query and publishes its rows. A statement that is no query is refused.
    pub async fn run_into(
        &mut self,
        statement: &ScriptStatement,
        params: &Params,
        output: &Output,
    ) -> Result<Answer, EngineError> {
        let not_a_query = || {
            EngineError::new(
                "not_a_query",
                "a job with [output] needs a SELECT: this statement says itself what it writes",
            )
        };
        let ScriptStatement::Sql(statement) = statement else { return Err(not_a_query()) };
        let Statement::Statement(inner) = statement.as_ref() else { return Err(not_a_query()) };
        let SqlStatement::Query(query) = inner.as_ref() else { return Err(not_a_query()) };
        self.run_sql(copy_to(query, output), params).await
    }

    /// Lets the next statement pin its models anew.
    pub fn forget_pins(&mut self) {
        self.pins = Pins::default();
    }

    /// How far the running statement is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// The names of the session's tables and views.
    pub fn table_names(&self) -> Vec<String> {
        table_names(self.context.state().catalog_list().as_ref())
    }

    async fn run_sql(&mut self, statement: Statement, params: &Params) -> Result<Answer, EngineError> {
        let view = self.view_change(&statement);
        let state = assembly::state_for(&self.context, &statement);
        let prepared = self.prepare(statement, params, &state).await?;
        self.pins.extend(&prepared.pins);
        let answer = self.execute(prepared, state).await?;
        match view {
            ViewChange::None => {}
            ViewChange::Add(name, view) => drop(self.views.insert(name, view)),
            ViewChange::Remove(names) => names.iter().for_each(|name| drop(self.views.remove(name))),
        }
        Ok(answer)
    }

    async fn prepare(
        &self,
        statement: Statement,
        params: &Params,
        state: &SessionState,
    ) -> Result<Prepared, EngineError> {
        let preparation =
            Preparation { state, views: &self.views, pins: &self.pins, registry: &self.shared.registry, params };
        preparation.prepare(statement).await
    }

    async fn execute(&self, prepared: Prepared, state: SessionState) -> Result<Answer, EngineError> {
        let Prepared { plan, pins, sites } = prepared;
        let told = |error| EngineError::from_datafusion(&error, &sites);
        assembly::check_inner(&plan, &state).map_err(told)?;
        if is_command(&plan) {
            let frame = self.context.execute_logical_plan(plan).await.map_err(told)?;
            frame.collect().await.map_err(told)?;
            volley_connect::forget_listings(&self.context.runtime_env());
            return Ok(Answer::Done);
        }
        let writes_analyzed = matches!(&plan, LogicalPlan::Analyze(analyze) if assembly::is_write(&analyze.input));
        if writes_analyzed {
            let message = "EXPLAIN ANALYZE of a statement that writes would write: use EXPLAIN";
            return Err(EngineError::new("not_supported", message));
        }
        let optimized = self.as_it_travels(state.optimize(&plan).map_err(told)?, &state).map_err(told)?;
        let explained = explained_calls(&optimized).map_err(told)?;
        let physical = state.query_planner().create_physical_plan(&optimized, &state).await.map_err(told)?;
        if write_of(physical.as_ref()).is_some() {
            let job =
                WriteJob { shared: &self.shared, progress: &self.progress, state: &state, pins: &pins, sites: &sites };
            let summary = job.run(physical).await?;
            volley_connect::forget_listings(&self.context.runtime_env());
            return Ok(Answer::Published(summary));
        }
        let task = state.task_ctx();
        let physical = if self.shared.settings.round_trip_plans && !is_explanation(&plan) {
            PlanCodec::new(self.shared.host.clone()).round_trip(physical, &task).map_err(told)?
        } else {
            physical
        };
        let stream = execute_stream(physical, task).map_err(told)?;
        Ok(Answer::Rows(Rows::of(explained, stream).map_err(told)?))
    }

    /// The optimized plan; under [`EngineSettings::round_trip_plans`](crate::EngineSettings), as another process
    /// would see it, which would optimize it again.
    fn as_it_travels(&self, plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
        if !self.shared.settings.round_trip_plans || is_explanation(&plan) {
            return Ok(plan);
        }
        let codec = PlanCodec::new(self.shared.host.clone());
        match codec.round_trip_logical(&plan, &state.task_ctx())? {
            Some(travelled) => state.optimize(&travelled),
            None => Ok(plan),
        }
    }

    /// Publishes the query's rows at the table's location, then makes the table over them.
    async fn create_table_as(
        &mut self,
        table: &CreateExternalTable,
        query: &Query,
        params: &Params,
    ) -> Result<Answer, EngineError> {
        let name = table.name.to_string();
        if self.context.table_exist(name.as_str()).unwrap_or(false) && !table.or_replace {
            return match table.if_not_exists {
                true => Ok(Answer::Done),
                false => Err(EngineError::new("table_exists", format!("table `{name}` exists already"))),
            };
        }
        let copy = CopyToStatement {
            source: CopyToSource::Query(Box::new(query.clone())),
            target: table.locations.first().cloned().unwrap_or_default(),
            partitioned_by: table.table_partition_cols.clone(),
            stored_as: Some(table.file_type.clone()),
            options: table.options.clone(),
        };
        let published = self.run_sql(Statement::CopyTo(copy), params).await?;
        let mut table = table.clone();
        table.options.retain(|(name, _)| name != "mode");
        self.run_sql(Statement::CreateExternalTable(table), params).await?;
        Ok(published)
    }

    fn view_change(&self, statement: &Statement) -> ViewChange {
        let Statement::Statement(inner) = statement else { return ViewChange::None };
        match inner.as_ref() {
            SqlStatement::CreateView(view) if self.needs_inlining(&view.query) => {
                let columns = view.columns.iter().map(|column| column.name.clone()).collect();
                ViewChange::Add(
                    view.name.to_string().to_lowercase(),
                    View { query: view.query.as_ref().clone(), columns },
                )
            }
            SqlStatement::Drop { names, .. } => {
                ViewChange::Remove(names.iter().map(|name| name.to_string().to_lowercase()).collect())
            }
            _ => ViewChange::None,
        }
    }

    /// Whether a view's query holds a predict call, itself or through a view that it names.
    fn needs_inlining(&self, query: &Query) -> bool {
        let names_view = |name: &String| {
            query.to_string().to_lowercase().split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
        };
        contains_call(query) || self.views.keys().any(names_view)
    }
}

enum ViewChange {
    None,
    Add(String, View),
    Remove(Vec<String>),
}

/// Statements that change the session and give no rows.
fn is_command(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Statement(_))
}

fn is_explanation(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_))
}

fn copy_to(query: &Query, output: &Output) -> Statement {
    Statement::CopyTo(CopyToStatement {
        source: CopyToSource::Query(Box::new(query.clone())),
        target: output.to.clone(),
        partitioned_by: output.partitioned_by.clone(),
        stored_as: Some(output.format.clone()),
        options: vec![("mode".to_string(), Value::SingleQuotedString(output.mode.clone()))],
    })
}
