//! A registry in a folder of an object store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use url::Url;
use volley_model::{Artifact, Digest, Limits};

use crate::artifacts::{self, Bounds};
use crate::error::{Error, LocationFault, Nearest};
use crate::folder;
use crate::layout::{Layout, Shelf};
use crate::location::{self, LocalModel};
use crate::reference::{has_scheme, is_url};
use crate::settle::{self, Holder};
use crate::version::VersionRecord;
use crate::{Golden, ModelRef, Pin, Registration, Version, records};

/// How many small objects are asked for at once.
const READS_AT_ONCE: usize = 16;

/// Models with their versions and aliases, for any number of readers and writers at once.
///
/// Every version is made by one create-only write, so two registrations never share a number and none is
/// lost. Deleting hides a version and keeps its files: a job that pinned it before can still fetch them.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Arc<dyn ObjectStore>,
    layout: Layout,
    url: String,
    base: PathBuf,
    limits: Limits,
}

/// One model, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// The highest version.
    pub latest: u64,
    /// The versions that are not deleted, ascending.
    pub versions: Vec<u64>,
    /// Each alias with its version.
    pub aliases: BTreeMap<String, u64>,
}

impl Registry {
    /// A registry below `root` of a store; `url` is what people call it. Relative locations lie in the
    /// working folder.
    pub fn new(store: Arc<dyn ObjectStore>, root: Path, url: String) -> Self {
        let layout = Layout::new(root);
        Registry { store, layout, url, base: PathBuf::from("."), limits: Limits::default() }
    }

    /// Opens a path, a `file:` URL, or `memory:` (empty, and gone with the value). A relative path, and every
    /// relative location that is resolved later, lies under `base`. A folder that is not there yet is an
    /// empty registry, and is made by the first registration.
    pub fn open(url_or_path: &str, base: &FilePath) -> Result<Self, Error> {
        let base = base.to_owned();
        if matches!(url_or_path, "memory:" | "memory:/" | "memory:///") {
            let memory = Self::new(Arc::new(InMemory::new()), Path::default(), "memory:".to_owned());
            return Ok(Registry { base, ..memory });
        }
        let unreadable = |error| Error::Location { location: url_or_path.to_owned(), fault: error };
        if is_url(url_or_path) && !has_scheme(url_or_path) {
            return Err(unreadable(LocationFault::NoPath));
        }
        let folder = location::path(url_or_path, &base)?;
        let folder = location::absolute(&folder).map_err(|error| unreadable(LocationFault::Unreadable(error)))?;
        let root = Path::from_absolute_path(&folder)
            .map_err(|error| unreadable(LocationFault::Unreadable(std::io::Error::other(error))))?;
        let url = Url::from_file_path(&folder).expect("the folder is absolute").to_string();
        // Without a prefix: the store would insist that the folder is there.
        Ok(Registry { base, ..Self::new(Arc::new(LocalFileSystem::new()), root, url) })
    }

    /// The same registry with other bounds on models.
    pub fn with_limits(self, limits: Limits) -> Self {
        Registry { limits, ..self }
    }

    /// The same registry with another folder for relative locations: those of a statement lie in the
    /// working folder, whatever settings file named the registry.
    pub fn with_base(self, base: impl Into<PathBuf>) -> Self {
        Registry { base: base.into(), ..self }
    }

    /// What people call this registry.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The names of all models with a version, sorted.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.shelves().await?.into_keys().collect())
    }

    /// All models with a version, by name.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let shelves = stream::iter(self.shelves().await?);
        shelves.map(|(name, shelf)| self.model(name, shelf)).buffered(READS_AT_ONCE).try_collect().await
    }

    /// The versions of a model, ascending.
    pub async fn versions(&self, name: &str) -> Result<Vec<Version>, Error> {
        let shelf = self.shelf(name).await?;
        let aliases = self.aliases(name, &shelf).await?;
        let versions = stream::iter(shelf.live().collect::<Vec<_>>());
        versions.map(|version| self.read_version(name, version, &aliases)).buffered(READS_AT_ONCE).try_collect().await
    }

    /// One version.
    pub async fn version(&self, name: &str, version: u64) -> Result<Version, Error> {
        let shelf = self.shelf_with(name, version).await?;
        let aliases = self.aliases(name, &shelf).await?;
        self.read_version(name, version, &aliases).await
    }

    /// The golden rows of a version, verified; None if it was registered without.
    pub async fn golden(&self, name: &str, version: u64) -> Result<Option<Golden>, Error> {
        let Some(record) = self.version(name, version).await?.golden else {
            return Ok(None);
        };
        let label = format!("golden rows of {name}/{version}");
        let artifact = self.kept(&record.sha256, &label).await?;
        let golden = Golden::from_artifact(&artifact, record.key).ok_or_else(|| Error::Corrupt {
            key: self.layout.manifest(&record.sha256).to_string(),
            reason: "it names no golden rows".to_owned(),
        })?;
        Ok(Some(golden))
    }

    /// Makes the next version of a model, and the model with its first.
    ///
    /// After [`Error::Unavailable`] the version may or may not be there; registering again is safe and may
    /// give the same files a second number.
    pub async fn register(&self, name: &str, registration: &Registration) -> Result<Version, Error> {
        let mut number = self.keys_of(name).await?.next_number();
        artifacts::keep(&*self.store, &self.layout, &registration.artifact).await?;
        if let Some(golden) = &registration.golden {
            artifacts::keep(&*self.store, &self.layout, &golden.artifact()).await?;
        }
        // Whoever meets a taken number tries the next: no number is left out and none is lost.
        loop {
            let version = registration.version(name, number);
            let record = records::json(&VersionRecord::new(version.clone()));
            match settle::create_once(&*self.store, &self.layout.version(name, number)?, &record).await? {
                Holder::Us => return Ok(version),
                Holder::Another => number += 1,
            }
        }
    }

    /// Points an alias at a version, wherever it pointed before.
    pub async fn set_alias(&self, name: &str, alias: &str, version: u64) -> Result<(), Error> {
        let key = self.layout.alias(name, alias)?;
        self.shelf_with(name, version).await?;
        settle::put(&*self.store, &key, &records::json(&AliasRecord { version })).await
    }

    /// Removes an alias; its version stays.
    pub async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), Error> {
        let shelf = self.shelf(name).await?;
        if !shelf.aliases().any(|known| known == alias) {
            return Err(unknown_alias(name, alias, &shelf));
        }
        settle::remove(&*self.store, &self.layout.alias(name, alias)?).await
    }

    /// Hides a version and removes the aliases that point to it. Its number is not given again.
    pub async fn delete_version(&self, name: &str, version: u64) -> Result<(), Error> {
        let shelf = self.shelf_with(name, version).await?;
        self.delete(name, &shelf, &BTreeSet::from([version])).await
    }

    /// Hides all versions of a model and removes its aliases. A later registration goes on counting.
    pub async fn delete_model(&self, name: &str) -> Result<(), Error> {
        let shelf = self.shelf(name).await?;
        self.delete(name, &shelf, &shelf.live().collect()).await
    }

    /// Fixes what a reference means now. A location is read and inspected; nothing is loaded.
    pub async fn resolve(&self, reference: &ModelRef) -> Result<Pin, Error> {
        let (name, version) = match reference {
            ModelRef::Location(location) => return self.pin_location(location).await,
            ModelRef::Version { name, version } => (name, *version),
            ModelRef::Alias { name, alias } => (name, self.aliased(name, alias).await?),
            ModelRef::Latest { name } => (name, self.latest(name).await?),
        };
        self.shelf_with(name, version).await?;
        let found = self.read_version(name, version, &BTreeMap::new()).await?;
        Ok(Pin {
            reference: reference.to_string(),
            name: found.name,
            version: Some(version),
            location: format!("{}/artifacts/{}", self.url.trim_end_matches('/'), found.sha256),
            sha256: found.sha256,
            contract: found.contract,
        })
    }

    /// The pinned files, or [`Error::DigestMismatch`] if others lie there now.
    pub async fn fetch(&self, pin: &Pin) -> Result<Artifact, Error> {
        if pin.version.is_some() {
            return self.kept(&pin.sha256, &pin.label()).await;
        }
        let artifact = self.read_local(&pin.location).await?.artifact;
        artifacts::verify(&artifact.digest(), &pin.sha256, &pin.label())?;
        Ok(artifact)
    }

    /// The files of a model directory or `.onnx` file, as a registration takes them.
    pub async fn read(&self, location: &str) -> Result<Artifact, Error> {
        Ok(self.read_local(location).await?.artifact)
    }

    async fn pin_location(&self, location: &str) -> Result<Pin, Error> {
        let local = self.read_local(location).await?;
        let limits = self.limits;
        let (name, url, artifact) = (local.name(), local.url(), local.artifact);
        let sha256 = artifact.digest();
        let contract = blocking(move || volley_model::inspect(&artifact, &limits)).await?;
        let contract = contract.map_err(|source| Error::Model { model: location.to_owned(), source })?;
        Ok(Pin { reference: location.to_owned(), name, version: None, sha256, location: url, contract })
    }

    async fn read_local(&self, location: &str) -> Result<LocalModel, Error> {
        let path = location::path(location, &self.base)?;
        let bounds = Bounds::from(&self.limits);
        let read = move || {
            folder::check(&path)?;
            LocalModel::read(&path, bounds)
        };
        let local = blocking(read).await?;
        local.map_err(|fault| Error::Location { location: location.to_owned(), fault })
    }

    async fn kept(&self, digest: &Digest, label: &str) -> Result<Artifact, Error> {
        artifacts::read(&*self.store, &self.layout, digest, Bounds::from(&self.limits), label).await
    }

    async fn latest(&self, name: &str) -> Result<u64, Error> {
        Ok(self.shelf(name).await?.latest().expect("a shelf that was given out has a version"))
    }

    async fn aliased(&self, name: &str, alias: &str) -> Result<u64, Error> {
        let shelf = self.shelf(name).await?;
        match self.read_alias(name, alias).await? {
            Some(version) => Ok(version),
            None => Err(unknown_alias(name, alias, &shelf)),
        }
    }

    async fn model(&self, name: String, shelf: Shelf) -> Result<Model, Error> {
        let aliases = self.aliases(&name, &shelf).await?;
        let versions: Vec<u64> = shelf.live().collect();
        let latest = *versions.last().expect("a shelf that was given out has a version");
        Ok(Model { name, latest, versions, aliases })
    }

    /// The aliases that point to a version that is there.
    async fn aliases(&self, name: &str, shelf: &Shelf) -> Result<BTreeMap<String, u64>, Error> {
        let mut aliases = BTreeMap::new();
        for alias in shelf.aliases() {
            if let Some(version) = self.read_alias(name, alias).await?.filter(|version| shelf.holds(*version)) {
                aliases.insert(alias.to_owned(), version);
            }
        }
        Ok(aliases)
    }

    async fn read_alias(&self, name: &str, alias: &str) -> Result<Option<u64>, Error> {
        let record: Option<AliasRecord> = records::read(&*self.store, &self.layout.alias(name, alias)?).await?;
        Ok(record.map(|record| record.version))
    }

    async fn read_version(&self, name: &str, version: u64, aliases: &BTreeMap<String, u64>) -> Result<Version, Error> {
        let key = self.layout.version(name, version)?;
        let record: Option<VersionRecord> = records::read(&*self.store, &key).await?;
        let record =
            record.ok_or_else(|| Error::Corrupt { key: key.to_string(), reason: "it is missing".to_owned() })?;
        let pointing = aliases.iter().filter(|(_, target)| **target == version);
        let aliases = pointing.map(|(alias, _)| alias.clone()).collect();
        Ok(Version { aliases, ..record.checked(&key, name, version)? })
    }

    /// Aliases go first: if the rest fails, the version is still there to be deleted again.
    async fn delete(&self, name: &str, shelf: &Shelf, versions: &BTreeSet<u64>) -> Result<(), Error> {
        for (alias, target) in self.aliases(name, shelf).await? {
            if versions.contains(&target) {
                settle::remove(&*self.store, &self.layout.alias(name, &alias)?).await?;
            }
        }
        for version in versions {
            let tombstone = records::json(&Tombstone::new());
            settle::create_once(&*self.store, &self.layout.deleted(name, *version)?, &tombstone).await?;
        }
        Ok(())
    }

    /// The model's keys, if they hold this version.
    async fn shelf_with(&self, name: &str, version: u64) -> Result<Shelf, Error> {
        let shelf = self.shelf(name).await?;
        if shelf.holds(version) {
            return Ok(shelf);
        }
        let deleted = shelf.was_deleted(version);
        let known = listed(shelf.live().rev().map(|version| version.to_string()));
        Err(Error::UnknownVersion { name: name.to_owned(), version, deleted, known })
    }

    /// The model's keys, if they hold any version.
    async fn shelf(&self, name: &str) -> Result<Shelf, Error> {
        let shelf = self.keys_of(name).await?;
        if shelf.latest().is_some() {
            return Ok(shelf);
        }
        let names = self.names().await?;
        let nearest = Nearest::among(name, names.iter().map(String::as_str));
        Err(Error::UnknownModel { name: name.to_owned(), registry: self.url.clone(), nearest })
    }

    async fn keys_of(&self, name: &str) -> Result<Shelf, Error> {
        let keys = self.keys(&self.layout.model(name)?).await?;
        Ok(self.layout.shelves(&keys).remove(name).unwrap_or_default())
    }

    async fn shelves(&self) -> Result<BTreeMap<String, Shelf>, Error> {
        let keys = self.keys(&self.layout.models()).await?;
        let mut shelves = self.layout.shelves(&keys);
        shelves.retain(|_, shelf| shelf.latest().is_some());
        Ok(shelves)
    }

    async fn keys(&self, folder: &Path) -> Result<Vec<Path>, Error> {
        let keys = self.store.list(Some(folder)).map_ok(|object| object.location);
        keys.try_collect().await.map_err(|source| Error::Unavailable { key: folder.to_string(), source })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct AliasRecord {
    version: u64,
}

#[derive(Debug, Serialize)]
struct Tombstone {
    token: String,
    deleted: DateTime<Utc>,
}

impl Tombstone {
    fn new() -> Self {
        Tombstone { token: uuid::Uuid::now_v7().to_string(), deleted: Utc::now().trunc_subsecs(0) }
    }
}

fn unknown_alias(name: &str, alias: &str, shelf: &Shelf) -> Error {
    let known = listed(shelf.aliases().map(|alias| format!("`{alias}`")));
    Error::UnknownAlias { name: name.to_owned(), alias: alias.to_owned(), known }
}

/// The first few of many, for a message.
fn listed(all: impl Iterator<Item = String>) -> String {
    const SHOWN_MAX: usize = 8;
    let mut all: Vec<String> = all.collect();
    if all.is_empty() {
        return "none".to_owned();
    }
    if all.len() > SHOWN_MAX {
        all.truncate(SHOWN_MAX);
        all.push("…".to_owned());
    }
    all.join(", ")
}

/// Runs what reads disks or parses graphs where it stops nobody else. A runtime that shuts down cancels what
/// has not started.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::Stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_read_while_the_process_stops_is_no_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let handle = runtime.handle().clone();
        // What still runs then asks for a thread of a runtime that has none left to give.
        runtime.shutdown_background();
        let _inside = handle.enter();
        let read = futures::executor::block_on(blocking(|| ()));
        assert_eq!(read.expect_err("nothing was read").code(), "interrupted");
    }
}
