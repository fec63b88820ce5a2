//! A store in memory that stops before every call until it is told to go on, and fails as remote stores fail.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use tokio::time::Instant;

use super::chance::Chance;

/// Where the one destination lies.
pub(super) const DESTINATION: &str = "out/scores";

/// What lies in the store, and what happens to calls.
pub(super) struct Shared {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) chance: Chance,
    /// Of 1000 calls, how many fail in some way.
    pub(super) faults: u64,
    /// How long a request can be under way and still land.
    pub(super) request: Duration,
    pub(super) calls: u64,
    /// A digest of all calls so far, to compare replays.
    pub(super) trace: u64,
    pub(super) watch: super::watch::Watch,
}

#[derive(Clone)]
pub(super) struct Object {
    pub(super) body: Bytes,
    pub(super) written: SystemTime,
}

/// The calls of one actor that are under way, and the one that may land now.
#[derive(Default)]
pub(super) struct Gates {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
    granted: Option<u64>,
}

impl Gates {
    /// Lets one of the calls that are under way land; none are if the actor sleeps.
    pub(super) fn grant(&mut self, chance: &mut Chance) -> Option<Waker> {
        let nth = chance.below(self.waiting.len().max(1) as u64) as usize;
        let (id, waker) = self.waiting.iter().nth(nth)?;
        self.granted = Some(*id);
        Some(waker.clone())
    }

    pub(super) fn are_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

struct Gate {
    gates: Arc<Mutex<Gates>>,
    id: Option<u64>,
}

impl Future for Gate {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let gates = self.gates.clone();
        let mut gates = gates.lock().expect("one thread");
        let id = *self.id.get_or_insert_with(|| {
            gates.next += 1;
            gates.next
        });
        if gates.granted == Some(id) {
            gates.granted = None;
            gates.waiting.remove(&id);
            return Poll::Ready(());
        }
        gates.waiting.insert(id, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.gates.lock().expect("one thread").waiting.remove(&id);
        }
    }
}

/// The store as one actor sees it.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) gates: Arc<Mutex<Gates>>,
    /// One call moves an object, as on a file system; else a copy and a delete do.
    pub(super) renames: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("client")
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("client")
    }
}

fn lost() -> Error {
    Error::Generic { store: "model", source: "no answer".into() }
}

fn exists(path: &str) -> Error {
    Error::AlreadyExists { path: path.to_owned(), source: "409 or 412".into() }
}

fn missing(path: &str) -> Error {
    Error::NotFound { path: path.to_owned(), source: "404".into() }
}

impl Client {
    async fn call<T>(&self, kind: u64, path: String, call: impl FnOnce(&mut Shared, &str) -> Result<T>) -> Result<T> {
        let sent = Instant::now();
        Gate { gates: self.gates.clone(), id: None }.await;
        let mut shared = self.shared.lock().expect("one thread");
        shared.count(kind, &path);
        // Only calls on the marker and the turn need to be short: all others may land as late as they like.
        let is_bounded = path.contains("_SUCCESS") || path.ends_with(".turn");
        if is_bounded && sent.elapsed() > shared.request {
            return Err(lost());
        }
        call(&mut shared, &path)
    }
}

impl Shared {
    /// Names of attempts differ between replays, the kinds of calls and the folders do not.
    fn count(&mut self, kind: u64, path: &str) {
        self.calls += 1;
        let folder = path.split('/').next().unwrap_or_default();
        for byte in folder.bytes().chain([kind as u8, path.len() as u8]) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn fails(&mut self) -> bool {
        let faults = self.faults;
        self.chance.of_1000(faults)
    }

    pub(super) fn set(&mut self, path: &str, body: Bytes) {
        let written = super::now();
        let before = self.objects.insert(path.to_owned(), Object { body, written });
        self.watch.after_write(&self.objects, path, before.as_ref());
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<()> {
        let gone = self.objects.remove(path).ok_or_else(|| missing(path))?;
        self.watch.after_removal(&self.objects, path, &gone);
        Ok(())
    }

    fn create(&mut self, path: &str, body: Bytes) -> Result<()> {
        let is_there = self.objects.contains_key(path);
        if self.fails() {
            match self.chance.below(100) {
                0..40 => return Err(lost()),
                // It lands and the answer is lost.
                40..70 if is_there => return Err(exists(path)),
                40..70 => {
                    self.set(path, body);
                    return Err(lost());
                }
                // It lands, the client tries again by itself and meets its own write.
                70..85 => {
                    if !is_there {
                        self.set(path, body);
                    }
                    return Err(exists(path));
                }
                // S3's 409: nothing lands, and it is told as if something were there.
                _ => return Err(exists(path)),
            }
        }
        if is_there {
            return Err(exists(path));
        }
        self.set(path, body);
        Ok(())
    }

    /// A call that lands or not, and whose answer is lost either way if it fails.
    fn change(&mut self, change: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if !self.fails() {
            return change(self);
        }
        if self.chance.of_1000(500) {
            let _ = change(self);
        }
        Err(lost())
    }

    fn body(&self, path: &str) -> Result<Bytes> {
        self.objects.get(path).map(|object| object.body.clone()).ok_or_else(|| missing(path))
    }

    fn meta(&self, path: &str) -> Result<ObjectMeta> {
        let object = self.objects.get(path).ok_or_else(|| missing(path))?;
        let (size, last_modified) = (object.body.len() as u64, object.written.into());
        let location = Path::parse(path).expect("it was one when it came in");
        Ok(ObjectMeta { location, last_modified, size, e_tag: None, version: None })
    }
}

#[async_trait::async_trait]
impl ObjectStore for Client {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let body: Bytes = payload.into();
        let put = |shared: &mut Shared, path: &str| match opts.mode {
            PutMode::Create => shared.create(path, body),
            _ => shared.change(|shared| {
                shared.set(path, body);
                Ok(())
            }),
        };
        self.call(1, at.to_string(), put).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".to_owned(), implementer: "the model".to_owned() })
    }

    async fn get_opts(&self, at: &Path, _: GetOptions) -> Result<GetResult> {
        let (meta, body) = self
            .call(2, at.to_string(), |shared, path| match shared.fails() {
                true => Err(lost()),
                false => Ok((shared.meta(path)?, shared.body(path)?)),
            })
            .await?;
        let range = 0..meta.size;
        let payload = GetResultPayload::Stream(futures::stream::once(std::future::ready(Ok(body))).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let client = self.clone();
        let delete = move |path: Result<Path>| {
            let client = client.clone();
            async move {
                let path = path?;
                client.call(3, path.to_string(), |shared, key| shared.change(|shared| shared.remove(key))).await?;
                Ok(path)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (client, prefix) = (self.clone(), prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default());
        let listed = async move {
            let list = |shared: &mut Shared, prefix: &str| match shared.fails() {
                true => Err(lost()),
                false => {
                    let below = shared.objects.range(prefix.to_owned()..).map(|(key, _)| key);
                    let below = below.take_while(|key| key.starts_with(prefix));
                    below.map(|key| shared.meta(key)).collect::<Result<Vec<_>>>()
                }
            };
            match client.call(4, prefix, list).await {
                Ok(found) => found.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        futures::stream::once(listed).flat_map(futures::stream::iter).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(Error::NotImplemented { operation: "list_with_delimiter".to_owned(), implementer: "the model".to_owned() })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        let to = to.to_string();
        let copy = |shared: &mut Shared, from: &str| {
            let body = shared.body(from)?;
            shared.change(|shared| {
                shared.set(&to, body);
                Ok(())
            })
        };
        self.call(5, from.to_string(), copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        use object_store::ObjectStoreExt;
        if !self.renames {
            self.copy_opts(from, to, CopyOptions { extensions: options.extensions, ..Default::default() }).await?;
            return self.delete(from).await;
        }
        let to = to.to_string();
        let rename = |shared: &mut Shared, from: &str| {
            let body = shared.body(from)?;
            shared.change(|shared| {
                shared.objects.remove(from);
                shared.set(&to, body);
                Ok(())
            })
        };
        self.call(6, from.to_string(), rename).await
    }
}
