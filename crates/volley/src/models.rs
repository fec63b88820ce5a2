//! `volley models`: the registry from the command line.

mod alias;
mod audit;
mod check;
mod comparison;
mod delete;
mod expected;
mod import;
mod list;
mod pairing;
mod register;
mod sample;
mod scores;
mod scoring;
mod show;
pub mod trial;

use volley_engine::{Engine, EngineSettings};

use crate::args::ModelsCommand;
use crate::engine;
use crate::report::Failure;
use crate::settings::Settings;

/// Runs one of the commands.
pub async fn models(command: &ModelsCommand, settings: Settings, json: bool) -> Result<(), Failure> {
    let mut settings = settings.settle(None)?;
    if settings.state_folder().is_none() {
        // That of a server, which is none of our business: models are no jobs.
        settings.state = EngineSettings::default().state;
    }
    if let ModelsCommand::Import(_) = command {
        // Into a registry of our own, whatever server there is.
        settings.registry.get_or_insert_with(|| EngineSettings::REGISTRY.to_string());
    }
    let again = settings.clone();
    engine::with(settings, async |engine: &Engine| {
        let registry = engine.registry();
        match command {
            ModelsCommand::List => list::list(registry, json).await,
            ModelsCommand::Show { model } => show::show(registry, model, json).await,
            ModelsCommand::Register(args) => register::register(args, registry, again, json).await,
            ModelsCommand::Alias(args) => alias::alias(args, registry, json).await,
            ModelsCommand::Check(args) => check::check(args, engine, json).await,
            ModelsCommand::Delete { model } => delete::delete(registry, model, json).await,
            ModelsCommand::Audit { folder } => audit::audit(registry, folder.as_deref(), &again.runtimes(), json).await,
            ModelsCommand::Import(args) => import::import(args, registry, &again, json).await,
        }
    })
    .await
}
