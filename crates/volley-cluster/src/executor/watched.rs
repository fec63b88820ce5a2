//! What an executor shows whoever watches it: that it lives, whether it works, and what it counts. Over HTTP, to
//! anybody: there is nothing of jobs in it but numbers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use volley_engine::Worker;

use super::table::Table;
use crate::error::ClusterError;
use crate::metrics::{METRICS_TYPE, metric_lines};
use crate::pulse::Phase;

/// Whom to ask.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) vcores: usize,
    pub(super) worker: Arc<Worker>,
    pub(super) table: Arc<Table>,
    pub(super) phase: watch::Receiver<Phase>,
    /// Whether a server has taken this executor.
    pub(super) joined: watch::Receiver<bool>,
}

impl Watched {
    /// Where it answers, and what does until it is dropped. Error: `address_unusable`.
    pub(super) async fn serve(
        self,
        address: SocketAddr,
    ) -> Result<(SocketAddr, impl Future<Output = ()>), ClusterError> {
        let unusable = |source| ClusterError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(unusable)?;
        let found = listener.local_addr().map_err(unusable)?;
        let routes = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self);
        let serving = async move {
            let _ = axum::serve(listener, routes).await;
        };
        Ok((found, serving))
    }

    fn metrics(&self) -> String {
        let (counts, host) = (self.table.counts(), self.worker.host());
        let loaded = host.loaded();
        let is_draining = *self.phase.borrow() != Phase::Working;
        let gauges = [
            ("volley_executor_vcores", "Splits that run at a time.", self.vcores as u64),
            ("volley_executor_splits_running", "Splits that run.", self.table.running().len() as u64),
            ("volley_executor_joined", "Whether a server has taken it.", u64::from(*self.joined.borrow())),
            ("volley_executor_draining", "Whether it is leaving.", u64::from(is_draining)),
            ("volley_models_loaded", "Models that are loaded.", loaded.models),
            ("volley_models_file_bytes", "Bytes of the files of these models.", loaded.bytes),
        ];
        let memory = resident_bytes().map(|bytes| [("process_resident_memory_bytes", "Memory of the process.", bytes)]);
        let counters = [
            ("volley_executor_splits_sealed_total", "Splits that have got their receipt.", counts.sealed),
            ("volley_executor_splits_failed_total", "Splits that failed.", counts.failed),
            ("volley_executor_rows_written_total", "Rows of splits that are done.", counts.rows),
            ("volley_rows_scored_total", "Rows that models scored.", host.total_rows_scored()),
            ("volley_model_loads_total", "Times that a model was loaded.", host.loads()),
        ];
        metric_lines("gauge", gauges.into_iter().chain(memory.into_iter().flatten()))
            + &metric_lines("counter", counters)
    }
}

async fn readyz(State(watched): State<Watched>) -> (StatusCode, &'static str) {
    match *watched.joined.borrow() && *watched.phase.borrow() == Phase::Working {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "it takes no splits now\n"),
    }
}

async fn metrics(State(watched): State<Watched>) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, METRICS_TYPE)], watched.metrics())
}

/// The memory of this process, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
