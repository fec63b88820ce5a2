//! What runs on an executor: the worker, asked by Ballista for one split at a time.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId as QueryId;
use ballista_core::serde::protobuf::ShuffleWritePartition;
use ballista_executor::execution_engine::{ExecutionEngine, QueryStageExecutor};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use tokio::runtime::{Handle, Runtime};
use volley_engine::Worker;

use super::table::Table;
use crate::failure::Failure;
use crate::task::{SplitExec, SplitName};

/// The threads of splits, which are not those that talk to the server.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    pub(super) fn new(count: usize) -> std::io::Result<Self> {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.worker_threads(count).thread_name("split").enable_all().build()?;
        Ok(Self(Some(threads)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("threads are there until they are dropped").handle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for them is not allowed where others run.
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

/// Runs splits, and refuses every other plan: whoever reaches the port of an executor can have it do nothing else.
pub(super) struct SplitEngine {
    pub(super) worker: Arc<Worker>,
    pub(super) table: Arc<Table>,
    pub(super) threads: Arc<Threads>,
}

impl ExecutionEngine for SplitEngine {
    fn create_query_stage_exec(
        &self,
        query: QueryId,
        _stage: usize,
        _task: usize,
        _partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        _folder: &str,
        _config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let children = plan.children();
        let split = match children[..] {
            [split] => split.downcast_ref::<SplitExec>(),
            _ => None,
        };
        let split = split.ok_or_else(|| DataFusionError::NotImplemented("only splits are run here".to_owned()))?;
        Ok(Arc::new(SplitStage {
            query: query.to_string(),
            name: split.name(),
            worker: self.worker.clone(),
            table: self.table.clone(),
            threads: self.threads.clone(),
        }))
    }
}

/// One split, which stops when Ballista lets go of it.
struct SplitStage {
    query: String,
    name: SplitName,
    worker: Arc<Worker>,
    table: Arc<Table>,
    threads: Arc<Threads>,
}

#[async_trait]
impl QueryStageExecutor for SplitStage {
    async fn execute_query_stage(&self, _: usize, _: Arc<TaskContext>) -> Result<Vec<ShuffleWritePartition>> {
        let running = self.table.enter(self.query.clone(), self.name);
        let SplitName { job, split } = self.name;
        let worker = self.worker.clone();
        let mut tasks = tokio::task::JoinSet::new();
        // The set stops its task when it is dropped, which a handle would not.
        tasks.spawn_on(async move { worker.run(job, split).await }, self.threads.handle());
        let done = match tasks.join_next().await {
            Some(Ok(done)) => done.map_err(|error| Failure::of(&error)),
            // Panics of a split are errors of the worker: this is one of ours.
            Some(Err(panic)) => Err(Failure::of(&volley_engine::EngineError::new("panicked", panic.to_string()))),
            None => unreachable!("the set holds one task"),
        };
        running.ended(self.worker.rows_written(job, split), done.as_ref().err().cloned());
        done.map(|()| vec![]).map_err(|failure| DataFusionError::Execution(failure.error().to_string()))
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        vec![]
    }
}

impl fmt::Debug for SplitStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitStage").field("query", &self.query).field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for SplitStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "split {} of job {}", self.name.split, self.name.job)
    }
}
