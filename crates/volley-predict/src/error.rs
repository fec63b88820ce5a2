//! What can go wrong with predict calls, told so that a user can act on it.

use datafusion::error::DataFusionError;
use volley_model::ModelError;
use volley_registry::Error as RegistryError;

use crate::problem::UnplacedProblem;

/// An error of this crate. It travels inside [`DataFusionError::External`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// Calls that do not fit their models. Not worth trying again: the statement has to change.
    #[error("{}", .0.first().map_or("a predict call does not fit its model", |problem| problem.message.as_str()))]
    Binding(Vec<UnplacedProblem>),
    /// A setting has a value that it cannot have. Not worth trying again.
    #[error("setting {name} cannot be `{value}`: it is one of {allowed}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it can be set to.
        allowed: &'static str,
    },
    /// The model refused the call or its rows. Not worth trying again.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model cannot be loaded here, or refused a batch of rows. Not worth trying again.
    #[error("model `{model}`: {source}")]
    Score {
        /// The model version that was to score.
        model: String,
        /// What it said.
        #[source]
        source: ModelError,
    },
    /// A model failed at one row. Not worth trying again: the row stays as it is.
    #[error("model `{model}`: {place}: {reason}")]
    Row {
        /// The model version that was to score.
        model: String,
        /// Which row it is, as far as the plan knows.
        place: String,
        /// What went wrong there, without the row's values.
        reason: String,
        /// The code of what went wrong.
        code: &'static str,
    },
    /// Models failed at more rows than a job was to bear. Not worth trying again: the rows stay as they are.
    #[error(
        "more rows cannot be scored than max_rejects = {max} allows, one of them {place}: model `{model}`: {reason}"
    )]
    TooManyRejects {
        /// How many were allowed.
        max: u64,
        /// The model version that was to score.
        model: String,
        /// Which row it is, as far as the plan knows.
        place: String,
        /// What went wrong there, without the row's values.
        reason: String,
    },
    /// The model could not be brought here. Worth trying again when [`RegistryError::is_transient`].
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl PredictError {
    /// The stable code that a user sees.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Binding(problems) => problems.first().map_or("binding", |problem| problem.code),
            Self::Model(error) | Self::Score { source: error, .. } => error.code(),
            Self::Row { code, .. } => code,
            Self::TooManyRejects { .. } => "too_many_rejects",
            Self::Registry(error) => error.code(),
            Self::Setting { .. } => "invalid_setting",
        }
    }
}

impl From<PredictError> for DataFusionError {
    fn from(error: PredictError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
