//! Registries to test with, in memory and in a temporary folder.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use tempfile::TempDir;
use volley_registry::Registry;

/// A registry, and the folder that goes with it.
pub struct Stage {
    pub registry: Registry,
    pub folder: TempDir,
}

impl Stage {
    /// Below a prefix of a store in memory.
    pub fn memory() -> Self {
        let store = Arc::new(InMemory::new());
        Stage { registry: Registry::new(store, Path::from("team/registry"), "memory:".to_owned()), folder: folder() }
    }

    /// In a folder that is not made yet.
    pub fn file() -> Self {
        let folder = folder();
        Stage { registry: Registry::open(".volley/registry", folder.path()).expect("a good path"), folder }
    }
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
