//! Finds a model version and brings its bytes here, verified.
//!
//! A [`Registry`] is a folder of any object store. A [`ModelRef`] is what a user writes, a [`Pin`] is
//! what it meant at one moment (version, digest, contract), and an artifact is what the pin gives back.

mod artifacts;
mod error;
mod folder;
mod layout;
mod location;
mod name;
mod pin;
mod records;
mod reference;
mod registry;
mod settle;
mod version;

pub use error::{Error, LocationFault, Nearest};
pub use name::{AliasName, ModelName};
pub use pin::Pin;
pub use reference::{ModelRef, is_url};
pub use registry::{Model, Registry};
pub use version::{Golden, GoldenRecord, Registration, Version};
