//! Where a process puts what it has on disk while it works: rows that joins, sorts and aggregates spill, splits that are
//! scored again.
//!
//! ```text
//! {folder}/{name}/       of one process
//! {folder}/{name}.lock   held by it; free once it is dead, and then whoever comes next takes both away
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::EngineError;

/// A folder of this process, which is taken away with it.
#[derive(Debug)]
pub(crate) struct WorkFolder {
    path: PathBuf,
    lock_path: PathBuf,
    /// The system lets it go with the process.
    _lock: File,
}

impl WorkFolder {
    /// Makes one in a folder, which is made if it is not there, and takes away what dead processes left in it.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        take_away_dead(folder)?;
        loop {
            let name = Uuid::now_v7().to_string();
            let (path, lock_path) = (folder.join(&name), folder.join(format!("{name}.lock")));
            let lock = OpenOptions::new().create_new(true).append(true).open(&lock_path)?;
            lock.lock()?;
            // Somebody may have taken the file for that of a dead process, before it was locked.
            if lock_path.exists() {
                fs::create_dir(&path)?;
                return Ok(Self { path, lock_path, _lock: lock });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What stays is taken away by whoever comes next.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// The error where a folder can be made nowhere.
pub(crate) fn no_folder(place: &Path, error: &io::Error) -> EngineError {
    let message =
        format!("no folder can be made in {}: {error}; the setting work_folder names another", place.display());
    EngineError::new("no_temporary_folder", message)
}

fn take_away_dead(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let lock_path = entry?.path();
        let is_ours = lock_path.file_stem().is_some_and(|stem| Uuid::parse_str(&stem.to_string_lossy()).is_ok());
        if !is_ours || lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        // It may be gone by now, or be somebody else's to remove.
        let Ok(lock) = File::open(&lock_path) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                let _ = fs::remove_dir_all(lock_path.with_extension(""));
                let _ = fs::remove_file(&lock_path);
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_a_process_leaves_is_taken_away_by_the_next_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("work");
        let living = WorkFolder::open(&folder).unwrap();
        fs::write(living.path().join("spilled"), "rows").unwrap();
        // As a kill leaves it: a lock that nobody holds.
        let dead = Uuid::now_v7().to_string();
        fs::create_dir(folder.join(&dead)).unwrap();
        fs::write(folder.join(&dead).join("spilled"), "rows").unwrap();
        fs::write(folder.join(format!("{dead}.lock")), "").unwrap();
        fs::write(folder.join("notes.lock"), "of somebody else").unwrap();
        fs::create_dir(folder.join("notes")).unwrap();
        let next = WorkFolder::open(&folder).unwrap();
        assert!(!names(&folder).iter().any(|name| name.starts_with(&dead)));
        assert!(living.path().join("spilled").exists() && folder.join("notes").exists());
        drop((living, next));
        let mut left = names(&folder);
        left.sort();
        assert_eq!(left, ["notes", "notes.lock"]);
    }
}
