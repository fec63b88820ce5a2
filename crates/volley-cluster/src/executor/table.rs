//! The splits of an executor: those at work, and those whose end the server has not acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::failure::Failure;
use crate::pulse::EndedSplit;
use crate::task::SplitName;

/// All splits of a process.
#[derive(Debug, Default)]
pub(super) struct Table {
    splits: Mutex<Splits>,
    /// Something ended that the server should know at once.
    pub(super) ended: Notify,
}

#[derive(Debug, Default)]
struct Splits {
    running: BTreeMap<String, SplitName>,
    ended: Vec<EndedSplit>,
    counts: Counts,
}

/// What a process has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) sealed: u64,
    pub(super) failed: u64,
    /// Of splits that are sealed.
    pub(super) rows: u64,
}

/// A split at work. Dropped before its end, it was stopped.
#[derive(Debug)]
pub(super) struct Running {
    table: Arc<Table>,
    query: String,
}

impl Table {
    pub(super) fn enter(self: &Arc<Self>, query: String, name: SplitName) -> Running {
        self.lock().running.insert(query.clone(), name);
        Running { table: self.clone(), query }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().running.is_empty()
    }

    pub(super) fn running(&self) -> Vec<(String, SplitName)> {
        self.lock().running.iter().map(|(query, name)| (query.clone(), *name)).collect()
    }

    /// What ended, to be told. What is not [acknowledged](Self::acknowledged) is told again.
    pub(super) fn ended(&self) -> Vec<EndedSplit> {
        self.lock().ended.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// These ends have been heard.
    pub(super) fn acknowledged(&self, heard: &[EndedSplit]) {
        self.lock().ended.retain(|ended| !heard.contains(ended));
    }

    fn lock(&self) -> MutexGuard<'_, Splits> {
        self.splits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// The split has ended, with so many rows. A failure is told at once; that it is done, Ballista tells sooner.
    pub(super) fn ended(self, rows: u64, failure: Option<Failure>) {
        let is_urgent = failure.is_some();
        let mut splits = self.table.lock();
        if is_urgent {
            splits.counts.failed += 1;
        } else {
            splits.counts.sealed += 1;
            splits.counts.rows += rows;
        }
        splits.ended.push(EndedSplit { query: self.query.clone(), failure });
        drop(splits);
        if is_urgent {
            self.table.ended.notify_one();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.table.lock().running.remove(&self.query);
    }
}

#[cfg(test)]
mod tests {
    use volley_engine::JobId;

    use super::*;

    #[test]
    fn what_ended_is_told_until_it_is_acknowledged() {
        let table = Arc::new(Table::default());
        let name = SplitName { job: JobId::new(), split: 3 };
        let (done, stopped) = (table.enter("a".to_owned(), name), table.enter("b".to_owned(), name));
        assert_eq!(table.running().len(), 2);
        done.ended(7, None);
        drop(stopped);
        assert!(table.is_empty());
        let told = table.ended();
        assert_eq!(told.len(), 1, "what was stopped has no end");
        table.enter("c".to_owned(), name).ended(2, None);
        table.acknowledged(&told);
        assert_eq!(table.ended().len(), 1);
        assert_eq!(table.ended()[0].query, "c");
        assert_eq!((table.counts().sealed, table.counts().rows), (2, 9));
    }
}
