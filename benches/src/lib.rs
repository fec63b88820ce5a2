//! What the benches share: generated tables of 30 floats, and the models that score them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Float32Array};
use bytes::Bytes;
use volley_engine::{Answer, Engine, EngineSettings, Params, Session, Summary, parse_script};
use volley_model::{Argument, Arguments, Artifact, BindOptions, Binding, Limits, Scorer, bind, inspect, load};

/// Columns of the generated tables and inputs of the models.
pub const FEATURES: usize = 30;

/// The file of a model of `benches/models`.
pub fn model_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.onnx"))
}

/// A model, ready to score, with the binding of 30 float columns to its inputs.
pub fn scorer(name: &str) -> Result<(Arc<dyn Scorer>, Binding)> {
    let bytes = std::fs::read(model_file(name)).with_context(|| format!("model {name}"))?;
    let artifact = Artifact::new([(format!("{name}.onnx"), Bytes::from(bytes))].into());
    let limits = Limits::default();
    let contract = inspect(&artifact, &limits)?;
    let argument = Argument { name: None, data_type: arrow::datatypes::DataType::Float32, nullable: false };
    let arguments = Arguments::Positional(vec![argument; FEATURES]);
    let binding = bind(&contract, name, &arguments, &BindOptions::default())
        .map_err(|problems| anyhow::anyhow!("{}", problems[0].message))?;
    Ok((load(&artifact, &contract, &limits)?, binding))
}

/// Thirty float columns of `rows` rows, the same at every call.
pub fn columns(rows: usize) -> Vec<ArrayRef> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The upper 24 bits as a number between -2 and 2.
        (state >> 40) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..FEATURES).map(|_| Arc::new(Float32Array::from_iter_values((0..rows).map(|_| next()))) as ArrayRef).collect()
}

/// An engine on a folder, and a session of it.
pub struct Bench {
    session: Session,
    // The session shares the engine's state; its lock is held as long as either lives.
    _engine: Engine,
}

impl Bench {
    /// Two cores, state and results in `folder`.
    pub async fn open(folder: &Path) -> Result<Self> {
        Self::with_memory(folder, EngineSettings::default().memory_bytes).await
    }

    /// The same with so much memory for what spills, in bytes.
    pub async fn with_memory(folder: &Path, memory_bytes: usize) -> Result<Self> {
        let base = folder.to_path_buf();
        let settings = EngineSettings { base, cores: 2, memory_bytes, ..EngineSettings::default() };
        let engine = Engine::open(settings).await?;
        Ok(Self { session: engine.session(), _engine: engine })
    }

    /// Writes `rows` rows of 30 floats `f0` to `f29` to `input/`.
    pub async fn generate(&mut self, rows: usize) -> Result<()> {
        let fields: Vec<_> = (0..FEATURES).map(|i| format!("(random() * 4 - 2)::float AS f{i}")).collect();
        let sql = format!(
            "COPY (SELECT {} FROM generate_series(1, {rows})) TO 'input/' STORED AS PARQUET",
            fields.join(", ")
        );
        self.publish(&sql).await.map(drop)
    }

    /// Runs a statement that publishes.
    pub async fn publish(&mut self, sql: &str) -> Result<Summary> {
        let statement = parse_script(sql)?.remove(0);
        match self.session.run(&statement, &Params::default()).await? {
            Answer::Published(summary) => Ok(summary),
            _ => anyhow::bail!("not a write: {sql}"),
        }
    }
}

/// A job over `input/`: its columns alone, or with the scores of a model.
pub fn job(model: Option<&str>) -> String {
    let features: Vec<_> = (0..FEATURES).map(|i| format!("f{i}")).collect();
    let score = match model {
        Some(name) => format!(", predict('{}', {}) AS score", model_file(name).display(), features.join(", ")),
        None => String::new(),
    };
    format!(
        "COPY (SELECT {}{score} FROM 'input/') TO 'output/' STORED AS PARQUET OPTIONS (mode 'overwrite')",
        features.join(", ")
    )
}
