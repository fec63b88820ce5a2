//! `volley models import`.

use volley_engine::EngineSettings;
use volley_model::Limits;
use volley_registry::{Fetched, MlflowRef, ModelRef, Registration, Registry, Version};

use crate::args::ImportArgs;
use crate::models::register::{check_rules, tell};
use crate::models::trial::{self, Terms};
use crate::report::Failure;

/// Copies a model of an MLflow server, with its tags and with what tells it from all others there, as the next version
/// of a model of the embedded registry. What is there already is not copied again.
pub async fn import(
    args: &ImportArgs,
    registry: &Registry,
    settings: &EngineSettings,
    json: bool,
) -> Result<(), Failure> {
    check_rules(&args.terms.null_rules)?;
    let fetched = registry.fetched(&source(&args.model)?).await?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => fetched.origin.name.parse().map_err(|error: volley_registry::Error| {
            Failure::new(error.code(), format!("{error}; give it another with --as"))
        })?,
    };
    let terms = Terms::new(&args.terms.null_rules, args.terms.runtime, &settings.runtimes());
    let tried = match trial::try_out(&fetched.artifact, terms).await {
        Ok(tried) => tried,
        Err(failure) => return Err(led_on(failure, &fetched).in_file(&fetched.origin.reference())),
    };
    let mut registration = Registration::new(fetched.artifact, tried.contract);
    registration.trial = Some(tried.trial);
    registration.tags = fetched.tags;
    registration.mlflow = Some(fetched.origin);
    let version = match copied(registry, name.as_str(), &registration).await? {
        Some(known) => known,
        None => registry.register(name.as_str(), &registration).await?,
    };
    tell(registry, version, args.terms.alias.as_ref(), None, json).await
}

/// A name without a scheme is that of a model on the server too: there is nothing else to import from.
fn source(model: &ModelRef) -> Result<MlflowRef, Failure> {
    match model {
        ModelRef::Mlflow(reference) => Ok(reference.clone()),
        ModelRef::Registered { name, which } => Ok(MlflowRef::Registered { name: name.clone(), which: which.clone() }),
        ModelRef::Location(location) => {
            let message = format!("`{location}` lies on no MLflow server: take `volley models register`");
            Err(Failure::new("usage", message))
        }
    }
}

/// The version that is this copy already.
async fn copied(registry: &Registry, name: &str, registration: &Registration) -> Result<Option<Version>, Failure> {
    if !registry.names().await?.iter().any(|known| known == name) {
        return Ok(None);
    }
    let is_it = |version: &Version| {
        version.mlflow == registration.mlflow
            && version.contract == registration.contract
            && version.sha256 == registration.artifact.digest()
    };
    Ok(registry.versions(name).await?.into_iter().rev().find(is_it))
}

/// With what the server knows of a model that cannot be scored as it is.
fn led_on(failure: Failure, fetched: &Fetched) -> Failure {
    if failure.code() != Some("unsupported_flavor") {
        return failure;
    }
    // Of such a model nothing but its MLmodel file is read.
    let refused = volley_model::inspect(&fetched.artifact, &Limits::default()).err();
    match refused.and_then(|error| fetched.next_step(&error)) {
        Some(next) => failure.followed_by(&next),
        None => failure,
    }
}
