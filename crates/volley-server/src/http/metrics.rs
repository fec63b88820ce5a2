//! What is counted, for Prometheus.

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};

use super::Shared;
use super::problem::Answer;

pub(super) async fn metrics(State(shared): State<Shared>) -> Answer<([(HeaderName, &'static str); 1], String)> {
    let (waiting, running) = shared.gateway.waiting_and_running()?;
    let mut text = String::new();
    for (name, help, value) in shared.gateway.counts().all() {
        text += &format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n");
    }
    let answering = shared.gateway.counts().answering();
    for (name, help, value) in [
        ("volley_jobs_waiting", "Jobs that are accepted and have not begun.", waiting as u64),
        ("volley_jobs_running", "Jobs that are under way.", running as u64),
        ("volley_statements_running", "Statements that are being answered.", answering),
    ] {
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
