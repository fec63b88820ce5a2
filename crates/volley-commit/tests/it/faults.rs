//! A store that fails at one chosen call.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the call; nothing it does later reaches the store.
    CrashBefore,
    /// The call lands, then the process dies.
    CrashAfter,
    /// The call lands, the answer is an error.
    LostAnswer,
    /// The call does not land, the answer is an error.
    LostRequest,
    /// A create-only put does not land and is answered "already exists", as S3 does on a 409.
    FalseExists,
    /// Never an error: creates overwrite what is there, as on stores that ignore their condition.
    CreateOverwrites,
    /// The call does not land, because no room is left.
    DiskFull,
    /// The process is really killed before the call: for a child of a test alone.
    Killed,
}

pub const FAULTS: [Fault; 6] =
    [Fault::CrashBefore, Fault::CrashAfter, Fault::LostAnswer, Fault::LostRequest, Fault::FalseExists, Fault::DiskFull];

#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    /// One rename call, as on a file system; else copy and delete, each of which can fail.
    renames: bool,
    fault: Fault,
    at: usize,
    calls: AtomicUsize,
    dead: AtomicBool,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>, renames: bool, fault: Fault, at: usize) -> Self {
        let (calls, dead) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { inner, renames, fault, at, calls, dead }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether the next call goes through, with its outcome to be reported as lost if `Some`.
    fn verdict(&self) -> Verdict {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.dead.load(Ordering::SeqCst) {
            return Verdict { lands: false, answered: false };
        }
        if call != self.at {
            return Verdict { lands: true, answered: true };
        }
        if self.fault == Fault::Killed {
            die();
        }
        let dies = matches!(self.fault, Fault::CrashBefore | Fault::CrashAfter);
        self.dead.store(dies, Ordering::SeqCst);
        let lands = matches!(self.fault, Fault::CrashAfter | Fault::LostAnswer);
        Verdict { lands, answered: false }
    }

    fn error(&self) -> Error {
        let source = match self.fault {
            Fault::DiskFull => std::io::Error::from(std::io::ErrorKind::StorageFull).into(),
            _ => "no answer".into(),
        };
        Error::Generic { store: "faulty", source }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let verdict = self.verdict();
        let answer = if verdict.lands { Some(call.await) } else { None };
        answer.filter(|_| verdict.answered).unwrap_or_else(|| Err(self.error()))
    }
}

/// SIGKILL to this very process: nothing of it is run any more, no destructor and no flush.
fn die() -> ! {
    let process = std::process::id().to_string();
    let sent = std::process::Command::new("kill").args(["-KILL", &process]).status();
    panic!("still alive after {sent:?}");
}

struct Verdict {
    lands: bool,
    answered: bool,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = opts.mode == PutMode::Create;
        let faulted = self.calls() == self.at;
        let opts = match self.fault {
            Fault::CreateOverwrites => PutOptions::default(),
            _ => opts,
        };
        let answer = self.call(self.inner.put_opts(at, payload, opts)).await;
        if faulted && create && self.fault == Fault::FalseExists {
            return Err(Error::AlreadyExists { path: at.to_string(), source: "409".into() });
        }
        answer
    }

    async fn put_multipart_opts(&self, at: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.call(self.inner.put_multipart_opts(at, opts)).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.call(self.inner.get_opts(at, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let verdict = self.verdict();
        if !verdict.lands {
            return futures::stream::once(std::future::ready(Err(self.error()))).boxed();
        }
        let deleted = self.inner.delete_stream(paths);
        let error = self.error();
        match verdict.answered {
            true => deleted,
            false => deleted.collect::<Vec<_>>().map(|_| Err(error)).into_stream().boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.verdict().answered {
            true => self.inner.list(prefix),
            false => futures::stream::once(std::future::ready(Err(self.error()))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.call(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        if self.renames {
            return self.call(self.inner.rename_opts(from, to, options)).await;
        }
        use object_store::ObjectStoreExt;
        self.copy(from, to).await?;
        self.delete(from).await
    }
}
