//! Jobs over HTTP: submit, list, show, cancel, resume.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::problem::{Answer, Body};
use crate::job_request::JobRequest;
use volley_engine::Draw;
use volley_jobs::Job;

/// How many jobs a list has where nobody says so.
const LISTED: u32 = 100;
const LISTED_MAX: u32 = 10_000;

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    limit: Option<u32>,
}

pub(super) async fn submit(
    State(shared): State<Shared>,
    Body(request): Body<JobRequest>,
) -> Answer<(StatusCode, Json<Value>)> {
    let submitted = shared.gateway.submit(request).await?;
    let status = if submitted.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, shown(&shared, &submitted.job)))
}

pub(super) async fn list(
    State(shared): State<Shared>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Json<Value>> {
    let Query(query) = query?;
    let jobs = shared.gateway.jobs(query.limit.unwrap_or(LISTED).min(LISTED_MAX))?;
    Ok(Json(json!({ "jobs": jobs })))
}

pub(super) async fn show(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<Json<Value>> {
    Ok(shown(&shared, &shared.gateway.job(&id)?))
}

pub(super) async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<(StatusCode, Json<Value>)> {
    Ok((StatusCode::ACCEPTED, shown(&shared, &shared.gateway.cancel(&id).await?)))
}

pub(super) async fn resume(State(shared): State<Shared>, Path(id): Path<String>) -> Answer<(StatusCode, Json<Value>)> {
    Ok((StatusCode::ACCEPTED, shown(&shared, &shared.gateway.resume(&id).await?)))
}

/// Which splits are scored again beside the check of files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyRequest {
    rescore: Option<NonZeroUsize>,
    seed: Option<u64>,
}

pub(super) async fn verify(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(request): Body<VerifyRequest>,
) -> Answer<Json<Value>> {
    let draw = request.rescore.map(|splits| Draw::of(splits, request.seed));
    Ok(Json(json!(shared.gateway.verify(&id, draw).await?)))
}

/// What is forgotten is over for so long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetRequest {
    older_than_hours: NonZeroU32,
}

pub(super) async fn forget(State(shared): State<Shared>, Body(request): Body<ForgetRequest>) -> Answer<Json<Value>> {
    let age = Duration::from_secs(u64::from(request.older_than_hours.get()) * 3600);
    Ok(Json(json!(shared.gateway.forget(age).await?)))
}

fn shown(shared: &Shared, job: &Job) -> Json<Value> {
    let mut shown = serde_json::to_value(job).expect("a plain struct has JSON");
    shown["progress"] = shared.gateway.progress(&job.id).unwrap_or_default();
    Json(shown)
}
