//! The files of models and golden rows, kept under their digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use volley_model::{Artifact, Digest, Limits, Manifest};

use crate::layout::Layout;
use crate::{Error, LocationFault};
use crate::{records, settle};

const FILES_MAX: usize = 10_000;

/// How much one artifact may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) files_max: usize,
    pub(crate) bytes_max: u64,
}

impl From<&Limits> for Bounds {
    /// All files are held in memory together, so they may be as large as a graph with its external data, and no
    /// larger.
    fn from(limits: &Limits) -> Self {
        Bounds { files_max: FILES_MAX, bytes_max: limits.file_bytes_max as u64 }
    }
}

impl Bounds {
    pub(crate) fn exceeded(&self) -> LocationFault {
        LocationFault::TooLarge { files_max: self.files_max, bytes_max: self.bytes_max }
    }
}

/// Puts the files under their digest, the manifest last.
///
/// Files that lie there already are written again: the bytes are the same for every writer, and what was
/// damaged meanwhile is mended.
pub(crate) async fn keep(store: &dyn ObjectStore, layout: &Layout, artifact: &Artifact) -> Result<Digest, Error> {
    let digest = artifact.digest();
    for (path, bytes) in artifact.files() {
        settle::put(store, &layout.file(&digest, path), bytes).await?;
    }
    settle::put(store, &layout.manifest(&digest), &records::json(artifact.manifest())).await?;
    Ok(digest)
}

/// Reads the files of a digest; `label` is the model as users see it.
///
/// The manifest is verified before any file is asked for, so that it bounds what comes; then the whole.
pub(crate) async fn read(
    store: &dyn ObjectStore,
    layout: &Layout,
    digest: &Digest,
    bounds: Bounds,
    label: &str,
) -> Result<Artifact, Error> {
    let manifest = manifest(store, &layout.manifest(digest)).await?;
    verify(&Digest::of(&manifest), digest, label)?;
    let size = manifest.iter().fold(0, |size: u64, file| size.saturating_add(file.size));
    if manifest.len() > bounds.files_max || size > bounds.bytes_max {
        return Err(Error::Location { location: label.to_owned(), fault: bounds.exceeded() });
    }
    let mut files = BTreeMap::new();
    for file in manifest {
        let bytes = content(store, &layout.file(digest, &file.path), file.size).await?;
        files.insert(file.path, bytes);
    }
    let artifact = Artifact::new(files);
    verify(&artifact.digest(), digest, label)?;
    Ok(artifact)
}

/// Whether the bytes found are the pinned ones.
pub(crate) fn verify(found: &Digest, expected: &Digest, label: &str) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::DigestMismatch { label: label.to_owned(), expected: expected.clone(), found: found.clone() })
}

async fn manifest(store: &dyn ObjectStore, key: &Path) -> Result<Manifest, Error> {
    match records::read(store, key).await? {
        Some(manifest) => Ok(manifest),
        None => Err(missing(key)),
    }
}

/// One byte more than the manifest says is enough to see that a file has grown.
async fn content(store: &dyn ObjectStore, key: &Path, size: u64) -> Result<Bytes, Error> {
    let found = store.get(key).await.map_err(|source| match source {
        object_store::Error::NotFound { .. } => missing(key),
        source => Error::Unavailable { key: key.to_string(), source },
    })?;
    if found.meta.size <= size {
        return found.bytes().await.map_err(|source| Error::Unavailable { key: key.to_string(), source });
    }
    let grown = store.get_range(key, 0..size + 1).await;
    grown.map_err(|source| Error::Unavailable { key: key.to_string(), source })
}

fn missing(key: &Path) -> Error {
    Error::Corrupt { key: key.to_string(), reason: "it is missing".to_owned() }
}
