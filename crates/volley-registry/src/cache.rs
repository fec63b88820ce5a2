//! Models that were fetched over a network, kept in a folder of this machine for all processes on it.
//!
//! ```text
//! artifacts/<sha256>/…         as in a registry: files, and the manifest last; read only if every byte is right
//! versions/<sha256>.json       which digest a version had when it was first used here
//! locks/<sha256>               held by the process that fetches or removes an artifact
//! ```
//!
//! A process that dies leaves an artifact without its manifest, or with one: either way the next one that wants it
//! checks what it reads, and fetches it again if that is not whole.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use volley_model::{Artifact, Digest};

use crate::artifacts::{self, Bounds};
use crate::blocking::blocking;
use crate::layout::Layout;
use crate::settle::{self, Holder};
use crate::{Error, records};

/// How much a cache keeps unless it is told.
pub const CACHE_BYTES: u64 = 10 << 30;

/// How long a lock is left alone that another process holds.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A folder of models, by digest.
#[derive(Debug, Clone)]
pub struct ModelCache {
    folder: PathBuf,
    /// Made by the first use: a process that needs no model from a network makes no folder.
    store: Arc<tokio::sync::OnceCell<Arc<LocalFileSystem>>>,
    layout: Layout,
    bytes_max: u64,
}

/// What one version of a registry was.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded<I> {
    version: I,
    sha256: Digest,
}

impl ModelCache {
    /// A cache in `folder` that lets go of what was used the longest time ago while it is larger than `bytes_max`.
    pub fn new(folder: impl Into<PathBuf>, bytes_max: u64) -> Self {
        let layout = Layout::new(Path::default());
        ModelCache { folder: folder.into(), store: Arc::default(), layout, bytes_max }
    }

    /// The artifact of a digest, if it is here and whole. It counts as used now.
    pub(crate) async fn get(&self, digest: &Digest, bounds: Bounds) -> Result<Option<Artifact>, Error> {
        let store = self.store().await?;
        match artifacts::read(&**store, &self.layout, digest, bounds, "a cached model").await {
            Ok(artifact) => {
                let manifest = self.folder.join(self.layout.manifest(digest).as_ref());
                // Only the order of removal hangs on this.
                let _ =
                    File::options().write(true).open(manifest).and_then(|file| file.set_modified(SystemTime::now()));
                Ok(Some(artifact))
            }
            // Not there, cut off while it was written, or damaged since: to be fetched again.
            Err(Error::Corrupt { .. } | Error::DigestMismatch { .. }) => Ok(None),
            Err(error) => Err(self.unusable(&error)),
        }
    }

    /// Keeps an artifact, and makes room for it.
    pub(crate) async fn keep(&self, artifact: &Artifact) -> Result<(), Error> {
        let store = self.store().await?;
        let digest = artifacts::keep(&**store, &self.layout, artifact).await.map_err(|error| self.unusable(&error))?;
        self.make_room(&digest).await
    }

    /// Waits until no other process fetches or removes this artifact, and keeps others from it.
    pub(crate) async fn lock(&self, digest: &Digest) -> Result<Lock, Error> {
        loop {
            if let Some(lock) = self.try_lock(digest).map_err(|error| self.unusable(&error))? {
                return Ok(lock);
            }
            // Not in the operating system: a thread that waits there cannot be called back, and keeps a process that
            // stops from its end.
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    /// Records what a version is when it is first used, and gives what was recorded then. `version` tells all that makes
    /// it another one.
    pub(crate) async fn first_digest<I: Serialize>(
        &self,
        version: I,
        digest: &Digest,
    ) -> Result<(Digest, PathBuf), Error> {
        let store = self.store().await?;
        let identity = Artifact::new(BTreeMap::from([("version".to_owned(), records::json(&version))]));
        let key = Path::from(format!("versions/{}.json", identity.digest()));
        let record = records::json(&Recorded { version, sha256: digest.clone() });
        let at = self.folder.join(key.as_ref());
        match settle::create_once(&**store, &key, &record).await.map_err(|error| self.unusable(&error))? {
            Holder::Us => Ok((digest.clone(), at)),
            Holder::Another => {
                let found: Option<Recorded<serde_json::Value>> =
                    records::read(&**store, &key).await.map_err(|error| self.unusable(&error))?;
                Ok((found.map_or_else(|| digest.clone(), |found| found.sha256), at))
            }
        }
    }

    /// Removes what was used the longest time ago, but not what was just kept, nor what another process fetches.
    async fn make_room(&self, kept: &Digest) -> Result<(), Error> {
        let (cache, kept) = (self.clone(), kept.clone());
        let made = blocking(move || cache.remove_others(&kept)).await?;
        made.map_err(|error| self.unusable(&error))
    }

    fn remove_others(&self, kept: &Digest) -> io::Result<()> {
        let mut artifacts = self.artifacts()?;
        let mut bytes: u64 = artifacts.iter().map(|artifact| artifact.bytes).sum();
        artifacts.sort_by_key(|artifact| artifact.used);
        for artifact in artifacts {
            if bytes <= self.bytes_max {
                break;
            }
            if artifact.digest == *kept {
                continue;
            }
            let Ok(Some(_lock)) = self.try_lock(&artifact.digest) else { continue };
            // The manifest first: without it there is no artifact, and a reader fetches anew.
            there(fs::remove_file(artifact.folder.join("manifest.json")))?;
            there(fs::remove_dir_all(&artifact.folder))?;
            bytes -= artifact.bytes;
        }
        Ok(())
    }

    /// All that lies here, whole or not. Not as a store lists it, which passes over what a process was writing when it
    /// died.
    fn artifacts(&self) -> io::Result<Vec<Cached>> {
        let mut found = vec![];
        for entry in entries(&self.folder.join("artifacts"))? {
            let Some(digest) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let folder = entry.path();
            let mut artifact = Cached { digest, folder: folder.clone(), used: SystemTime::UNIX_EPOCH, bytes: 0 };
            artifact.add(&folder)?;
            found.push(artifact);
        }
        Ok(found)
    }

    /// None if another process has it.
    fn try_lock(&self, digest: &Digest) -> io::Result<Option<Lock>> {
        let folder = self.folder.join("locks");
        // It may have been removed while this process runs: nothing in it needs to be kept.
        fs::create_dir_all(&folder)?;
        let file = File::create(folder.join(digest.as_str()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    async fn store(&self) -> Result<&Arc<LocalFileSystem>, Error> {
        let open = || async {
            let folder = self.folder.clone();
            let made = blocking(move || made(&folder)).await?;
            made.map(Arc::new).map_err(|error| self.unusable(&error))
        };
        self.store.get_or_try_init(open).await
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> Error {
        let reason = crate::error::one_line(&error.to_string());
        Error::Cache { folder: self.folder.display().to_string(), reason }
    }
}

/// An artifact as it lies in the folder, whole or not.
#[derive(Debug)]
struct Cached {
    digest: Digest,
    folder: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl Cached {
    fn add(&mut self, folder: &FilePath) -> io::Result<()> {
        for entry in entries(folder)? {
            let Some(metadata) = there(entry.metadata())? else { continue };
            if metadata.is_dir() {
                self.add(&entry.path())?;
            } else {
                self.used = self.used.max(metadata.modified()?);
                self.bytes += metadata.len();
            }
        }
        Ok(())
    }
}

/// What lies directly in a folder; nothing in one that is not there.
fn entries(folder: &FilePath) -> io::Result<Vec<fs::DirEntry>> {
    there(fs::read_dir(folder))?.into_iter().flatten().collect()
}

/// None for what another process removed meanwhile.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Held as long as it lives; the file stays, because another process may wait at it.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

fn made(folder: &FilePath) -> Result<LocalFileSystem, String> {
    fs::create_dir_all(folder.join("locks")).map_err(|error| error.to_string())?;
    LocalFileSystem::new_with_prefix(folder).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use volley_model::Limits;

    use super::*;

    fn artifact(text: &str, bytes: usize) -> Artifact {
        let file = Bytes::from(text.repeat(bytes / text.len()));
        Artifact::new(BTreeMap::from([("MLmodel".to_owned(), Bytes::new()), ("data/model.onnx".to_owned(), file)]))
    }

    fn cache(folder: &tempfile::TempDir, bytes_max: u64) -> ModelCache {
        ModelCache::new(folder.path().join("cache"), bytes_max)
    }

    async fn has(cache: &ModelCache, artifact: &Artifact) -> bool {
        let found = cache.get(&artifact.digest(), Bounds::from(&Limits::default())).await.expect("an answer");
        assert!(found.is_none() || found.as_ref() == Some(artifact));
        found.is_some()
    }

    #[tokio::test]
    async fn what_is_kept_is_there_for_another_process_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (cache(&folder, CACHE_BYTES), cache(&folder, CACHE_BYTES));
        let model = artifact("a", 100);
        assert!(!has(&one, &model).await);
        one.keep(&model).await.expect("kept");
        assert!(has(&one, &model).await && has(&other, &model).await);
    }

    #[tokio::test]
    async fn what_is_damaged_or_cut_off_is_not_there_and_is_mended() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cache, model) = (cache(&folder, CACHE_BYTES), artifact("a", 100));
        cache.keep(&model).await.expect("kept");
        let of_model = folder.path().join("cache/artifacts").join(model.digest().as_str());
        for (file, text) in
            [("files/data/model.onnx", Some("b")), ("manifest.json", Some("[")), ("manifest.json", None)]
        {
            let file = of_model.join(file);
            match text {
                Some(text) => fs::write(&file, text).expect("written"),
                None => fs::remove_file(&file).expect("removed"),
            }
            assert!(!has(&cache, &model).await, "{}", file.display());
            cache.keep(&model).await.expect("kept");
            assert!(has(&cache, &model).await, "{}", file.display());
        }
    }

    #[tokio::test]
    async fn what_was_used_the_longest_time_ago_makes_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(&folder, 3_000);
        let [first, second, third] = ["a", "b", "c"].map(|text| artifact(text, 1_000));
        for model in [&first, &second] {
            cache.keep(model).await.expect("kept");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(has(&cache, &first).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        cache.keep(&third).await.expect("kept");
        assert!(has(&cache, &first).await && !has(&cache, &second).await && has(&cache, &third).await);
    }

    #[tokio::test]
    async fn what_another_process_fetches_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (cache(&folder, 1_500), cache(&folder, 1_500));
        let [first, second] = ["a", "b"].map(|text| artifact(text, 1_000));
        one.keep(&first).await.expect("kept");
        let lock = other.lock(&first.digest()).await.expect("free");
        one.keep(&second).await.expect("kept");
        assert!(has(&one, &first).await);
        drop(lock);
        one.keep(&second).await.expect("kept");
        assert!(!has(&one, &first).await && has(&one, &second).await);
    }

    #[test]
    fn whoever_waits_for_a_lock_can_be_called_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cache, digest) = (cache(&folder, CACHE_BYTES), artifact("a", 100).digest());
        let _lock = cache.try_lock(&digest).expect("a folder of locks").expect("free");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let waits = async { tokio::time::timeout(Duration::from_millis(20), cache.lock(&digest)).await };
            runtime.block_on(waits).expect_err("another has it");
            // Waits for the threads that still work for it.
            drop(runtime);
            tell.send(()).expect("somebody listens");
        });
        told.recv_timeout(Duration::from_secs(10)).expect("an end");
    }

    #[tokio::test]
    async fn what_a_process_wrote_when_it_died_takes_room_and_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(&folder, 1_500);
        let [first, second] = ["a", "b"].map(|text| artifact(text, 1_000));
        let files = folder.path().join("cache/artifacts").join(first.digest().as_str()).join("files");
        fs::create_dir_all(&files).expect("made");
        fs::write(files.join("model.onnx#1"), [0; 1_000]).expect("written");
        cache.keep(&second).await.expect("kept");
        assert!(!files.exists() && has(&cache, &second).await);
    }

    #[tokio::test]
    async fn the_folder_may_be_removed_while_it_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cache, model) = (cache(&folder, CACHE_BYTES), artifact("a", 100));
        cache.keep(&model).await.expect("kept");
        fs::remove_dir_all(folder.path().join("cache")).expect("removed");
        let _lock = cache.lock(&model.digest()).await.expect("free");
        assert!(!has(&cache, &model).await);
        cache.keep(&model).await.expect("kept");
        assert!(has(&cache, &model).await);
    }

    #[tokio::test]
    async fn a_version_keeps_the_digest_that_it_had_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(&folder, CACHE_BYTES);
        let [old, new] = ["a", "b"].map(|text| artifact(text, 10).digest());
        assert_eq!(cache.first_digest(("churn", 3), &old).await.expect("recorded").0, old);
        let (found, record) = cache.first_digest(("churn", 3), &new).await.expect("recorded");
        assert_eq!(found, old);
        assert_eq!(cache.first_digest(("churn", 4), &new).await.expect("recorded").0, new);
        fs::remove_file(record).expect("removed");
        assert_eq!(cache.first_digest(("churn", 3), &new).await.expect("recorded").0, new);
    }
}
