//! Calls that fail on their way are made again, where the client of a store itself gives up too early.
//!
//! The client tries again what it knows not to have been answered. It does not where a connection goes away in
//! the instant in which a call is given to it, where a listing is cut off, and where an object is cut off that has
//! no mark or has been read for longer than the client tries anything.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, try_unfold};
use futures::{StreamExt, TryStreamExt};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use object_store::{
    ClientOptions, CopyOptions, Error as StoreError, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::fault::is_transient;

/// How long to wait before something is tried for the second time, and at most before any other time.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// Connects as the client does, and tells it of one more way in which a call can be cut off.
#[derive(Debug)]
pub(super) struct Reconnecting;

impl HttpConnector for Reconnecting {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Reconnected(client)))
    }
}

#[derive(Debug)]
struct Reconnected(HttpClient);

#[async_trait]
impl HttpService for Reconnected {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        self.0.execute(request).await.map_err(|error| match error.kind() {
            // Such a call is tried again if carrying it out twice does no harm.
            HttpErrorKind::Unknown if is_canceled(&error) => HttpError::new(HttpErrorKind::Interrupted, error),
            _ => error,
        })
    }
}

/// Whether a connection was gone before it knew what became of a call.
fn is_canceled(error: &HttpError) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        next = error.source();
    }
    false
}

/// What has been tried in vain, since somebody waits for it.
struct Tries {
    until: Instant,
    pause: Duration,
}

impl Tries {
    fn new(budget: Duration) -> Self {
        Self { until: Instant::now() + budget, pause: PAUSES[0] }
    }

    /// Waits a while, if it is worth trying again after such an error.
    async fn again(&mut self, error: &StoreError) -> bool {
        if !is_transient(error) || Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES[1]);
        true
    }
}

/// A store whose reads go on where they were cut off, for as long as the budget says. What changes the store is
/// left to its client, which knows what may be carried out twice.
#[derive(Debug)]
pub(super) struct Patient {
    store: Arc<dyn ObjectStore>,
    budget: Duration,
}

impl Patient {
    pub(super) fn new(store: Arc<dyn ObjectStore>, budget: Duration) -> Self {
        Self { store, budget }
    }

    async fn insist<'a, T>(&self, call: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let mut tries = Tries::new(self.budget);
        loop {
            match call().await {
                Err(error) if tries.again(&error).await => {}
                given => return given,
            }
        }
    }
}

impl fmt::Display for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Patient {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.insist(|| self.store.get_opts(path, options.clone())).await?;
        found.payload = match found.payload {
            GetResultPayload::Stream(body) => {
                let (store, budget) = (self.store.clone(), self.budget);
                let (path, meta) = (path.clone(), found.meta.clone());
                let rest =
                    Rest { store, budget, path, options, meta, body, at: found.range.start, end: found.range.end };
                GetResultPayload::Stream(try_unfold(rest, Rest::next).boxed())
            }
            file => file,
        };
        Ok(found)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, budget) = (self.store.clone(), prefix.cloned(), self.budget);
        let listed = store.list(prefix.as_ref());
        try_unfold(Listing { store, budget, prefix, listed, seen: HashSet::new() }, Listing::next).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.insist(|| self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// What is still to come of an object.
struct Rest {
    store: Arc<dyn ObjectStore>,
    budget: Duration,
    path: Path,
    options: GetOptions,
    /// Of the version that is read.
    meta: ObjectMeta,
    body: BoxStream<'static, Result<Bytes>>,
    at: u64,
    end: u64,
}

impl Rest {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        let mut tries = Tries::new(self.budget);
        while self.at < self.end {
            let error = match self.body.next().await {
                Some(Ok(bytes)) => {
                    self.at += bytes.len() as u64;
                    return Ok(Some((bytes, self)));
                }
                Some(Err(error)) => error,
                None => return Ok(None),
            };
            if !tries.again(&error).await {
                return Err(error);
            }
            let options = GetOptions { range: Some(GetRange::Bounded(self.at..self.end)), ..self.options.clone() };
            self.body = match self.store.get_opts(&self.path, options).await {
                Ok(found) if self.is_of(&found.meta) => found.into_stream(),
                // Another version now: its bytes do not continue these.
                Ok(_) => return Err(error),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            };
        }
        Ok(None)
    }

    fn is_of(&self, found: &ObjectMeta) -> bool {
        let version = |meta: &ObjectMeta| (meta.e_tag.clone(), meta.last_modified, meta.size);
        version(&self.meta) == version(found)
    }
}

/// What is still to come of a listing. It begins anew where it was cut off, as stores differ in their order.
struct Listing {
    store: Arc<dyn ObjectStore>,
    budget: Duration,
    prefix: Option<Path>,
    listed: BoxStream<'static, Result<ObjectMeta>>,
    seen: HashSet<Path>,
}

impl Listing {
    async fn next(mut self) -> Result<Option<(ObjectMeta, Self)>> {
        let mut tries = Tries::new(self.budget);
        loop {
            match self.listed.try_next().await {
                Ok(Some(meta)) if self.seen.insert(meta.location.clone()) => return Ok(Some((meta, self))),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) if tries.again(&error).await => self.listed = self.store.list(self.prefix.as_ref()),
                Err(error) => return Err(error),
            }
        }
    }
}
