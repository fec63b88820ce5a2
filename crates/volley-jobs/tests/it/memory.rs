//! An engine that publishes into memory, which outlives the runs that are opened over it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use volley_commit::{Location, Owner, Waits};
use volley_jobs::{
    Ended, Engine, Error, Facts, Happened, Home, Job, Jobs, Problem, Recorded, Result, State, Submission, Unkept, Work,
};

/// What a store would keep.
pub struct Memory {
    keys: Mutex<BTreeMap<String, (String, String)>>,
    published: Mutex<BTreeMap<String, Value>>,
    begun: Mutex<Vec<String>>,
    /// Lets a run that waits go on to its end, one for each permit.
    pub released: Semaphore,
    names: Mutex<u32>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        let (keys, published, begun, names) = Default::default();
        Arc::new(Self { keys, published, begun, released: Semaphore::new(0), names })
    }

    /// The names of the runs in the order in which their work began.
    pub fn begun(&self) -> Vec<String> {
        lock(&self.begun).clone()
    }

    pub fn published(&self, id: &str) -> Option<Value> {
        lock(&self.published).get(id).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

#[async_trait]
impl Engine for Memory {
    async fn name_run(&self, key: Option<&str>, digest: &str, _body: &Value) -> Result<String, Problem> {
        let mut names = lock(&self.names);
        *names += 1;
        let name = format!("run-{}", *names);
        let Some(key) = key else { return Ok(name) };
        let mut keys = lock(&self.keys);
        let (id, known) = keys.entry(key.to_owned()).or_insert((name, digest.to_owned()));
        match known == digest {
            true => Ok(id.clone()),
            false => Err(Problem::new("key_reused", "another request")),
        }
    }

    async fn run(&self, job: &Job, work: Work) -> Ended {
        lock(&self.begun).push(job.name.clone());
        let result = json!({ "job": job.id, "rows": 1 });
        match job.body["does"].as_str().unwrap_or_default() {
            "fails" => return Ended::Failed(vec![Problem::new("score_failed", "no")]),
            "panics" => panic!("as it was asked to"),
            "waits" => {
                work.teller().note("waiting".to_owned()).await;
                tokio::select! {
                    permit = self.released.acquire() => permit.unwrap().forget(),
                    () = work.stopped() => return Ended::Stopped,
                }
            }
            // Decided before it hears of anything else.
            "decides" => {
                lock(&self.published).insert(job.id.clone(), result);
                work.stopped().await;
                return Ended::Stopped;
            }
            _ => {}
        }
        lock(&self.published).insert(job.id.clone(), result.clone());
        work.teller().published(result.clone()).await;
        Ended::Done(vec![result])
    }

    async fn give_up(&self, job: &Job) -> Result<Option<Vec<Value>>, Problem> {
        Ok(self.published(&job.id).map(|result| vec![result]))
    }

    fn progress(&self, _id: &str) -> Option<Value> {
        None
    }
}

/// Facts in a state, as a server keeps them.
struct InState(volley_commit::Facts);

#[async_trait]
impl Facts for InState {
    async fn write(&self, key: &str, record: Value) -> Result<(), Unkept> {
        self.0.write(key, &record).await.map(drop).map_err(unkept)
    }

    async fn read(&self, key: &str) -> Result<Option<Value>, Unkept> {
        self.0.read(key).await.map_err(unkept)
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, Unkept> {
        self.0.names(folder).await.map_err(unkept)
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }
}

fn unkept(error: volley_commit::Error) -> Unkept {
    Unkept { code: error.code().to_owned(), message: error.to_string(), is_transient: error.is_transient() }
}

/// A folder of runs, and the engine below them.
pub struct Ground {
    pub folder: TempDir,
    pub memory: Arc<Memory>,
}

impl Ground {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), memory: Memory::new() }
    }

    pub async fn try_open(&self) -> Result<Jobs> {
        let recorded = Recorded::read(self.facts(None)).await?;
        Jobs::open(recorded, Home::open(self.folder.path())?, self.memory.clone(), NonZeroUsize::MIN).await
    }

    /// The runs of other facts, with their index here.
    pub async fn open_over(&self, facts: Arc<dyn Facts>) -> Jobs {
        let recorded = Recorded::read(facts).await.unwrap();
        Jobs::open(recorded, Home::open(self.folder.path()).unwrap(), self.memory.clone(), NonZeroUsize::MIN)
            .await
            .unwrap()
    }

    /// The runs that have not ended, as their records say.
    pub async fn unfinished(&self) -> BTreeSet<String> {
        Recorded::read(self.facts(None)).await.unwrap().unfinished()
    }

    pub fn facts(&self, owner: Option<Arc<Owner>>) -> Arc<dyn Facts> {
        Arc::new(InState(volley_commit::Facts::new(&self.state(), "server", owner)))
    }

    pub fn state(&self) -> Location {
        let path = Path::from_absolute_path(self.folder.path()).unwrap();
        let state =
            Location::new(Arc::new(LocalFileSystem::new()), path, format!("file://{}", self.folder.path().display()));
        let short = Duration::from_millis(1);
        Location { waits: Waits { pauses: [short; 3], lease: short, request: short, drain: short }, ..state }
    }

    /// Opens the runs, of which one is under way at a time.
    pub async fn open(&self) -> Jobs {
        self.try_open().await.unwrap()
    }
}

pub fn asked(name: &str, key: Option<&str>, does: &str) -> Submission {
    let body = json!({ "does": does });
    Submission { name: name.to_owned(), key: key.map(str::to_owned), digest: body.to_string(), body }
}

/// Submits a run and gives its id.
pub async fn submit(jobs: &Jobs, name: &str, does: &str) -> String {
    jobs.submit(asked(name, None, does)).await.unwrap().job.id
}

/// Follows a run until it is over, or until the runs are stopped; what was told of it.
pub async fn told(jobs: &Jobs, id: &str, after: u64) -> Vec<String> {
    let mut follower = jobs.follow(id, after).unwrap();
    let mut told = vec![];
    while let Some(event) = follower.next().await {
        told.push(match event.what {
            Happened::State { state, .. } => state.to_string(),
            other => other.name().to_owned(),
        });
    }
    told
}

/// Waits until a run comes into a state.
pub async fn wait_for(jobs: &Jobs, id: &str, wanted: State) {
    let mut follower = jobs.follow(id, 0).unwrap();
    loop {
        match follower.next().await.unwrap().what {
            Happened::State { state, .. } if state == wanted => return,
            _ => {}
        }
    }
}

/// Waits until a run that waits has begun to.
pub async fn wait_for_note(jobs: &Jobs, id: &str) {
    let mut follower = jobs.follow(id, 0).unwrap();
    while !matches!(follower.next().await.unwrap().what, Happened::Note { .. }) {}
}

pub fn code(error: Error) -> String {
    error.code().to_owned()
}
