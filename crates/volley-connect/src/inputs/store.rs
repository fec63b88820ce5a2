//! Stores that give a pinned file only as it was pinned.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use url::{Position, Url};

use super::{InputFile, Inputs};
use crate::error::ConnectError;

/// The stores of a runtime, through which the files of a job are read as they were pinned. Other objects are
/// read and written as before.
#[derive(Debug)]
pub struct PinnedStores {
    inner: Arc<dyn ObjectStoreRegistry>,
    pins: BTreeMap<String, Arc<Pins>>,
    changed: Arc<OnceLock<(InputFile, String)>>,
}

/// The files of one store.
#[derive(Debug)]
struct Pins {
    files: BTreeMap<String, InputFile>,
    /// The first that was found to be another: readers wrap errors until only their text is left.
    changed: Arc<OnceLock<(InputFile, String)>>,
}

impl PinnedStores {
    /// The stores of `runtime` for the files of `inputs`.
    pub fn new(inputs: &Inputs, runtime: &RuntimeEnv) -> Arc<Self> {
        let changed = Arc::new(OnceLock::new());
        let mut files: BTreeMap<String, BTreeMap<String, InputFile>> = BTreeMap::new();
        for file in &inputs.files {
            files.entry(key(&file.store)).or_default().insert(file.path.clone(), file.clone());
        }
        let pins = |(store, files)| (store, Arc::new(Pins { files, changed: changed.clone() }));
        let pins = files.into_iter().map(pins).collect();
        Arc::new(Self { inner: runtime.object_store_registry.clone(), pins, changed })
    }

    /// The same runtime with these stores in the place of its own.
    pub fn runtime(self: &Arc<Self>, runtime: &RuntimeEnv) -> DataFusionResult<Arc<RuntimeEnv>> {
        RuntimeEnvBuilder::from_runtime_env(runtime).with_object_store_registry(self.clone()).build_arc()
    }

    /// That a file was found to be another than was pinned.
    pub fn changed(&self) -> Option<ConnectError> {
        self.changed.get().map(|(file, how)| file.changed(how.clone()))
    }
}

/// What stores are told apart by: scheme, host and port.
fn key(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| key_of(&url).to_owned())
}

fn key_of(url: &Url) -> &str {
    &url[Position::BeforeScheme..Position::BeforePath]
}

impl ObjectStoreRegistry for PinnedStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.inner.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.inner.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let store = self.inner.get_store(url)?;
        Ok(match self.pins.get(key_of(url)) {
            Some(pins) => Arc::new(PinnedStore { inner: store, pins: pins.clone() }),
            None => store,
        })
    }
}

/// One store with pinned files.
#[derive(Debug)]
struct PinnedStore {
    inner: Arc<dyn ObjectStore>,
    pins: Arc<Pins>,
}

impl PinnedStore {
    fn changed(&self, file: &InputFile, how: &str) -> Error {
        let _ = self.pins.changed.set((file.clone(), how.to_owned()));
        let source = Box::new(file.changed(how.to_owned()));
        Error::Precondition { path: file.path.clone(), source }
    }
}

impl fmt::Display for PinnedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pinned {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for PinnedStore {
    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let Some(file) = self.pins.files.get(location.as_ref()) else {
            return self.inner.get_opts(location, options).await;
        };
        options.if_match = file.condition();
        match self.inner.get_opts(location, options).await {
            Ok(result) => match file.difference(&result.meta) {
                None => Ok(result),
                Some(how) => Err(self.changed(file, &how)),
            },
            Err(Error::Precondition { .. }) => {
                let now = self.inner.head(location).await.ok().and_then(|meta| file.difference(&meta));
                Err(self.changed(file, now.as_deref().unwrap_or("it was written anew")))
            }
            Err(Error::NotFound { .. }) => Err(self.changed(file, "it is gone")),
            Err(error) => Err(error),
        }
    }

    // By way of `get_opts`: the store's own way of reading ranges takes no conditions.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if !self.pins.files.contains_key(location.as_ref()) {
            return self.inner.get_ranges(location, ranges).await;
        }
        let get = |range| async move {
            let options = GetOptions { range: Some(object_store::GetRange::Bounded(range)), ..GetOptions::default() };
            self.get_opts(location, options).await?.bytes().await
        };
        object_store::coalesce_ranges(ranges, get, object_store::OBJECT_STORE_COALESCE_DEFAULT).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
