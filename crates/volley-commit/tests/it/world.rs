//! A state, a staging folder and a destination in memory or on disk, and jobs in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use volley_commit::{
    Attempt, Job, JobId, JobSpec, Location, Mode, Opener, Outcome, Pinned, Recovered, RejectsAt, Result, Root,
    StagedFile, Tally, recover, unfinished,
};

pub use super::faults::{Fault, FaultyStore};

/// Files by path, `None` for a folder: everything that a person would see.
pub type Snapshot = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Disk,
}

pub const KINDS: [Kind; 2] = [Kind::Memory, Kind::Disk];
pub const MODES: [Mode; 4] = [Mode::Error, Mode::Append, Mode::Overwrite, Mode::OverwritePartitions];

pub struct World {
    kind: Kind,
    store: Arc<dyn ObjectStore>,
    root: Path,
    folder: Option<TempDir>,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Memory => {
                let store = Arc::new(InMemory::new());
                Self { kind, store, root: Path::default(), folder: None }
            }
            Kind::Disk => {
                // Thousands of small jobs: a file system in memory, where there is one.
                let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
                let folder = folder.unwrap();
                let root = Path::from_absolute_path(folder.path()).unwrap();
                let store = Arc::new(LocalFileSystem::new());
                Self { kind, store, root, folder: Some(folder) }
            }
        }
    }

    /// The world on disk that another process has made in a folder.
    pub fn there(folder: &std::path::Path) -> Self {
        let root = Path::from_absolute_path(folder).unwrap();
        Self { kind: Kind::Disk, store: Arc::new(LocalFileSystem::new()), root, folder: None }
    }

    pub fn at(&self, name: &str) -> Location {
        self.through(self.store.clone(), name)
    }

    fn through(&self, store: Arc<dyn ObjectStore>, name: &str) -> Location {
        let prefix = self.root.parts().chain(Path::from(name).parts()).collect();
        let url = match self.kind {
            Kind::Memory => format!("memory:///{name}"),
            Kind::Disk => format!("file:///{}/{name}", self.root),
        };
        Location::new(store, prefix, url)
    }

    /// The same world seen through a store that fails at one call.
    pub fn faulty(&self, fault: Fault, at: usize) -> (Arc<FaultyStore>, Sites) {
        let renames = self.kind == Kind::Disk;
        let store = Arc::new(FaultyStore::new(self.store.clone(), renames, fault, at));
        (store.clone(), self.sites_through(store))
    }

    pub fn sites(&self) -> Sites {
        self.sites_through(self.store.clone())
    }

    fn sites_through(&self, store: Arc<dyn ObjectStore>) -> Sites {
        Sites {
            state: self.through(store.clone(), "state"),
            destination: self.through(store.clone(), "out/scores"),
            staging: self.through(store.clone(), "out/.volley-staging"),
            rejects: self.through(store.clone(), "bad/rejects"),
            rejects_staging: self.through(store, "bad/.volley-staging"),
        }
    }

    pub async fn put(&self, path: &str, body: &str) {
        self.store.put(&self.at(path).prefix, body.to_owned().into()).await.unwrap();
    }

    pub async fn remove(&self, path: &str) {
        self.store.delete(&self.at(path).prefix).await.unwrap();
    }

    /// What lies under a folder.
    pub async fn snapshot(&self, name: &str) -> Snapshot {
        match &self.folder {
            Some(folder) => walk(&folder.path().join(name)),
            None => self.listed(name).await,
        }
    }

    async fn listed(&self, name: &str) -> Snapshot {
        let root = self.at(name).prefix;
        let mut seen = Snapshot::new();
        let found: Vec<_> = self.store.list(Some(&root)).try_collect().await.unwrap();
        for meta in found {
            let body = self.store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            let relative = meta.location.as_ref()[root.as_ref().len()..].trim_matches('/');
            seen.insert(relative.to_owned(), Some(body.to_vec()));
        }
        seen
    }

    pub async fn destination(&self) -> Snapshot {
        self.snapshot("out/scores").await
    }

    pub async fn rejects(&self) -> Snapshot {
        self.snapshot("bad/rejects").await
    }

    /// What recovery of this world through `sites` does.
    pub async fn recover(&self, sites: &Sites) -> Result<Vec<Recovered>> {
        let known = sites.clone();
        recover_all(&sites.state, &move |url| known.open(url)).await
    }

    /// The path of a name on disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.as_ref().expect("only a world on disk has paths").path().join(name)
    }

    pub async fn outcome(&self, job: JobId) -> Option<Outcome> {
        let sites = self.sites();
        let known = sites.clone();
        let job = Job::open(&sites.state, job, &move |url| known.open(url)).await.ok()?;
        job.outcome().await.unwrap()
    }
}

/// What an engine does that finds itself alone.
pub async fn recover_all(state: &Location, open: &Opener) -> Result<Vec<Recovered>> {
    let mut recovered = vec![];
    for job in unfinished(state).await? {
        recovered.extend(recover(state, job, open).await);
    }
    Ok(recovered)
}

fn walk(root: &std::path::Path) -> Snapshot {
    let mut seen = Snapshot::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                seen.insert(name, None);
                folders.push(path);
            } else {
                seen.insert(name, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    seen
}

#[derive(Clone, Debug)]
pub struct Sites {
    pub state: Location,
    pub destination: Location,
    pub staging: Location,
    pub rejects: Location,
    pub rejects_staging: Location,
}

impl Sites {
    pub fn open(&self, url: &str) -> Result<Location, Box<dyn std::error::Error + Send + Sync>> {
        let known = [&self.destination, &self.staging, &self.rejects, &self.rejects_staging];
        let found = known.into_iter().find(|location| location.url == url);
        found.cloned().ok_or_else(|| "not one of ours".into())
    }

    pub async fn begin(&self, spec: JobSpec) -> Result<Job> {
        Job::begin(&self.state, &self.destination, &self.staging, spec).await
    }

    /// A job that may reject `max` rows.
    pub async fn begin_rejecting(&self, spec: JobSpec, max: u64) -> Result<Job> {
        let (destination, staging) = (self.rejects.clone(), self.rejects_staging.clone());
        let rejects = Some(RejectsAt { destination, staging, extension: "rows".to_owned(), max });
        Job::begin_pinned(&self.state, &self.destination, &self.staging, rejects, spec, Pinned::default()).await
    }
}

/// The marker.
pub fn success(seen: &Snapshot) -> serde_json::Value {
    serde_json::from_slice(seen["_SUCCESS"].as_ref().unwrap()).unwrap()
}

/// Three splits, so that one can be first, one last and one in between.
pub fn spec(mode: Mode) -> JobSpec {
    let provenance = serde_json::json!({ "sql": "SELECT 1", "models": ["flights/1"] });
    JobSpec {
        job: JobId::new(),
        mode,
        splits: 3,
        extension: "parquet".to_owned(),
        provenance: provenance.as_object().unwrap().clone(),
    }
}

/// Writes one file and names it as sealed.
pub async fn stage(job: &Job, attempt: &Attempt, partition: &str, body: &str) -> Result<StagedFile> {
    let path = attempt.staged_path();
    let written = job.staging().store.put(&path, body.to_owned().into()).await;
    let store_failed = |source| volley_commit::Error::Store { path: path.to_string(), source };
    written.map_err(store_failed)?;
    Ok(StagedFile::object(&path, partition, 1, body.len() as u64))
}

/// The same among the rejects.
pub async fn stage_rejects(job: &Job, attempt: &Attempt, body: &str) -> Result<StagedFile> {
    let path = attempt.rejects_path();
    let written = job.rejects_staging().unwrap().store.put(&path, body.to_owned().into()).await;
    let store_failed = |source| volley_commit::Error::Store { path: path.to_string(), source };
    written.map_err(store_failed)?;
    Ok(StagedFile::object(&path, "", 1, body.len() as u64).of_rejects())
}

pub fn tally(files: &[StagedFile]) -> Tally {
    let rows_of = |root| files.iter().filter(|file| file.root == root).map(|file| file.rows).sum();
    let (rows_out, rejected) = (rows_of(Root::Result), rows_of(Root::Rejects));
    Tally { rows_in: rows_out + rejected, rows_out, rejected, ..Tally::default() }
}

/// Scores a split into one file per named partition.
pub async fn score(job: &Job, split: u32, partitions: &[&str]) -> Result<()> {
    if job.receipt(split).await?.is_some() {
        return Ok(());
    }
    let attempt = job.attempt(split);
    let mut files = vec![];
    for partition in partitions {
        files.push(stage(job, &attempt, partition, &format!("{split} {partition}")).await?);
    }
    if job.rejects_staging().is_some() && split < 2 {
        files.push(stage_rejects(job, &attempt, &format!("{split} rejected")).await?);
    }
    attempt.seal(tally(&files), files).await?;
    Ok(())
}

/// All splits, one with two files in one partition, one without any. Only what is to replace partitions lies in
/// folders alone: without one, it would replace all.
pub async fn score_all(job: &Job, day: &str) -> Result<()> {
    let first = if job.plan().spec.mode == Mode::OverwritePartitions { "day=9" } else { "" };
    score(job, 0, &[first, day]).await?;
    score(job, 1, &[day, day]).await?;
    score(job, 2, &[]).await
}

/// A whole job without a fault.
pub async fn publish(sites: &Sites, spec: JobSpec, day: &str) -> Result<()> {
    let job = sites.begin(spec).await?;
    score_all(&job, day).await?;
    job.commit().await?;
    job.publish().await?;
    Ok(())
}
