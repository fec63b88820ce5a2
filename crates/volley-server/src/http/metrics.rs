//! What is counted, for Prometheus.

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use volley_cluster::{ExecutorStatus, METRICS_TYPE, metric_lines};

use super::Shared;
use super::problem::Answer;

pub(super) async fn metrics(State(shared): State<Shared>) -> Answer<([(HeaderName, &'static str); 1], String)> {
    let gateway = &shared.gateway;
    let (waiting, running) = gateway.waiting_and_running()?;
    let executors = gateway.executors();
    let sum = |count: fn(&ExecutorStatus) -> usize| executors.iter().map(count).sum::<usize>() as u64;
    let counters = gateway.counts().all().into_iter().chain([(
        "volley_cluster_splits_begun_total",
        "Times that a split was given to executors.",
        gateway.splits_begun(),
    )]);
    let gauges = [
        ("volley_jobs_waiting", "Jobs that are accepted and have not begun.", waiting as u64),
        ("volley_jobs_running", "Jobs that are under way.", running as u64),
        ("volley_statements_running", "Statements that are being answered.", gateway.counts().answering()),
        ("volley_executors", "Executors, those that are leaving too.", executors.len() as u64),
        ("volley_executors_draining", "Executors that are leaving.", sum(|one| usize::from(one.state == "draining"))),
        ("volley_cluster_vcores", "Splits that executors can run at a time.", sum(|one| one.vcores)),
        ("volley_cluster_splits_running", "Splits that executors run.", sum(|one| one.running.len())),
    ];
    let text = metric_lines("counter", counters) + &metric_lines("gauge", gauges);
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text))
}
