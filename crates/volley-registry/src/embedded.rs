//! The embedded registry: a folder of an object store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use url::Url;
use volley_model::{Artifact, Digest};

use crate::artifacts::{self, Bounds};
use crate::error::{Error, LocationFault, Nearest};
use crate::layout::{Layout, Shelf};
use crate::location;
use crate::reference::{has_scheme, is_url};
use crate::settle::{self, Holder};
use crate::version::VersionRecord;
use crate::{Golden, Model, ModelRef, Pin, Registration, Version, Which, records};

/// How many small objects are asked for at once.
const READS_AT_ONCE: usize = 16;

/// Models with their versions and aliases, for any number of readers and writers at once.
///
/// Every version is made by one create-only write, so two registrations never share a number and none is
/// lost. Deleting hides a version and keeps its files: a job that pinned it before can still fetch them.
#[derive(Debug, Clone)]
pub(crate) struct Embedded {
    store: Arc<dyn ObjectStore>,
    layout: Layout,
    url: String,
}

impl Embedded {
    /// A registry below `root` of a store; `url` is what people call it.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: Path, url: String) -> Self {
        Embedded { store, layout: Layout::new(root), url }
    }

    /// Opens a path below `base`, a `file:` URL, or `memory:` (empty, and gone with the value). A folder that is not
    /// there yet is an empty registry, and is made by the first registration.
    pub(crate) fn open(url_or_path: &str, base: &FilePath) -> Result<Self, Error> {
        if matches!(url_or_path, "memory:" | "memory:/" | "memory:///") {
            return Ok(Self::new(Arc::new(InMemory::new()), Path::default(), "memory:".to_owned()));
        }
        let unreadable = |error| Error::Location { location: url_or_path.to_owned(), fault: error };
        if is_url(url_or_path) && !has_scheme(url_or_path) {
            return Err(unreadable(LocationFault::NoPath));
        }
        let folder = location::path(url_or_path, base)?;
        let folder = location::absolute(&folder).map_err(|error| unreadable(LocationFault::Unreadable(error)))?;
        let root = Path::from_absolute_path(&folder)
            .map_err(|error| unreadable(LocationFault::Unreadable(std::io::Error::other(error))))?;
        let url = Url::from_file_path(&folder).expect("the folder is absolute").to_string();
        // Without a prefix: the store would insist that the folder is there.
        Ok(Self::new(Arc::new(LocalFileSystem::new()), root, url))
    }

    /// What people call this registry.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The names of all models with a version, sorted.
    pub(crate) async fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.shelves().await?.into_keys().collect())
    }

    /// All models with a version, by name.
    pub(crate) async fn models(&self) -> Result<Vec<Model>, Error> {
        let shelves = stream::iter(self.shelves().await?);
        shelves.map(|(name, shelf)| self.model(name, shelf)).buffered(READS_AT_ONCE).try_collect().await
    }

    /// The versions of a model, ascending.
    pub(crate) async fn versions(&self, name: &str) -> Result<Vec<Version>, Error> {
        let shelf = self.shelf(name).await?;
        let aliases = self.aliases(name, &shelf).await?;
        let versions = stream::iter(shelf.live().collect::<Vec<_>>());
        versions.map(|version| self.read_version(name, version, &aliases)).buffered(READS_AT_ONCE).try_collect().await
    }

    /// One version.
    pub(crate) async fn version(&self, name: &str, version: u64) -> Result<Version, Error> {
        let shelf = self.shelf_with(name, version).await?;
        let aliases = self.aliases(name, &shelf).await?;
        self.read_version(name, version, &aliases).await
    }

    /// The golden rows of a version, verified; None if it was registered without.
    pub(crate) async fn golden(&self, name: &str, version: u64, bounds: Bounds) -> Result<Option<Golden>, Error> {
        let Some(record) = self.version(name, version).await?.golden else {
            return Ok(None);
        };
        let label = format!("golden rows of {name}/{version}");
        let artifact = self.kept(&record.sha256, bounds, &label).await?;
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
    pub(crate) async fn register(&self, name: &str, registration: &Registration) -> Result<Version, Error> {
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
    pub(crate) async fn set_alias(&self, name: &str, alias: &str, version: u64) -> Result<(), Error> {
        let key = self.layout.alias(name, alias)?;
        self.shelf_with(name, version).await?;
        settle::put(&*self.store, &key, &records::json(&AliasRecord { version })).await
    }

    /// Removes an alias; its version stays.
    pub(crate) async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), Error> {
        let shelf = self.shelf(name).await?;
        if !shelf.aliases().any(|known| known == alias) {
            return Err(unknown_alias(name, alias, &shelf));
        }
        settle::remove(&*self.store, &self.layout.alias(name, alias)?).await
    }

    /// Hides a version and removes the aliases that point to it. Its number is not given again.
    pub(crate) async fn delete_version(&self, name: &str, version: u64) -> Result<(), Error> {
        let shelf = self.shelf_with(name, version).await?;
        self.delete(name, &shelf, &BTreeSet::from([version])).await
    }

    /// Hides all versions of a model and removes its aliases. A later registration goes on counting.
    pub(crate) async fn delete_model(&self, name: &str) -> Result<(), Error> {
        let shelf = self.shelf(name).await?;
        self.delete(name, &shelf, &shelf.live().collect()).await
    }

    /// What a version is scored by.
    pub(crate) async fn pin(&self, reference: &ModelRef, name: &str, which: &Which) -> Result<Pin, Error> {
        let version = match which {
            Which::Number(version) => *version,
            Which::Alias(alias) => self.aliased(name, alias).await?,
            Which::Latest => self.latest(name).await?,
        };
        self.shelf_with(name, version).await?;
        let found = self.read_version(name, version, &BTreeMap::new()).await?;
        Ok(Pin {
            reference: reference.to_string(),
            name: found.name,
            version: Some(version),
            location: format!("{}/artifacts/{}", self.url.trim_end_matches('/'), found.sha256),
            sha256: found.sha256,
            mlflow: None,
            contract: found.contract,
        })
    }

    /// The files of a digest; `label` is the model as users see it.
    pub(crate) async fn kept(&self, digest: &Digest, bounds: Bounds, label: &str) -> Result<Artifact, Error> {
        artifacts::read(&*self.store, &self.layout, digest, bounds, label).await
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
pub(crate) fn listed(all: impl Iterator<Item = String>) -> String {
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
