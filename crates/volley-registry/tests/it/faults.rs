//! Stores whose answers do not tell what happened.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::task::JoinSet;
use volley_registry::Registry;

use crate::model::{artifact, registration};

/// What happens to the first write of each key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// It lands, and its answer is lost.
    LandsButFails,
    /// It lands, and the store's own retry finds it there.
    LandsButExists,
    /// Nothing lands, and the store says that the key exists (S3 answers 409 so).
    ExistsThoughNothing,
    /// Nothing lands.
    Fails,
}

#[derive(Debug)]
struct FaultyStore {
    inner: Arc<InMemory>,
    fault: Fault,
    met: Arc<Mutex<BTreeSet<Path>>>,
    always: bool,
}

impl FaultyStore {
    fn registry(fault: Fault, always: bool) -> Registry {
        let store = FaultyStore { inner: Arc::default(), fault, met: Arc::default(), always };
        Registry::new(Arc::new(store), Path::from("registry"), "faulty:".to_owned())
    }

    fn is_met(&self, key: &Path) -> bool {
        self.met.lock().expect("no test panics while it holds this").insert(key.clone()) || self.always
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

fn lost() -> Error {
    Error::Generic { store: "faulty", source: "connection reset\nby peer".into() }
}

fn exists(key: &Path) -> Error {
    Error::AlreadyExists { path: key.to_string(), source: "409".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, key: &Path, value: PutPayload, options: PutOptions) -> Result<PutResult> {
        if !self.is_met(key) {
            return self.inner.put_opts(key, value, options).await;
        }
        // Only a create is ever told that its key exists.
        let refusal = if options.mode == PutMode::Create { exists(key) } else { lost() };
        if matches!(self.fault, Fault::LandsButFails | Fault::LandsButExists) {
            self.inner.put_opts(key, value, options).await?;
        }
        Err(if matches!(self.fault, Fault::LandsButExists | Fault::ExistsThoughNothing) { refusal } else { lost() })
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let met = Arc::clone(&self.met);
        let deleted = self.inner.delete_stream(keys);
        let answer = move |key: Path| {
            let first = met.lock().expect("no test panics while it holds this").insert(key.clone().join("deleted"));
            future::ready(if first { Err(lost()) } else { Ok(key) })
        };
        deleted.and_then(answer).boxed()
    }

    async fn put_multipart_opts(&self, key: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(key, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Whatever the first answers say, one registration makes one version, and all of it is there.
async fn check_one_version(fault: Fault) {
    let registry = FaultyStore::registry(fault, false);
    let made = registry.register("churn", &registration(2.0)).await.expect("a version");
    assert_eq!(made.version, 1, "{fault:?}");
    registry.set_alias("churn", "champion", 1).await.expect("an alias");
    assert_eq!(registry.versions("churn").await.expect("versions").len(), 1, "{fault:?}");
    let pin = registry.resolve(&"churn@champion".parse().expect("a reference")).await.expect("a pin");
    assert_eq!(registry.fetch(&pin).await.expect("the files"), artifact(2.0), "{fault:?}");
    registry.delete_version("churn", 1).await.expect("a version goes");
    assert_eq!(registry.register("churn", &registration(2.0)).await.expect("a version").version, 2, "{fault:?}");
}

#[tokio::test]
async fn a_write_that_lands_and_fails_makes_one_version() {
    check_one_version(Fault::LandsButFails).await;
}

#[tokio::test]
async fn a_write_that_meets_itself_makes_one_version() {
    check_one_version(Fault::LandsButExists).await;
}

#[tokio::test]
async fn a_key_said_to_exist_though_nothing_landed_is_written() {
    check_one_version(Fault::ExistsThoughNothing).await;
}

#[tokio::test]
async fn a_write_that_fails_once_is_written() {
    check_one_version(Fault::Fails).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_at_once_lose_no_version_under_any_fault() {
    for fault in [Fault::LandsButFails, Fault::LandsButExists, Fault::ExistsThoughNothing, Fault::Fails] {
        let registry = FaultyStore::registry(fault, false);
        let mut tasks = JoinSet::new();
        for task in 0..16u8 {
            let registry = registry.clone();
            let registration = registration(f32::from(task));
            tasks.spawn(async move { registry.register("churn", &registration).await });
        }
        let made = tasks.join_all().await.into_iter().map(|made| made.expect("a version"));
        let mut made: Vec<_> = made.collect();
        made.sort_by_key(|version| version.version);
        assert_eq!(registry.versions("churn").await.expect("versions"), made, "{fault:?}");
        assert_eq!(made.iter().map(|version| version.version).collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_store_that_never_answers_is_worth_another_try() {
    let registry = FaultyStore::registry(Fault::Fails, true);
    let error = registry.register("churn", &registration(1.0)).await.expect_err("no version");
    assert_eq!(error.code(), "registry_unavailable");
    assert!(error.is_transient());
    assert!(!error.to_string().contains('\n'), "{error}");
}
