//! Opening records and index: where they differ, the records are right.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use futures::{StreamExt, TryStreamExt};

use super::{event_of, now};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::records::Recorded;
use crate::row::Job;
use crate::state::State;

const INDEX: &str = "index.sqlite";

/// How many records are read at a time.
const READS_MAX: usize = 32;

/// The folder of the index of runs, for this process alone until it is dropped.
pub struct Home {
    pub(super) index: Index,
    /// The system lets it go with the process.
    _lock: File,
}

impl Home {
    /// Takes a folder, which is made if it is not there. Errors: `state_in_use` if another process has it, `bad_state`.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::records(&error))?;
        let lock = lock(folder)?;
        Ok(Self { index: index(folder)?, _lock: lock })
    }
}

fn lock(folder: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(folder.join("lock"));
    let file = file.map_err(|error| Error::records(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { folder: folder.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(Error::records(&error)),
    }
}

/// The index, or a new one beside what is left of one that cannot be read.
fn index(folder: &Path) -> Result<Index> {
    let file = folder.join(INDEX);
    if let Ok(index) = Index::open(&file) {
        return Ok(index);
    }
    let at = now().replace(':', "");
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (format!("{INDEX}{end}"), format!("{INDEX}{end}.unreadable-{at}"));
        match std::fs::rename(folder.join(from), folder.join(to)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::records(&error)),
            _ => {}
        }
    }
    Index::open(&file)
}

/// Puts into the index what the records say and it does not, and takes out what they do not know.
pub(super) async fn bring_up(index: &Index, recorded: &Recorded) -> Result<()> {
    let Recorded { records, overview } = recorded;
    let known: BTreeSet<String> = index.standings()?.into_iter().map(|row| row.id).collect();
    for id in known.difference(&overview.requests) {
        index.forget(id)?;
    }
    let lost = futures::stream::iter(overview.requests.difference(&known));
    let lost = lost.map(|id| records.accepted(id)).buffer_unordered(READS_MAX);
    let mut lost: Vec<Job> = lost.try_filter_map(async |job| Ok(job)).try_collect().await?;
    lost.sort_by(|a, b| (&a.accepted_at, &a.id).cmp(&(&b.accepted_at, &b.id)));
    for job in &lost {
        index.add(job, &event_of(job))?;
    }
    for row in index.standings()?.iter().filter(|row| !overview.agrees_with(row)) {
        let Some(mut job) = index.job(&row.id)? else { continue };
        correct(&mut job, recorded).await?;
        index.update(&job, Some(&event_of(&job)))?;
    }
    Ok(())
}

/// Brings a run to what the records say.
async fn correct(job: &mut Job, recorded: &Recorded) -> Result<()> {
    let Recorded { records, overview } = recorded;
    let round = overview.round(&job.id);
    if job.round != round {
        job.begin_round(round);
    }
    match (job.state.is_over(), overview.is_over(&job.id)) {
        (false, true) => {
            if let Some(end) = records.ended(overview, &job.id).await? {
                (job.state, job.ended_at) = (end.state, Some(end.ended_at));
                (job.results, job.problems) = (end.results, end.problems);
            }
        }
        // Its end is not on record: what was told of it does not count.
        (true, false) => job.begin_round(round),
        (false, false) if overview.is_canceled(&job.id) => job.state = State::Canceling,
        _ => {}
    }
    Ok(())
}
