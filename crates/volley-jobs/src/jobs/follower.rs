//! Following a run: its events in order, and between them how far it is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::{Jobs, told};
use crate::event::{Event, Happened};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// The events of a run, as they come.
pub struct Follower {
    jobs: Jobs,
    id: String,
    after: u64,
    found: VecDeque<Event>,
    changed: watch::Receiver<u64>,
}

impl Follower {
    pub(super) fn new(jobs: Jobs, id: String, after: u64) -> Self {
        let changed = jobs.own.changed.subscribe();
        Self { jobs, id, after, found: VecDeque::new(), changed }
    }

    /// The next event; none once the run is over or the server stops. Those that are kept have a number, and come
    /// again to whoever follows from an earlier one on; progress is told in between.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.found.pop_front() {
                self.after = event.number.unwrap_or(self.after);
                return Some(event);
            }
            self.changed.mark_unchanged();
            // The state first: an event that comes between the two is found.
            let is_over = self.jobs.job(&self.id).ok()?.state.is_over();
            self.found = self.jobs.own.home.index.events(&self.id, self.after).ok()?.into();
            if !self.found.is_empty() {
                continue;
            }
            if is_over || self.jobs.own.is_stopping.load(Ordering::SeqCst) {
                return None;
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = tokio::time::sleep(PROGRESS_EVERY) => {
                    if let Some(progress) = self.jobs.progress(&self.id) {
                        return Some(told(Happened::Progress { progress }));
                    }
                }
            }
        }
    }
}
