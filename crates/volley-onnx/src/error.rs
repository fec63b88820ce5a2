//! What can go wrong with a model, divided by what the caller can do about it.

use std::time::Duration;

/// A failure to load or to run a model. None of them goes away by trying again with the same
/// bytes, except [`Error::LoadTimeout`] on a machine that was busy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is not an ONNX model, or contradicts itself. Do not try again.
    #[error("the model is not valid: {0}")]
    Invalid(String),
    /// The graph uses operators that are not implemented; all of them are named. Do not try again.
    #[error("the model uses operators that volley does not have: {}", operators.join(", "))]
    UnsupportedOperator {
        /// Names with their domain, as [`crate::Graph::operators`] writes them.
        operators: Vec<String>,
    },
    /// A bound of [`crate::Limits`] is exceeded. Try again with a wider bound if the model is trusted.
    #[error("the model is too large: {what} is {size}, the limit is {max}")]
    TooLarge {
        /// What was measured, with its unit.
        what: &'static str,
        /// The measure.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// A file of external tensor data is not among the model's files. Try again with the file.
    #[error("the model's external data file `{0}` is missing: register the folder that holds it")]
    ExternalDataMissing(String),
    /// External tensor data lies outside the model's folder. Do not try again.
    #[error("the model's external data `{0}` is outside its folder")]
    PathEscape(String),
    /// The score of a row depends on which others are scored with it. Do not try again.
    #[error("the model scores rows together, at node {0}: export it so that each row has a score of its own")]
    RowsMixed(String),
    /// Loading took longer than [`crate::Limits::load_time_max`]. May work on a quieter machine.
    #[error("the model did not load within {} s", .0.as_secs_f64())]
    LoadTimeout(Duration),
    /// The caller's tensors do not fit the graph's inputs. Do not try again.
    #[error("the model's input does not fit: {0}")]
    Input(String),
    /// An operator refused the data. Do not try again.
    #[error("the model failed: {0}")]
    Failed(String),
    /// Code under the model panicked; the panic was contained. Do not try again.
    #[error("the model panicked {0}")]
    Panicked(String),
}

impl Error {
    /// The stable code that a user sees.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Invalid(_) => "model_invalid",
            Error::UnsupportedOperator { .. } => "unsupported_operator",
            Error::TooLarge { .. } => "model_too_large",
            Error::ExternalDataMissing(_) => "external_data_missing",
            Error::PathEscape(_) => "model_path_escape",
            Error::RowsMixed(_) => "rows_mixed",
            Error::LoadTimeout(_) => "model_load_timeout",
            Error::Input(_) | Error::Failed(_) => "score_failed",
            Error::Panicked(_) => "model_panicked",
        }
    }
}
