//! What an engine is told by whoever opens it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use volley_connect::{Base, Budget, Connection, Environment, Reach};
use volley_model::{OnnxRuntime, Runtimes};
use volley_registry::{MlflowFault, MlflowSettings, is_mlflow, is_url};

/// Settings of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSettings {
    /// What relative paths in statements are relative to: the working folder.
    pub base: PathBuf,
    /// How far statements reach. A server's statements come from others.
    pub reach: Reach,
    /// Where the records of jobs lie, from which a job that was cut off is finished: a folder, or a URL, which one
    /// process works on at a time.
    pub state: String,
    /// How long a process trusts that no other has taken over a state in a bucket, before it asks again.
    pub state_lease: Duration,
    /// Path or URL of the model registry: an embedded one, or that of an MLflow server. Without one it is the MLflow
    /// server of the environment, if that names any, else [`EngineSettings::REGISTRY`].
    pub registry: Option<String>,
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
    /// Where rows are spilled to: below it each process has a folder of its own, and takes away those of the dead.
    /// Without one, the temporary folder of the system.
    pub work_folder: Option<PathBuf>,
    /// Bytes of files of the models that a process keeps loaded; those that score are kept in any case.
    pub model_cache_bytes: u64,
    /// Where models that came over a network are kept, for all processes of this machine that name it.
    pub model_folder: PathBuf,
    /// How large that may become, in bytes.
    pub model_folder_bytes: u64,
    /// The library of ONNX Runtime, for models that were registered for it. Nothing is loaded before one is scored.
    pub onnxruntime: Option<PathBuf>,
    /// How long a job that has its rows waits for its turn at a destination that another one is publishing to,
    /// and tries again what a store did not do.
    pub commit_wait: Duration,
    /// The connections to buckets and hosts, by name.
    pub connections: BTreeMap<String, Connection>,
    /// What buckets without a connection are reached with, and where connections find their credentials.
    pub environment: Environment,
    /// How long a store is asked before it counts as unavailable.
    pub store_budget: Budget,
    /// How long the requests of a process that died may still arrive at a store. Whoever finishes its jobs
    /// waits that long before it touches their destinations.
    pub store_settle: Duration,
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
            reach: Reach::Everywhere,
            state: ".volley/state".to_string(),
            state_lease: Duration::from_secs(15),
            registry: None,
            registry_base: PathBuf::from("."),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            split_rows: 1_000_000,
            split_bytes: 256 * 1024 * 1024,
            memory_bytes: 4 * 1024 * 1024 * 1024,
            work_folder: None,
            model_cache_bytes: 2 * 1024 * 1024 * 1024,
            model_folder: PathBuf::from(".volley/models"),
            model_folder_bytes: volley_registry::CACHE_BYTES,
            onnxruntime: None,
            // Scoring takes long, publishing is renaming: giving up early would throw away what took long.
            commit_wait: Duration::from_secs(60),
            connections: BTreeMap::new(),
            environment: Environment::default(),
            store_budget: Budget::default(),
            // The dead send nothing again: only what networks and servers hold back is meant.
            store_settle: Duration::from_secs(10),
            // Over a long weekend; its staged files take room as long.
            keep_cut_off: Duration::from_secs(7 * 24 * 3600),
            round_trip_plans: false,
        }
    }
}

impl EngineSettings {
    /// The embedded registry where nothing else is said.
    pub const REGISTRY: &str = ".volley/registry";

    /// Where the paths of statements begin, and how far they lead.
    pub(crate) fn ground(&self) -> Base {
        Base::new(&self.base, self.reach.clone())
    }

    /// The folder of the state on this machine; none if it lies in a bucket.
    pub fn state_folder(&self) -> Option<PathBuf> {
        (!is_url(&self.state)).then(|| self.base.join(&self.state))
    }

    /// The MLflow server that these settings name, if any: as their registry, or in the environment.
    ///
    /// Error: `mlflow_settings`.
    pub fn mlflow(&self) -> Result<Option<MlflowSettings>, MlflowFault> {
        MlflowSettings::of_variables(|name| self.environment.get(name), self.mlflow_registry())
    }

    /// The registry, if that is a server.
    pub(crate) fn mlflow_registry(&self) -> Option<&str> {
        self.registry.as_deref().filter(|registry| is_mlflow(registry))
    }

    /// The runtimes that these settings bring beside our own.
    pub fn runtimes(&self) -> Runtimes {
        // As many sessions as splits run at a time.
        let sessions_max = NonZeroUsize::new(self.cores).unwrap_or(NonZeroUsize::MIN);
        let library = self.onnxruntime.clone();
        Runtimes { onnxruntime: library.map(|library| OnnxRuntime { library, sessions_max }) }
    }
}
