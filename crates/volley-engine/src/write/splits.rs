//! The splits of a job, run to their receipts: by the engine's driver, or in this process.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Work, WriteJob};
use crate::driver::Splits;
use crate::error::EngineError;
use crate::running::interrupted;

/// What is told where a driver is there and has to stay out.
const HERE: &str = "note: the splits of this job depend on each other, on chance or on rows in memory: they run in the process that planned them";

impl WriteJob<'_> {
    /// Runs all splits, those of a stored plan by the driver if there is one.
    pub(super) async fn drive(&self, work: &Work) -> Result<(), EngineError> {
        let Some(driver) = &self.shared.driver else { return self.write(work, 0..work.splits()).await };
        if !work.is_stored {
            self.progress.note(HERE.to_owned());
            return self.write(work, 0..work.splits()).await;
        }
        let splits = Splits::of(&work.job, self.progress, &self.shared.running).await?;
        driver.drive(&splits).await?;
        Ok(work.inputs.check_rest(&self.shared.runtime).await?)
    }

    /// Runs splits to their receipts; one that has a receipt is not computed again. As many independent splits run
    /// at a time as there are cores; those of a plan with a shuffle wait for each other, so all run.
    pub(crate) async fn write(&self, work: &Work, splits: impl IntoIterator<Item = usize>) -> Result<(), EngineError> {
        let at_once = if work.independent { self.shared.settings.cores } else { work.splits() };
        let permits = Arc::new(Semaphore::new(at_once.max(1)));
        let mut running = JoinSet::new();
        for split in splits {
            running.spawn(run_split(work.plan.clone(), split, work.task.clone(), permits.clone()));
        }
        let ended = tokio::select! {
            ended = self.all_of(&mut running) => ended,
            () = self.shared.running.stopped() => Err(interrupted()),
        };
        // What still runs would stage files after the abort has removed them.
        running.shutdown().await;
        // Readers put other words around a file that changed, and some keep only the text.
        match (ended, work.stores.changed()) {
            (Err(_), Some(changed)) => Err(changed.into()),
            (Err(error), None) => Err(error),
            (Ok(()), _) => Ok(work.inputs.check_rest(&self.shared.runtime).await?),
        }
    }

    async fn all_of(&self, splits: &mut JoinSet<Result<(), DataFusionError>>) -> Result<(), EngineError> {
        while let Some(split) = splits.join_next().await {
            split
                .map_err(|panic| EngineError::new("panicked", panic.to_string()))?
                .map_err(|error| self.told(error))?;
            self.progress.split_done();
        }
        Ok(())
    }
}

async fn run_split(
    plan: Arc<dyn ExecutionPlan>,
    split: usize,
    task: Arc<TaskContext>,
    permits: Arc<Semaphore>,
) -> Result<(), DataFusionError> {
    let _permit = permits.acquire().await.expect("the permits outlive their splits");
    plan.execute(split, task)?.try_for_each(|_| async { Ok(()) }).await
}
