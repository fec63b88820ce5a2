//! What an engine is told by whoever opens it.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSettings {
    /// What relative paths in statements are relative to: the working folder.
    pub base: PathBuf,
    /// Folder of the records of jobs, from which a job that was cut off is finished.
    pub state: PathBuf,
    /// Path or URL of the model registry.
    pub registry: String,
    /// What a relative registry path is relative to.
    pub registry_base: PathBuf,
    /// Splits that run at a time, and partitions of a shuffle.
    pub cores: usize,
    /// Rows of a split at most, except where one row group holds more. A split is what is scored again
    /// after a loss, so it should take seconds and not minutes.
    pub split_rows: u64,
    /// Bytes of a split at most, as stored, except where one row group holds more.
    pub split_bytes: u64,
    /// Memory for joins, sorts and aggregates, in bytes; they spill to disk beyond it. Models and writers
    /// come on top.
    pub memory_bytes: usize,
    /// How long a job that has its rows waits for its turn at a destination that another one is publishing to,
    /// and tries again what a store did not do.
    pub commit_wait: Duration,
    /// How long a job that was cut off before its decision waits for whoever goes on with it.
    pub keep_cut_off: Duration,
    /// Run every plan as another process would see it: encoded and decoded. For tests, which run all their
    /// plans so.
    pub round_trip_plans: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            base: PathBuf::from("."),
            state: PathBuf::from(".volley/state"),
            registry: ".volley/registry".to_string(),
            registry_base: PathBuf::from("."),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            split_rows: 1_000_000,
            split_bytes: 256 * 1024 * 1024,
            memory_bytes: 4 * 1024 * 1024 * 1024,
            // Scoring takes long, publishing is renaming: giving up early would throw away what took long.
            commit_wait: Duration::from_secs(60),
            // Over a long weekend; its staged files take room as long.
            keep_cut_off: Duration::from_secs(7 * 24 * 3600),
            round_trip_plans: false,
        }
    }
}
