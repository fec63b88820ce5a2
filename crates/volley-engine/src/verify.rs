//! Whether what a job published is still what it wrote: the bytes of its files, and their rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use volley_commit::{JobId, JobReceipt, Location, PublishedFile, job_receipt};
use volley_connect::{RowsRead, read_rows};

use crate::engine::{Engine, Shared};
use crate::error::EngineError;
use crate::resume::opener;

/// What a check of published files found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// How many files the job published.
    pub files: usize,
    /// Rows in those of the result.
    pub rows: u64,
    /// Rows in those of the rejects.
    pub rejected: u64,
    /// Of the files, those whose rows were read and summed up again: the bytes of the others were compared alone.
    pub files_summed: usize,
    /// Those that are not what was published, in the order of their splits.
    #[serde(skip)]
    pub differences: Vec<Difference>,
}

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, as people write it.
    pub file: String,
    /// What is wrong with it.
    pub how: String,
}

impl Engine {
    /// Reads every file that a job published, and says which are not what it wrote: other bytes, or, where the
    /// format gives them back, other rows. Needs nothing but the job's receipt, and writes nothing.
    ///
    /// Errors: `unknown_job`, `job_unpublished`.
    pub async fn verify(&self, id: JobId) -> Result<Verified, EngineError> {
        let receipt = published(&self.shared, id).await?;
        let open = opener(&self.shared);
        let checked = volley_commit::verify(&self.shared.state, id, &open).await?.ok_or_else(|| unpublished(id))?;
        let differ = |fault: volley_commit::FileFault| Difference { file: fault.file, how: fault.fault.to_owned() };
        let mut differences: Vec<_> = checked.faults.into_iter().map(differ).collect();
        let known: BTreeSet<String> = differences.iter().map(|difference| difference.file.clone()).collect();
        let rejects = receipt.rejects.as_ref().map(|rejects| (&rejects.destination, &rejects.files));
        let mut files_summed = 0;
        for (url, files) in [Some((&receipt.destination, &receipt.files)), rejects].into_iter().flatten() {
            let at = volley_connect::location(url, &self.shared.runtime)?;
            for (file, read) in self.read_all(&at, files, &known).await? {
                match read {
                    RowsRead::Unknown => {}
                    RowsRead::AsWritten => files_summed += 1,
                    RowsRead::Differ(how) => differences.push(Difference { file, how }),
                }
            }
        }
        differences.sort_by(|a, b| a.file.cmp(&b.file));
        let volley_commit::Verified { files, rows, rejected, .. } = checked;
        Ok(Verified { files, rows, rejected, files_summed, differences })
    }

    /// Reads the rows of files that are not known to differ, as many at a time as there are cores.
    async fn read_all(
        &self,
        at: &Location,
        files: &[PublishedFile],
        known: &BTreeSet<String>,
    ) -> Result<Vec<(String, RowsRead)>, EngineError> {
        let permits = Arc::new(Semaphore::new(self.shared.settings.cores.max(1)));
        let mut reading = JoinSet::new();
        for file in files {
            let name = shown(at, file)?;
            if !known.contains(&name) {
                let (at, file, permits) = (at.clone(), file.clone(), permits.clone());
                reading.spawn(async move {
                    let _permit = permits.acquire().await.expect("the permits outlive their files");
                    read_rows(&at, &file).await.map(|read| (name, read))
                });
            }
        }
        let mut all = vec![];
        while let Some(read) = reading.join_next().await {
            all.push(read.map_err(|panic| EngineError::new("panicked", panic.to_string()))??);
        }
        Ok(all)
    }
}

/// The receipt of a job that has published something.
pub(crate) async fn published(shared: &Shared, id: JobId) -> Result<JobReceipt, EngineError> {
    job_receipt(&shared.state, id).await?.ok_or_else(|| unpublished(id))
}

/// A published file as people write it.
pub(crate) fn shown(at: &Location, file: &PublishedFile) -> Result<String, EngineError> {
    Ok(at.shown(&at.path(&file.path)?))
}

fn unpublished(id: JobId) -> EngineError {
    EngineError::new("job_unpublished", format!("job {id} has published nothing"))
}
