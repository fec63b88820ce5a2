//! The models of this process: each loaded once for its digest and shared by every thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::ArrayRef;
use tokio::sync::OnceCell;
use volley_model::{Limits, Runtimes, Scorer};
use volley_registry::{Pin, Registry};

use crate::call::BoundCall;
use crate::error::PredictError;

/// Loads models from a registry and keeps them for the life of the process.
#[derive(Debug)]
pub struct ModelHost {
    registry: Arc<Registry>,
    limits: Limits,
    runtimes: Runtimes,
    /// One cell a digest and contract, so that tasks which ask at once share one load.
    models: Mutex<HashMap<String, Arc<OnceCell<Arc<LoadedModel>>>>>,
    loads: AtomicU64,
}

/// A model that is ready to score, and what it has scored so far.
#[derive(Debug)]
pub struct LoadedModel {
    label: String,
    scorer: Arc<dyn Scorer>,
    rows_scored: AtomicU64,
    load_time: Duration,
}

/// Scores of one slice of rows.
#[derive(Debug)]
pub struct Scored {
    /// One value a row, of the type that was planned.
    pub result: ArrayRef,
    /// Rows whose result is NULL.
    pub null_scores: usize,
}

impl ModelHost {
    /// A host that loads from `registry` within `limits`.
    pub fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        let runtimes = Runtimes::default();
        Self { registry, limits, runtimes, models: Mutex::default(), loads: AtomicU64::new(0) }
    }

    /// The same host with other runtimes beside our own.
    pub fn with_runtimes(self, runtimes: Runtimes) -> Self {
        Self { runtimes, ..self }
    }

    /// The registry that models come from.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The model behind a pin, loaded if this process has not done so yet. A load that failed is tried again
    /// by the next caller.
    pub async fn model(&self, pin: &Pin) -> Result<Arc<LoadedModel>, PredictError> {
        let cell = self.cell(pin);
        cell.get_or_try_init(|| self.load(pin)).await.cloned()
    }

    /// As [`ModelHost::model`], for a caller that cannot wait: a function inside an expression.
    pub fn model_blocking(&self, pin: &Pin) -> Result<Arc<LoadedModel>, PredictError> {
        if let Some(model) = self.cell(pin).get() {
            return Ok(model.clone());
        }
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a thread of its own can hold a runtime");
                    runtime.block_on(self.model(pin))
                })
                .join()
                .expect("loading a model turns panics into errors")
        })
    }

    /// How many loads have begun in this process.
    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Rows scored in this process by the model of a digest, on every road.
    pub fn rows_scored(&self, pin: &Pin) -> u64 {
        self.cell(pin).get().map_or(0, |model| model.rows_scored.load(Ordering::Relaxed))
    }

    /// Rows scored in this process by all models, on every road.
    pub fn total_rows_scored(&self) -> u64 {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.values().filter_map(|cell| cell.get()).map(|model| model.rows_scored.load(Ordering::Relaxed)).sum()
    }

    fn cell(&self, pin: &Pin) -> Arc<OnceCell<Arc<LoadedModel>>> {
        // The contract belongs to the key: one artifact can be registered twice, with other null rules.
        let contract = serde_json::to_string(&pin.contract).expect("a contract is plain data");
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.entry(format!("{} {contract}", pin.sha256)).or_default().clone()
    }

    async fn load(&self, pin: &Pin) -> Result<Arc<LoadedModel>, PredictError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let artifact = self.registry.fetch(pin).await?;
        let (contract, runtimes, limits) = (pin.contract.clone(), self.runtimes.clone(), self.limits);
        let scorer = tokio::task::spawn_blocking(move || runtimes.load(&artifact, &contract, &limits))
            .await
            .expect("loading a model turns panics into errors")
            .map_err(|source| PredictError::Score { model: pin.label(), source })?;
        Ok(Arc::new(LoadedModel {
            label: pin.label(),
            scorer,
            rows_scored: AtomicU64::new(0),
            load_time: start.elapsed(),
        }))
    }
}

impl LoadedModel {
    /// Scores `rows` rows of the bound argument columns.
    pub fn score(&self, call: &BoundCall, columns: &[ArrayRef], rows: usize) -> Result<Scored, PredictError> {
        let refused = |source| PredictError::Score { model: self.label.clone(), source };
        let scores = self.scorer.score(&call.binding, columns, rows).map_err(refused)?;
        self.rows_scored.fetch_add(rows as u64, Ordering::Relaxed);
        let result = scores.result(&call.pin.contract, call.function).map_err(refused)?;
        Ok(Scored { result, null_scores: scores.null_scores })
    }

    /// How long it took to fetch and load the model.
    pub fn load_time(&self) -> Duration {
        self.load_time
    }
}
