//! The HTTP door: routes, and who may take them.

mod access;
mod events;
mod executors;
mod jobs;
mod metrics;
mod problem;
mod rows;
mod sql;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::gateway::Gateway;
pub(crate) use access::Access;
use problem::{Answer, Failed};
use sql::Broken;

/// The largest request: a statement is text that people write.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    gateway: Gateway,
    broken: Arc<Broken>,
}

/// All routes over a gateway, behind `access`.
pub(crate) fn routes(gateway: Gateway, access: Access) -> Router {
    let shared = Shared { gateway, broken: Arc::default() };
    let guarded = Router::new()
        .route("/v1/jobs", post(jobs::submit).get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/events", get(events::events))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/resume", post(jobs::resume))
        .route("/v1/jobs/{id}/verify", post(jobs::verify))
        .route("/v1/jobs/forget", post(jobs::forget))
        .route("/v1/executors", get(executors::list))
        .route("/v1/executors/{id}/drain", post(executors::drain))
        .route("/v1/sql", post(sql::sql))
        .route("/v1/sql/{id}", get(sql::broken))
        .route("/metrics", get(metrics::metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::new(access), access::check));
    // Whoever looks whether it lives needs no token, and learns nothing else.
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).merge(guarded).with_state(shared)
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready is who can read what it has accepted.
async fn readyz(axum::extract::State(shared): axum::extract::State<Shared>) -> Answer<&'static str> {
    shared.gateway.waiting_and_running().map_err(Failed)?;
    Ok("ok\n")
}
