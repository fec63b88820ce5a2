//! The records of a state: created once, read back, never changed.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, is_permanent};
use crate::job::JobId;
use crate::location::Location;
use crate::mutants::{Mutant, planted};
use crate::owner::Owner;

/// The names of a job's records.
pub(crate) fn open_key(job: JobId) -> String {
    format!("open/{job}")
}
pub(crate) fn job_folder(job: JobId) -> String {
    format!("jobs/{job}/")
}
pub(crate) fn plan_key(job: JobId) -> String {
    format!("jobs/{job}/plan.json")
}
pub(crate) fn physical_key(job: JobId) -> String {
    format!("jobs/{job}/physical.json")
}
pub(crate) fn receipts_folder(job: JobId) -> String {
    format!("jobs/{job}/splits/")
}
pub(crate) fn receipt_key(job: JobId, split: u32) -> String {
    format!("jobs/{job}/splits/{split:06}.json")
}
pub(crate) fn outcome_key(job: JobId) -> String {
    format!("jobs/{job}/outcome.json")
}
pub(crate) fn job_receipt_key(job: JobId) -> String {
    format!("jobs/{job}/receipt.json")
}
pub(crate) fn published_key(job: JobId) -> String {
    format!("jobs/{job}/published.json")
}

pub(crate) fn repair_gate_key(job: JobId) -> String {
    format!("jobs/{job}/repair.json")
}
pub(crate) fn repair_key(job: JobId, split: u32) -> String {
    format!("jobs/{job}/splits/{split:06}.repair")
}
/// The folder of what keys stand for.
pub(crate) const IDEM_FOLDER: &str = "idem";
pub(crate) fn idem_key(key: &str) -> String {
    format!("{IDEM_FOLDER}/{}.json", sha256(key.as_bytes()))
}
pub(crate) fn owner_key(epoch: u64) -> String {
    format!("owners/{epoch:020}.json")
}
pub(crate) fn released_key(epoch: u64) -> String {
    format!("owners/{epoch:020}.released")
}

/// The folder of a destination's version claims.
pub(crate) fn versions_folder(destination: &Location) -> String {
    format!("dests/{}", sha256(destination.folder_url().as_bytes()))
}
pub(crate) fn version_key(destination: &Location, version: u64) -> String {
    format!("{}/{version:020}.json", versions_folder(destination))
}

/// 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The bytes of [`hex`]; `None` for anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| char::from(letter).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(byte).collect()
}

/// A record as it is stored.
pub(crate) fn json(record: &impl Serialize) -> Bytes {
    serde_json::to_vec_pretty(record).expect("records are plain structs with string keys").into()
}

/// JSON records under a location: the state of an engine, or the turns in a staging folder.
#[derive(Clone, Debug)]
pub(crate) struct Records(pub(crate) Location);

impl Records {
    /// Creates a record unless one is there, and returns the one that stands: ours or another's.
    ///
    /// The answer of the create call itself is never believed: an error can hide a write that
    /// landed, and "already exists" can mean our own first try or, on S3, nothing at all.
    pub(crate) async fn create_once<T>(&self, key: &str, record: &T) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
    {
        let stands = self.create_once_by(key, record, None, None).await?;
        // Whoever made it: what is done because of it must not outlive it.
        self.0.sync_files(vec![key.to_owned()]).await?;
        Ok(stands)
    }

    /// The same for a record that is removed again, so that a late try would bring it back: each is made only
    /// while `owner` is the owner.
    ///
    /// With a `draft`, a place of the caller's own, a creation that is cut off leaves its remains there. For
    /// stores that copy an object to a new name in one step.
    pub(crate) async fn create_once_by<T>(
        &self,
        key: &str,
        record: &T,
        draft: Option<&Path>,
        owner: Option<&Owner>,
    ) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
    {
        let path = self.0.path(key)?;
        let body = json(record);
        if by_plain_put(key) {
            self.0.store.put(&path, body.clone().into()).await.map_err(|source| self.0.failed(&path, source))?;
            return self.parsed(&path, &body);
        }
        let mut pauses = self.0.waits.pauses.iter();
        loop {
            if let Some(owner) = owner {
                owner.check().await?;
            }
            let created = self.create(&path, &body, draft).await;
            if planted(Mutant::LostMeansDone) && created.is_err() && !says_exists(&created) {
                return self.parsed(&path, &body);
            }
            if planted(Mutant::ExistsMeansLost) && key.contains("/splits/") && says_exists(&created) {
                return Err(Error::UnknownJob { job: "another attempt won".to_owned() });
            }
            let cause = match (self.read_path(&path).await, created) {
                (Ok(Some(stands)), _) => return Ok(stands),
                (Err(error), _) if !error.is_transient() => return Err(error),
                (Err(error), _) => error,
                (Ok(None), Err(source)) if is_permanent(&source) => {
                    return Err(self.0.failed(&path, source));
                }
                (Ok(None), Err(source)) => self.0.failed(&path, source),
                (Ok(None), Ok(_)) => return Err(self.0.failed(&path, vanished())),
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(Error::Unconfirmed { path: self.0.shown(&path), source: Box::new(cause) }),
            }
        }
    }

    async fn create(&self, path: &Path, body: &Bytes, draft: Option<&Path>) -> object_store::Result<()> {
        let (store, body) = (&self.0.store, body.clone().into());
        match draft {
            None => store.put_opts(path, body, PutMode::Create.into()).await.map(drop),
            Some(draft) => {
                store.put(draft, body).await?;
                store.copy_if_not_exists(draft, path).await
            }
        }
    }

    /// The record, or `None` if there is none.
    pub(crate) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.read_path(&self.0.path(key)?).await
    }

    async fn read_path<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        match self.0.read(path).await? {
            Some(body) => self.parsed(path, &body).map(Some),
            None => Ok(None),
        }
    }

    fn parsed<T: DeserializeOwned>(&self, path: &Path, body: &Bytes) -> Result<T> {
        serde_json::from_slice(body).map_err(|source| Error::RecordInvalid { path: self.0.shown(path), source })
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.0.size(&self.0.path(key)?).await?.is_some())
    }

    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        self.0.delete(&self.0.path(key)?).await
    }

    /// The names of the records in a folder, sorted.
    pub(crate) async fn names(&self, folder: &str) -> Result<Vec<String>> {
        let files = self.0.files(folder).await?;
        Ok(files.into_keys().filter_map(|key| key.rsplit('/').next().map(str::to_owned)).collect())
    }
}

fn by_plain_put(key: &str) -> bool {
    planted(Mutant::OutcomeByPut) && key.ends_with("/outcome.json")
        || planted(Mutant::ClaimByPut) && key.starts_with("dests/")
}

fn says_exists(created: &object_store::Result<()>) -> bool {
    matches!(created, Err(object_store::Error::AlreadyExists { .. }))
}

/// The store said created and then did not have it: it cannot carry this protocol.
fn vanished() -> object_store::Error {
    object_store::Error::NotSupported { source: "a record just created cannot be read".into() }
}
