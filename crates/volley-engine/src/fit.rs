//! Buckets that were seen to keep what the commit protocol needs of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use volley_commit::{Job, Location, Result, preflight};
use volley_connect::is_remote;

/// The staging folders of buckets that were tried out in this process.
#[derive(Debug, Default)]
pub(crate) struct FitStores(Mutex<BTreeSet<String>>);

impl FitStores {
    /// Tries the bucket of a job out before the first one relies on it. Some stores that speak S3 create what is
    /// already there, and two jobs would have one turn.
    ///
    /// Errors: `store_unfit`, and those of the store.
    pub(crate) async fn check(&self, job: &Job) -> Result<()> {
        for staging in [Some(job.staging()), job.rejects_staging()].into_iter().flatten() {
            if is_remote(&staging.url) && !self.known().contains(&staging.url) {
                self.try_out(job, staging).await?;
            }
        }
        Ok(())
    }

    async fn try_out(&self, job: &Job, staging: &Location) -> Result<()> {
        // In the job's own folder: what a process leaves there that is killed meanwhile goes with the job.
        let id = job.id().to_string();
        let url = format!("{}/{id}/", staging.url.trim_end_matches('/'));
        preflight(&Location::new(staging.store.clone(), staging.prefix.clone().join(id), url)).await?;
        self.known().insert(staging.url.clone());
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
