//! Errors as problem details (RFC 9457), with our stable codes.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::ServerError;

/// What a handler gives.
pub(super) type Answer<T> = Result<T, Failed>;

/// An error on its way out.
#[derive(Debug)]
pub(super) struct Failed(pub(super) ServerError);

impl From<ServerError> for Failed {
    fn from(error: ServerError) -> Self {
        Self(error)
    }
}

/// `type` is a name and no address: the code is what programs read, and the guide explains it.
pub(super) fn details(error: &ServerError, status: StatusCode) -> Value {
    let first = error.problems.first();
    json!({
        "type": format!("urn:volley:error:{}", error.code()),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": first.map(|problem| problem.message.as_str()),
        "code": error.code(),
        "line": first.and_then(|problem| problem.line),
        "column": first.and_then(|problem| problem.column),
        "transient": error.is_transient,
        "problems": error.problems,
    })
}

/// The status of a code.
fn status(error: &ServerError) -> StatusCode {
    match error.code() {
        "unauthenticated" => StatusCode::UNAUTHORIZED,
        "foreign_host" | "local_path" | "location_not_allowed" | "setting_not_allowed" | "statement_not_allowed" => {
            StatusCode::FORBIDDEN
        }
        "unknown_job" | "unknown_executor" | "unknown_statement" | "not_found" => StatusCode::NOT_FOUND,
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "key_reused" | "job_over" | "job_running" => StatusCode::CONFLICT,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "invalid_request" => StatusCode::BAD_REQUEST,
        "bad_state" | "internal" | "panicked" => StatusCode::INTERNAL_SERVER_ERROR,
        _ if error.is_transient => StatusCode::SERVICE_UNAVAILABLE,
        // It is well formed, and cannot be done.
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = status(&self.0);
        let mut response = (status, Json(details(&self.0, status))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn not_found() -> Failed {
    Failed(ServerError::new(
        "not_found",
        "there is nothing here: the API begins at /v1/jobs, /v1/sql and /v1/executors",
    ))
}

pub(super) async fn not_allowed() -> Failed {
    Failed(ServerError::new("method_not_allowed", "this can be asked for, but not in this way"))
}

/// A body of JSON, told in our words where it is none.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let Json(body) = Json::from_request(request, state).await.map_err(Failed::from)?;
        Ok(Self(body))
    }
}

impl From<JsonRejection> for Failed {
    fn from(rejection: JsonRejection) -> Self {
        let told = one_line(&rejection.body_text());
        Self(match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ServerError::new("request_too_large", told),
            _ => ServerError::new("invalid_request", told),
        })
    }
}

impl From<QueryRejection> for Failed {
    fn from(rejection: QueryRejection) -> Self {
        Self(ServerError::new("invalid_request", one_line(&rejection.body_text())))
    }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}
