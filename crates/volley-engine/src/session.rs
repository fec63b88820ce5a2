//! A session: its tables, views and settings, and the running of its statements one after another.

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

use crate::assembly;
use crate::codec::PlanCodec;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::explain::explained_calls;
use crate::gate;
use crate::params::Params;
use crate::prepare::{Preparation, Prepared, table_names};
use crate::progress::Progress;
use crate::resume::Run;
use crate::running::Stopper;
use crate::script::ScriptStatement;
use crate::table_as;
use crate::views::Views;
use crate::write::{Summary, WriteJob, write_of};

/// Runs statements that see each other's tables, views and settings. A model is pinned by the first
/// statement that names it, and stays so: a session is one job, unless [`Session::forget_pins`] is called.
pub struct Session {
    shared: Arc<Shared>,
    context: SessionContext,
    views: Views,
    pins: Pins,
    progress: Arc<Progress>,
    run: Option<Run>,
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
    /// `error`, `append`, `overwrite` or `overwrite_partitions`.
    pub mode: String,
    /// `parquet`, `csv`, `json` or `arrow`.
    pub format: String,
    /// Columns whose values become folders.
    pub partitioned_by: Vec<String>,
    /// What else it says, as in `OPTIONS (…)`: `rejects`, `max_rejects`, `reject_values`.
    pub options: Vec<(String, String)>,
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
        let (views, pins) = (Views::default(), Pins::default());
        Self { shared, context, views, pins, progress: Arc::default(), run: None }
    }

    /// Makes what the session writes from now on the jobs of a run: those that are done are not done again, those
    /// that were cut off are gone on with, and those that are cut off now are kept.
    pub fn set_run(&mut self, run: Run) {
        self.run = Some(run);
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

    /// What stops the jobs of this session, and of no other.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shared.running.clone())
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
        let state = assembly::state_for(&self.context, &statement);
        refuse_prepared(&statement)?;
        let change = self.views.change(&statement, &state)?;
        let prepared = self.prepare(statement, params, &state).await?;
        self.pins.extend(&prepared.pins);
        let answer = self.execute(prepared, state).await?;
        self.views.apply(change);
        Ok(answer)
    }

    async fn prepare(
        &self,
        statement: Statement,
        params: &Params,
        state: &SessionState,
    ) -> Result<Prepared, EngineError> {
        let (views, pins, base) = (&self.views, &self.pins, &self.shared.settings.ground());
        let preparation = Preparation { state, views, pins, registry: &self.shared.registry, params, base };
        let prepared = preparation.prepare(statement).await?;
        gate::check(&prepared.plan, base)?;
        Ok(prepared)
    }

    async fn execute(&self, prepared: Prepared, state: SessionState) -> Result<Answer, EngineError> {
        let Prepared { plan, pins, sites } = prepared;
        let told = |error| EngineError::from_datafusion(&error, &sites);
        assembly::check_inner(&plan, &state).map_err(told)?;
        if is_command(&plan) {
            let frame = self.context.execute_logical_plan(plan).await.map_err(told)?;
            frame.collect().await.map_err(told)?;
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
            let step = self.run.as_ref().map(Run::step);
            let (shared, progress, state) = (&self.shared, &self.progress, &state);
            let job = WriteJob { shared, progress, state, pins: &pins, sites: &sites, step };
            let done = job.run(physical).await;
            // Whoever tries it again means the same job.
            if let (Err(_), Some(run)) = (&done, &self.run) {
                run.step_back();
            }
            return Ok(Answer::Published(done?));
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
        let filling = table_as::filling(table, query)?;
        let state = assembly::state_for(&self.context, &filling);
        let filling = self.prepare(filling, params, &state).await?;
        let columns = table_as::columns_of(&filling.plan, table);
        self.pins.extend(&filling.pins);
        let published = self.execute(filling, state).await?;
        let over_files = table_as::over_files(table);
        let state = self.context.state();
        let change = self.views.change(&over_files, &state)?;
        let mut over_files = self.prepare(over_files, params, &state).await?;
        over_files.plan = table_as::with_columns(over_files.plan, columns);
        self.execute(over_files, state).await?;
        self.views.apply(change);
        Ok(published)
    }
}

/// A prepared statement would keep the models of the day it was prepared.
fn refuse_prepared(statement: &Statement) -> Result<(), EngineError> {
    let Statement::Statement(inner) = statement else { return Ok(()) };
    match inner.as_ref() {
        SqlStatement::Prepare { .. } | SqlStatement::Execute { .. } | SqlStatement::Deallocate { .. } => {
            let message = "PREPARE and EXECUTE are not built: give values with --param and write $name";
            Err(EngineError::new("not_supported", message))
        }
        _ => Ok(()),
    }
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
        options: [("mode".to_string(), output.mode.clone())]
            .into_iter()
            .chain(output.options.iter().cloned())
            .map(|(name, value)| (name, Value::SingleQuotedString(value)))
            .collect(),
    })
}
