//! Where models come from: an embedded registry or an MLflow server, and the folders and files of this machine.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use serde::Serialize;
use volley_model::{Artifact, Limits, ModelError, Runtime};

use crate::artifacts::{self, Bounds};
use crate::blocking::blocking;
use crate::embedded::Embedded;
use crate::error::Error;
use crate::location::{self, LocalModel};
use crate::mlflow::{Fetched, Mlflow, MlflowFault};
use crate::{Golden, MlflowRef, ModelRef, Pin, Registration, Version, Which, folder};

/// What resolves references to models and brings their files.
#[derive(Debug, Clone)]
pub struct Registry {
    home: Home,
    mlflow: Server,
    base: PathBuf,
    limits: Limits,
}

/// Where a name without a scheme is looked up.
#[derive(Debug, Clone)]
enum Home {
    Embedded(Embedded),
    /// Where `models:/…` is looked up too.
    Mlflow,
}

/// Where `models:/…` and `runs:/…` are looked up.
#[derive(Debug, Clone)]
enum Server {
    /// There is none: names of registered models are those of the embedded registry.
    None,
    /// There should be one.
    Unusable(MlflowFault),
    Is(Arc<Mlflow>),
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

/// The files of a version, and what is known of it.
#[derive(Debug)]
pub struct VersionFiles {
    /// All of them.
    pub artifact: Artifact,
    /// For which it was registered; versions of MLflow are registered for none.
    pub runtime: Option<Runtime>,
    fetched: Option<Fetched>,
}

impl VersionFiles {
    /// What to do about an error of the model, where more is known than its files tell.
    pub fn next_step(&self, error: &ModelError) -> Option<String> {
        self.fetched.as_ref()?.next_step(error)
    }
}

impl Registry {
    /// An embedded registry below `root` of a store; `url` is what people call it. Relative locations lie in the
    /// working folder.
    pub fn new(store: Arc<dyn ObjectStore>, root: Path, url: String) -> Self {
        Self::at(Home::Embedded(Embedded::new(store, root, url)))
    }

    /// Opens an embedded registry: a path, a `file:` URL, or `memory:` (empty, and gone with the value). A relative
    /// path, and every relative location that is resolved later, lies under `base`. A folder that is not there yet is
    /// an empty registry, and is made by the first registration.
    pub fn open(url_or_path: &str, base: &FilePath) -> Result<Self, Error> {
        let home = Home::Embedded(Embedded::open(url_or_path, base)?);
        Ok(Registry { base: base.to_owned(), ..Self::at(home) })
    }

    /// The registered models of an MLflow server, or why it cannot be asked: whoever wants a model is told that.
    pub fn of_mlflow(mlflow: Result<Arc<Mlflow>, MlflowFault>) -> Self {
        Self::at(Home::Mlflow).with_mlflow(mlflow)
    }

    fn at(home: Home) -> Self {
        Registry { home, mlflow: Server::None, base: PathBuf::from("."), limits: Limits::default() }
    }

    /// The same registry with an MLflow server for what is written as MLflow writes it, or why there is none.
    pub fn with_mlflow(self, mlflow: Result<Arc<Mlflow>, MlflowFault>) -> Self {
        Registry { mlflow: mlflow.map_or_else(Server::Unusable, Server::Is), ..self }
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
        match (&self.home, &self.mlflow) {
            (Home::Embedded(embedded), _) => embedded.url(),
            (Home::Mlflow, Server::Is(mlflow)) => mlflow.url(),
            (Home::Mlflow, _) => "an MLflow server",
        }
    }

    /// The names of all models with a version, sorted.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        match &self.home {
            Home::Embedded(embedded) => embedded.names().await,
            Home::Mlflow => self.server("its models")?.names().await,
        }
    }

    /// All models with a version, by name.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        match &self.home {
            Home::Embedded(embedded) => embedded.models().await,
            Home::Mlflow => self.server("its models")?.models().await,
        }
    }

    /// The versions of a model of the embedded registry, ascending. Error: `not_on_mlflow`.
    pub async fn versions(&self, name: &str) -> Result<Vec<Version>, Error> {
        self.embedded_to_delete()?.versions(name).await
    }

    /// One version. That of an MLflow server is fetched for it.
    pub async fn version(&self, name: &str, version: u64) -> Result<Version, Error> {
        match &self.home {
            Home::Embedded(embedded) => embedded.version(name, version).await,
            Home::Mlflow => self.server(name)?.version(name, version, &self.limits).await,
        }
    }

    /// A version as its reference names it, if it is one: with its files, tags and aliases.
    pub async fn version_of(&self, pin: &Pin) -> Result<Option<Version>, Error> {
        match (&pin.mlflow, pin.version) {
            (_, None) => Ok(None),
            (None, Some(version)) => self.version(&pin.name, version).await.map(Some),
            (Some(_), Some(version)) => {
                let server = self.server(&pin.reference)?;
                server.version_of(pin.clone(), version, &self.limits).await.map(Some)
            }
        }
    }

    /// The files of a version, which nobody has inspected here, with the runtime that it was registered for, and what
    /// leads on from an error of the model.
    pub async fn files(&self, name: &str, version: u64) -> Result<VersionFiles, Error> {
        match &self.home {
            Home::Embedded(embedded) => {
                let reference = ModelRef::Registered { name: name.to_owned(), which: Which::Number(version) };
                let pin = embedded.pin(&reference, name, &Which::Number(version)).await?;
                let artifact = embedded.kept(&pin.sha256, self.bounds(), &pin.label()).await?;
                Ok(VersionFiles { artifact, runtime: Some(pin.contract.runtime), fetched: None })
            }
            Home::Mlflow => {
                let fetched = self.fetched(&MlflowRef::version(name, version)).await?;
                Ok(VersionFiles { artifact: fetched.artifact.clone(), runtime: None, fetched: Some(fetched) })
            }
        }
    }

    /// A model of the MLflow server, with its files: as a copy of it takes them.
    pub async fn fetched(&self, reference: &MlflowRef) -> Result<Fetched, Error> {
        self.server(&ModelRef::Mlflow(reference.clone()).to_string())?.fetched(reference, &self.limits).await
    }

    /// The golden rows of a version, verified; None if it was registered without. Versions of MLflow have none.
    pub async fn golden(&self, name: &str, version: u64) -> Result<Option<Golden>, Error> {
        match &self.home {
            Home::Embedded(embedded) => embedded.golden(name, version, self.bounds()).await,
            Home::Mlflow => Ok(None),
        }
    }

    /// Makes the next version of a model, and the model with its first.
    ///
    /// After [`Error::Unavailable`] the version may or may not be there; registering again is safe and may
    /// give the same files a second number. Error: `not_on_mlflow`.
    pub async fn register(&self, name: &str, registration: &Registration) -> Result<Version, Error> {
        let instead = "log the model with its client, or name a registry of your own with --registry";
        self.embedded("registered", instead)?.register(name, registration).await
    }

    /// Points an alias at a version, wherever it pointed before.
    pub async fn set_alias(&self, name: &str, alias: &str, version: u64) -> Result<(), Error> {
        match &self.home {
            Home::Embedded(embedded) => embedded.set_alias(name, alias, version).await,
            Home::Mlflow => self.server(name)?.set_alias(name, alias, version).await,
        }
    }

    /// Removes an alias; its version stays.
    pub async fn delete_alias(&self, name: &str, alias: &str) -> Result<(), Error> {
        match &self.home {
            Home::Embedded(embedded) => embedded.delete_alias(name, alias).await,
            Home::Mlflow => self.server(name)?.delete_alias(name, alias).await,
        }
    }

    /// Hides a version and removes the aliases that point to it. Its number is not given again.
    /// Error: `not_on_mlflow`.
    pub async fn delete_version(&self, name: &str, version: u64) -> Result<(), Error> {
        self.embedded_to_delete()?.delete_version(name, version).await
    }

    /// Hides all versions of a model and removes its aliases. A later registration goes on counting.
    /// Error: `not_on_mlflow`.
    pub async fn delete_model(&self, name: &str) -> Result<(), Error> {
        self.embedded_to_delete()?.delete_model(name).await
    }

    /// Fixes what a reference means now. A location, and a model of MLflow, is read and inspected; nothing is loaded.
    pub async fn resolve(&self, reference: &ModelRef) -> Result<Pin, Error> {
        match (reference, &self.home, &self.mlflow) {
            (ModelRef::Location(location), ..) => self.pin_location(location).await,
            (ModelRef::Registered { name, which }, Home::Embedded(embedded), _)
            | (ModelRef::Mlflow(MlflowRef::Registered { name, which }), Home::Embedded(embedded), Server::None) => {
                embedded.pin(reference, name, which).await
            }
            (ModelRef::Registered { name, which }, Home::Mlflow, _) => {
                let meant = MlflowRef::Registered { name: name.clone(), which: which.clone() };
                self.pin_on_mlflow(reference, &meant).await
            }
            (ModelRef::Mlflow(meant), ..) => self.pin_on_mlflow(reference, meant).await,
        }
    }

    /// The pinned files, or [`Error::DigestMismatch`] if others lie there now.
    pub async fn fetch(&self, pin: &Pin) -> Result<Artifact, Error> {
        match (&self.home, pin) {
            (_, Pin { mlflow: Some(_), .. }) => self.server(&pin.reference)?.fetch(pin, self.bounds()).await,
            (Home::Embedded(embedded), Pin { version: Some(_), .. }) => {
                embedded.kept(&pin.sha256, self.bounds(), &pin.label()).await
            }
            // Planned where there was an embedded registry, of which this process knows nothing.
            (Home::Mlflow, Pin { version: Some(_), .. }) => Err(Error::ForeignRegistry {
                label: pin.label(),
                pinned: pin.location.clone(),
                here: self.url().to_owned(),
            }),
            (_, Pin { version: None, .. }) => {
                let artifact = self.read_local(&pin.location).await?.artifact;
                artifacts::verify(&artifact.digest(), &pin.sha256, &pin.label())?;
                Ok(artifact)
            }
        }
    }

    /// The files of a model directory or `.onnx` file, as a registration takes them.
    pub async fn read(&self, location: &str) -> Result<Artifact, Error> {
        Ok(self.read_local(location).await?.artifact)
    }

    /// The MLflow server of the settings. Errors: `mlflow_not_configured`, `mlflow_settings`.
    fn server(&self, reference: &str) -> Result<&Arc<Mlflow>, Error> {
        match &self.mlflow {
            Server::Is(mlflow) => Ok(mlflow),
            Server::Unusable(fault) => Err(fault.clone().into()),
            Server::None => Err(Error::NoMlflow { reference: reference.to_owned() }),
        }
    }

    fn embedded(&self, done: &'static str, instead: &'static str) -> Result<&Embedded, Error> {
        match &self.home {
            Home::Embedded(embedded) => Ok(embedded),
            Home::Mlflow => Err(Error::OnMlflow { server: self.url().to_owned(), done, instead }),
        }
    }

    fn embedded_to_delete(&self) -> Result<&Embedded, Error> {
        self.embedded("deleted", "delete it with MLflow's client or its pages")
    }

    fn bounds(&self) -> Bounds {
        Bounds::from(&self.limits)
    }

    async fn pin_on_mlflow(&self, reference: &ModelRef, meant: &MlflowRef) -> Result<Pin, Error> {
        let written = reference.to_string();
        self.server(&written)?.pin(&written, meant, &self.limits).await
    }

    async fn pin_location(&self, location: &str) -> Result<Pin, Error> {
        let local = self.read_local(location).await?;
        let limits = self.limits;
        let (name, url, artifact) = (local.name(), local.url(), local.artifact);
        let sha256 = artifact.digest();
        let contract = blocking(move || volley_model::inspect(&artifact, &limits)).await?;
        let refused = |source| Error::Model { model: location.to_owned(), next: None, source };
        let (reference, version, mlflow) = (location.to_owned(), None, None);
        Ok(Pin { reference, name, version, sha256, location: url, mlflow, contract: contract.map_err(refused)? })
    }

    async fn read_local(&self, location: &str) -> Result<LocalModel, Error> {
        let path = location::path(location, &self.base)?;
        let bounds = self.bounds();
        let read = move || {
            folder::check(&path)?;
            LocalModel::read(&path, bounds)
        };
        let local = blocking(read).await?;
        local.map_err(|fault| Error::Location { location: location.to_owned(), fault })
    }
}
