//! What safety costs: a job beside the same work without receipts, checksums, verification and staging.
//!
//! The plain work is what a careful writer would do who trusts everything: each partition of DataFusion's scan goes
//! through the model and the same Parquet writer straight to a file at the destination, on as many threads. Once more
//! with the files synced to disk at their end, since a job's records promise that they are. DataFusion's own COPY,
//! which encodes columns side by side, stands beside it where there is no model.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::TableParquetOptions;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::{ExecutionPlanProperties, execute_stream_partitioned};
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use volley_benches::{Bench, FEATURES, job, scorer};
use volley_model::{Binding, Function, Scorer};

use crate::process::{self, Taken, median, peak_mib};

/// What its children are called.
pub const KIND: &str = "safety";

const MODELS: [Option<&str>; 3] = [None, Some("linear"), Some("trees")];

/// The ways of doing the same.
const WAYS: [(&str, Way); 4] =
    [("plain", Way::Plain), ("plain, synced", Way::Synced), ("job", Way::Job), ("COPY of DataFusion", Way::Copy)];

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Plain,
    Synced,
    Job,
    Copy,
}

/// Rows that are encoded at once, as the write of a job does.
const BLOCK_ROWS: usize = 8192;

/// Of the dictionary of a column, the same.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;

/// Measures all ways for each model and prints the ratios.
pub fn compare(rows: usize, rounds: usize) -> Result<()> {
    // A million rows are one split, and so one core's work: fewer would leave one idle that the plain ways use.
    anyhow::ensure!(
        rows.is_multiple_of(2_000_000),
        "a job has two splits at a time of two million rows and their multiples"
    );
    let folder = tempfile::tempdir()?;
    Runtime::new()?.block_on(async { Bench::open(folder.path()).await?.generate(rows).await })?;
    println!("{rows} rows of 30 floats, Parquet to Parquet, two cores, median of {rounds}");
    for (nth, model) in MODELS.iter().enumerate() {
        // A COPY has no model.
        let ways = &WAYS[..WAYS.len() - usize::from(model.is_some())];
        let mut runs: Vec<Vec<Taken>> = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for (way, runs) in runs.iter_mut().enumerate() {
                runs.push(process::run(KIND, folder.path(), nth * WAYS.len() + way)?);
            }
        }
        println!("{}", model.unwrap_or("scan and write alone"));
        for ((name, _), taken) in ways.iter().zip(&runs) {
            let (seconds, plain) = (median(taken), median(&runs[0]));
            println!("  {name:<20} {seconds:>7.2} s {:>6.3} x plain {:>6} MiB peak", seconds / plain, peak_mib(taken));
        }
    }
    Ok(())
}

/// Does one of them, and says how long it took from the statement to the end.
pub async fn run(folder: &Path, index: usize) -> Result<f64> {
    let (model, way) = (MODELS[index / WAYS.len()], WAYS[index % WAYS.len()].1);
    if way == Way::Job {
        let mut bench = Bench::open(folder).await?;
        let start = Instant::now();
        bench.publish(&job(model)).await?;
        return Ok(start.elapsed().as_secs_f64());
    }
    let output = folder.join("plain");
    // What an overwriting job does too.
    let _ = std::fs::remove_dir_all(&output);
    std::fs::create_dir_all(&output)?;
    let start = Instant::now();
    let table = table(folder).await?;
    match way {
        Way::Copy => drop(table.write_parquet(&path(&output)?, DataFrameWriteOptions::new(), None).await?),
        _ => plain(table, model, &output, way == Way::Synced).await?,
    }
    Ok(start.elapsed().as_secs_f64())
}

async fn table(folder: &Path) -> Result<DataFrame> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let input = context.read_parquet(path(&folder.join("input"))?, ParquetReadOptions::default()).await?;
    let names: Vec<_> = (0..FEATURES).map(|i| format!("f{i}")).collect();
    Ok(input.select_columns(&names.iter().map(String::as_str).collect::<Vec<_>>())?)
}

fn path(folder: &Path) -> Result<String> {
    Ok(format!("{}/", folder.to_str().context("a path of letters")?))
}

async fn plain(table: DataFrame, model: Option<&str>, output: &Path, synced: bool) -> Result<()> {
    let task = Arc::new(table.task_ctx());
    let plan = table.create_physical_plan().await?;
    let model = match model {
        Some(name) => Some(Model::new(name)?),
        None => None,
    };
    let mut writing = JoinSet::new();
    anyhow::ensure!(plan.output_partitioning().partition_count() == 2, "as many partitions as cores");
    for (nth, rows) in execute_stream_partitioned(plan, task)?.into_iter().enumerate() {
        writing.spawn(write(rows, model.clone(), output.join(format!("{nth}.parquet")), synced));
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    Ok(())
}

async fn write(mut rows: SendableRecordBatchStream, model: Option<Model>, path: PathBuf, synced: bool) -> Result<()> {
    let schema = model.as_ref().map_or_else(|| rows.schema(), |model| model.schema(&rows.schema()));
    let properties = TableParquetOptions::default().global.into_writer_properties_builder()?;
    let properties = properties.set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX).build();
    let file = BufWriter::with_capacity(8 << 20, File::create(path)?);
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
    let mut blocks = BatchCoalescer::new(schema.clone(), BLOCK_ROWS);
    while let Some(batch) = rows.next().await.transpose()? {
        blocks.push_batch(match &model {
            Some(model) => model.score(&batch, &schema)?,
            None => batch,
        })?;
        while let Some(block) = blocks.next_completed_batch() {
            writer.write(&block)?;
        }
    }
    blocks.finish_buffered_batch()?;
    while let Some(block) = blocks.next_completed_batch() {
        writer.write(&block)?;
    }
    let mut file = writer.into_inner()?;
    file.flush()?;
    if synced {
        file.get_ref().sync_all()?;
    }
    Ok(())
}

/// A model that scores all columns.
#[derive(Clone)]
struct Model {
    scorer: Arc<dyn Scorer>,
    binding: Arc<Binding>,
}

impl Model {
    fn new(name: &str) -> Result<Self> {
        let (scorer, binding) = scorer(name)?;
        Ok(Self { scorer, binding: Arc::new(binding) })
    }

    fn schema(&self, input: &Schema) -> SchemaRef {
        let score = Arc::new(Field::new("score", DataType::Float32, true));
        Arc::new(Schema::new(input.fields().iter().cloned().chain([score]).collect::<Vec<_>>()))
    }

    fn score(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let scores = self.scorer.score(&self.binding, batch.columns(), batch.num_rows())?;
        let score = scores.result(self.scorer.contract(), Function::Predict)?;
        let columns = batch.columns().iter().cloned().chain([score]).collect();
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}
