//! A session with our tables and our write, and a driver that runs a write as the engine does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::Session;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect_partitioned};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use volley_commit::{Job, JobId, JobSpec, Location};
use volley_connect::{
    ConnectError, Inputs, PackedPlan, Stores, TableFactory, WriteContext, WriteExec, WritePlanner, WriteRule,
    check_append, location, pack_splits, with_write_context,
};

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let ours = vec![Arc::new(WritePlanner) as _];
        DefaultPhysicalPlanner::with_extension_planners(ours).create_physical_plan(plan, session).await
    }
}

/// A session whose paths are relative to a temporary folder.
pub struct House {
    pub folder: TempDir,
    pub context: SessionContext,
    pub split_rows: u64,
}

/// A write on its way: begun, not executed.
pub struct Begun {
    pub job: Job,
    pub plan: Arc<dyn ExecutionPlan>,
    pub inputs: Inputs,
}

fn runtime() -> Arc<RuntimeEnv> {
    let stores = Stores::new(&BTreeMap::new(), Default::default(), Default::default()).expect("no connections");
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(stores));
    runtime.with_object_list_cache_limit(0).build_arc().expect("a runtime")
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = SessionConfig::new().with_target_partitions(2);
        let options = config.options_mut();
        options.optimizer.repartition_file_scans = false;
        options.optimizer.enable_round_robin_repartition = false;
        options.optimizer.enable_join_dynamic_filter_pushdown = false;
        options.execution.enable_file_stream_work_stealing = false;
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(runtime())
            .with_query_planner(Arc::new(Planner))
            .with_analyzer_rule(Arc::new(WriteRule::new(folder.path())))
            .build();
        let context = TableFactory::new(folder.path()).install(SessionContext::new_with_state(state));
        Self { folder, context, split_rows: 1_000_000 }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The rows of a query as text.
    pub async fn rows(&self, sql: &str) -> String {
        let batches = self.context.sql(sql).await.expect(sql).collect().await.expect(sql);
        pretty_format_batches(&batches).expect("text").to_string()
    }

    /// The one number of a query.
    pub async fn number(&self, sql: &str) -> i64 {
        let batches = self.context.sql(sql).await.expect(sql).collect().await.expect(sql);
        let column =
            datafusion::arrow::compute::cast(batches[0].column(0), &datafusion::arrow::datatypes::DataType::Int64);
        column.expect("a number").as_any().downcast_ref::<Int64Array>().expect("a number").value(0)
    }

    /// Runs a statement that gives no rows.
    pub async fn run(&self, sql: &str) {
        self.context.sql(sql).await.expect(sql).collect().await.expect(sql);
    }

    /// The code of a statement's error, met while it is planned, and the message.
    pub async fn refusal(&self, sql: &str) -> (&'static str, String) {
        let error = match self.context.sql(sql).await {
            Err(error) => error,
            Ok(frame) => frame.create_physical_plan().await.expect_err(sql),
        };
        told(&error)
    }

    pub async fn plan(&self, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        self.context.sql(sql).await?.create_physical_plan().await
    }

    pub async fn packed(&self, sql: &str) -> PackedPlan {
        let plan = self.plan(sql).await.expect(sql);
        pack_splits(plan, &self.context.runtime_env(), self.split_rows, 256 << 20).await.expect("packed")
    }

    pub fn location(&self, name: &str) -> Location {
        let url = url(&self.path(name));
        location(&url, &self.context.runtime_env()).expect("a location")
    }

    /// Plans, packs and begins a write.
    pub async fn begin(&self, sql: &str) -> Result<Begun> {
        let plan = self.plan(sql).await?;
        let packed = pack_splits(plan, &self.context.runtime_env(), self.split_rows, 256 << 20).await?;
        let inputs = Inputs::of(&packed)?;
        let plan = packed.plan;
        let write = plan.downcast_ref::<WriteExec>().expect("a write");
        check_append(write.target(), &write.input().schema(), &self.context.state()).await?;
        let target = write.target().clone();
        let destination = location(&target.destination, &self.context.runtime_env())?;
        let spec = JobSpec {
            job: JobId::new(),
            mode: target.mode,
            splits: plan.output_partitioning().partition_count() as u32,
            extension: target.format.extension().to_owned(),
            provenance: serde_json::Map::new(),
        };
        let state = self.location("state");
        let mut context = WriteContext::new(spec.job, state.url.clone());
        context.provenance = BTreeMap::from([("volley.models".to_owned(), "churn/3".to_owned())]);
        context.model = Some("0123".to_owned());
        context.inputs = inputs.clone();
        let job =
            Job::begin(&state, &destination, &self.location("staging"), spec).await.map_err(ConnectError::from)?;
        let plan = with_write_context(plan, &Arc::new(context))?;
        Ok(Begun { job, plan, inputs })
    }

    /// Runs a write to its end, and gives the rows written.
    pub async fn publish(&self, sql: &str) -> u64 {
        self.try_publish(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The error of a statement whose refusal may come as late as its execution.
    pub async fn refused(&self, sql: &str) -> (&'static str, String) {
        told(&self.try_publish(sql).await.expect_err(sql))
    }

    pub async fn try_publish(&self, sql: &str) -> Result<u64> {
        let Begun { job, plan, .. } = self.begin(sql).await?;
        match collect_partitioned(plan, self.context.task_ctx()).await {
            Ok(rows) => {
                job.commit().await.map_err(ConnectError::from)?;
                job.publish().await.map_err(ConnectError::from)?;
                Ok(rows.iter().flatten().map(|batch| total(batch, "rows")).sum())
            }
            Err(error) => {
                job.abort("failed").await.map_err(ConnectError::from)?;
                Err(error)
            }
        }
    }

    /// Every file under a folder with its bytes, without the marker.
    pub fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(name), "", &mut files);
        files.remove("_SUCCESS");
        files
    }

    /// The folders of `name` that hold files, `""` for itself.
    pub fn folders(&self, name: &str) -> BTreeSet<String> {
        self.files(name).keys().map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()).collect()
    }

    pub fn write_text(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    /// A Parquet file of the columns `id`, counted from `first`, and `name`.
    pub fn write_parquet(&self, name: &str, first: i64, rows: usize, group_rows: usize) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let batch = numbered(first, rows);
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
        let file = std::fs::File::create(path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
    }
}

fn numbered(first: i64, rows: usize) -> RecordBatch {
    let ids = Int64Array::from_iter_values(first..first + rows as i64);
    let names = StringArray::from_iter_values((0..rows).map(|n| format!("name {}", n % 7)));
    RecordBatch::try_from_iter([("id", Arc::new(ids) as _), ("name", Arc::new(names) as _)]).expect("a batch")
}

/// The sum of a column of a write's output.
pub fn total(batch: &RecordBatch, column: &str) -> u64 {
    let column = batch.column_by_name(column).expect("the column");
    column.as_any().downcast_ref::<UInt64Array>().expect("counts").iter().flatten().sum()
}

pub fn told(error: &DataFusionError) -> (&'static str, String) {
    match ConnectError::find(error) {
        Some(found) => (found.code(), found.to_string()),
        None => panic!("not an error of ours: {error}"),
    }
}

pub fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), files),
            false => drop(files.insert(name, std::fs::read(entry.path()).expect("bytes"))),
        }
    }
}
