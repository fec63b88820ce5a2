//! A real S3 server (`s3s-fs`) on loopback, in the process of the tests, with bad weather on the way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{RwLock, watch};
use tokio::task::{JoinHandle, JoinSet};
use volley_engine::{Connection, EngineSettings, Environment, SecretRef};

/// What the server takes for the right key. Neither may ever be read anywhere else.
pub const KEY_ID: &str = "KEYIDCANARY0417";
pub const SECRET: &str = "SECRETCANARY0417";

/// A server with the buckets `lake` and `other`, until it is dropped.
pub struct S3Server {
    pub weather: Arc<Weather>,
    folder: TempDir,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl S3Server {
    /// A server that wants signed requests.
    pub async fn start() -> Self {
        Self::start_with(true).await
    }

    /// A server that anybody may read from, as one may from the web.
    pub async fn start_open() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(is_closed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for bucket in ["lake", "other"] {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        let weather = Arc::new(Weather::fair());
        let files = Arc::new(FileSystem::new(folder.path()).unwrap());
        let (root, change) = (folder.path().to_path_buf(), Arc::new(RwLock::new(())));
        let mut service = S3ServiceBuilder::new(Stormy { root, files, weather: weather.clone(), change });
        if is_closed {
            service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        }
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut dark = weather.dark.subscribe();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (socket, _) = accepted.unwrap();
                        if *dark.borrow() {
                            // The other side finds its connection closed.
                            continue;
                        }
                        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone()));
                    }
                    _ = dark.changed() => {
                        if *dark.borrow() {
                            connections.abort_all();
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { weather, folder, address, accepting }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets an engine reach the bucket `lake`, as `volley.toml` does.
    pub fn connect(&self, settings: &mut EngineSettings) {
        let names = [("LAKE_KEY_ID", KEY_ID), ("LAKE_SECRET", SECRET)];
        settings.environment = Environment::of(names.map(|(name, value)| (name.to_string(), value.to_string())));
        settings.connections = BTreeMap::from([
            ("lake".to_string(), self.connection("s3://lake/")),
            ("other".to_string(), self.connection("s3://other/")),
        ]);
    }

    /// A connection to a bucket with the right key.
    pub fn connection(&self, url: &str) -> Connection {
        Connection {
            url: url.to_string(),
            endpoint: Some(self.endpoint()),
            access_key_id: Some(SecretRef::Env("LAKE_KEY_ID".to_string())),
            secret_access_key: Some(SecretRef::Env("LAKE_SECRET".to_string())),
            ..Connection::default()
        }
    }

    /// The same as a part of `volley.toml`.
    pub fn settings(&self) -> String {
        format!(
            "[connections.lake]\nurl = 's3://lake/'\nendpoint = '{}'\n\
             access_key_id = {{ env = 'LAKE_KEY_ID' }}\nsecret_access_key = {{ env = 'LAKE_SECRET' }}\n",
            self.endpoint()
        )
    }

    /// Where the objects of a bucket lie on this machine.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The objects below a prefix of the bucket `lake`, by name, with their bytes.
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.bucket("lake").join(prefix);
        let mut objects = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => {
                        let name = path.strip_prefix(&root).unwrap().display().to_string();
                        objects.insert(name, std::fs::read(path).unwrap());
                    }
                }
            }
        }
        objects
    }

    /// Puts the files of a folder of this machine below a prefix of a bucket.
    pub fn upload(&self, from: &Path, bucket: &str, prefix: &str) {
        let to = self.bucket(bucket).join(prefix);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            match entry.path() {
                path if path.is_dir() => self.upload(&path, bucket, &format!("{prefix}/{name}")),
                path => drop(std::fs::copy(path, to.join(name)).unwrap()),
            }
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What happens to calls on their way: the same for the same seed, as far as the order of calls is.
pub struct Weather {
    /// Calls in a thousand that are answered 503: half of them before they are carried out, half of them after.
    refused: AtomicU64,
    /// Calls in a thousand that take a while.
    slow: AtomicU64,
    chance: AtomicU64,
    /// Calls of these names are carried out and answered as if they were not.
    lost: Mutex<BTreeSet<&'static str>>,
    counted: watch::Sender<Counted>,
    /// The objects that somebody has asked for.
    asked: Mutex<BTreeSet<String>>,
    /// The change that is to meet a blackout.
    dark_at: AtomicU64,
    dark: watch::Sender<bool>,
}

/// How many calls came, and what became of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub calls: u64,
    /// Of them, those that change an object.
    pub changes: u64,
    /// Of the calls, those that were refused and not carried out.
    pub refused: u64,
    /// Those that were carried out and answered as if they were not.
    pub lost: u64,
}

impl Weather {
    fn fair() -> Self {
        Self {
            refused: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            chance: AtomicU64::new(1),
            lost: Mutex::default(),
            counted: watch::Sender::default(),
            asked: Mutex::default(),
            dark_at: AtomicU64::new(u64::MAX),
            dark: watch::Sender::new(false),
        }
    }

    /// From now on so many calls in a hundred are answered 503, and as many are slow.
    pub fn storm(&self, percent: u64, seed: u64) {
        self.chance.store(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, Ordering::Relaxed);
        self.refused.store(percent * 10, Ordering::Relaxed);
        self.slow.store(percent * 10, Ordering::Relaxed);
    }

    /// From now on no answer to a call of this name arrives that says that it was carried out.
    pub fn lose(&self, call: &'static str) {
        self.lost.lock().unwrap().insert(call);
    }

    /// For a while nobody is answered, and whoever is connected is no more.
    pub async fn blackout(&self, time: Duration) {
        self.dark.send_replace(true);
        tokio::time::sleep(time).await;
        self.dark.send_replace(false);
    }

    /// The keys that were asked for since this was asked before, whatever was answered.
    pub fn asked(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub fn counted(&self) -> Counted {
        *self.counted.borrow()
    }

    /// The same from the call on that is to be the so many-th from now to change an object, which is not carried
    /// out, until the next blackout ends. Returns when it begins.
    pub async fn dark_at(&self, change: u64) {
        self.dark_at.store(self.counted().changes + change, Ordering::Relaxed);
        self.dark.subscribe().wait_for(|dark| *dark).await.unwrap();
    }

    /// The same for a while. Says when it began.
    pub async fn blackout_at(&self, change: u64, time: Duration) -> Instant {
        self.dark_at(change).await;
        let began = Instant::now();
        self.blackout(time).await;
        began
    }

    /// Ends when so many more calls have come that change an object.
    pub async fn changes(&self, more: u64) {
        let wanted = self.counted().changes + more;
        self.counted.subscribe().wait_for(|counted| counted.changes >= wanted).await.unwrap();
    }

    /// A number below a thousand.
    fn draw(&self) -> u64 {
        let next = |state: u64| {
            let state = state ^ (state << 13);
            let state = state ^ (state >> 7);
            Some(state ^ (state << 17))
        };
        let state = self.chance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap();
        (state >> 20) % 1000
    }

    /// Lets a call through, or not; and its answer, or not.
    async fn pass<T>(&self, name: &'static str, changes: bool, call: BoxFuture<'static, S3Result<T>>) -> S3Result<T>
    where
        T: Send + 'static,
    {
        let (fate, slow) = (self.draw(), self.draw() < self.slow.load(Ordering::Relaxed));
        let refused = self.refused.load(Ordering::Relaxed);
        let (is_refused, is_lost) = (fate < refused / 2, fate >= refused / 2 && fate < refused);
        self.counted.send_modify(|counted| {
            counted.calls += 1;
            counted.changes += u64::from(changes);
            counted.refused += u64::from(is_refused);
            counted.lost += u64::from(is_lost);
        });
        if changes && self.counted().changes >= self.dark_at.load(Ordering::Relaxed) {
            self.dark_at.store(u64::MAX, Ordering::Relaxed);
            self.dark.send_replace(true);
            // Until the connection is cut off.
            std::future::pending::<()>().await;
        }
        if slow {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if is_refused {
            return Err(s3_error!(SlowDown));
        }
        // On its own: a real server ends what it has begun, whether or not anybody waits for the answer.
        let answer = tokio::spawn(call).await.unwrap();
        let is_lost = is_lost || (answer.is_ok() && self.lost.lock().unwrap().contains(name));
        if is_lost { Err(s3_error!(SlowDown)) } else { answer }
    }
}

/// The server's store, in the weather.
struct Stormy {
    root: PathBuf,
    files: Arc<FileSystem>,
    weather: Arc<Weather>,
    /// `s3s-fs` looks whether an object is there and then writes it, and writes it and then what it knows of
    /// it: a real server does each in one step.
    change: Arc<RwLock<()>>,
}

/// Whether the object with this mark is the one that is asked for.
fn is_wanted(wanted: Option<ETagCondition>, mark: Option<&ETag>) -> bool {
    match wanted {
        Some(ETagCondition::ETag(wanted)) => mark.is_some_and(|mark| mark.strong_cmp(&wanted)),
        Some(ETagCondition::Any) | None => true,
    }
}

macro_rules! pass {
    (
        objects { $($object:ident: $object_in:ident -> $object_out:ident,)* }
        changes { $($change:ident: $in:ident -> $out:ident,)* }
    ) => {
        #[async_trait::async_trait]
        impl S3 for Stormy {
            $(async fn $object(&self, request: S3Request<$object_in>) -> S3Result<S3Response<$object_out>> {
                let (files, change) = (self.files.clone(), self.change.clone());
                let path = self.root.join(&request.input.bucket).join(&request.input.key);
                let wanted = request.input.if_match.clone();
                self.weather.asked.lock().unwrap().insert(request.input.key.clone());
                let call = async move {
                    let _unchanged = change.read().await;
                    // On a disk the beginning of a name is a folder; in a bucket it is nothing.
                    if path.is_dir() {
                        return Err(s3_error!(NoSuchKey));
                    }
                    // `s3s-fs` takes no conditions here; a real server does.
                    match files.$object(request).await? {
                        found if is_wanted(wanted, found.output.e_tag.as_ref()) => Ok(found),
                        _ => Err(s3_error!(PreconditionFailed)),
                    }
                };
                self.weather.pass(stringify!($object), false, Box::pin(call)).await
            })*
            async fn list_objects_v2(
                &self,
                request: S3Request<ListObjectsV2Input>,
            ) -> S3Result<S3Response<ListObjectsV2Output>> {
                let (files, change) = (self.files.clone(), self.change.clone());
                let call = async move {
                    let _unchanged = change.read().await;
                    let mut listed = files.list_objects_v2(request.clone()).await?;
                    // `s3s-fs` lists no marks; a real server does.
                    for object in listed.output.contents.iter_mut().flatten() {
                        let head = HeadObjectInput {
                            bucket: request.input.bucket.clone(),
                            key: object.key.clone().unwrap_or_default(),
                            ..HeadObjectInput::default()
                        };
                        object.e_tag = files.head_object(request.clone().map_input(|_| head)).await?.output.e_tag;
                    }
                    Ok(listed)
                };
                self.weather.pass("list_objects_v2", false, Box::pin(call)).await
            }
            $(async fn $change(&self, request: S3Request<$in>) -> S3Result<S3Response<$out>> {
                let (files, change) = (self.files.clone(), self.change.clone());
                let bucket = self.root.join(&request.input.bucket);
                let call = async move {
                    let _alone = change.write().await;
                    // On a disk a folder is made where one is missing; a bucket is not.
                    if bucket.is_dir() { files.$change(request).await } else { Err(s3_error!(NoSuchBucket)) }
                };
                self.weather.pass(stringify!($change), true, Box::pin(call)).await
            })*
        }
    };
}

pass! {
    objects {
        get_object: GetObjectInput -> GetObjectOutput,
        head_object: HeadObjectInput -> HeadObjectOutput,
    }
    changes {
        put_object: PutObjectInput -> PutObjectOutput,
        copy_object: CopyObjectInput -> CopyObjectOutput,
        delete_object: DeleteObjectInput -> DeleteObjectOutput,
        delete_objects: DeleteObjectsInput -> DeleteObjectsOutput,
        create_multipart_upload: CreateMultipartUploadInput -> CreateMultipartUploadOutput,
        upload_part: UploadPartInput -> UploadPartOutput,
        complete_multipart_upload: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput,
        abort_multipart_upload: AbortMultipartUploadInput -> AbortMultipartUploadOutput,
    }
}
