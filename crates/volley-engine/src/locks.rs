//! A lock for each job, held by the process that works on it and free once that process is dead.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use volley_commit::JobId;

/// The locks of a state: an empty file a job, under the system's advisory locks.
#[derive(Debug, Clone)]
pub(crate) struct JobLocks {
    folder: PathBuf,
}

/// The right to work on a job, until it is dropped.
#[derive(Debug)]
pub(crate) struct JobLock {
    /// The system lets the lock go when the file is closed, whatever ends the process.
    _file: File,
    path: PathBuf,
}

impl JobLocks {
    /// The locks of the state in a folder, which must exist.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("locks");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// The lock of a new job of this process. To be taken before anything is recorded of the job.
    pub(crate) fn take(&self, job: JobId) -> io::Result<JobLock> {
        loop {
            let (file, path) = self.file(job)?;
            // Held by others for an instant only, when they find a file here without a job.
            file.lock()?;
            if path.exists() {
                return Ok(JobLock { _file: file, path });
            }
        }
    }

    /// The lock of a job that may be dead; none if somebody holds it, so that the job is alive.
    pub(crate) fn take_of_dead(&self, job: JobId) -> io::Result<Option<JobLock>> {
        loop {
            let (file, path) = self.file(job)?;
            match file.try_lock() {
                Ok(()) if path.exists() => return Ok(Some(JobLock { _file: file, path })),
                // Whoever held it has removed the file: this lock is one that nobody else will meet.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The jobs that have a file here, whether they still work or not.
    pub(crate) fn jobs(&self) -> io::Result<Vec<JobId>> {
        let names = std::fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    fn file(&self, job: JobId) -> io::Result<(File, PathBuf)> {
        let path = self.folder.join(job.to_string());
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok((file, path))
    }
}

impl JobLock {
    /// Lets the lock of a job go that is over, and its file with it.
    pub(crate) fn remove(self) {
        // A file that stays is removed by the next recovery.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

    use super::*;

    fn locks() -> (tempfile::TempDir, JobLocks) {
        let state = tempfile::tempdir().unwrap();
        let locks = JobLocks::open(state.path()).unwrap();
        (state, locks)
    }

    #[test]
    fn a_job_whose_lock_is_held_is_alive_and_without_it_dead() {
        let (_state, locks) = locks();
        let job = JobId::new();
        let held = locks.take(job).unwrap();
        assert!(locks.take_of_dead(job).unwrap().is_none());
        drop(held);
        assert!(locks.take_of_dead(job).unwrap().is_some());
    }

    #[test]
    fn a_job_that_is_over_leaves_no_file() {
        let (_state, locks) = locks();
        let (over, cut_off) = (JobId::new(), JobId::new());
        locks.take(over).unwrap().remove();
        drop(locks.take(cut_off).unwrap());
        assert_eq!(locks.jobs().unwrap(), [cut_off]);
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_meanwhile_is_taken_anew() {
        let (_state, locks) = locks();
        let job = JobId::new();
        let sweeping = locks.take(job).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| locks.take(job).unwrap());
            sweeping.remove();
            let _mine = waiting.join().unwrap();
            assert!(locks.take_of_dead(job).unwrap().is_none(), "nobody else can take the lock");
        });
    }
}
