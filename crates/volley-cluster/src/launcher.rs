//! The way of a query to an executor, seen by us.

use std::collections::HashSet;

use async_trait::async_trait;
use ballista_core::JobId as QueryId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::MultiTaskDefinition;
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::state::executor_manager::ExecutorManager;
use ballista_scheduler::state::task_manager::TaskLauncher;

use crate::queries::{SharedQueries, Signal};

/// Launches what is to be launched, and tells whoever waits where that fails.
pub(crate) struct Launcher {
    queries: SharedQueries,
    /// Where executors report to. Ours report to the server that they were told.
    endpoint: String,
}

impl Launcher {
    pub(crate) fn new(queries: SharedQueries, endpoint: String) -> Self {
        Self { queries, endpoint }
    }
}

#[async_trait]
impl TaskLauncher for Launcher {
    async fn launch_tasks(
        &self,
        executor: &ExecutorMetadata,
        mut tasks: Vec<MultiTaskDefinition>,
        manager: &ExecutorManager,
    ) -> Result<HashSet<QueryId>> {
        tasks.retain(|task| self.queries.launch(&task.job_id, &executor.id));
        if tasks.is_empty() {
            return Ok(HashSet::new());
        }
        let launched: Vec<_> = tasks.iter().map(|task| task.job_id.clone()).collect();
        let answer = manager.launch_multi_task(&executor.id, tasks, self.endpoint.clone()).await;
        let is_refused = |query: &String| match &answer {
            Ok(refused) => refused.iter().any(|refused| refused.as_str() == query),
            Err(_) => true,
        };
        for query in launched.iter().filter(|query| is_refused(query)) {
            self.queries.signal(query, Signal::NotLaunched);
        }
        // Said to have been taken: Ballista would give the slots of refused ones back twice.
        answer.map(|_| HashSet::new())
    }
}
