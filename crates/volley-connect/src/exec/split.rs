//! The work of one partition: ask for the receipt, else stage the rows and seal them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, Metric, MetricBuilder, Time};
use futures::StreamExt;
use volley_commit::{Attempt, Job, Receipt, StagedFile, Tally};

use super::WriteContext;
use super::files::Files;
use super::hive::Folders;
use super::rejects::{self, SplitTasks};
use crate::error::ConnectError;
use crate::location::location;
use crate::write::WriteTarget;

/// What [`super::WriteExec`] counts, a partition each.
pub(super) struct Counters {
    rows_written: Count,
    bytes_written: Count,
    write_time: Time,
}

impl Counters {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            rows_written: MetricBuilder::new(metrics).counter("rows_written", partition),
            bytes_written: MetricBuilder::new(metrics).counter("bytes_written", partition),
            write_time: MetricBuilder::new(metrics).subset_time("write_time", partition),
        }
    }
}

/// One split to be written.
pub(super) struct Work {
    pub(super) split: u32,
    pub(super) partition: usize,
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) target: Arc<WriteTarget>,
    pub(super) context: Arc<WriteContext>,
    pub(super) counters: Counters,
    pub(super) task: Arc<TaskContext>,
}

impl Work {
    /// The split's receipt: the one that exists, or that of this work.
    pub(super) async fn receipt(&self) -> Result<Receipt> {
        let job = self.job().await?;
        // A sealed split is never computed again, and its input not even begun.
        if let Some(receipt) = job.receipt(self.split).await.map_err(ConnectError::from)? {
            return Ok(receipt);
        }
        let attempt = job.attempt(self.split);
        let attempt = match &self.context.model {
            Some(digest) => attempt.with_model(digest),
            None => attempt,
        };
        let (tally, files) = match self.stage(&job, &attempt).await {
            Ok(staged) => staged,
            Err(error) => {
                // The job's abort removes what this cannot.
                let _ = attempt.discard().await;
                return Err(error);
            }
        };
        Ok(attempt.seal(tally, files).await.map_err(ConnectError::from)?)
    }

    async fn job(&self) -> Result<Job> {
        let runtime = self.task.runtime_env();
        let state = location(&self.context.state, &runtime)?;
        let open = move |url: &str| location(url, &runtime).map_err(|error| Box::new(error) as _);
        Ok(Job::open(&state, self.context.job, &open).await.map_err(ConnectError::from)?)
    }

    async fn stage(&self, job: &Job, attempt: &Attempt) -> Result<(Tally, Vec<StagedFile>)> {
        let mut metadata = self.context.provenance.clone();
        metadata.insert("volley.job".to_owned(), self.context.job.to_string());
        metadata.insert("volley.split".to_owned(), self.split.to_string());
        let split = SplitTasks::of(self.split, &self.task);
        let mut files = Files::new(attempt, job.staging(), self.input.schema(), &self.target, &metadata)?;
        let staged = self.drain(&mut files, &split.task).await;
        if staged.is_err() {
            files.abort().await;
        }
        let (mut tally, mut staged) = staged?;
        if let Some(target) = self.target.of_rejects() {
            let (count, files) = rejects::stage(job, attempt, &target, &split, &metadata).await?;
            tally.rejected = count;
            tally.rows_in += count;
            staged.extend(files);
        }
        self.check(&tally).await?;
        Ok((tally, staged))
    }

    /// Whether the rows are those of the pinned files, all of them where the plan leaves none out.
    async fn check(&self, tally: &Tally) -> Result<(), ConnectError> {
        self.context.inputs.check_split(self.split, &self.task.runtime_env()).await?;
        let expected = self.context.inputs.split(self.split).and_then(|split| split.rows);
        match expected.filter(|expected| *expected != tally.rows_in) {
            None => Ok(()),
            Some(expected) => {
                let reason = format!("its files hold {expected} rows, and {} came in", tally.rows_in);
                Err(ConnectError::Commit(volley_commit::Error::ReceiptInvalid { split: self.split, reason }))
            }
        }
    }

    async fn drain(&self, files: &mut Files<'_>, task: &Arc<TaskContext>) -> Result<(Tally, Vec<StagedFile>)> {
        let held = self.reservation();
        let mut rows = self.rows(task)?;
        let mut tally = Tally::default();
        while let Some(batch) = rows.next().await.transpose()? {
            // Each batch ends in a point where a cancelled task stops, whatever lies below. A budget would be spent
            // after more than a hundred of them, which is a second of wide rows.
            tokio::task::yield_now().await;
            let _timer = self.counters.write_time.timer();
            let count = batch.num_rows();
            files.write(batch).await?;
            tally.rows_in += count as u64;
            self.counters.rows_written.add(count);
            // Recorded, not asked for: what is held is bounded already, and a writer that failed for
            // want of memory would fail again.
            held.resize(files.in_progress());
        }
        tally.rows_out = tally.rows_in;
        tally.null_scores = null_scores(&self.input, self.partition);
        let staged = match (tally.rows_out, self.split) {
            // The commit leaves it out if another split has rows.
            (0, 0) => files.finish_empty().await?,
            _ => files.finish().await?,
        };
        self.counters.bytes_written.add(staged.iter().map(|file| file.bytes as usize).sum());
        Ok((tally, staged))
    }

    /// The rows of the split, those of one folder together.
    fn rows(&self, task: &Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        match Folders::of(&self.input.schema(), &self.target)? {
            None => self.input.execute(self.partition, task.clone()),
            Some(folders) => folders.rows_together(self.input.clone(), self.partition, task.clone()),
        }
    }

    fn reservation(&self) -> MemoryReservation {
        MemoryConsumer::new(format!("WriteExec[{}]", self.partition)).register(self.task.memory_pool())
    }
}

/// Rows without a score, as the scoring nodes below count them in this partition.
fn null_scores(plan: &Arc<dyn ExecutionPlan>, partition: usize) -> u64 {
    let of_partition =
        |metric: &&Arc<Metric>| metric.partition() == Some(partition) && metric.value().name() == "null_scores";
    let own: usize = plan
        .metrics()
        .iter()
        .flat_map(|metrics| metrics.iter().filter(of_partition))
        .map(|metric| metric.value().as_usize())
        .sum();
    let below: u64 = plan.children().into_iter().map(|child| null_scores(child, partition)).sum();
    own as u64 + below
}
