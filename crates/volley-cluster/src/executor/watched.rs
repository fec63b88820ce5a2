//! What an executor shows whoever watches it: that it lives, whether it works, and what it counts. Over HTTP, to
//! anybody: there is nothing of jobs in it but numbers.

use std::fmt::Write;
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
        let (counts, loaded) = (self.table.counts(), self.worker.host().loaded());
        let running = self.table.running().len() as u64;
        let is_draining = u64::from(*self.phase.borrow() != Phase::Working);
        let mut text = String::new();
        let mut add = |kind: &str, name: &str, help: &str, value: u64| {
            // Writing into text does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        add("gauge", "volley_executor_vcores", "Splits that run at a time.", self.vcores as u64);
        add("gauge", "volley_executor_splits_running", "Splits that run.", running);
        add("gauge", "volley_executor_joined", "Whether a server has taken it.", u64::from(*self.joined.borrow()));
        add("gauge", "volley_executor_draining", "Whether it is leaving.", is_draining);
        add("counter", "volley_executor_splits_sealed_total", "Splits that have got their receipt.", counts.sealed);
        add("counter", "volley_executor_splits_failed_total", "Splits that failed.", counts.failed);
        add("counter", "volley_executor_rows_written_total", "Rows of splits that are done.", counts.rows);
        add("counter", "volley_rows_scored_total", "Rows that models scored.", self.worker.host().total_rows_scored());
        add("counter", "volley_model_loads_total", "Times that a model was loaded.", self.worker.host().loads());
        add("gauge", "volley_models_loaded", "Models that are loaded.", loaded.models);
        add("gauge", "volley_models_file_bytes", "Bytes of the files of these models.", loaded.bytes);
        if let Some(bytes) = resident_bytes() {
            add("gauge", "process_resident_memory_bytes", "Memory of the process.", bytes);
        }
        text
    }
}

async fn readyz(State(watched): State<Watched>) -> (StatusCode, &'static str) {
    match *watched.joined.borrow() && *watched.phase.borrow() == Phase::Working {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "it takes no splits now\n"),
    }
}

async fn metrics(State(watched): State<Watched>) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], watched.metrics())
}

/// The memory of this process, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
