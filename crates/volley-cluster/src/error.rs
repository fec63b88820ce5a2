//! Why a cluster or an executor cannot be started, or had to end.

use std::net::SocketAddr;

/// An error of starting or joining a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The address cannot be listened on. Another one may do.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Whoever reaches the port would be an executor.
    #[error("{0} can be reached from other machines: give a token, or listen on 127.0.0.1")]
    TokenRequired(SocketAddr),
    /// A token that no header can carry.
    #[error("a token is 16 to 512 letters, digits and signs without spaces")]
    TokenInvalid,
    /// The server does not take this executor, and will not later.
    #[error("{message}")]
    Refused {
        /// `token_refused`, `version_mismatch` or `state_mismatch`.
        code: &'static str,
        /// What the server said.
        message: String,
    },
    /// The address of the server is none.
    #[error("`{0}` is no HOST:PORT of a server")]
    ServerInvalid(String),
    /// There is no such executor.
    #[error("there is no executor {0}: `volley executors list` shows those that there are")]
    UnknownExecutor(String),
    /// A part that Ballista is to do could not be begun.
    #[error("the cluster cannot be started: {0}")]
    Ballista(String),
}

impl ClusterError {
    /// The executor does not work on the server's state.
    pub(crate) fn of_other_state(state: &str) -> Self {
        let message = format!(
            "what this executor writes into its state is not in that of the server, {state}: give both the same `state`"
        );
        Self::Refused { code: "state_mismatch", message }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "address_unusable",
            Self::TokenRequired(_) => "token_required",
            Self::TokenInvalid => "token_invalid",
            Self::Refused { code, .. } => code,
            Self::ServerInvalid(_) => "server_invalid",
            Self::UnknownExecutor(_) => "unknown_executor",
            Self::Ballista(_) => "cluster_failed",
        }
    }
}

impl From<ballista_core::error::BallistaError> for ClusterError {
    fn from(error: ballista_core::error::BallistaError) -> Self {
        Self::Ballista(error.to_string())
    }
}
