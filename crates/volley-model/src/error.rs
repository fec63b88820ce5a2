//! What can be wrong with a model or with scoring a batch.

/// Why a model cannot be used, or a batch not be scored. Hardly anything here passes by itself:
/// see [`ModelError::is_transient`].
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The MLmodel file or the signature in it makes no sense. Do not try again.
    #[error("{0}")]
    Invalid(String),
    /// A file that the model names is not among its files. Try again only with the whole directory.
    #[error("{reason}")]
    MissingFile {
        /// What names it, and what to do.
        reason: String,
    },
    /// The model names a file outside its directory. Do not try again: it is broken or hostile.
    #[error("the model names the file `{0}`, which lies outside its directory; log the model again")]
    PathEscape(String),
    /// No flavor of the model can be scored here. Do not try again: convert the model.
    #[error("{reason}")]
    Flavor {
        /// Which flavors there are, and the next step.
        reason: String,
        /// Whether the model names no flavor at all.
        none: bool,
        /// Whether its framework has a converter to ONNX.
        converts: bool,
    },
    /// The graph cannot be read, planned or run; its own code says which. Try again only after `model_load_timeout`.
    #[error(transparent)]
    Onnx(#[from] volley_onnx::Error),
    /// Signature and graph contradict each other. Do not try again: log the model with the right signature.
    #[error("the signature does not fit the graph: {0}")]
    SignatureMismatch(String),
    /// An input of the graph or signature has a type or shape that no column can give. Do not try again.
    #[error("{0}")]
    UnsupportedInput(String),
    /// An output of the graph has a type or shape that no column can take. Do not try again.
    #[error("{0}")]
    UnsupportedOutput(String),
    /// A null rule that its input cannot follow. Do not try again: choose another rule.
    #[error("null rule of input {input}: {reason}")]
    NullRule {
        /// As [`crate::Input::label`] says it.
        input: String,
        /// What is wrong.
        reason: String,
    },
    /// The rule `error` met a NULL. Do not try again: the row stays as it is.
    #[error("input {input} is NULL in row {row} of the batch, and its null rule is `error`")]
    NullInput {
        /// As [`crate::Input::label`] says it.
        input: String,
        /// From 0, within the batch.
        row: usize,
    },
    /// `predict_proba` of a model whose graph names no classes. Do not try again: use `predict`.
    #[error("the model's graph names no class labels; use predict() instead of predict_proba()")]
    NoClassLabels,
    /// `predict_proba` of a model several of whose outputs could be meant. Do not try again: use `predict`.
    #[error(
        "both `{first}` and `{second}` could be the model's probabilities; use predict() instead of predict_proba()"
    )]
    AmbiguousProbabilities {
        /// One output.
        first: String,
        /// Another.
        second: String,
    },
    /// `predict_label` of a model that gives no label. Do not try again: use `predict`.
    #[error("the model has no label among its outputs; use predict() instead of predict_label()")]
    NoLabel,
    /// The runtime that is to score the model is not here, or does not take its files. Try again once the settings name
    /// its library, or a program that is built with it runs.
    #[error("{0}")]
    RuntimeUnavailable(String),
    /// The model failed at a row: an index out of range, a division by zero. Do not try again: the row stays as it is.
    #[error("row {row} of the batch: {source}")]
    Row {
        /// From 0, within the batch; the first one that fails.
        row: usize,
        /// What went wrong there, without the row's values.
        source: volley_onnx::Error,
    },
    /// The columns could not be scored. Do not try again: the same rows fail again.
    #[error("{0}")]
    Score(String),
}

impl ModelError {
    /// The stable code that a user sees in brackets.
    pub fn code(&self) -> &'static str {
        match self {
            ModelError::Invalid(_) => "mlmodel_invalid",
            ModelError::MissingFile { .. } => "model_file_missing",
            ModelError::Onnx(error) | ModelError::Row { source: error, .. } => error.code(),
            ModelError::PathEscape(_) => "model_path_escape",
            ModelError::Flavor { none: false, .. } => "unsupported_flavor",
            ModelError::Flavor { none: true, .. } => "no_flavor",
            ModelError::SignatureMismatch(_) => "signature_mismatch",
            ModelError::UnsupportedInput(_) => "unsupported_input",
            ModelError::UnsupportedOutput(_) => "unsupported_output",
            ModelError::NullRule { .. } => "invalid_null_rule",
            ModelError::NullInput { .. } => "null_input",
            ModelError::NoClassLabels | ModelError::AmbiguousProbabilities { .. } => "no_class_labels",
            ModelError::NoLabel => "no_label",
            ModelError::RuntimeUnavailable(_) => "runtime_unavailable",
            ModelError::Score(_) => "score_failed",
        }
    }

    /// Whether it is the doing of some of the rows: others may do better with the same model.
    pub fn is_of_rows(&self) -> bool {
        use volley_onnx::Error::{Failed, Panicked};
        matches!(
            self,
            ModelError::Row { .. }
                | ModelError::NullInput { .. }
                | ModelError::Score(_)
                | ModelError::Onnx(Failed(_) | Panicked(_))
        )
    }

    /// The row that is to blame, from 0 within the batch, where one alone is.
    pub fn row(&self) -> Option<usize> {
        match self {
            ModelError::Row { row, .. } | ModelError::NullInput { row, .. } => Some(*row),
            _ => None,
        }
    }

    /// What is wrong with that row, for a message that says itself which one it is.
    pub fn reason(&self) -> String {
        match self {
            ModelError::Row { source, .. } => source.to_string(),
            ModelError::NullInput { input, .. } => format!("input {input} is NULL, and its null rule is `error`"),
            other => other.to_string(),
        }
    }

    /// Whether the model can be scored once it is converted to ONNX.
    pub fn converts(&self) -> bool {
        matches!(self, ModelError::Flavor { converts: true, .. })
    }

    /// Whether the same files and rows may do better later: only a model that took too long to load, on a busy machine.
    pub fn is_transient(&self) -> bool {
        matches!(self, ModelError::Onnx(volley_onnx::Error::LoadTimeout(_)))
    }
}
