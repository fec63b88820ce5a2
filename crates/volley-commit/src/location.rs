//! A folder of an object store: where state, staging and destinations lie.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use crate::error::{Error, Result};
use crate::local::LocalFolder;
use crate::owner::Waits;

/// How many store calls of one job are under way at once.
pub(crate) const CONCURRENT_MAX: usize = 32;

/// Runs store calls side by side and gives the first error, after which no more are begun.
///
/// Waits for those under way even then: one that lands after its caller has returned would meet the
/// next attempt at the same work.
pub(crate) async fn run_all(calls: Vec<BoxFuture<'_, Result<()>>>) -> Result<()> {
    let mut waiting = calls.into_iter();
    let mut under_way: FuturesUnordered<_> = waiting.by_ref().take(CONCURRENT_MAX).collect();
    let mut first = Ok(());
    while let Some(answer) = under_way.next().await {
        first = first.and(answer);
        if first.is_ok() {
            under_way.extend(waiting.next());
        }
    }
    first
}

/// A folder of an object store.
#[derive(Clone, Debug)]
pub struct Location {
    /// The store. Staging and destination of a job must see each other's paths in theirs, because
    /// publishing renames within the destination's store.
    pub store: Arc<dyn ObjectStore>,
    /// The folder within the store.
    pub prefix: Path,
    /// The absolute URL of the folder: its identity. One folder must always be spelled the same way.
    pub url: String,
    /// How long records that are kept here, and their owners, wait for what.
    pub waits: Waits,
}

impl Location {
    /// A folder `prefix` of `store`, known as `url` (`file:///…`, `s3://…`; a slash at the end does not matter).
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, url: impl Into<String>) -> Self {
        Self { store, prefix, url: url.into(), waits: Waits::default() }
    }

    /// The URL with exactly one slash at its end, so that a prefix is a containing folder.
    pub(crate) fn folder_url(&self) -> String {
        format!("{}/", self.url.trim_end_matches('/'))
    }

    pub(crate) fn contains(&self, other: &Location) -> bool {
        other.folder_url().starts_with(&self.folder_url())
    }

    /// Whether both lie in one bucket, account or file system, as far as their URLs tell.
    pub(crate) fn shares_store_with(&self, other: &Location) -> bool {
        match (Url::parse(&self.url), Url::parse(&other.url)) {
            (Ok(a), Ok(b)) => a.scheme() == b.scheme() && a.authority() == b.authority(),
            _ => false,
        }
    }

    /// The path of `relative` in the store. Fails on `..` and other segments that are no names.
    pub fn path(&self, relative: &str) -> Result<Path> {
        let relative = Path::parse(relative).map_err(|source| self.failed(&self.prefix, source.into()))?;
        Ok(self.prefix.parts().chain(relative.parts()).collect())
    }

    /// A path of this location's store as people write it: `/data/x` on this machine, else a URL.
    pub fn shown(&self, path: &Path) -> String {
        match Url::parse(&self.url) {
            Ok(url) if url.scheme() == "file" => format!("/{path}"),
            Ok(url) => format!("{}://{}/{path}", url.scheme(), url.authority()),
            Err(_) => path.to_string(),
        }
    }

    /// The error of a call on `path`.
    pub(crate) fn failed(&self, path: &Path, source: object_store::Error) -> Error {
        Error::store(self.shown(path), source)
    }

    /// Every object under `folder`, sizes by path relative to this location.
    pub(crate) async fn files(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        let root = self.path(folder)?;
        let listed: Vec<ObjectMeta> =
            self.store.list(Some(&root)).try_collect().await.map_err(|source| self.failed(&root, source))?;
        Ok(listed.iter().filter_map(|meta| Some((self.relative(&meta.location)?, meta.size))).collect())
    }

    fn relative(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        let names: Vec<&str> = parts.iter().map(|part| part.as_ref()).collect();
        (!names.is_empty()).then(|| names.join("/"))
    }

    /// An object's bytes, or `None` if there is none.
    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        let result = match self.store.get(path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(body) => Ok(Some(body)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(path, source)),
        }
    }

    /// The size of an object, or `None` if there is none.
    pub(crate) async fn size(&self, path: &Path) -> Result<Option<u64>> {
        match self.store.head(path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(path, source)),
        }
    }

    /// When an object was written, by the store's clock, or `None` if there is none.
    pub(crate) async fn written(&self, path: &Path) -> Result<Option<SystemTime>> {
        match self.store.head(path).await {
            Ok(meta) => Ok(Some(meta.last_modified.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(path, source)),
        }
    }

    /// When the newest object under `folder` was written, by the store's clock, or `None` if there is none.
    pub(crate) async fn last_written(&self, folder: &str) -> Result<Option<SystemTime>> {
        let root = self.path(folder.trim_end_matches('/'))?;
        let listed: Vec<ObjectMeta> =
            self.store.list(Some(&root)).try_collect().await.map_err(|source| self.failed(&root, source))?;
        Ok(listed.into_iter().map(|meta| meta.last_modified.into()).max())
    }

    /// The names of the folders in `folder`, in order.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let root = self.path(folder)?;
        let listed = self.store.list_with_delimiter(Some(&root)).await;
        let listed = listed.map_err(|source| self.failed(&root, source))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    /// The error of a call of the operating system below this folder.
    pub(crate) fn failed_on_disk(&self, error: io::Error) -> Error {
        self.failed(&self.prefix, object_store::Error::Generic { store: "disk", source: error.into() })
    }

    /// Makes files outlive a loss of power, on a disk of this machine; a store elsewhere has done so already.
    pub(crate) async fn sync_files(&self, files: Vec<String>) -> Result<()> {
        match LocalFolder::of(self) {
            Some(local) => local.sync_files(files).await.map_err(|error| self.failed_on_disk(error)),
            None => Ok(()),
        }
    }

    /// The same for which names these folders hold.
    pub(crate) async fn sync_folders(&self, folders: BTreeSet<String>) -> Result<()> {
        match LocalFolder::of(self) {
            Some(local) => local.sync_folders(folders).await.map_err(|error| self.failed_on_disk(error)),
            None => Ok(()),
        }
    }

    /// The same for this folder being there.
    pub(crate) async fn sync_itself(&self) -> Result<()> {
        match LocalFolder::of(self) {
            Some(local) => local.sync_itself().await.map_err(|error| self.failed_on_disk(error)),
            None => Ok(()),
        }
    }

    /// Deletes an object; one that is not there is fine.
    pub(crate) async fn delete(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(path, source)),
        }
    }

    /// Deletes objects by their relative paths; those that are not there are fine.
    pub(crate) async fn delete_all(&self, files: impl IntoIterator<Item = &String>) -> Result<()> {
        run_all(files.into_iter().map(|file| async move { self.delete(&self.path(file)?).await }.boxed()).collect())
            .await
    }

    /// Deletes a folder with everything in it, and this location too if that leaves it empty.
    pub(crate) async fn delete_folder(&self, folder: &str) -> Result<()> {
        self.delete_all(self.files(folder).await?.keys()).await?;
        if let Some(local) = LocalFolder::of(self) {
            // A store lists neither folders nor what is left of uploads that were cut off.
            local.remove(folder).await;
            local.remove_if_empty().await;
        }
        Ok(())
    }
}
