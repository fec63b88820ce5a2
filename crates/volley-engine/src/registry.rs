//! The registry of the settings, and the MLflow server of the environment.

use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;
use volley_commit::Location;
use volley_connect::{Base, Reach, Stores};
use volley_registry::{Mlflow, MlflowFault, MlflowSettings, ModelCache, Registry, Sources, is_of_mlflow_alone};

use crate::error::EngineError;
use crate::settings::EngineSettings;

/// Opens the registry: an embedded one, in a folder or a bucket, or the models of an MLflow server. What is written as
/// MLflow writes it is that server's in either case.
pub(crate) fn open(
    settings: &EngineSettings,
    runtime: &RuntimeEnv,
    stores: &Arc<Stores>,
) -> Result<Registry, EngineError> {
    let said = settings.registry.as_deref();
    let found = settings.mlflow();
    let mlflow = found.and_then(|found| found.map(|found| server(found, settings, stores)).transpose()).transpose();
    // Names would be looked up where they are not, or found where they are not meant.
    let uri =
        ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"].into_iter().find_map(|name| settings.environment.get(name));
    let is_meant = uri.is_some_and(|uri| !is_of_mlflow_alone(uri));
    let embedded = || embedded(said.unwrap_or(EngineSettings::REGISTRY), settings, runtime);
    match mlflow {
        Some(mlflow) if settings.mlflow_registry().is_some() || (said.is_none() && is_meant) => {
            Ok(Registry::of_mlflow(mlflow))
        }
        Some(mlflow) => Ok(embedded()?.with_mlflow(mlflow)),
        None => embedded(),
    }
}

fn embedded(text: &str, settings: &EngineSettings, runtime: &RuntimeEnv) -> Result<Registry, EngineError> {
    let in_bucket = text.contains("://") && !text.starts_with("file:") && !text.starts_with("memory:");
    if !in_bucket {
        return Ok(Registry::open(text, &settings.registry_base)?);
    }
    let Location { store, prefix, url, .. } = volley_connect::location(text, runtime)?;
    Ok(Registry::new(store, prefix, url))
}

fn server(mlflow: MlflowSettings, settings: &EngineSettings, stores: &Arc<Stores>) -> Result<Arc<Mlflow>, MlflowFault> {
    let cache = ModelCache::new(settings.base.join(&settings.model_folder), settings.model_folder_bytes);
    let sources = ModelSources { stores: stores_of_models(settings, stores)?, base: settings.ground() };
    Ok(Arc::new(Mlflow::new(mlflow, cache, Arc::new(sources))?))
}

/// MLflow has an endpoint of its own for the buckets of artifacts.
fn stores_of_models(settings: &EngineSettings, stores: &Arc<Stores>) -> Result<Arc<Stores>, MlflowFault> {
    let Some(endpoint) = settings.environment.get("MLFLOW_S3_ENDPOINT_URL") else { return Ok(stores.clone()) };
    let mut others = vec![("AWS_ENDPOINT_URL".to_owned(), endpoint.to_owned())];
    if endpoint.starts_with("http://") {
        others.push(("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()));
    }
    let environment = settings.environment.with(others);
    let stores = Stores::new(&settings.connections, environment, settings.store_budget);
    Ok(Arc::new(stores.map_err(|fault| MlflowFault::Settings { reason: fault.to_string() })?))
}

/// The places from which the files of MLflow's models may be read, where its server does not hand them out: those of the
/// connections; and for whoever runs this process themselves, all buckets that the environment opens.
#[derive(Debug)]
struct ModelSources {
    stores: Arc<Stores>,
    /// What stays closed to statements stays closed to models.
    base: Base,
}

impl Sources for ModelSources {
    fn open(&self, url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), String> {
        let of_environment = self.base.reach() == &Reach::Everywhere && url.scheme() != "file";
        let is_closed = self.base.check(url.as_str(), url).is_err();
        let is_open = !is_closed && (self.stores.is_connected(url) || of_environment);
        if !is_open {
            let root = url.join(".").map_or_else(|_| url.to_string(), |folder| folder.to_string());
            return Err(format!("which no connection allows: add one to volley.toml, with url = \"{root}\""));
        }
        let path = Path::from_url_path(url.path()).map_err(|_| "which is no path of a store".to_owned())?;
        let store = self.stores.get_store(url).map_err(|error| format!("which cannot be opened: {error}"))?;
        Ok((store, path))
    }
}
