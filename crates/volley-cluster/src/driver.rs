//! The driver of a job on a cluster: a query for each split, until each has its receipt.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ballista_core::JobId as QueryId;
use ballista_core::serde::protobuf::JobStatus;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use volley_engine::{Driver, EngineError, Splits, Witness};

use crate::dispatch::{Dispatch, Ended, Halt, Next};
use crate::executors::Executors;
use crate::queries::{NAME, SharedQueries, Signal};
use crate::settings::Timers;
use crate::task::{SplitExec, SplitName};

/// Ballista's scheduler of our plans.
pub(crate) type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// How often the receipt of a running split is asked for: what Ballista reports may be lost.
const LOOK: Duration = Duration::from_secs(2);
/// How long what an executor says of a failure may take after Ballista has reported it.
const WORD_MAX: Duration = Duration::from_secs(5);
/// How long a stopped job waits for its executors to say that they have stopped.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Runs splits on the executors of a cluster. Jobs share these evenly.
pub(crate) struct ClusterDriver {
    pub(crate) scheduler: Scheduler,
    pub(crate) session: Arc<SessionContext>,
    pub(crate) queries: SharedQueries,
    pub(crate) executors: Arc<Executors>,
    pub(crate) timers: Timers,
    pub(crate) job_splits_max: usize,
    /// Held while a suspect runs.
    pub(crate) lane: Mutex<()>,
    pub(crate) jobs: AtomicUsize,
    pub(crate) begun: AtomicU64,
}

impl fmt::Debug for ClusterDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterDriver").field("timers", &self.timers).finish_non_exhaustive()
    }
}

#[async_trait]
impl Driver for ClusterDriver {
    fn attach(&self, witness: Witness) {
        self.executors.trust(witness);
    }

    async fn drive(&self, splits: &Splits<'_>) -> Result<(), EngineError> {
        let driven = self.dispatch(splits).await;
        if driven.is_err() {
            self.settle(splits).await;
        }
        driven
    }
}

impl ClusterDriver {
    async fn dispatch(&self, splits: &Splits<'_>) -> Result<(), EngineError> {
        let _share = Share::of(&self.jobs);
        let mut dispatch = Dispatch::new(splits.waiting(), self.timers.retry);
        let mut running = FuturesUnordered::new();
        let mut capacity = self.executors.capacity();
        let mut look = interval(self.timers.pulse);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            let slots = *capacity.borrow_and_update();
            while let Some(next) = dispatch.next(running.len(), self.limit(slots)) {
                running.push(self.run(splits, next).map(move |ended| (next, ended)));
            }
            if running.is_empty() && dispatch.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some((next, ended)) = running.next() => {
                    dispatch.on(next, ended, Instant::now()).map_err(|halt| told(halt, splits))?;
                }
                _ = look.tick() => {
                    splits.under_way(self.executors.at_work(splits.job()));
                    if slots == 0 && !is_told {
                        splits.note("no executor takes splits: waiting for one".to_owned());
                        is_told = true;
                    }
                }
                Ok(()) = capacity.changed() => is_told &= *capacity.borrow() == 0,
                () = splits.stopped() => return Err(Splits::interrupted()),
            }
        }
    }

    /// How many splits a job may have under way: its share of the executors, and one that follows at once when
    /// another has ended.
    fn limit(&self, slots: usize) -> usize {
        let share = match slots {
            0 => 0,
            slots => slots.div_ceil(self.jobs.load(Ordering::Relaxed).max(1)) + 1,
        };
        share.min(self.job_splits_max)
    }

    async fn run(&self, splits: &Splits<'_>, next: Next) -> Ended {
        sleep(next.pause).await;
        let _lane = match next.alone {
            true => Some(self.lane.lock().await),
            false => None,
        };
        // A process that was taken for dead, or served an earlier server, may have done it.
        match splits.is_done(next.split).await {
            Ok(true) => Ended::Done,
            Ok(false) => self.query(splits, next.split).await,
            Err(error) => Ended::Unasked(error),
        }
    }

    /// Has one split run, once.
    async fn query(&self, splits: &Splits<'_>, split: u32) -> Ended {
        let name = SplitName { job: splits.job(), split };
        let id = format!("{}.{split}.{}", name.job, self.begun.fetch_add(1, Ordering::Relaxed));
        let (query, heard) = self.queries.enter(id);
        let (subscriber, reported) = mpsc::channel(16);
        let plan = Arc::new(SplitExec::new(name));
        let session = self.session.clone();
        let submitted = self.scheduler.submit_physical_plan(query.id(), session, plan, Some(subscriber));
        let submitted = NAME.scope(query.id().to_owned(), submitted).await;
        // From here on whoever drops this stops the query, wherever it is.
        let mut under_way = UnderWay { scheduler: &self.scheduler, id: query.id(), is_over: false };
        if let Err(error) = submitted {
            return Ended::Riddle(error.to_string());
        }
        let ended = ending(heard, reported, &mut under_way.is_over, || splits.is_done(split)).await;
        drop(under_way);
        match splits.is_done(split).await {
            Ok(true) => Ended::Done,
            Ok(false) => ended,
            Err(error) => Ended::Unasked(error),
        }
    }

    /// Waits until no executor says that it runs a split of a job that was given up: what they still write would be
    /// left in staging.
    async fn settle(&self, splits: &Splits<'_>) {
        let end = Instant::now() + STOP_MAX;
        // A pulse of before the stop says nothing.
        sleep(self.timers.pulse).await;
        while self.executors.run(splits.job()) && Instant::now() < end {
            sleep(self.timers.pulse / 4).await;
        }
    }
}

/// How a query ended. That it is done is only a hint; `is_over` is set where Ballista has said that it ended.
async fn ending<L: Future<Output = Result<bool, EngineError>>>(
    mut heard: mpsc::Receiver<Signal>,
    mut reported: mpsc::Receiver<JobStatus>,
    is_over: &mut bool,
    is_done: impl Fn() -> L,
) -> Ended {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    look.tick().await;
    let mut given_up: Option<(String, tokio::time::Instant)> = None;
    loop {
        let word_end = given_up.as_ref().map_or_else(tokio::time::Instant::now, |(_, end)| *end);
        tokio::select! {
            Some(signal) = heard.recv() => return match signal {
                Signal::Ended(None) => Ended::Riddle("it ended without a receipt".to_owned()),
                Signal::Ended(Some(failure)) => Ended::Failed(failure),
                Signal::Lost => Ended::Lost,
                Signal::Missing | Signal::NotLaunched => Ended::NotRun,
            },
            Some(status) = reported.recv(), if given_up.is_none() => match status.status {
                Some(Status::Successful(_)) => {
                    *is_over = true;
                    return Ended::Riddle("it ended without a receipt".to_owned());
                }
                Some(Status::Failed(failed)) => {
                    *is_over = true;
                    given_up = Some((failed.error, tokio::time::Instant::now() + WORD_MAX));
                }
                _ => {}
            },
            () = sleep_until(word_end), if given_up.is_some() => {
                return Ended::Riddle(given_up.map(|(told, _)| told).unwrap_or_default());
            }
            _ = look.tick() => match is_done().await {
                Ok(true) => return Ended::Done,
                Ok(false) => {}
                Err(error) => return Ended::Unasked(error),
            },
        }
    }
}

/// A query that is stopped when nobody waits for it any more, unless it is over.
struct UnderWay<'a> {
    scheduler: &'a Scheduler,
    id: &'a str,
    is_over: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (scheduler, id) = (self.scheduler.clone(), QueryId::from(self.id.to_owned()));
        tokio::spawn(async move {
            // Ballista's slots come back by this too, where a report was lost.
            let _ = scheduler.cancel_job(id).await;
        });
    }
}

/// A job among those that share the executors.
struct Share<'a>(&'a AtomicUsize);

impl<'a> Share<'a> {
    fn of(jobs: &'a AtomicUsize) -> Self {
        jobs.fetch_add(1, Ordering::Relaxed);
        Self(jobs)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn told(halt: Halt, splits: &Splits<'_>) -> EngineError {
    let models = || {
        let names: Vec<_> = splits.models().iter().map(|model| format!("`{}`", named(model))).collect();
        if names.is_empty() { String::new() } else { format!(", which {} scores", names.join(", ")) }
    };
    match halt {
        Halt::Failed(error) => error,
        Halt::Losses(split) => {
            let message = format!(
                "split {split}{} was running when two executors died: it may need more memory than they have, or make them crash",
                models()
            );
            EngineError::new("executors_lost", message)
        }
        Halt::Riddle(split, why) => {
            EngineError::new("cluster_failed", format!("split {split} was given up again and again: {why}"))
        }
    }
}

fn named(model: &volley_engine::ModelUse) -> String {
    model.version.map_or_else(|| model.name.clone(), |version| format!("{}/{version}", model.name))
}
