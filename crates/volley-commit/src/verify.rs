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
    /// What it rejected, if it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<RejectsReceipt>,
    /// What its caller had to say: models, and the like.
    pub provenance: Map<String, Value>,
    /// What it read.
    pub pinned: Pinned,
}

/// What a job rejected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectsReceipt {
    /// URL of the place.
    pub destination: String,
    /// The version of it that the job made.
    pub version: u64,
    /// How many rows it could have rejected.
    pub max: u64,
    /// The files that it added there.
    pub files: Vec<PublishedFile>,
}

/// What a check of published files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many files the job published.
    pub files: usize,
    /// Rows in those of the result.
    pub rows: u64,
    /// Rows in those of the rejects.
    pub rejected: u64,
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

/// Reads every file that a job published, rejects and all, and compares it with the job's receipt alone; none if
/// there is no receipt. Other files at the destination are not looked at. That as many rows came in as went out and
/// were rejected is looked at too.
///
/// Errors: `unknown_job`, `location_unreachable`, and those of the store; a file that differs is none.
pub async fn verify(state: &Location, job: JobId, open: &Opener) -> Result<Option<Verified>> {
    let Some(receipt) = job_receipt(state, job).await? else { return Ok(None) };
    let rejects = receipt.rejects.as_ref().map(|rejects| (&rejects.destination, &rejects.files));
    let (mut files, mut rows, mut faults) = (0, Vec::<u64>::new(), vec![]);
    for (url, published) in [Some((&receipt.destination, &receipt.files)), rejects].into_iter().flatten() {
        let destination = open(url).map_err(|source| Error::Unreachable { url: url.clone(), source })?;
        let of_files: Vec<Option<FileFault>> = futures::stream::iter(published.clone())
            .map(|file| fault(destination.clone(), file))
            .buffered(CONCURRENT_MAX)
            .try_collect()
            .await?;
        files += published.len();
        rows.push(published.iter().map(|file| file.rows).sum());
        faults.extend(of_files.into_iter().flatten());
    }
    let (rows, rejected) = (rows[0], rows.get(1).copied().unwrap_or(0));
    faults.extend(contradiction(&receipt, rows, rejected));
    Ok(Some(Verified { files, rows, rejected, faults }))
}

/// Whether the figures of a receipt are those of its files, and leave no row out.
fn contradiction(receipt: &JobReceipt, rows: u64, rejected: u64) -> Option<FileFault> {
    let Tally { rows_in, rows_out, rejected: counted, .. } = receipt.tally;
    let agree = rows_in == rows_out + counted && rows_out == rows && counted == rejected;
    let file = format!("the receipt of job {}", receipt.job);
    (!agree).then_some(FileFault { file, fault: "its figures contradict each other" })
}

async fn fault(destination: Location, file: PublishedFile) -> Result<Option<FileFault>> {
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
