//! Executors over HTTP: list, drain.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Answer;

pub(super) async fn list(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "executors": shared.gateway.executors() }))
}

pub(super) async fn drain(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<(StatusCode, Json<Value>)> {
    Ok((StatusCode::ACCEPTED, Json(json!(shared.gateway.drain(&id)?))))
}
