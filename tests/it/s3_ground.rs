//! The store that the suite of `volley-commit` runs over here: a bucket of a real S3 server of its own for each world.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use tokio::sync::oneshot;
use volley_commit::Waits;

use super::world::Ground;
use crate::s3_server::{KEY_ID, S3Server, SECRET};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bucket,
}

/// All of them.
pub const KINDS: [Kind; 1] = [Kind::Bucket];

impl Kind {
    /// For what is the same over every store.
    pub const ANY: Self = Self::Bucket;

    /// An empty bucket, reached as users reach theirs.
    pub fn ground(self) -> Ground {
        let serving = Serving::start();
        let store = AmazonS3Builder::new()
            .with_bucket_name("lake")
            .with_region("us-east-1")
            .with_endpoint(&serving.endpoint)
            .with_allow_http(true)
            .with_access_key_id(KEY_ID)
            .with_secret_access_key(SECRET)
            .build()
            .unwrap();
        let short = Duration::from_millis(1);
        Ground {
            store: Arc::new(store),
            root: Path::from("world"),
            url: "s3://lake/world".to_owned(),
            renames: false,
            waits: Waits { pauses: [short; 3], lease: short, request: short, drain: short },
            folder: None,
            _kept: Some(Box::new(serving)),
        }
    }
}

/// A server on a thread of its own, which a world can be made with outside of any task.
struct Serving {
    endpoint: String,
    until: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    fn start() -> Self {
        let (told, endpoint) = std::sync::mpsc::channel();
        let (until, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = S3Server::start().await;
                told.send(server.endpoint()).unwrap();
                let _ = ended.await;
            });
        });
        Self { endpoint: endpoint.recv().unwrap(), until: Some(until), thread: Some(thread) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.until.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the server panicked");
    }
}
