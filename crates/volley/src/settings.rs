//! Settings: flags, then `VOLLEY_*` variables, then `volley.toml`, then defaults.

mod tables;

use std::collections::BTreeMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::de::{Deserialize, Deserializer, Error as _};
use volley_engine::{Budget, Connection, EngineSettings, Environment, SecretRef};
use volley_model::nearest_name;
use volley_registry::is_url;

use crate::report::Failure;
use crate::toml_file::TomlFile;
pub use tables::{ClusterTable, ServerTable};

const FILE_NAME: &str = "volley.toml";
const INVALID: &str = "invalid_setting";
const PREFIX: &str = "VOLLEY_";
const VARIABLES: [&str; 18] = [
    "VOLLEY_REGISTRY",
    "VOLLEY_STATE",
    "VOLLEY_CORES",
    "VOLLEY_SPLIT_ROWS",
    "VOLLEY_SPLIT_BYTES",
    "VOLLEY_MEMORY_BYTES",
    "VOLLEY_WORK_FOLDER",
    "VOLLEY_MODEL_CACHE_BYTES",
    "VOLLEY_MODEL_FOLDER",
    "VOLLEY_MODEL_FOLDER_BYTES",
    "VOLLEY_ONNXRUNTIME",
    "VOLLEY_STORE_RETRY_SECONDS",
    "VOLLEY_STORE_TIMEOUT_SECONDS",
    "VOLLEY_STORE_SETTLE_SECONDS",
    "VOLLEY_KEEP_CUT_OFF_HOURS",
    // Of a client alone; a server names the variables of its own secrets.
    "VOLLEY_TOKEN",
    "VOLLEY_CA",
    // A secret, so no flag and no line of a file.
    "VOLLEY_CLUSTER_TOKEN",
];

/// What one source of settings says; flags, environment and files all say the same things.
#[derive(Debug, Clone, Default, PartialEq, Args, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Model registry: a folder, a bucket or an MLflow server [env: VOLLEY_REGISTRY] [default: MLFLOW_TRACKING_URI, else
    /// .volley/registry]
    #[arg(long, global = true, value_name = "FOLDER|URL", value_parser = NonEmptyStringValueParser::new())]
    #[serde(deserialize_with = "named")]
    pub registry: Option<String>,
    /// Folder of the records of jobs, or a URL for a server [env: VOLLEY_STATE] [default: .volley/state]
    #[arg(long, global = true, value_name = "FOLDER|URL")]
    #[serde(deserialize_with = "named")]
    pub state: Option<String>,
    /// Splits that run at a time [env: VOLLEY_CORES] [default: all cores of the machine]
    #[arg(long, global = true, value_name = "NUMBER", value_parser = above_zero::<NonZeroUsize>)]
    #[serde(deserialize_with = "counted")]
    pub cores: Option<NonZeroUsize>,
    /// Rows of a split at most [env: VOLLEY_SPLIT_ROWS] [default: 1000000]
    #[arg(long, global = true, value_name = "ROWS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub split_rows: Option<NonZeroU64>,
    /// Bytes of a split at most [env: VOLLEY_SPLIT_BYTES] [default: 268435456]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub split_bytes: Option<NonZeroU64>,
    /// Memory for joins, sorts and aggregates [env: VOLLEY_MEMORY_BYTES] [default: 4294967296]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, value_parser = above_zero::<NonZeroUsize>)]
    #[serde(deserialize_with = "counted")]
    pub memory_bytes: Option<NonZeroUsize>,
    /// Folder for what is spilled [env: VOLLEY_WORK_FOLDER] [default: the temporary folder of the system]
    #[arg(long, global = true, value_name = "FOLDER", hide_short_help = true)]
    #[serde(deserialize_with = "named")]
    pub work_folder: Option<PathBuf>,
    /// Bytes of files of the models that are kept loaded [env: VOLLEY_MODEL_CACHE_BYTES] [default: 2147483648]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub model_cache_bytes: Option<NonZeroU64>,
    /// Folder for models that came from an MLflow server [env: VOLLEY_MODEL_FOLDER] [default: .volley/models]
    #[arg(long, global = true, value_name = "FOLDER", hide_short_help = true)]
    #[serde(deserialize_with = "named")]
    pub model_folder: Option<PathBuf>,
    /// Bytes that it may hold [env: VOLLEY_MODEL_FOLDER_BYTES] [default: 10737418240]
    #[arg(long, global = true, value_name = "BYTES", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub model_folder_bytes: Option<NonZeroU64>,
    /// Library of ONNX Runtime, for models registered with --runtime ort [env: VOLLEY_ONNXRUNTIME]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    #[serde(deserialize_with = "named")]
    pub onnxruntime: Option<PathBuf>,
    /// For how long a call of a store is tried again [env: VOLLEY_STORE_RETRY_SECONDS] [default: 180]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub store_retry_seconds: Option<NonZeroU64>,
    /// How long one try may take [env: VOLLEY_STORE_TIMEOUT_SECONDS] [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub store_timeout_seconds: Option<NonZeroU64>,
    /// How long requests of a dead process may arrive at a store [env: VOLLEY_STORE_SETTLE_SECONDS] [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub store_settle_seconds: Option<NonZeroU64>,
    /// How long a job that was cut off waits to be gone on with [env: VOLLEY_KEEP_CUT_OFF_HOURS] [default: 168]
    #[arg(long, global = true, value_name = "HOURS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    #[serde(deserialize_with = "counted")]
    pub keep_cut_off_hours: Option<NonZeroU64>,
    /// Connections to buckets and hosts, by name; a file alone can say them.
    #[arg(skip)]
    pub connections: BTreeMap<String, Connection>,
    /// Of `volley server`; a file alone can say them.
    #[arg(skip)]
    pub server: ServerTable,
    /// Of commands with `--cluster`; a file or the environment can say them.
    #[arg(skip)]
    pub cluster: ClusterTable,
}

/// What is settled for a command.
#[derive(Debug)]
pub struct Settled {
    /// Of the engine of this process.
    pub engine: EngineSettings,
    /// Of a server.
    pub server: ServerTable,
    /// Of a client of one.
    pub cluster: ClusterTable,
}

impl Settings {
    /// Settles what flags, environment and a settings file say. The file is `volley.toml` in `folder` if it
    /// is there, else in the working folder.
    pub fn settle(self, folder: Option<&Path>) -> Result<EngineSettings, Failure> {
        Ok(self.settle_all(Self::of_folders(folder)?)?.engine)
    }

    /// The same for a command that needs more than an engine.
    pub fn settle_with(self, folder: Option<&Path>) -> Result<Settled, Failure> {
        self.settle_all(Self::of_folders(folder)?)
    }

    /// The same with the settings file that was named.
    pub fn settle_file(self, file: &Path) -> Result<Settled, Failure> {
        self.settle_all(Self::of_file(file)?)
    }

    fn settle_all(self, file: Self) -> Result<Settled, Failure> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let variables: Vec<_> = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        let environment = Self::of_environment(variables.iter().cloned())?;
        let mut settled = self.over(environment).over(file);
        let (server, cluster) = (std::mem::take(&mut settled.server), std::mem::take(&mut settled.cluster));
        let engine = EngineSettings { environment: Environment::of(variables), ..settled.engine()? };
        Ok(Settled { engine, server, cluster })
    }

    /// What these settings say of an engine, as variables for another process; its connections are in a file.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<NonZeroU64>| value.map(|value| value.to_string());
        let size = |value: Option<NonZeroUsize>| value.map(|value| value.to_string());
        let said = [
            ("VOLLEY_REGISTRY", self.registry.clone()),
            ("VOLLEY_STATE", self.state.clone()),
            ("VOLLEY_MEMORY_BYTES", size(self.memory_bytes)),
            ("VOLLEY_WORK_FOLDER", self.work_folder.as_ref().map(|folder| folder.display().to_string())),
            ("VOLLEY_MODEL_CACHE_BYTES", number(self.model_cache_bytes)),
            ("VOLLEY_MODEL_FOLDER", self.model_folder.as_ref().map(|folder| folder.display().to_string())),
            ("VOLLEY_MODEL_FOLDER_BYTES", number(self.model_folder_bytes)),
            ("VOLLEY_ONNXRUNTIME", self.onnxruntime.as_ref().map(|file| file.display().to_string())),
            ("VOLLEY_STORE_RETRY_SECONDS", number(self.store_retry_seconds)),
            ("VOLLEY_STORE_TIMEOUT_SECONDS", number(self.store_timeout_seconds)),
        ];
        said.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// What the variables say, by name and value. One with our prefix that we do not know is a slip.
    fn of_environment(variables: impl Iterator<Item = (String, String)>) -> Result<Self, Failure> {
        let ours: BTreeMap<_, _> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        if let Some(unknown) = ours.keys().find(|name| !VARIABLES.contains(&name.as_str())) {
            return Err(unknown_variable(unknown));
        }
        let set = |name: &str| ours.get(name).filter(|value| !value.is_empty()).cloned();
        Ok(Self {
            registry: set("VOLLEY_REGISTRY"),
            state: set("VOLLEY_STATE"),
            cores: number("VOLLEY_CORES", set("VOLLEY_CORES"))?,
            split_rows: number("VOLLEY_SPLIT_ROWS", set("VOLLEY_SPLIT_ROWS"))?,
            split_bytes: number("VOLLEY_SPLIT_BYTES", set("VOLLEY_SPLIT_BYTES"))?,
            memory_bytes: number("VOLLEY_MEMORY_BYTES", set("VOLLEY_MEMORY_BYTES"))?,
            work_folder: set("VOLLEY_WORK_FOLDER").map(PathBuf::from),
            model_cache_bytes: number("VOLLEY_MODEL_CACHE_BYTES", set("VOLLEY_MODEL_CACHE_BYTES"))?,
            model_folder: set("VOLLEY_MODEL_FOLDER").map(PathBuf::from),
            model_folder_bytes: number("VOLLEY_MODEL_FOLDER_BYTES", set("VOLLEY_MODEL_FOLDER_BYTES"))?,
            onnxruntime: set("VOLLEY_ONNXRUNTIME").map(PathBuf::from),
            store_retry_seconds: number("VOLLEY_STORE_RETRY_SECONDS", set("VOLLEY_STORE_RETRY_SECONDS"))?,
            store_timeout_seconds: number("VOLLEY_STORE_TIMEOUT_SECONDS", set("VOLLEY_STORE_TIMEOUT_SECONDS"))?,
            store_settle_seconds: number("VOLLEY_STORE_SETTLE_SECONDS", set("VOLLEY_STORE_SETTLE_SECONDS"))?,
            keep_cut_off_hours: number("VOLLEY_KEEP_CUT_OFF_HOURS", set("VOLLEY_KEEP_CUT_OFF_HOURS"))?,
            cluster: ClusterTable {
                token: set("VOLLEY_TOKEN").map(|_| SecretRef::Env("VOLLEY_TOKEN".to_owned())),
                ca: set("VOLLEY_CA").map(PathBuf::from),
            },
            ..Self::default()
        })
    }

    fn of_folders(folder: Option<&Path>) -> Result<Self, Failure> {
        let candidates = folder.into_iter().chain([Path::new("")]).map(|folder| folder.join(FILE_NAME));
        match { candidates }.find(|file| file.is_file()) {
            Some(file) => Self::of_file(&file),
            None => Ok(Self::default()),
        }
    }

    fn of_file(path: &Path) -> Result<Self, Failure> {
        let settings: Self = TomlFile::read(path, INVALID)?.parse()?;
        Ok(settings.in_folder(path.parent().unwrap_or(Path::new(""))))
    }

    /// The same, with relative paths below `folder`.
    fn in_folder(mut self, folder: &Path) -> Self {
        let below = |place: String| match is_url(&place) {
            true => place,
            false => folder.join(place).display().to_string(),
        };
        self.registry = self.registry.map(below);
        self.state = self.state.map(below);
        self.onnxruntime = self.onnxruntime.map(|library| folder.join(library));
        self.model_folder = self.model_folder.map(|place| folder.join(place));
        self.work_folder = self.work_folder.map(|place| folder.join(place));
        self.server = self.server.in_folder(folder);
        self.cluster = self.cluster.in_folder(folder);
        let connections = self.connections.into_iter();
        self.connections = connections.map(|(name, connection)| (name, connection.in_folder(folder))).collect();
        self
    }

    /// These settings, and where they say nothing, those of `below`.
    fn over(self, below: Self) -> Self {
        Self {
            registry: self.registry.or(below.registry),
            state: self.state.or(below.state),
            cores: self.cores.or(below.cores),
            split_rows: self.split_rows.or(below.split_rows),
            split_bytes: self.split_bytes.or(below.split_bytes),
            memory_bytes: self.memory_bytes.or(below.memory_bytes),
            work_folder: self.work_folder.or(below.work_folder),
            model_cache_bytes: self.model_cache_bytes.or(below.model_cache_bytes),
            model_folder: self.model_folder.or(below.model_folder),
            model_folder_bytes: self.model_folder_bytes.or(below.model_folder_bytes),
            onnxruntime: self.onnxruntime.or(below.onnxruntime),
            store_retry_seconds: self.store_retry_seconds.or(below.store_retry_seconds),
            store_timeout_seconds: self.store_timeout_seconds.or(below.store_timeout_seconds),
            store_settle_seconds: self.store_settle_seconds.or(below.store_settle_seconds),
            keep_cut_off_hours: self.keep_cut_off_hours.or(below.keep_cut_off_hours),
            connections: if self.connections.is_empty() { below.connections } else { self.connections },
            server: if self.server == ServerTable::default() { below.server } else { self.server },
            cluster: ClusterTable {
                token: self.cluster.token.or(below.cluster.token),
                ca: self.cluster.ca.or(below.cluster.ca),
            },
        }
    }

    /// These settings, with the engine's defaults where they say nothing. By now all paths are relative to
    /// the working folder.
    fn engine(self) -> Result<EngineSettings, Failure> {
        let default = EngineSettings::default();
        Ok(EngineSettings {
            state: self.state.unwrap_or(default.state),
            registry: self.registry,
            cores: self.cores.map_or(default.cores, NonZeroUsize::get),
            split_rows: self.split_rows.map_or(default.split_rows, NonZeroU64::get),
            split_bytes: self.split_bytes.map_or(default.split_bytes, NonZeroU64::get),
            memory_bytes: self.memory_bytes.map_or(default.memory_bytes, NonZeroUsize::get),
            work_folder: self.work_folder,
            model_cache_bytes: self.model_cache_bytes.map_or(default.model_cache_bytes, NonZeroU64::get),
            model_folder: self.model_folder.unwrap_or(default.model_folder),
            model_folder_bytes: self.model_folder_bytes.map_or(default.model_folder_bytes, NonZeroU64::get),
            onnxruntime: self.onnxruntime,
            connections: self.connections,
            store_budget: Budget {
                retry: self.store_retry_seconds.map_or(default.store_budget.retry, seconds),
                timeout: self.store_timeout_seconds.map_or(default.store_budget.timeout, seconds),
            },
            store_settle: self.store_settle_seconds.map_or(default.store_settle, seconds),
            keep_cut_off: self.keep_cut_off_hours.map_or(default.keep_cut_off, hours),
            ..EngineSettings::default()
        })
    }
}

fn seconds(number: NonZeroU64) -> Duration {
    Duration::from_secs(number.get())
}

fn hours(number: NonZeroU64) -> Duration {
    // More than there is would be for ever.
    Duration::from_secs(number.get().saturating_mul(3600))
}

fn number<N: FromStr>(name: &str, text: Option<String>) -> Result<Option<N>, Failure> {
    let refused = |told: &str, text: &str| Failure::new(INVALID, format!("the variable {name} {told}, not `{text}`"));
    text.map(|text| above_zero(text.trim()).map_err(|told| refused(told, &text))).transpose()
}

const ABOVE_ZERO: &str = "must be a whole number above zero";

/// A number of a flag or a variable.
pub fn above_zero<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.parse().map_err(|_| ABOVE_ZERO)
}

/// A number of a settings file.
fn counted<'de, N: TryFrom<NonZeroU64>, D: Deserializer<'de>>(file: D) -> Result<Option<N>, D::Error> {
    let value = toml::Value::deserialize(file)?;
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok()).and_then(NonZeroU64::new);
    let number = number.and_then(|number| N::try_from(number).ok());
    number.map(Some).ok_or_else(|| D::Error::custom(format!("this {ABOVE_ZERO}")))
}

/// A folder or URL of a settings file: without a name it would be the folder of the file.
fn named<'de, T: From<String>, D: Deserializer<'de>>(file: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(file)?;
    if text.trim().is_empty() {
        return Err(D::Error::custom("this is empty: name a folder, or leave the line out"));
    }
    Ok(Some(T::from(text)))
}

fn unknown_variable(name: &str) -> Failure {
    let known = VARIABLES.into_iter().map(|known| known.trim_start_matches(PREFIX));
    let hint = match nearest_name(name.trim_start_matches(PREFIX), known) {
        Some(nearest) => format!("did you mean {PREFIX}{nearest}?"),
        None => format!("there are {}", VARIABLES.join(", ")),
    };
    Failure::new(INVALID, format!("{name} in the environment is no setting: {hint}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(registry: &str, cores: usize) -> Settings {
        Settings { registry: Some(registry.to_string()), cores: NonZeroUsize::new(cores), ..Settings::default() }
    }

    fn of_variables(pairs: &[(&str, &str)]) -> Result<Settings, Failure> {
        Settings::of_environment(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    fn of_text(text: &str) -> Result<Settings, Failure> {
        TomlFile::in_memory("volley.toml", text, INVALID).parse()
    }

    #[test]
    fn flags_win_over_variables_and_those_over_the_file_and_that_over_defaults() {
        let flags = Settings { registry: Some("flag".into()), ..Settings::default() };
        let environment = of_variables(&[("VOLLEY_REGISTRY", "variable"), ("VOLLEY_CORES", "2")]).unwrap();
        let file = of_text("registry = 'file'\ncores = 3\nsplit_rows = 10").unwrap();
        let settled = flags.over(environment).over(file).engine().unwrap();
        assert_eq!((settled.registry.as_deref(), settled.cores, settled.split_rows), (Some("flag"), 2, 10));
        assert_eq!(settled.state, EngineSettings::default().state);
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        assert_eq!(of_variables(&[("VOLLEY_REGISTRY", ""), ("VOLLEY_CORES", "")]).unwrap(), Settings::default());
    }

    #[test]
    fn paths_of_a_file_lie_beside_it_and_urls_stay() {
        let folder = Path::new("examples/flights");
        assert_eq!(settings("registry", 1).in_folder(folder), settings("examples/flights/registry", 1));
        assert_eq!(settings("/r", 1).in_folder(folder), settings("/r", 1));
        assert_eq!(settings("s3://b/r", 1).in_folder(folder), settings("s3://b/r", 1));
        let state = Settings { state: Some("s".into()), ..Settings::default() };
        assert_eq!(state.in_folder(folder).state, Some("examples/flights/s".into()));
        let library = Settings { onnxruntime: Some("lib/ort.so".into()), ..Settings::default() };
        assert_eq!(library.in_folder(folder).onnxruntime, Some("examples/flights/lib/ort.so".into()));
    }

    #[test]
    fn the_file_beside_the_job_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), "registry = 'models'").unwrap();
        let found = Settings::of_folders(Some(folder.path())).unwrap();
        assert_eq!(found.registry, Some(folder.path().join("models").display().to_string()));
    }

    #[test]
    fn a_setting_that_is_not_known_is_refused_with_its_place() {
        let failure = of_text("cores = 2\nregistri = 'r'").unwrap_err();
        assert!(failure.text().starts_with("volley.toml:2:1: unknown field `registri`"), "{}", failure.text());
        assert!(failure.text().ends_with("[invalid_setting]\n"), "{}", failure.text());
    }

    #[test]
    fn a_variable_that_is_no_setting_is_refused_with_the_nearest() {
        let told = of_variables(&[("VOLLEY_REGISTRI", "r"), ("PATH", "p")]).unwrap_err().text();
        assert_eq!(
            told,
            "VOLLEY_REGISTRI in the environment is no setting: did you mean VOLLEY_REGISTRY? [invalid_setting]\n"
        );
        assert!(of_variables(&[("VOLLEY_X", "")]).unwrap_err().text().contains("there are VOLLEY_REGISTRY, "));
    }

    #[test]
    fn a_connection_names_its_credentials_and_those_lie_beside_the_file() {
        let text = "[connections.lake]\nurl = 's3://lake/'\naccess_key_id = { env = 'KEY' }\n\
                    secret_access_key = { file = 'lake.key' }";
        let settings = of_text(text).unwrap().in_folder(Path::new("jobs"));
        let lake = &settings.connections["lake"];
        assert_eq!(lake.secret_access_key, Some(SecretRef::File("jobs/lake.key".into())));
        assert_eq!(settings.engine().unwrap().connections.len(), 1);
        let told = of_text("[connections.lake]\nurl = 's3://lake/'\nsecret = { env = 'KEY' }").unwrap_err().text();
        assert!(told.starts_with("volley.toml:3:1: unknown field `secret`"), "{told}");
        for value in ["'CANARY'", "4711", "['CANARY']", "{ value = 'CANARY' }"] {
            let text = format!("[connections.lake]\nurl = 's3://lake/'\nsecret_access_key = {value}");
            let told = of_text(&text).unwrap_err().text();
            assert!(told.starts_with("volley.toml:3:") && told.contains("env = "), "{told}");
            assert!(!told.contains("CANARY") && !told.contains("4711"), "{told}");
        }
    }

    #[test]
    fn an_empty_path_is_refused_with_its_place() {
        for text in ["cores = 1\nstate = ''", "cores = 1\nregistry = ' '"] {
            let told = of_text(text).unwrap_err().text();
            assert!(told.starts_with("volley.toml:2:") && told.contains("empty"), "{told}");
        }
    }

    #[test]
    fn numbers_are_above_zero() {
        for text in ["cores = 0", "cores = -1", "cores = 'x'", "cores = 1.5"] {
            let told = of_text(text).unwrap_err().text();
            assert!(told.contains("volley.toml:1:9: this must be a whole number above zero"), "{told}");
        }
        let failure = of_variables(&[("VOLLEY_CORES", "0")]).unwrap_err();
        assert!(failure.text().contains("VOLLEY_CORES"), "{}", failure.text());
    }
}
