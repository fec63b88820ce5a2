//! Statements over HTTP: rows as an Arrow stream, what was published as JSON.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use volley_engine::JobId;

use super::problem::{Answer, Body, details};
use super::{Shared, rows};
use crate::error::ServerError;
use crate::gateway::Reply;
use crate::job_request::StatementRequest;

const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Names the statement of an answer, to ask why it broke off.
const STATEMENT: HeaderName = HeaderName::from_static("volley-statement");

pub(super) async fn sql(State(shared): State<Shared>, Body(request): Body<StatementRequest>) -> Answer<Response> {
    let rows = match shared.gateway.statement(&request).await? {
        Reply::Rows(rows) => rows,
        Reply::Published(summary) => return Ok(Json(json!({ "published": summary })).into_response()),
        Reply::Done => return Ok(Json(json!({ "published": null })).into_response()),
    };
    let id = JobId::new().to_string();
    let bytes = rows::bytes(rows, id.clone(), shared.broken.clone()).await?;
    Ok(([(CONTENT_TYPE, ARROW_STREAM.to_owned()), (STATEMENT, id)], HttpBody::from_stream(bytes)).into_response())
}

/// Why an answer broke off.
pub(super) async fn broken(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<Json<Value>> {
    match shared.broken.of(&id) {
        Some(error) => Ok(Json(details(&error, StatusCode::OK))),
        None => {
            let message = format!("nothing is known of an answer to {id} that broke off");
            Err(ServerError::new("unknown_statement", message).into())
        }
    }
}

/// How many answers that broke off are remembered.
const BROKEN_MAX: usize = 1000;

/// Why answers broke off that had begun: by then their status is sent.
#[derive(Debug, Default)]
pub(super) struct Broken(Mutex<VecDeque<(String, ServerError)>>);

impl Broken {
    pub(super) fn keep(&self, id: String, error: ServerError) {
        let mut known = self.known();
        if known.len() == BROKEN_MAX {
            known.pop_front();
        }
        known.push_back((id, error));
    }

    fn of(&self, id: &str) -> Option<ServerError> {
        self.known().iter().find(|(known, _)| known == id).map(|(_, error)| error.clone())
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(String, ServerError)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
