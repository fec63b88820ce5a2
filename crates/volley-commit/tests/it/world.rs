//! A state, a staging folder and a destination in one store, and jobs in them.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use volley_commit::{
    Attempt, Job, JobId, JobSpec, Location, Mode, Opener, Outcome, Pinned, Recovered, RejectsAt, Result, Root,
    StagedFile, Tally, Waits, recover, unfinished,
};

pub use super::faults::{Fault, FaultyStore};
pub use super::stores::{KINDS, Kind};

/// Files by path, `None` for a folder: everything that a person would see.
pub type Snapshot = BTreeMap<String, Option<Vec<u8>>>;

pub const MODES: [Mode; 4] = [Mode::Error, Mode::Append, Mode::Overwrite, Mode::OverwritePartitions];

/// An empty place in a store.
pub struct Ground {
    pub store: Arc<dyn ObjectStore>,
    /// Its path in the store.
    pub root: Path,
    /// Its URL, without a slash at the end.
    pub url: String,
    /// Whether one call moves an object; else a copy and a delete do.
    pub renames: bool,
    pub waits: Waits,
    /// Where it is on this machine, if its folders are to be seen there.
    pub folder: Option<PathBuf>,
    /// What is to live as long.
    pub _kept: Option<Box<dyn Any + Send + Sync>>,
}

pub struct World {
    ground: Ground,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        Self::on(kind.ground())
    }

    pub fn on(ground: Ground) -> Self {
        Self { ground }
    }

    pub fn at(&self, name: &str) -> Location {
        self.through(self.ground.store.clone(), name)
    }

    fn through(&self, store: Arc<dyn ObjectStore>, name: &str) -> Location {
        let Ground { root, url, waits, .. } = &self.ground;
        let prefix = root.parts().chain(Path::from(name).parts()).collect();
        Location { waits: *waits, ..Location::new(store, prefix, format!("{url}/{name}")) }
    }

    /// The same world seen through a store that fails at one call.
    pub fn faulty(&self, fault: Fault, at: usize) -> (Arc<FaultyStore>, Sites) {
        let store = Arc::new(FaultyStore::new(self.ground.store.clone(), self.ground.renames, fault, at));
        (store.clone(), self.sites_through(store))
    }

    pub fn sites(&self) -> Sites {
        self.sites_through(self.ground.store.clone())
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
        self.ground.store.put(&self.at(path).prefix, body.to_owned().into()).await.unwrap();
    }

    pub async fn remove(&self, path: &str) {
        self.ground.store.delete(&self.at(path).prefix).await.unwrap();
    }

    /// What lies under a folder.
    pub async fn snapshot(&self, name: &str) -> Snapshot {
        match &self.ground.folder {
            Some(folder) => walk(&folder.join(name)),
            None => self.listed(name).await,
        }
    }

    async fn listed(&self, name: &str) -> Snapshot {
        let root = self.at(name).prefix;
        let mut seen = Snapshot::new();
        let found: Vec<_> = self.ground.store.list(Some(&root)).try_collect().await.unwrap();
        for meta in found {
            let body = self.ground.store.get(&meta.location).await.unwrap().bytes().await.unwrap();
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
        self.ground.folder.as_ref().expect("only a world on disk has paths").join(name)
    }

    /// Whether folders are there without what lies in them.
    pub fn has_folders(&self) -> bool {
        self.ground.folder.is_some()
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
