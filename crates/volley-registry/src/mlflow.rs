//! Models of an MLflow server: what a reference means there, and the files behind it.
//!
//! The calls and their quirks are those of MLflow 3.17; what older servers leave out is not missed. MLflow keeps no
//! checksum of a version, whose files anybody with write access can replace. So a version is what its files were when it
//! was first used here, by our own digest, and is refused when they are others.

mod answers;
mod client;
mod fault;
mod files;
mod find;
mod place;
mod runs;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::DateTime;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::json;
use volley_model::{Artifact, Contract, Limits, ModelError};

use crate::artifacts::{self, Bounds};
use crate::blocking::blocking;
use crate::cache::ModelCache;
use crate::embedded::listed;
use crate::error::Error;
use crate::{MlflowRef, Model, Origin, Pin, Version, Which};
use answers::{ModelVersion, Models, Nothing, OneModel, Page, Versions};
use client::{Client, Side};
pub use fault::MlflowFault;
use files::Files;
pub use files::{NoSources, Sources};
use find::Found;
use place::Place;
pub use runs::RunRecord;
pub use settings::{Credentials, MlflowSettings, is_of_mlflow_alone};

/// How many models are asked for at once.
const CALLS_AT_ONCE: usize = 8;
/// Models and versions of a page; the most that a server allows of models.
const PAGE: &str = "1000";
/// Pages that are followed. A server that always names a next one would be asked for ever.
const PAGES_MAX: usize = 1_000;

/// An MLflow server, with the models that were fetched from it.
#[derive(Debug)]
pub struct Mlflow {
    client: Client,
    cache: ModelCache,
    sources: Arc<dyn Sources>,
}

/// A model of the server, with its files.
#[derive(Debug)]
pub struct Fetched {
    /// The model as users see it: `churn/3`, or what they wrote.
    pub label: String,
    /// Which model it is.
    pub origin: Origin,
    /// Its files.
    pub artifact: Artifact,
    /// The tags of the version.
    pub tags: BTreeMap<String, String>,
    /// The aliases that point to it.
    pub aliases: Vec<String>,
    place: Place,
}

/// The tag by which a converter leads from a version to its ONNX form.
const CONVERTED_TO: &str = "volley.converted_to";

impl Mlflow {
    /// A server, a cache for its models, and the stores in which it may keep them. Sends nothing yet.
    ///
    /// Error: `mlflow_settings`.
    pub fn new(settings: MlflowSettings, cache: ModelCache, sources: Arc<dyn Sources>) -> Result<Self, MlflowFault> {
        Ok(Mlflow { client: Client::new(settings)?, cache, sources })
    }

    /// Where registered models are asked for.
    pub fn url(&self) -> &str {
        self.client.url(Side::Registry)
    }

    /// The names of all registered models, sorted.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let found = self.search::<Models>("registered-models/search", "").await?;
        let mut names: Vec<_> = found.into_iter().map(|model| model.name).collect();
        names.sort();
        // Pages are cut by position: what is made meanwhile moves others onto the next one too.
        names.dedup();
        Ok(names)
    }

    /// All registered models with a version, by name.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let mut versions = BTreeMap::<String, Vec<u64>>::new();
        for version in self.all_versions(None).await? {
            versions.entry(version.name).or_default().push(version.version);
        }
        let model = |(name, mut versions): (String, Vec<u64>)| async move {
            versions.sort_unstable();
            versions.dedup();
            // A search does not tell aliases.
            let aliases = match self.aliases(&name).await {
                // Deleted since it was listed.
                Err(Error::UnknownModel { .. }) => return Ok(None),
                aliases => aliases?,
            };
            let latest = versions.last().copied().unwrap_or_default();
            Ok::<_, Error>(Some(Model { name, latest, versions, aliases }))
        };
        let models: Vec<_> = stream::iter(versions).map(model).buffered(CALLS_AT_ONCE).try_collect().await?;
        Ok(models.into_iter().flatten().collect())
    }

    /// One version, fetched and inspected.
    pub(crate) async fn version(&self, name: &str, version: u64, limits: &Limits) -> Result<Version, Error> {
        let reference = MlflowRef::version(name, version);
        let pin = self.pin(&reference.to_string(), &reference, limits).await?;
        self.version_of(pin, version, limits).await
    }

    /// A version that is pinned, with what the server says of it now. Its files are here since it was pinned.
    pub(crate) async fn version_of(&self, pin: Pin, version: u64, limits: &Limits) -> Result<Version, Error> {
        let reference = MlflowRef::version(&pin.name, version);
        let Found { origin, tags, aliases, .. } = self.find(&reference).await?;
        let artifact = self.fetch(&pin, Bounds::from(limits)).await?;
        Ok(Version {
            name: pin.name,
            version,
            created: DateTime::from_timestamp_millis(origin.created_ms).unwrap_or_default(),
            sha256: pin.sha256,
            tags,
            aliases,
            golden: None,
            files: artifact.manifest().clone(),
            mlflow: Some(origin),
            contract: pin.contract,
            trial: None,
        })
    }

    /// Points an alias at a version, wherever it pointed before.
    pub async fn set_alias(&self, name: &str, alias: &str, version: u64) -> Result<(), Error> {
        crate::name::check_alias(alias)?;
        let body = json!({ "name": name, "alias": alias, "version": version.to_string() });
        let what = format!("the aliases of model {name}");
        let sent = self.client.send(Side::Registry, Method::POST, "registered-models/alias", &body, &what).await;
        match sent {
            Ok(Nothing {}) => Ok(()),
            Err(fault) => Err(self.not_found(fault, name, &Which::Number(version)).await),
        }
    }

    /// Removes an alias; its version stays.
    pub async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), Error> {
        // The server takes it well when there is none.
        let known = self.aliases(name).await?;
        if !known.contains_key(alias) {
            return Err(unknown_alias(name, alias, &known));
        }
        let body = json!({ "name": name, "alias": alias });
        let what = format!("the aliases of model {name}");
        let Nothing {} =
            self.client.send(Side::Registry, Method::DELETE, "registered-models/alias", &body, &what).await?;
        Ok(())
    }

    /// Fixes what a reference means now; `written` is what the user wrote. The files are fetched, and kept for whoever
    /// loads them.
    pub(crate) async fn pin(&self, written: &str, reference: &MlflowRef, limits: &Limits) -> Result<Pin, Error> {
        let fetched = self.fetched(reference, limits).await?;
        let contract = fetched.inspected(limits).await?;
        Ok(Pin {
            reference: written.to_owned(),
            name: fetched.origin.name.clone(),
            version: fetched.origin.version,
            sha256: fetched.artifact.digest(),
            location: fetched.place.uri(),
            mlflow: Some(fetched.origin),
            contract,
        })
    }

    /// Fetches a model, and refuses it if it is not what it was when it was first used here.
    pub async fn fetched(&self, reference: &MlflowRef, limits: &Limits) -> Result<Fetched, Error> {
        let bounds = Bounds::from(limits);
        let Found { label, origin, place, tags, aliases } = self.find(reference).await?;
        let artifact = self.files(bounds, &label).all(&place).await?;
        let digest = artifact.digest();
        let (recorded, record) = self.cache.first_digest((&origin, place.uri()), &digest).await?;
        if recorded != digest {
            return Err(Error::VersionChanged { label, recorded, found: digest, record: record.display().to_string() });
        }
        // As long as it is written, nobody else writes it, nor removes it for being unused.
        let _lock = self.cache.lock(&digest).await?;
        if self.cache.get(&digest, bounds).await?.is_none() {
            self.cache.keep(&artifact).await?;
        }
        Ok(Fetched { label, origin, artifact, tags, aliases, place })
    }

    /// The pinned files, from the cache or anew.
    pub(crate) async fn fetch(&self, pin: &Pin, bounds: Bounds) -> Result<Artifact, Error> {
        if let Some(artifact) = self.cache.get(&pin.sha256, bounds).await? {
            return Ok(artifact);
        }
        let pinned = pin.mlflow.as_ref().map(|origin| at(&origin.registry, origin.workspace.as_deref()));
        let (pinned, here) = (pinned.unwrap_or_default(), at(self.url(), self.client.workspace()));
        if pinned != here {
            return Err(Error::ForeignRegistry { label: pin.label(), pinned, here });
        }
        // Of several processes on this machine one fetches, and the others find it.
        let _lock = self.cache.lock(&pin.sha256).await?;
        if let Some(artifact) = self.cache.get(&pin.sha256, bounds).await? {
            return Ok(artifact);
        }
        let label = pin.label();
        let place = self.place(&pin.location, &label)?;
        let artifact = self.files(bounds, &label).all(&place).await?;
        artifacts::verify(&artifact.digest(), &pin.sha256, &label)?;
        self.cache.keep(&artifact).await?;
        Ok(artifact)
    }

    fn files<'a>(&'a self, bounds: Bounds, label: &'a str) -> Files<'a> {
        Files { client: &self.client, sources: &*self.sources, bounds, label }
    }

    async fn aliases(&self, name: &str) -> Result<BTreeMap<String, u64>, Error> {
        let what = format!("model {name}");
        let answer: Result<OneModel, _> =
            self.client.get(Side::Registry, "registered-models/get", &[("name", name)], &what).await;
        match answer {
            Ok(found) => {
                Ok(found.registered_model.aliases.into_iter().map(|alias| (alias.alias, alias.version)).collect())
            }
            Err(MlflowFault::Missing { .. }) => Err(self.unknown_model(name).await),
            Err(fault) => Err(fault.into()),
        }
    }

    /// All versions of one model or of all, in the order of their numbers.
    async fn all_versions(&self, name: Option<&str>) -> Result<Vec<ModelVersion>, Error> {
        let filter = name.and_then(of_name).unwrap_or_default();
        let mut versions = self.search::<Versions>("model-versions/search", &filter).await?;
        versions.retain(|version| name.is_none_or(|name| version.name == name));
        versions.sort_by_key(|version| version.version);
        Ok(versions)
    }

    /// All that a search of the registry finds, page after page; an empty filter is none.
    async fn search<P: Page>(&self, path: &str, filter: &str) -> Result<Vec<P::Item>, Error> {
        let mut found = vec![];
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let mut query = vec![("max_results", PAGE), ("filter", filter), ("page_token", &token)];
            query.retain(|(_, value)| !value.is_empty());
            let page: P = self.client.get(Side::Registry, path, &query, "its models").await?;
            let (items, next) = page.turned();
            found.extend(items);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        Ok(found)
    }
}

/// The search for the versions of a model. Quotes cannot be escaped in it; there is none for a name that holds both
/// kinds.
fn of_name(name: &str) -> Option<String> {
    let quote = ['\'', '"'].into_iter().find(|quote| !name.contains(*quote))?;
    Some(format!("name={quote}{name}{quote}"))
}

/// A server and its workspace.
fn at(server: &str, workspace: Option<&str>) -> String {
    match workspace {
        Some(workspace) => format!("workspace {workspace} of {server}"),
        None => server.to_owned(),
    }
}

fn unknown_alias(name: &str, alias: &str, known: &BTreeMap<String, u64>) -> Error {
    let known = listed(known.keys().map(|alias| format!("`{alias}`")));
    Error::UnknownAlias { name: name.to_owned(), alias: alias.to_owned(), known }
}

impl Fetched {
    /// What planning knows of the model.
    async fn inspected(&self, limits: &Limits) -> Result<Contract, Error> {
        let (artifact, limits) = (self.artifact.clone(), *limits);
        let contract = blocking(move || volley_model::inspect(&artifact, &limits)).await?;
        contract.map_err(|source| Error::Model { model: self.label.clone(), next: self.next_step(&source), source })
    }

    /// What to do about an error of the model, where its tags or its name tell more than its files.
    pub fn next_step(&self, error: &ModelError) -> Option<String> {
        match (error.code(), self.tags.get(CONVERTED_TO), self.origin.version) {
            ("unsupported_flavor", Some(converted), _) => Some(format!("it was converted: score {converted}")),
            ("unsupported_flavor", None, Some(_)) if error.converts() => {
                Some(format!("`volley-convert {}` does both", self.origin.reference()))
            }
            _ => None,
        }
    }
}
