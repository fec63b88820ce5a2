//! The rows of a split that were rejected below its write, and the file that they become.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use volley_commit::{Attempt, Job, StagedFile};

use super::files::Files;
use crate::write::WriteTarget;

/// Makes the task of each split of a job. An extension of the session that runs its plan, set by whoever knows what
/// the nodes below a write are to be told.
pub struct SplitTasks(Box<MakeTask>);

type MakeTask = dyn Fn(u32, &TaskContext) -> SplitTask + Send + Sync;

/// What a split is computed with, and what that says of the rows that it left out.
pub struct SplitTask {
    /// For all nodes below the write.
    pub task: Arc<TaskContext>,
    /// The rows that were rejected, to be asked for when all others have come; none where none may be.
    pub rejected: Option<Box<dyn Fn() -> Result<RecordBatch> + Send + Sync>>,
}

impl SplitTasks {
    /// Tasks that `make` makes, given the split and the task of the write.
    pub fn new(make: impl Fn(u32, &TaskContext) -> SplitTask + Send + Sync + 'static) -> Self {
        Self(Box::new(make))
    }

    /// The task of a split; the write's own where nobody makes others.
    pub(super) fn of(split: u32, task: &Arc<TaskContext>) -> SplitTask {
        match task.session_config().get_extension::<Self>() {
            Some(tasks) => (tasks.0)(split, task),
            None => SplitTask { task: task.clone(), rejected: None },
        }
    }
}

impl fmt::Debug for SplitTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SplitTasks")
    }
}

/// Stages the rejects of a split, and says how many there are. The first split has a file even without any: it says
/// what the columns are, and the commit leaves it out if another has rows.
pub(super) async fn stage(
    job: &Job,
    attempt: &Attempt,
    target: &WriteTarget,
    rejected: &SplitTask,
    metadata: &BTreeMap<String, String>,
) -> Result<(u64, Vec<StagedFile>)> {
    let (Some(rejected), Some(staging)) = (&rejected.rejected, job.rejects_staging()) else {
        return internal_err!("nobody knows the rejects of a job that has a place for them");
    };
    let rows = rejected()?;
    let count = rows.num_rows() as u64;
    if count == 0 && attempt.split() > 0 {
        return Ok((0, vec![]));
    }
    let mut files = Files::new(attempt, staging, rows.schema(), target, metadata)?.of_rejects();
    let staged = match files.write(rows).await {
        Ok(()) if count == 0 => files.finish_empty().await,
        Ok(()) => files.finish().await,
        Err(error) => Err(error),
    };
    if staged.is_err() {
        files.abort().await;
    }
    Ok((count, staged?))
}
