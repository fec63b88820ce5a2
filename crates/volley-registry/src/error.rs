//! What can go wrong when a model is looked for, kept or fetched.

use volley_model::{Digest, ModelError};

use crate::mlflow::MlflowFault;

/// Divided by what the caller can do; [`Error::is_transient`] says what is worth another try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no model reference. Do not try again.
    #[error("`{reference}` is not a model reference: {reason}")]
    Reference {
        /// What the user wrote.
        reference: String,
        /// What is wrong and what to write instead.
        reason: String,
    },

    /// A name that no model, or no alias, may have. Do not try again.
    #[error("`{name}` cannot be the name of {what}: {reason}")]
    Name {
        /// The refused name.
        name: String,
        /// `a model` or `an alias`.
        what: &'static str,
        /// The broken rule.
        reason: &'static str,
    },

    /// The reference only has a meaning on an MLflow server. Do not try again.
    #[error("`{reference}` lies on an MLflow server: set MLFLOW_TRACKING_URI to its URL")]
    NoMlflow {
        /// What the user wrote.
        reference: String,
    },

    /// The MLflow server, or the way to it, refuses. Whether to try again, the fault says.
    #[error(transparent)]
    Mlflow(#[from] MlflowFault),

    /// What was asked for is not done to models on an MLflow server. Do not try again.
    #[error("models of the MLflow server {server} are {done} there: {instead}")]
    OnMlflow {
        /// The server.
        server: String,
        /// What was asked for: `registered`.
        done: &'static str,
        /// What to do instead.
        instead: &'static str,
    },

    /// The model was pinned in another registry than that of this process. Do not try again.
    #[error(
        "{label} lies at {pinned}, and this process takes models from {here}: give all processes the same settings"
    )]
    ForeignRegistry {
        /// The model as users see it.
        label: String,
        /// Where it was pinned.
        pinned: String,
        /// The registry of this process.
        here: String,
    },

    /// The files of an MLflow version are not those that it had before. Do not try again: register them as a version
    /// of their own.
    #[error(
        "the files of {label} were replaced on the MLflow server: sha256 was {recorded} when this version was first \
         used here, is {found}; register them as a new version, or remove {record} to take what lies there now",
        recorded = .recorded.short(), found = .found.short()
    )]
    VersionChanged {
        /// The model as users see it.
        label: String,
        /// What it had.
        recorded: Digest,
        /// What it has.
        found: Digest,
        /// Where that is recorded.
        record: String,
    },

    /// The cache of models cannot be read or written. Do not try again before the folder is mended.
    #[error("the cache of models in {folder} cannot be used: {reason}; the setting model_folder names another")]
    Cache {
        /// The folder.
        folder: String,
        /// What is wrong with it.
        reason: String,
    },

    /// No live version under this name. Do not try again.
    #[error("model `{name}` is not in registry {registry}{}", .nearest.hint(.name))]
    UnknownModel {
        /// The name that was looked for.
        name: String,
        /// The registry that was asked.
        registry: String,
        /// The most similar name that it has.
        nearest: Nearest,
    },

    /// The model is there and this version is not. Do not try again.
    #[error("model `{name}` has no version {version}{}: it has {known}", if *.deleted { " (it was deleted)" } else { "" })]
    UnknownVersion {
        /// The model.
        name: String,
        /// The version that was looked for.
        version: u64,
        /// Whether there once was such a version.
        deleted: bool,
        /// The versions it has, for people.
        known: String,
    },

    /// The model is there and this alias is not. Do not try again.
    #[error("model `{name}` has no alias `{alias}`: it has {known}")]
    UnknownAlias {
        /// The model.
        name: String,
        /// The alias that was looked for.
        alias: String,
        /// The aliases it has, for people.
        known: String,
    },

    /// A location that gives no model. Do not try again before the folder is mended.
    #[error("{fault}: {location}")]
    Location {
        /// The location as the user wrote it.
        location: String,
        /// Why it gives none.
        fault: LocationFault,
    },

    /// The bytes are not those that were pinned. Do not try again: another model would score.
    #[error("model `{label}` changed after it was pinned: sha256 was {expected}, is {found}", expected = .expected.short(), found = .found.short())]
    DigestMismatch {
        /// The model as users see it.
        label: String,
        /// The digest of the pin.
        expected: Digest,
        /// The digest of what lies there now.
        found: Digest,
    },

    /// The registry holds something that it did not write. Do not try again; mend the named object.
    #[error("registry object {key} is damaged: {reason}")]
    Corrupt {
        /// The object.
        key: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The store did not answer, or refused. Try again; a registration that ended so may have made a version.
    #[error("registry object {key} cannot be reached: {}", one_line(&.source.to_string()))]
    Unavailable {
        /// The object that was read or written.
        key: String,
        /// What the store said.
        source: object_store::Error,
    },

    /// The process stops, and a model was still being read. Try again.
    #[error("stopped while a model was read")]
    Stopped,

    /// The model itself is refused. Do not try again.
    #[error("{model}: {source}{}", .next.as_ref().map(|next| format!("; {next}")).unwrap_or_default())]
    Model {
        /// The name or location of the model.
        model: String,
        /// What to do, where more is known than the model's own error can know.
        next: Option<String>,
        /// What is wrong with it.
        source: ModelError,
    },
}

impl Error {
    /// The stable code that users see.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Reference { .. } => "invalid_model_reference",
            Error::Name { .. } => "invalid_name",
            Error::NoMlflow { .. } => "mlflow_not_configured",
            Error::Mlflow(fault) => fault.code(),
            Error::OnMlflow { .. } => "not_on_mlflow",
            Error::ForeignRegistry { .. } => "registry_mismatch",
            Error::VersionChanged { .. } => "version_changed",
            Error::Cache { .. } => "model_cache",
            Error::UnknownModel { .. } => "unknown_model",
            Error::UnknownVersion { .. } => "unknown_version",
            Error::UnknownAlias { .. } => "unknown_alias",
            Error::Location { fault, .. } => fault.code(),
            Error::DigestMismatch { .. } => "digest_mismatch",
            Error::Corrupt { .. } => "registry_corrupt",
            Error::Unavailable { .. } => "registry_unavailable",
            Error::Stopped => "interrupted",
            Error::Model { source, .. } => source.code(),
        }
    }

    /// Whether the same call may succeed later with nothing mended.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unavailable { .. } | Error::Stopped => true,
            Error::Mlflow(fault) => fault.is_transient(),
            _ => false,
        }
    }
}

/// Why a location gives no model.
#[derive(Debug, thiserror::Error)]
pub enum LocationFault {
    /// Nothing lies there.
    #[error("no model directory and no model file at this location")]
    Missing,
    /// It is a file, and not an ONNX file.
    #[error("neither a model directory nor a model file (.onnx, .json, .ubj, .txt, .lgb)")]
    NotAModel,
    /// It is a folder that holds models, and none itself.
    #[error("a folder without an MLmodel file{}", nearer(.0))]
    Above(Option<String>),
    /// A `file:` URL without a path.
    #[error("a file: URL is written file:///FOLDER")]
    NoPath,
    /// The operating system refuses to read it.
    #[error("model files cannot be read ({0})")]
    Unreadable(std::io::Error),
    /// A link, a device, or a name that is not UTF-8 lies among the files.
    #[error("`{path}` in the model directory {reason}")]
    Foreign {
        /// The path inside the directory.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More files or bytes than a model may have.
    #[error("a model may have {files_max} files and {bytes_max} bytes, and more lie here")]
    TooLarge {
        /// The greatest number of files.
        files_max: usize,
        /// The greatest sum of their sizes.
        bytes_max: u64,
    },
    /// The scheme is not read yet.
    #[error("only paths and file: URLs are read yet")]
    Scheme,
}

impl LocationFault {
    fn code(&self) -> &'static str {
        match self {
            LocationFault::Missing | LocationFault::NotAModel | LocationFault::Above(_) => "model_location_missing",
            LocationFault::Unreadable(_) => "model_location_unreadable",
            LocationFault::Foreign { .. } => "model_path_escape",
            LocationFault::TooLarge { .. } => "model_too_large",
            LocationFault::Scheme | LocationFault::NoPath => "unsupported_location",
        }
    }
}

fn nearer(model: &Option<String>) -> String {
    match model {
        Some(model) => format!(" is no model; did you mean the model `{model}` in it?"),
        None => " is a model if one .onnx file lies in it, and none or several do".to_owned(),
    }
}

/// The known name most like a wrong one, if any is like it at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest(Option<String>);

impl Nearest {
    /// Looks for the name with the fewest edits, at most one for every three characters.
    pub(crate) fn among<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let edits_max = (name.chars().count() / 3).max(1);
        let closest = known
            .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
            .filter(|(edits, _)| *edits <= edits_max)
            .min();
        Nearest(closest.map(|(_, candidate)| candidate.to_owned()))
    }

    fn hint(&self, name: &str) -> String {
        match &self.0 {
            Some(nearest) => format!("; did you mean `{nearest}`?"),
            None => format!("; a folder or file is written `./{name}`"),
        }
    }
}

/// Stores and servers print their causes over several lines; an error of ours is one.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
