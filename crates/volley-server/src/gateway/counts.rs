//! What a server counts, for whoever watches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers since the server began.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    begun: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    stopped: AtomicU64,
    statements: AtomicU64,
    answering: AtomicU64,
    rows: AtomicU64,
}

/// Counts a statement as one that is being answered, until it is dropped.
#[derive(Debug)]
pub(super) struct Answering(Arc<Counts>);

impl Answering {
    pub(super) fn begin(counts: &Arc<Counts>) -> Self {
        add(&counts.statements, 1);
        add(&counts.answering, 1);
        Self(counts.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counts {
    pub(crate) fn job_accepted(&self) {
        add(&self.accepted, 1);
    }

    pub(super) fn job_begun(&self) {
        add(&self.begun, 1);
    }

    pub(super) fn job_ended(&self, ended: &volley_jobs::Ended) {
        add(
            match ended {
                volley_jobs::Ended::Done(_) => &self.succeeded,
                volley_jobs::Ended::Failed(_) => &self.failed,
                volley_jobs::Ended::Stopped => &self.stopped,
            },
            1,
        );
    }

    pub(super) fn published(&self, rows: u64) {
        add(&self.rows, rows);
    }

    /// Statements that are being answered now.
    pub fn answering(&self) -> u64 {
        self.answering.load(Ordering::Relaxed)
    }

    /// Each number that only grows, with its name and what it is.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 7] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("volley_jobs_accepted_total", "Jobs that were accepted.", read(&self.accepted)),
            ("volley_jobs_begun_total", "Times that the work of a job began.", read(&self.begun)),
            ("volley_jobs_succeeded_total", "Times that it was done.", read(&self.succeeded)),
            ("volley_jobs_failed_total", "Times that it failed.", read(&self.failed)),
            ("volley_jobs_stopped_total", "Times that it stopped as it was asked to.", read(&self.stopped)),
            ("volley_statements_total", "Statements that were to be answered at once.", read(&self.statements)),
            ("volley_rows_published_total", "Rows that statements of jobs published.", read(&self.rows)),
        ]
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
