//! Forgetting jobs that are long over: what they were, not what became of them.
//!
//! What stays of a job is small and needed: its outcome and what it published, by which its destination stays known
//! as settled and its files as ours, and its receipt, by which they can be verified for ever.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::collect::{COLLECT_AGE_MIN, over_since};
use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::key::Keyed;
use crate::location::Location;
use crate::record::{self, Records};

/// The keys of a state, by the jobs that they stand for.
#[derive(Debug)]
pub struct Keys {
    records: Records,
    names: BTreeMap<JobId, Vec<String>>,
}

impl Keys {
    /// Those that are known now.
    pub async fn of(state: &Location) -> Result<Self> {
        let records = Records(state.clone());
        let mut names: BTreeMap<JobId, Vec<String>> = BTreeMap::new();
        for name in records.names(record::IDEM_FOLDER).await? {
            let name = format!("{}/{name}", record::IDEM_FOLDER);
            // One that is gone by now needs no forgetting.
            if let Some(Keyed { job, .. }) = records.read(&name).await? {
                names.entry(job).or_default().push(name);
            }
        }
        Ok(Self { records, names })
    }

    /// Lets the keys of a job stand for nothing: whoever comes with one of them begins anew.
    ///
    /// To be called before [`Job::forget`], or a key would stand for a job that cannot be told from one that was
    /// never begun. What is begun under the name of a forgotten job is refused.
    pub async fn forget(&self, job: JobId) -> Result<()> {
        for name in self.names.get(&job).into_iter().flatten() {
            self.records.remove(name).await?;
        }
        Ok(())
    }
}

impl Job {
    /// Under the name of a job that is over nothing can begin: its decision would be taken for that of the new one.
    pub(crate) async fn check_not_forgotten(&self) -> Result<()> {
        let is_over = self.outcome().await?.is_some();
        match is_over && !self.records.exists(&record::plan_key(self.id())).await? {
            false => Ok(()),
            true => Err(Error::JobMisused { job: self.id().to_string(), reason: "is over, and its plan is forgotten" }),
        }
    }

    /// Whether the job is over for at least `age`: decided, and published if it was committed. `age` counts from
    /// when the store wrote the last record, by the store's clock, until `now`; what is below [`COLLECT_AGE_MIN`]
    /// is raised to it.
    pub async fn is_over_for(&self, now: SystemTime, age: Duration) -> Result<bool> {
        // With the mark there is something left to be tidied up.
        if self.records.exists(&record::open_key(self.id())).await? {
            return Ok(false);
        }
        let over = over_since(self.state(), self.id()).await?;
        Ok(over.and_then(|over| now.duration_since(over).ok()).is_some_and(|old| old >= age.max(COLLECT_AGE_MIN)))
    }

    /// Removes the plan and the receipts of the splits of a job that is over for at least `age`, and what late calls
    /// left of it in staging; says whether it was. Its outcome, its receipt, and what it published stay. Safe to
    /// repeat, and after an error.
    ///
    /// **The caller guarantees that nobody works on this job**, by a lock that dies with its holder.
    pub async fn forget(&self, now: SystemTime, age: Duration) -> Result<bool> {
        if !self.is_over_for(now, age).await? {
            return Ok(false);
        }
        self.remove_staging().await?;
        self.state().delete_folder(&record::receipts_folder(self.id())).await?;
        self.records.remove(&record::repair_gate_key(self.id())).await?;
        self.records.remove(&record::physical_key(self.id())).await?;
        // Last: without a plan nobody finds what else is to be removed.
        self.records.remove(&record::plan_key(self.id())).await?;
        Ok(true)
    }
}
