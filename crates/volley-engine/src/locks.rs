//! A lock for each job, held by whoever works on it: by a process, and free once that is dead; or, where the state lies
//! in a bucket, by the state's owner, who knows by himself what he works on.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use volley_commit::{Job, JobId, Owner};

/// The locks of a state.
#[derive(Debug, Clone)]
pub(crate) enum JobLocks {
    /// An empty file a job, under the system's advisory locks.
    Folder(PathBuf),
    /// Of the only process that works on the state, until another takes it over.
    Owned { owner: Arc<Owner>, held: Arc<Held> },
    /// Of a process that runs splits for that one, and may work on no job by itself.
    Elsewhere,
}

/// The jobs that an owner works on.
#[derive(Debug, Default)]
pub(crate) struct Held {
    jobs: Mutex<BTreeSet<JobId>>,
    let_go: Notify,
}

/// The right to work on a job, until it is dropped.
#[derive(Debug)]
pub(crate) enum JobLock {
    /// The system lets the lock go when the file is closed, whatever ends the process.
    Folder { _file: File, path: PathBuf },
    /// Let go when it is dropped.
    Owned { held: Arc<Held>, job: JobId },
}

impl JobLocks {
    /// The locks of the state in a folder, which must exist.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("locks");
        std::fs::create_dir_all(&folder)?;
        Ok(Self::Folder(folder))
    }

    /// The locks of a state that one process owns.
    pub(crate) fn of(owner: Owner) -> Self {
        Self::Owned { owner: Arc::new(owner), held: Arc::default() }
    }

    /// Who must be the owner of the state while a destination is touched, where no lock says so.
    pub(crate) fn owner(&self) -> Option<&Arc<Owner>> {
        match self {
            Self::Folder(_) | Self::Elsewhere => None,
            Self::Owned { owner, .. } => Some(owner),
        }
    }

    /// The job, which touches its destination only as long as that is ours to do.
    pub(crate) fn guarded(&self, job: Job) -> Job {
        job.guarded_by(self.owner())
    }

    /// The lock of a new job of this process. To be taken before anything is recorded of the job.
    pub(crate) fn take(&self, job: JobId) -> io::Result<JobLock> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Owned { held, .. } => {
                held.jobs().insert(job);
                return Ok(JobLock::Owned { held: held.clone(), job });
            }
            Self::Elsewhere => return Err(io::Error::other("another process is the owner of the state")),
        };
        loop {
            let (file, path) = file(folder, job)?;
            // Held by others for an instant only, when they find a file here without a job.
            file.lock()?;
            if path.exists() {
                return Ok(JobLock::Folder { _file: file, path });
            }
        }
    }

    /// The lock of a job that may be dead; none if somebody holds it, so that the job is alive.
    pub(crate) fn take_of_dead(&self, job: JobId) -> io::Result<Option<JobLock>> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Owned { held, .. } => {
                let is_free = held.jobs().insert(job);
                return Ok(is_free.then(|| JobLock::Owned { held: held.clone(), job }));
            }
            Self::Elsewhere => return Ok(None),
        };
        loop {
            let (file, path) = file(folder, job)?;
            match file.try_lock() {
                Ok(()) if path.exists() => return Ok(Some(JobLock::Folder { _file: file, path })),
                // Whoever held it has removed the file: this lock is one that nobody else will meet.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The same, once whoever of this process works on the job is done with it. Of other processes none is waited for.
    pub(crate) async fn take_in_turn(&self, job: JobId) -> io::Result<Option<JobLock>> {
        let Self::Owned { held, .. } = self else { return self.take_of_dead(job) };
        loop {
            // From before the look, so that no end is missed.
            let let_go = held.let_go.notified();
            match self.take_of_dead(job)? {
                None => let_go.await,
                lock => return Ok(lock),
            }
        }
    }

    /// Whether an owner works on no job.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Folder(_) | Self::Elsewhere => true,
            Self::Owned { held, .. } => held.jobs().is_empty(),
        }
    }

    /// The jobs that have a file here, whether they still work or not.
    pub(crate) fn jobs(&self) -> io::Result<Vec<JobId>> {
        let Self::Folder(folder) = self else { return Ok(vec![]) };
        let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }
}

fn file(folder: &Path, job: JobId) -> io::Result<(File, PathBuf)> {
    let path = folder.join(job.to_string());
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    Ok((file, path))
}

impl Held {
    fn jobs(&self) -> MutexGuard<'_, BTreeSet<JobId>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobLock {
    /// Lets the lock of a job go that is over, and its file with it.
    pub(crate) fn remove(self) {
        if let Self::Folder { path, .. } = &self {
            // A file that stays is removed by the next recovery.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for JobLock {
    fn drop(&mut self) {
        if let Self::Owned { held, job } = self {
            held.jobs().remove(job);
            held.let_go.notify_waiters();
        }
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
