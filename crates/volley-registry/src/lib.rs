//! Finds a model version and brings its bytes here, verified.
//!
//! A [`Registry`] is a folder of any object store, or an MLflow server. A [`ModelRef`] is what a user writes, a [`Pin`]
//! is what it meant at one moment (version, digest, contract), and an artifact is what the pin gives back.

mod artifacts;
mod blocking;
mod cache;
mod embedded;
mod error;
mod folder;
mod layout;
mod location;
mod mlflow;
mod name;
mod pin;
mod records;
mod reference;
mod registry;
mod settle;
mod version;

pub use cache::{CACHE_BYTES, ModelCache};
pub use error::{Error, LocationFault, Nearest};
pub use mlflow::{
    Credentials, Fetched, Mlflow, MlflowFault, MlflowSettings, NoSources, RunRecord, Sources, is_of_mlflow_alone,
};
pub use name::{AliasName, ModelName};
pub use pin::{Origin, Pin};
pub use reference::{MlflowRef, ModelRef, Which, is_here, is_mlflow, is_url};
pub use registry::{Model, Registry, VersionFiles};
pub use version::{Golden, GoldenRecord, Registration, Version};
