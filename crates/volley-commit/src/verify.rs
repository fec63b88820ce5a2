//! The receipt of a whole job, and the check of what lies at its destination against it.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::destination::PublishedFile;
use crate::error::{Error, Result};
use crate::job::{JobId, Mode, Opener, Pinned};
use crate::location::{CONCURRENT_MAX, Location};
use crate::receipt::Tally;
use crate::record::{self, Records};

/// What a job did, in one record that needs no other: `{state}/jobs/{job}/receipt.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobReceipt {
    /// The job.
    pub job: JobId,
    /// URL of its destination.
    pub destination: String,
    /// What became of the data that was there.
    pub mode: Mode,
    /// The version of the destination that it made.
    pub version: u64,
    /// Its row counts.
    pub tally: Tally,
    /// sha256 over the receipts of its splits, in their order.
    pub receipts: String,
    /// The files that it added.
    pub files: Vec<PublishedFile>,
    /// What its caller had to say: models, and the like.
    pub provenance: Map<String, Value>,
    /// What it read.
    pub pinned: Pinned,
}

/// What a check of published files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many files the job published.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Those that are not what was published.
    pub faults: Vec<FileFault>,
}

/// A file that is not what was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.fault)
    }
}

/// The receipt of a job; none before it is published. Errors: `unknown_job`, and those of the store.
pub async fn job_receipt(state: &Location, job: JobId) -> Result<Option<JobReceipt>> {
    let records = Records(state.clone());
    let receipt = records.read(&record::job_receipt_key(job)).await?;
    match receipt.is_some() || records.exists(&record::plan_key(job)).await? {
        true => Ok(receipt),
        false => Err(Error::UnknownJob { job: job.to_string() }),
    }
}

/// Reads every file that a job published, and compares it with the job's receipt alone; none if there is no
/// receipt. Other files at the destination are not looked at.
///
/// Errors: `unknown_job`, `location_unreachable`, and those of the store; a file that differs is none.
pub async fn verify(state: &Location, job: JobId, open: &Opener) -> Result<Option<Verified>> {
    let Some(receipt) = job_receipt(state, job).await? else { return Ok(None) };
    let url = &receipt.destination;
    let destination = open(url).map_err(|source| Error::Unreachable { url: url.clone(), source })?;
    let faults: Vec<Option<FileFault>> = futures::stream::iter(&receipt.files)
        .map(|file| fault(&destination, file))
        .buffered(CONCURRENT_MAX)
        .try_collect()
        .await?;
    let rows = receipt.files.iter().map(|file| file.rows).sum();
    Ok(Some(Verified { files: receipt.files.len(), rows, faults: faults.into_iter().flatten().collect() }))
}

async fn fault(destination: &Location, file: &PublishedFile) -> Result<Option<FileFault>> {
    let path = destination.path(&file.path)?;
    let is = |fault| Ok(Some(FileFault { file: destination.shown(&path), fault }));
    let found = match destination.store.get(&path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return is("it is gone"),
        Err(source) => return Err(destination.failed(&path, source)),
    };
    if found.meta.size != file.bytes {
        return is("it has another size");
    }
    let mut digest = Sha256::new();
    let mut bytes = found.into_stream();
    while let Some(part) = bytes.next().await {
        digest.update(part.map_err(|source| destination.failed(&path, source))?);
    }
    match &file.sha256 {
        Some(sha256) if *sha256 != record::hex(&digest.finalize()) => is("it has other bytes"),
        _ => Ok(None),
    }
}
