//! How far a job is, for whoever watches it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// What is running now, shared between the engine that runs it and those who watch.
#[derive(Debug, Default)]
pub struct Progress {
    running: Mutex<Option<Running>>,
    notes: Mutex<VecDeque<String>>,
    noted: Notify,
}

#[derive(Debug)]
struct Running {
    plan: Arc<dyn ExecutionPlan>,
    rows_total: Option<u64>,
    splits_total: usize,
    splits_done: usize,
    /// Rows that other processes wrote, of splits that are done.
    done_elsewhere: u64,
    /// What other processes do now.
    executors: Vec<AtWork>,
    start: Instant,
}

/// The state of a running job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Rows written so far.
    pub rows: u64,
    /// Rows that the inputs hold, when that is known; a filter may leave fewer to write.
    pub rows_total: Option<u64>,
    /// Splits that are done.
    pub splits_done: usize,
    /// Splits in all.
    pub splits_total: usize,
    /// Time since the first split began.
    pub elapsed: Duration,
    /// Who else is at work on it.
    pub executors: Vec<AtWork>,
}

/// What an executor does of a job now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    /// Its id.
    pub executor: String,
    /// Splits that it runs.
    pub splits: usize,
    /// Rows of them that are written by now.
    pub rows: u64,
}

impl Moment {
    /// The share of the work that is done, from 0 to 1. A filter may leave fewer rows than the inputs hold, so
    /// splits that are done count too.
    pub fn share(&self) -> f64 {
        let of = |done: u64, total: u64| if total == 0 { 0.0 } else { done as f64 / total as f64 };
        let by_rows = self.rows_total.map_or(0.0, |total| of(self.rows, total));
        by_rows.max(of(self.splits_done as u64, self.splits_total as u64)).min(1.0)
    }

    /// Rows a second so far.
    pub fn rows_per_second(&self) -> u64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { (self.rows as f64 / seconds).round() as u64 } else { 0 }
    }

    /// The time that is left if the rest goes as fast; none before there is anything to go by.
    pub fn left(&self) -> Option<Duration> {
        let share = self.share();
        let enough = share > 0.001;
        enough.then(|| self.elapsed.mul_f64((1.0 - share) / share))
    }
}

impl Running {
    fn rows(&self) -> u64 {
        metric_sum(self.plan.as_ref(), "rows_written")
            + self.done_elsewhere
            + self.executors.iter().map(|at_work| at_work.rows).sum::<u64>()
    }
}

impl Progress {
    /// Where the job is now; none while no job runs.
    pub fn moment(&self) -> Option<Moment> {
        self.running().as_ref().map(|running| Moment {
            rows: running.rows(),
            rows_total: running.rows_total,
            splits_done: running.splits_done,
            splits_total: running.splits_total,
            elapsed: running.start.elapsed(),
            executors: running.executors.clone(),
        })
    }

    pub(crate) fn begin(&self, plan: Arc<dyn ExecutionPlan>, splits_total: usize, rows_total: Option<u64>) {
        *self.running() = Some(Running {
            plan,
            rows_total,
            splits_total,
            splits_done: 0,
            done_elsewhere: 0,
            executors: vec![],
            start: Instant::now(),
        });
    }

    pub(crate) fn rows_done_elsewhere(&self, rows: u64) {
        if let Some(running) = self.running().as_mut() {
            running.done_elsewhere += rows;
        }
    }

    pub(crate) fn at_work_elsewhere(&self, executors: Vec<AtWork>) {
        if let Some(running) = self.running().as_mut() {
            running.executors = executors;
        }
    }

    pub(crate) fn split_done(&self) {
        if let Some(running) = self.running().as_mut() {
            running.splits_done += 1;
        }
    }

    /// Something that whoever watches should read, in one line.
    pub fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push_back(text);
        self.noted.notify_one();
    }

    /// The oldest note that nobody has taken yet.
    pub fn take_note(&self) -> Option<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The same, once there is one. For one watcher at a time.
    pub async fn next_note(&self) -> String {
        loop {
            if let Some(note) = self.take_note() {
                return note;
            }
            self.noted.notified().await;
        }
    }

    pub(crate) fn end(&self) {
        *self.running() = None;
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sum of a metric over a plan and all below it.
pub(crate) fn metric_sum(plan: &dyn ExecutionPlan, name: &str) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name(name)).map_or(0, |value| value.as_usize() as u64);
    own + plan.children().into_iter().map(|child| metric_sum(child.as_ref(), name)).sum::<u64>()
}
