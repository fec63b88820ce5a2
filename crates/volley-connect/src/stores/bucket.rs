//! A bucket as DataFusion and the commit protocol see it: one store, whatever connections lead into it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::StoreFault;
use super::fault::Asked;
use super::upload::Upload;

/// How many deletions are under way at once.
const DELETES_AT_ONCE: usize = 16;

/// A folder of a bucket, and the client that is used below it.
#[derive(Clone)]
pub(super) struct Route {
    prefix: Path,
    connection: Option<String>,
    store: Arc<dyn ObjectStore>,
}

impl Route {
    pub(super) fn new(prefix: Path, connection: Option<String>, store: Arc<dyn ObjectStore>) -> Self {
        Self { prefix, connection, store }
    }
}

/// Sends each call through the connection of its path, and tells errors in our words.
#[derive(Clone)]
pub(super) struct Bucket {
    /// `s3://lake`.
    url: String,
    /// Longest prefix first.
    routes: Arc<[Route]>,
    instant: Duration,
}

/// One path of a bucket, for the errors of the calls about it.
#[derive(Clone)]
pub(super) struct Place {
    bucket: Bucket,
    path: Path,
    connection: Option<String>,
}

impl Place {
    pub(super) fn told(&self, error: StoreError) -> StoreError {
        let url = format!("{}/{}", self.bucket.url, self.path);
        let bucket = format!("{}/", self.bucket.url);
        Asked { bucket: &bucket, url, connection: self.connection.as_deref() }.told(error)
    }
}

impl Bucket {
    /// A bucket, reached below each of the prefixes of its routes, of which there is at least one.
    pub(super) fn new(url: String, mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.as_ref().len()));
        let instant = instant_of(&url);
        Self { url, routes: routes.into(), instant }
    }

    fn at(&self, path: &Path) -> Result<(&Arc<dyn ObjectStore>, Place)> {
        let place = |connection| Place { bucket: self.clone(), path: path.clone(), connection };
        match self.routes.iter().find(|route| path.prefix_matches(&route.prefix)) {
            Some(route) => Ok((&route.store, place(route.connection.clone()))),
            None => Err(self.no_connection(path)),
        }
    }

    /// The environment is not asked where a connection shows that this bucket is meant to be reached by one.
    fn no_connection(&self, path: &Path) -> StoreError {
        let prefixes: Vec<_> = self.routes.iter().map(|route| format!("{}/{}", self.url, route.prefix)).collect();
        let fault = StoreFault::AccessDenied {
            url: format!("{}/{path}", self.url),
            answer: "no connection".to_owned(),
            hint: format!("the connections of this bucket are for {}", prefixes.join(", ")),
        };
        StoreError::PermissionDenied { path: path.to_string(), source: Box::new(fault) }
    }

    /// DataFusion keeps footers and statistics by path, size and time, whatever bucket they are of: the part of
    /// the time that stores do not give tells buckets apart.
    fn of_this_bucket(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let part = Duration::from_nanos(meta.last_modified.timestamp_subsec_nanos().into());
        meta.last_modified = meta.last_modified - part + self.instant;
        meta
    }

    async fn delete_one(&self, path: Path) -> Result<Path> {
        let (store, place) = self.at(&path)?;
        store.delete(&path).await.map_err(|error| place.told(error))?;
        Ok(path)
    }
}

/// Less than a second, another one for each bucket.
fn instant_of(url: &str) -> Duration {
    // FNV-1a: the same in every process, as plans travel.
    let mixed = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = url.bytes().fold(0xcbf2_9ce4_8422_2325, mixed);
    Duration::from_nanos((hash ^ (hash >> 32)) % 1_000_000_000)
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.url)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (store, place) = self.at(path)?;
        store.put_opts(path, payload, options).await.map_err(|error| place.told(error))
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let (store, place) = self.at(path)?;
        let upload = store.put_multipart_opts(path, options).await.map_err(|error| place.told(error))?;
        Ok(Box::new(Upload::new(upload, store.clone(), path.clone(), place)))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let (store, place) = self.at(path)?;
        let mut found = store.get_opts(path, options).await.map_err(|error| place.told(error))?;
        found.meta = self.of_this_bucket(found.meta);
        found.payload = match found.payload {
            GetResultPayload::Stream(bytes) => {
                GetResultPayload::Stream(bytes.map_err(move |error| place.told(error)).boxed())
            }
            file => file,
        };
        Ok(found)
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (store, place) = self.at(path)?;
        store.get_ranges(path, ranges).await.map_err(|error| place.told(error))
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let bucket = self.clone();
        let deletes = paths.map(move |path| {
            let bucket = bucket.clone();
            async move { bucket.delete_one(path?).await }
        });
        deletes.buffered(DELETES_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = Path::default();
        let (store, place) = match self.at(prefix.unwrap_or(&root)) {
            Ok(at) => at,
            Err(error) => return futures::stream::once(async { Err(error) }).boxed(),
        };
        let bucket = self.clone();
        let listed = store.list(prefix).map_ok(move |meta| bucket.of_this_bucket(meta));
        listed.map_err(move |error| place.told(error)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        let (store, place) = self.at(prefix.unwrap_or(&root))?;
        let mut listed = store.list_with_delimiter(prefix).await.map_err(|error| place.told(error))?;
        listed.objects = listed.objects.into_iter().map(|meta| self.of_this_bucket(meta)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let ((source, _), (store, place)) = (self.at(from)?, self.at(to)?);
        if !Arc::ptr_eq(source, store) {
            let fault = StoreFault::Answered {
                url: format!("{}/{to}", self.url),
                answer: "that it copies nothing from one connection to another".to_owned(),
            };
            return Err(StoreError::NotSupported { source: Box::new(fault) });
        }
        store.copy_opts(from, to, options).await.map_err(|error| place.told(error))
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn bucket(url: &str, routes: &[(&str, &Arc<InMemory>)]) -> Bucket {
        let routes = routes.iter().map(|(prefix, store)| {
            Route::new(Path::from(*prefix), Some((*prefix).to_owned()), Arc::clone(store) as Arc<dyn ObjectStore>)
        });
        Bucket::new(url.to_owned(), routes.collect())
    }

    #[tokio::test]
    async fn a_call_goes_through_the_connection_of_its_path() {
        let (all, team) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        let bucket = bucket("s3://lake", &[("", &all), ("team", &team)]);
        for path in ["team/x", "teams/x", "x"] {
            bucket.put(&Path::from(path), path.into()).await.expect("put");
        }
        assert!(team.head(&Path::from("team/x")).await.is_ok());
        assert!(all.head(&Path::from("team/x")).await.is_err());
        assert!(all.head(&Path::from("teams/x")).await.is_ok() && all.head(&Path::from("x")).await.is_ok());
        let copied = bucket.copy(&Path::from("x"), &Path::from("team/y")).await;
        assert!(matches!(copied, Err(StoreError::NotSupported { .. })));
    }

    #[tokio::test]
    async fn where_only_a_part_of_a_bucket_has_a_connection_the_rest_is_refused() {
        let team = Arc::new(InMemory::new());
        let bucket = bucket("s3://lake", &[("team", &team)]);
        let error = bucket.head(&Path::from("other/x")).await.expect_err("refused");
        let fault = StoreFault::find(&error).expect("ours");
        assert_eq!(fault.code(), "store_access_denied");
        assert!(fault.to_string().contains("s3://lake/team"), "{fault}");
        let listed: Vec<_> = bucket.list(None).collect().await;
        assert!(matches!(listed.as_slice(), [Err(StoreError::PermissionDenied { .. })]));
    }

    #[tokio::test]
    async fn files_of_two_buckets_differ_in_time_and_those_of_one_agree_with_themselves() {
        let store = Arc::new(InMemory::new());
        store.put(&Path::from("x"), "x".into()).await.expect("put");
        let (one, other) = (bucket("s3://one", &[("", &store)]), bucket("s3://other", &[("", &store)]));
        let times = async |bucket: &Bucket| {
            let head = bucket.head(&Path::from("x")).await.expect("there").last_modified;
            let listed: Vec<_> = bucket.list(None).try_collect().await.expect("listed");
            let delimited = bucket.list_with_delimiter(None).await.expect("listed");
            assert_eq!([listed[0].last_modified, delimited.objects[0].last_modified], [head, head]);
            head
        };
        assert_ne!(times(&one).await, times(&other).await);
    }
}
