//! Opening records and index: where they differ, the records are right.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::{event_of, now};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::records::{EndRecord, Kind, Records, RequestRecord};
use crate::row::Job;
use crate::state::State;

const INDEX: &str = "index.sqlite";

/// What is open.
pub(super) struct Opened {
    pub(super) records: Records,
    pub(super) index: Index,
    pub(super) lock: File,
}

/// Opens what lies in a folder, for this process alone.
pub(super) fn open(folder: &Path) -> Result<Opened> {
    let records = Records::open(folder).map_err(|error| Error::records(&error))?;
    let lock = lock(folder)?;
    let index = index(folder)?;
    bring_up(&index, &records)?;
    Ok(Opened { records, index, lock })
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

/// Puts into the index what the records say and it does not.
fn bring_up(index: &Index, records: &Records) -> Result<()> {
    let facts = |error: std::io::Error| Error::records(&error);
    let (requests, cancels) = (records.ids(Kind::Requests).map_err(facts)?, records.ids(Kind::Cancels).map_err(facts)?);
    let ends = records.ids(Kind::Ends).map_err(facts)?;
    let known: BTreeSet<String> = index.states()?.into_iter().map(|(id, _)| id).collect();
    let mut lost: Vec<Job> = vec![];
    for id in requests.difference(&known) {
        let record: Option<RequestRecord> = records.read(Kind::Requests, id).map_err(facts)?;
        lost.extend(record.map(|record| record.job(id)));
    }
    lost.sort_by(|a, b| (&a.accepted_at, &a.id).cmp(&(&b.accepted_at, &b.id)));
    for job in &lost {
        index.add(job, &event_of(job))?;
    }
    for (id, state) in index.states()? {
        let (is_over, has_end) = (state.is_over(), ends.contains(&id));
        let is_asked_to_stop = !is_over && !has_end && cancels.contains(&id) && state != State::Canceling;
        if is_over == has_end && !is_asked_to_stop {
            continue;
        }
        let Some(mut job) = index.job(&id)? else { continue };
        match (is_over, has_end) {
            (false, true) => {
                let Some(end) = records.read::<EndRecord>(Kind::Ends, &id).map_err(facts)? else { continue };
                (job.state, job.ended_at) = (end.state, Some(end.ended_at));
                (job.results, job.problems) = (end.results, end.problems);
            }
            // Somebody resumed it.
            (true, false) => {
                (job.state, job.ended_at, job.problems) = (State::Accepted, None, vec![]);
            }
            _ => job.state = State::Canceling,
        }
        index.update(&job, Some(&event_of(&job)))?;
    }
    Ok(())
}
