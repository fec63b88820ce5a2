//! Who may come in: executors of our version that show the cluster's token, and for four calls only.
//!
//! Version and token travel as the name of the client, the one header that every client of Ballista lets us set. So
//! they are as safe as the network is: nothing here is encrypted.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::error::ClusterError;

/// The version that both sides must have: plans in a state are read by the version that wrote them.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where executors tell what they run.
pub(crate) const PULSE: &str = "/volley/pulse";

/// The calls of Ballista's that an executor makes. What is not among them plans queries, or is of no use.
const CALLS: [&str; 4] = ["RegisterExecutor", "HeartBeatFromExecutor", "UpdateTaskStatus", "ExecutorStopped"];
const SERVICE: &str = "/ballista.protobuf.SchedulerGrpc/";

/// The secret that executors share with their server.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Errors: `token_invalid` for what is short, or no header could carry.
    pub fn new(text: impl Into<String>) -> Result<Self, ClusterError> {
        let text = text.into();
        let is_fit = (16..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_fit.then_some(Self(text)).ok_or(ClusterError::TokenInvalid)
    }

    /// Takes as long for every other token of its length.
    fn is(&self, shown: &str) -> bool {
        let differences = self.0.bytes().zip(shown.bytes()).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        self.0.len() == shown.len() && differences == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// What a client calls itself.
pub(crate) fn client_name(token: Option<&Token>) -> String {
    format!("volley/{VERSION} {}", token.map_or("-", |token| token.0.as_str()))
}

/// What is told to a client that may not come in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn of(error: &ClusterError) -> Self {
        Self { code: error.code().to_owned(), message: error.to_string() }
    }

    /// The error of an executor that is told so.
    pub(crate) fn error(self) -> ClusterError {
        let message = self.message;
        match self.code.as_str() {
            "version_mismatch" => ClusterError::Refused { code: "version_mismatch", message },
            "state_mismatch" => ClusterError::Refused { code: "state_mismatch", message },
            _ => ClusterError::Refused { code: "token_refused", message },
        }
    }
}

/// Lets in who may come in.
pub(crate) async fn check(State(token): State<Arc<Option<Token>>>, request: Request, next: Next) -> Response {
    let name = request.headers().get(header::USER_AGENT).and_then(|name| name.to_str().ok()).unwrap_or_default();
    if let Err((status, code, message)) = let_in(token.as_ref().as_ref(), name, request.uri().path()) {
        return (status, Json(Refusal { code: code.to_owned(), message })).into_response();
    }
    next.run(request).await
}

fn let_in(token: Option<&Token>, name: &str, path: &str) -> Result<(), (StatusCode, &'static str, String)> {
    let mut words = name.split_ascii_whitespace();
    let version = words.next().and_then(|word| word.strip_prefix("volley/")).unwrap_or("unknown");
    let shown = words.next().unwrap_or_default();
    if token.is_some_and(|token| !token.is(shown)) {
        let message = "the server does not take this token: give the executor that of the server".to_owned();
        return Err((StatusCode::UNAUTHORIZED, "token_refused", message));
    }
    if version != VERSION {
        let message = format!("the server runs Volley {VERSION} and this executor {version}: install the same version");
        return Err((StatusCode::CONFLICT, "version_mismatch", message));
    }
    let is_call = path.strip_prefix(SERVICE).is_some_and(|call| CALLS.contains(&call));
    match is_call || path == PULSE {
        true => Ok(()),
        false => Err((StatusCode::NOT_FOUND, "not_supported", "nothing is served here".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(token: Option<&str>, name: &str, path: &str) -> Option<&'static str> {
        let token = token.map(|text| Token::new(text).expect("a token"));
        let_in(token.as_ref(), name, path).err().map(|(_, code, _)| code)
    }

    const TOKEN: &str = "0123456789abcdef";
    const REGISTER: &str = "/ballista.protobuf.SchedulerGrpc/RegisterExecutor";

    #[test]
    fn who_shows_the_token_and_has_the_version_may_make_the_calls_of_an_executor() {
        let name = client_name(Some(&Token::new(TOKEN).expect("a token")));
        assert_eq!(code(Some(TOKEN), &format!("{name} tonic/0.14"), REGISTER), None);
        assert_eq!(code(Some(TOKEN), &name, PULSE), None);
        assert_eq!(code(None, &client_name(None), PULSE), None);
    }

    #[test]
    fn a_query_comes_in_through_no_door_of_ballista() {
        for call in ["ExecuteQuery", "ExecuteQueryPush", "CancelJob", "PollWork", "GetJobStatus", "CreateUpdateSession"]
        {
            assert_eq!(code(None, &client_name(None), &format!("{SERVICE}{call}")), Some("not_supported"), "{call}");
        }
        assert_eq!(code(None, &client_name(None), "/api/jobs"), Some("not_supported"));
    }

    #[test]
    fn without_the_token_nobody_comes_in_and_learns_nothing() {
        let name = client_name(None);
        for shown in [name.as_str(), "volley/0 0123456789abcdeX", "volley/0 0123456789abcdef0", ""] {
            assert_eq!(code(Some(TOKEN), shown, REGISTER), Some("token_refused"), "{shown}");
        }
    }

    #[test]
    fn another_version_is_told_which_one_is_wanted() {
        let (_, code, message) = let_in(None, "volley/0.0.0 -", PULSE).expect_err("another version");
        assert_eq!(code, "version_mismatch");
        assert!(message.contains(VERSION) && message.contains("0.0.0"), "{message}");
    }

    #[test]
    fn a_token_is_never_shown() {
        assert!(!format!("{:?}", Token::new(TOKEN)).contains("0123"));
        assert!(Token::new("short").is_err() && Token::new("with a space in it, and long").is_err());
    }
}
