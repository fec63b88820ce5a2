//! What an MLflow server, or the way to one, refuses.

use serde::Deserialize;

use crate::error::one_line;

/// Divided by who can do something about it. Only [`MlflowFault::Unavailable`] is worth another try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MlflowFault {
    /// The settings contradict themselves or name no server.
    #[error("{reason}")]
    Settings {
        /// Which setting, and what to write.
        reason: String,
    },
    /// No answer, or one that says to come back. Already tried again.
    #[error("the MLflow server {server} does not answer: {reason}")]
    Unavailable {
        /// The server's URL.
        server: String,
        /// What happened last.
        reason: String,
    },
    /// 401.
    #[error(
        "the MLflow server {server} does not know who asks ({sent} was sent): set MLFLOW_TRACKING_USERNAME and \
         MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN where a gateway wants one"
    )]
    Unauthenticated {
        /// The server's URL.
        server: String,
        /// What was sent: nothing, a password, a token.
        sent: &'static str,
    },
    /// 403.
    #[error(
        "the MLflow server {server} does not let this account read {what}: it needs READ on the registered model, and \
         on the experiment that holds its files"
    )]
    Denied {
        /// The server's URL.
        server: String,
        /// What was asked for.
        what: String,
    },
    /// 403 by the middleware of MLflow 3.5 and later.
    #[error(
        "the MLflow server refuses requests for the host `{host}`: start it with --allowed-hosts \"{host},…\", which \
         replaces its default list"
    )]
    HostRefused {
        /// Host and port as they were asked for.
        host: String,
    },
    /// 503 of a server that is started with `--no-serve-artifacts`.
    #[error("the MLflow server {server} hands out no artifacts: start it with --serve-artifacts")]
    ArtifactsOff {
        /// The server's URL.
        server: String,
    },
    /// A workspace that the server does not have, or of a server without any.
    #[error("the MLflow server {server} has no workspace `{workspace}`: {reason}")]
    Workspace {
        /// The server's URL.
        server: String,
        /// What `MLFLOW_WORKSPACE` says.
        workspace: String,
        /// What the server says.
        reason: String,
    },
    /// What answers is no MLflow server, or one without this call.
    #[error("{url} does not answer as an MLflow server does ({reason}): is MLFLOW_TRACKING_URI right?")]
    NotMlflow {
        /// What was asked.
        url: String,
        /// What came back.
        reason: String,
    },
    /// Nothing is there. Callers say what they looked for.
    #[error("the MLflow server {server} has no such thing: {reason}")]
    Missing {
        /// The server's URL.
        server: String,
        /// What the server says.
        reason: String,
    },
    /// Any other refusal of the server.
    #[error("the MLflow server {server} refuses: {reason}")]
    Refused {
        /// The server's URL.
        server: String,
        /// What the server says.
        reason: String,
    },
    /// The files of a version lie where this process may not read.
    #[error("the files of {model} lie at {source_uri}, {reason}")]
    Source {
        /// The model.
        model: String,
        /// Where MLflow says that its files lie.
        source_uri: String,
        /// Why they are not read, and what to do.
        reason: String,
    },
    /// What the server lists or sends is not what a model can be.
    #[error("the files of {model} on the MLflow server cannot be taken: {reason}")]
    Listing {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
    /// The version is there, and is not finished.
    #[error("{model} is not ready: its status is {status}")]
    NotReady {
        /// The model.
        model: String,
        /// Its status.
        status: String,
    },
}

impl MlflowFault {
    /// The stable code that users see.
    pub fn code(&self) -> &'static str {
        match self {
            MlflowFault::Settings { .. } => "mlflow_settings",
            MlflowFault::Unavailable { .. } => "mlflow_unavailable",
            MlflowFault::Unauthenticated { .. } => "mlflow_unauthenticated",
            MlflowFault::Denied { .. } => "mlflow_denied",
            MlflowFault::HostRefused { .. } => "mlflow_host_refused",
            MlflowFault::ArtifactsOff { .. } => "mlflow_artifacts_off",
            MlflowFault::Workspace { .. } => "mlflow_workspace",
            MlflowFault::NotMlflow { .. } => "mlflow_not_found",
            MlflowFault::Missing { .. } => "mlflow_missing",
            MlflowFault::Refused { .. } => "mlflow_refused",
            MlflowFault::Source { .. } => "mlflow_source",
            MlflowFault::Listing { .. } => "mlflow_files",
            MlflowFault::NotReady { .. } => "model_not_ready",
        }
    }

    /// Whether the same call may succeed later with nothing mended.
    pub fn is_transient(&self) -> bool {
        matches!(self, MlflowFault::Unavailable { .. })
    }
}

/// The body of an error, as the API of MLflow and its proxy of artifacts write it. HTML and plain text have none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error_code: Option<String>,
    message: Option<String>,
    detail: Option<String>,
}

/// An answer that is no success, read.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    body: Body,
    text: String,
}

/// What is asked and by whom, for the messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub server: &'a str,
    pub host: &'a str,
    pub url: &'a str,
    /// In the user's words: `model iris`, `the files of iris/3`.
    pub what: &'a str,
    pub sent: &'static str,
    pub workspace: Option<&'a str>,
}

impl Refusal {
    /// `text` is the body, or as much of it as was read.
    pub(super) fn new(status: u16, text: &str) -> Self {
        Refusal { status, body: serde_json::from_str(text).unwrap_or_default(), text: text.to_owned() }
    }

    /// Whether the same request may be answered a moment later. A server over S3 says 500 for a file that is not
    /// there; only a few tries are lost by that.
    pub(super) fn is_transient(&self) -> bool {
        match self.status {
            408 | 429 | 502 | 504 => true,
            503 => !self.is_artifacts_off(),
            500 => self.body.error_code.as_deref().is_none_or(|code| code == "INTERNAL_ERROR"),
            _ => false,
        }
    }

    pub(super) fn fault(&self, asked: &Asked<'_>) -> MlflowFault {
        let server = asked.server.to_owned();
        let reason = self.reason();
        match (self.status, self.body.error_code.as_deref()) {
            (401, _) => MlflowFault::Unauthenticated { server, sent: asked.sent },
            (403, _) if self.text.contains("Invalid Host header") => {
                MlflowFault::HostRefused { host: asked.host.to_owned() }
            }
            (403, _) if self.text.contains("Cross-origin") => MlflowFault::Refused { server, reason },
            (403, _) => MlflowFault::Denied { server, what: asked.what.to_owned() },
            (_, Some("FEATURE_DISABLED")) | (404, Some("RESOURCE_DOES_NOT_EXIST"))
                if asked.workspace.is_some() && self.is_of_workspace() =>
            {
                let workspace = asked.workspace.unwrap_or_default().to_owned();
                MlflowFault::Workspace { server, workspace, reason }
            }
            (400, _) if self.text.contains("targets workspace") => {
                let workspace = asked.workspace.unwrap_or("default").to_owned();
                MlflowFault::Workspace { server, workspace, reason }
            }
            (_, Some("RESOURCE_DOES_NOT_EXIST")) => MlflowFault::Missing { server, reason },
            // As the registry says it of an alias.
            (400, Some("INVALID_PARAMETER_VALUE")) if self.text.contains(" not found") => {
                MlflowFault::Missing { server, reason }
            }
            (503, _) if self.is_artifacts_off() => MlflowFault::ArtifactsOff { server },
            (404 | 405, None) | (300..=399, _) => MlflowFault::NotMlflow { url: asked.url.to_owned(), reason },
            _ if self.is_transient() => MlflowFault::Unavailable { server, reason },
            _ => MlflowFault::Refused { server, reason },
        }
    }

    /// By how the message begins: a model may be called so too.
    fn is_of_workspace(&self) -> bool {
        self.body.message.as_deref().is_some_and(|message| message.starts_with("Workspace "))
    }

    fn is_artifacts_off(&self) -> bool {
        self.status == 503 && self.text.to_lowercase().contains("artifact") && self.text.contains("disabled")
            || self.status == 503 && self.text.contains("--serve-artifacts")
    }

    /// One line of the server's own words; of a page, the status alone.
    fn reason(&self) -> String {
        const SHOWN_MAX: usize = 300;
        let said = self.body.message.as_deref().or(self.body.detail.as_deref());
        let plain = Some(self.text.as_str()).filter(|text| !text.trim_start().starts_with(['<', '{']));
        match said.or(plain).map(one_line).filter(|said| !said.is_empty()) {
            Some(said) => format!("HTTP {}: {}", self.status, said.chars().take(SHOWN_MAX).collect::<String>()),
            None => format!("HTTP {}", self.status),
        }
    }
}
