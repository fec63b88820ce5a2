//! What can go wrong with runs, divided by what the caller can do.

use crate::facts::Unkept;
use crate::row::Problem;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something asked of runs is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another request came with this key before. Trying again does not help.
    #[error("the key '{key}' stands for another request, that of job {job}: take another key")]
    KeyReused {
        /// The key.
        key: String,
        /// The run that it stands for.
        job: String,
    },
    /// There is no such run. Trying again does not help.
    #[error("no job {job} is known here")]
    UnknownJob {
        /// What was asked for.
        job: String,
    },
    /// The run has ended. Trying again does not help.
    #[error("job {job} is over: it {state}")]
    JobOver {
        /// The run.
        job: String,
        /// How it ended.
        state: crate::State,
    },
    /// The run has not ended. Trying again helps once it has.
    #[error("job {job} is under way: wait for it, or cancel it")]
    JobRunning {
        /// The run.
        job: String,
    },
    /// Another process has the records. Trying again helps once it has ended.
    #[error("the records of jobs in '{folder}' are in use by another server: it has one server at a time")]
    InUse {
        /// Where they lie.
        folder: String,
    },
    /// The server stops. Trying again helps once it is there again.
    #[error("the server is stopping: ask again in a moment")]
    Stopping,
    /// Records or index cannot be read or written. Trying again may help.
    #[error("the records of jobs cannot be used: {message}")]
    Records {
        /// What is wrong.
        message: String,
    },
    /// The facts refused, or did not answer. Trying again may help.
    #[error(transparent)]
    Facts(#[from] Unkept),
    /// The engine refused.
    #[error("{}", .0.message)]
    Engine(Problem),
}

impl Error {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::KeyReused { .. } => "key_reused",
            Self::UnknownJob { .. } => "unknown_job",
            Self::JobOver { .. } => "job_over",
            Self::JobRunning { .. } => "job_running",
            Self::InUse { .. } => "state_in_use",
            Self::Stopping => "server_stopping",
            Self::Records { .. } => "bad_state",
            Self::Facts(error) => &error.code,
            Self::Engine(problem) => &problem.code,
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            // Its client should ask again, and will find the one that has taken over.
            Self::Facts(error) => error.is_transient || error.code == "owner_replaced",
            Self::InUse { .. } | Self::Stopping | Self::Records { .. } | Self::JobRunning { .. } => true,
            Self::KeyReused { .. } | Self::UnknownJob { .. } | Self::JobOver { .. } | Self::Engine(_) => false,
        }
    }

    pub(crate) fn records(error: &dyn std::fmt::Display) -> Self {
        Self::Records { message: error.to_string() }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::records(&error)
    }
}
