//! The models of this process: each loaded once for its digest and shared by every thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::ArrayRef;
use tokio::sync::OnceCell;
use volley_model::{Limits, Runtimes, Scorer};
use volley_registry::{Pin, Registry};

use crate::call::BoundCall;
use crate::error::PredictError;

/// Loads models from a registry and keeps them as long as there is room.
#[derive(Debug)]
pub struct ModelHost {
    registry: Arc<Registry>,
    limits: Limits,
    runtimes: Runtimes,
    /// Bytes of files of the models that are kept.
    kept_max: u64,
    models: Mutex<Kept>,
    loads: AtomicU64,
    rows_scored: Arc<AtomicU64>,
}

/// The models that are loaded, or are being loaded.
#[derive(Debug, Default)]
struct Kept {
    /// By digest and contract.
    models: HashMap<String, Entry>,
    /// Counts every time that one was asked for.
    asked: u64,
}

#[derive(Debug, Default)]
struct Entry {
    /// Tasks that ask at once share one load.
    cell: Cell,
    last_asked: u64,
}

type Cell = Arc<OnceCell<Arc<LoadedModel>>>;

/// A model that is ready to score.
#[derive(Debug)]
pub struct LoadedModel {
    label: String,
    scorer: Arc<dyn Scorer>,
    /// Of its files.
    bytes: u64,
    /// By all models of the process.
    rows_scored: Arc<AtomicU64>,
    load_time: Duration,
}

/// How many models are loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Models.
    pub models: u64,
    /// Bytes of their files. In memory a model takes as much, or some times as much.
    pub bytes: u64,
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
    /// A host that loads from `registry` within `limits`, and keeps everything.
    pub fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        Self {
            registry,
            limits,
            runtimes: Runtimes::default(),
            kept_max: u64::MAX,
            models: Mutex::default(),
            loads: AtomicU64::new(0),
            rows_scored: Arc::default(),
        }
    }

    /// The same host, which lets go of the models that nobody scores with, and that were asked for the longest time
    /// ago, while the files of all that it keeps are larger than `bytes` together.
    pub fn keeping(self, bytes: u64) -> Self {
        Self { kept_max: bytes, ..self }
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
        if let Some(model) = cell.get() {
            return Ok(model.clone());
        }
        let model = cell.get_or_try_init(|| self.load(pin)).await.cloned()?;
        self.make_room();
        Ok(model)
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

    /// Rows scored in this process by all models, on every road.
    pub fn total_rows_scored(&self) -> u64 {
        self.rows_scored.load(Ordering::Relaxed)
    }

    /// What is loaded now.
    pub fn loaded(&self) -> Loaded {
        let kept = self.kept();
        let loaded = kept.models.values().filter_map(|entry| entry.cell.get());
        loaded.fold(Loaded::default(), |all, model| Loaded { models: all.models + 1, bytes: all.bytes + model.bytes })
    }

    fn cell(&self, pin: &Pin) -> Cell {
        // The contract belongs to the key: one artifact can be registered twice, with other null rules.
        let contract = serde_json::to_string(&pin.contract).expect("a contract is plain data");
        let mut kept = self.kept();
        kept.asked += 1;
        let asked = kept.asked;
        let entry = kept.models.entry(format!("{} {contract}", pin.sha256)).or_default();
        entry.last_asked = asked;
        entry.cell.clone()
    }

    /// Lets go of models until those that are kept fit, or all of them are scoring.
    fn make_room(&self) {
        let mut kept = self.kept();
        let mut bytes: u64 = kept.models.values().filter_map(|entry| Some(entry.cell.get()?.bytes)).sum();
        while bytes > self.kept_max {
            // A model that somebody has is held by more than its cell, and a cell that somebody waits at by more
            // than this map.
            let is_idle = |entry: &Entry| {
                let model = entry.cell.get().filter(|model| Arc::strong_count(model) == 1);
                model.is_some() && Arc::strong_count(&entry.cell) == 1
            };
            let idle = kept.models.iter().filter(|(_, entry)| is_idle(entry));
            let Some(oldest) = idle.min_by_key(|(_, entry)| entry.last_asked).map(|(key, _)| key.clone()) else {
                return;
            };
            let gone = kept.models.remove(&oldest).and_then(|entry| Some(entry.cell.get()?.bytes));
            bytes -= gone.unwrap_or(0);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, pin: &Pin) -> Result<Arc<LoadedModel>, PredictError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let artifact = self.registry.fetch(pin).await?;
        let bytes = artifact.files().values().map(|file| file.len() as u64).sum();
        let (contract, runtimes, limits) = (pin.contract.clone(), self.runtimes.clone(), self.limits);
        let scorer = tokio::task::spawn_blocking(move || runtimes.load(&artifact, &contract, &limits))
            .await
            .expect("loading a model turns panics into errors")
            .map_err(|source| PredictError::Score { model: pin.label(), source })?;
        Ok(Arc::new(LoadedModel {
            label: pin.label(),
            scorer,
            bytes,
            rows_scored: self.rows_scored.clone(),
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
