//! `volley models register`.

use std::collections::HashSet;

use serde::Serialize;
use volley_engine::{Engine, EngineSettings};
use volley_registry::{AliasName, ModelRef, Registration, Registry, Version, Which};

use crate::answer::print;
use crate::args::{InputRule, Pair, RegisterArgs};
use crate::models::comparison::Fault;
use crate::models::sample::{Sample, read_golden};
use crate::models::show::costs;
use crate::models::trial::Terms;
use crate::models::{scoring, trial};
use crate::report::Failure;

/// Makes the next version of a model, once the model has been loaded and gives the scores of its golden rows.
pub async fn register(
    args: &RegisterArgs,
    registry: &Registry,
    settings: EngineSettings,
    json: bool,
) -> Result<(), Failure> {
    check_rules(&args.terms.null_rules)?;
    let artifact = registry.read(&args.location).await?;
    let terms = Terms::new(&args.terms.null_rules, args.terms.runtime, &settings.runtimes());
    let tried = trial::try_out(&artifact, terms).await.map_err(|failure| failure.in_file(&args.location))?;
    let mut registration = Registration::new(artifact, tried.contract);
    registration.trial = Some(tried.trial);
    registration.tags = args.tags.iter().map(|Pair { name, value }| (name.clone(), value.clone())).collect();
    let mut accepted = None;
    if let (Some(input), Some(expected)) = (&args.golden, &args.expected) {
        registration.golden = Some(read_golden(input, expected, args.key.as_deref())?);
        accepted = accept(args, &registration, settings).await?;
    }
    let version = registry.register(args.name.as_str(), &registration).await?;
    tell(registry, version, args.terms.alias.as_ref(), accepted, json).await
}

/// Sets the alias of a version that was just made, and prints what there is now.
pub async fn tell(
    registry: &Registry,
    version: Version,
    alias: Option<&AliasName>,
    accepted: Option<Accepted>,
    json: bool,
) -> Result<(), Failure> {
    if let Some(alias) = alias {
        set_alias(registry, &version, alias).await?;
    }
    let version = registry.version(&version.name, version.version).await?;
    let registered = Registered { version, accepted };
    print(&registered, || text(&registered), json)
}

/// What is told of a registration.
#[derive(Serialize)]
struct Registered {
    #[serde(flatten)]
    version: Version,
    #[serde(rename = "golden_comparison", skip_serializing_if = "Option::is_none")]
    accepted: Option<Accepted>,
}

/// How the golden rows compared.
#[derive(Debug, Serialize)]
pub struct Accepted {
    rows: usize,
    largest_difference: f64,
}

/// Scores the golden rows with the model as it is going to be registered, in a registry of memory alone.
async fn accept(
    args: &RegisterArgs,
    registration: &Registration,
    settings: EngineSettings,
) -> Result<Option<Accepted>, Failure> {
    let Some(golden) = &registration.golden else { return Ok(None) };
    let engine = Engine::open(EngineSettings { registry: Some("memory:".to_string()), ..settings }).await?;
    let (registry, name) = (engine.registry(), args.name.as_str());
    let version = registry.register(name, registration).await?.version;
    let pin = registry.resolve(&ModelRef::Registered { name: name.to_string(), which: Which::Number(version) }).await?;
    let compared = scoring::compare(&engine, &pin, &Sample::of_golden(golden)?, &args.outputs, args.tolerance).await;
    // Its number in the registry of memory means nothing to the user.
    let comparison = compared.map_err(|failure| failure.reworded(&pin.label(), name))?;
    match comparison.fault() {
        None => Ok(Some(Accepted { rows: comparison.rows, largest_difference: comparison.largest_difference })),
        Some(Fault::NotCompared) => Err(Failure::new("output_not_compared", comparison.verdict())),
        Some(Fault::Differs) => {
            let message = format!("the model does not give the scores of its golden rows: {}", comparison.verdict());
            Err(Failure::new("golden_mismatch", message))
        }
    }
}

/// Of two rules for an input one would be dropped.
pub fn check_rules(rules: &[InputRule]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    match rules.iter().find(|rule| !seen.insert(&rule.input)) {
        None => Ok(()),
        Some(InputRule { input, .. }) => {
            Err(Failure::new("usage", format!("--null gives input `{input}` two rules: give it one")))
        }
    }
}

async fn set_alias(registry: &Registry, version: &Version, alias: &AliasName) -> Result<(), Failure> {
    let Version { name, version, .. } = version;
    registry.set_alias(name, alias.as_str(), *version).await.map_err(|error| {
        let message = format!("{name}/{version} is registered, and its alias is not set: {error}");
        Failure::new(error.code(), message)
    })
}

fn text(Registered { version, accepted }: &Registered) -> String {
    let aliases: String = version.aliases.iter().map(|alias| format!(" as {}@{alias}", version.name)).collect();
    let copied =
        version.mlflow.as_ref().map(|origin| format!("a copy of {} of {}", origin.reference(), origin.registry));
    let head = format!("registered {}/{} sha256:{}{aliases}", version.name, version.version, version.sha256.short());
    let golden = accepted.as_ref().map(|Accepted { rows, largest_difference }| {
        format!("{rows} golden rows scored as expected, the largest difference is {largest_difference:.1e}")
    });
    let contract = &version.contract;
    let operators = format!("runs on {}: {}", contract.runtime, contract.operators.join(", "));
    let trial = version.trial.as_ref();
    let prepared = trial.into_iter().flat_map(|trial| trial.preparation.iter().cloned());
    let lines = copied.into_iter().chain(golden).chain([operators]).chain(prepared).chain(trial.map(costs));
    lines.fold(head + "\n", |text, line| format!("{text}  {line}\n"))
}
