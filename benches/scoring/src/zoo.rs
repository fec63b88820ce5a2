//! The models of `tests/zoo/data`, on rows of their tables, and what becomes of them together.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use ort::environment::Environment;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use volley_onnx::{Graph, Limits};

use crate::figures::{geometric_mean, max, median, min};
use crate::measured::{Measured, measure};
use crate::rows::Rows;
use crate::theirs::Theirs;
use crate::{BATCHES, chosen};

/// Kinds that are not for tables.
const NETS: [&str; 5] = ["convolutional net", "embeddings", "quantized net", "recurrent net", "transformer"];
/// Models that are not, though others of their kind are.
const NOT_TABULAR: [&str; 1] = ["mlp_half"];

/// Less than this against ONNX Runtime is slow.
const SLOW: f64 = 0.7;

/// What is needed of a line of the manifest.
#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
    table: String,
    /// Columns of the table for each input of the graph.
    inputs: Vec<Vec<String>>,
}

/// How many times as long ONNX Runtime takes for a model, the median for each of [`BATCHES`].
struct Ratios {
    name: String,
    kind: String,
    by_batch: Vec<f64>,
    from_arrow: Vec<f64>,
}

pub fn run(words: &[String], environment: Option<&Environment>) -> Result<()> {
    let manifest = folder().join("zoo.json");
    let text = std::fs::read(&manifest).with_context(|| manifest.display().to_string())?;
    let mut entries: Vec<Entry> = serde_json::from_slice(&text)?;
    entries.retain(|entry| chosen(words, &[&entry.name, &entry.kind]));
    println!("| model | kind | batch | ours ns/row | ONNX Runtime ns/row | ratio (spread) | from Arrow |");
    println!("|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for entry in entries {
        match measured(&entry, environment) {
            Ok(of_batches) => ratios.push(Ratios::of(entry, &of_batches)),
            Err(error) => println!("| {} | {} | {error:#} |", entry.name, entry.kind),
        }
    }
    if environment.is_some() {
        summary(&ratios);
    }
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/zoo/data")
}

fn measured(entry: &Entry, environment: Option<&Environment>) -> Result<Vec<Measured>> {
    let path = folder().join("models").join(format!("{}.onnx", entry.name));
    let bytes = std::fs::read(&path)?;
    let graph = Graph::parse(&bytes, &|_| None, &Limits::default())?;
    let rows = Rows::drawn(graph.inputs(), &table(&entry.table)?, &entry.inputs)?;
    let mut theirs = environment.map(|it| Theirs::load(it, &path)).transpose()?;
    let of_batch = |batch| {
        let measured = measure(&bytes, &rows, batch, theirs.as_mut())?;
        print(entry, batch, &measured);
        Ok(measured)
    };
    BATCHES.into_iter().map(of_batch).collect()
}

fn table(name: &str) -> Result<RecordBatch> {
    let path = folder().join("tables").join(format!("{name}.parquet"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?)?.build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let first = batches.first().context("an empty table")?;
    Ok(concat_batches(&first.schema(), &batches)?)
}

fn print(entry: &Entry, batch: usize, measured: &Measured) {
    let (ours, theirs, ratios) = (median(&measured.ours), median(&measured.theirs), measured.ratios());
    println!(
        "| {} | {} | {batch} | {ours:.1} | {theirs:.1} | {:.2} ({:.2} to {:.2}) | {:.2} |",
        entry.name,
        entry.kind,
        median(&ratios),
        min(&ratios),
        max(&ratios),
        median(&measured.ratios_from_arrow())
    );
}

impl Ratios {
    fn of(entry: Entry, of_batches: &[Measured]) -> Ratios {
        let by_batch = of_batches.iter().map(|it| median(&it.ratios())).collect();
        let from_arrow = of_batches.iter().map(|it| median(&it.ratios_from_arrow())).collect();
        Ratios { name: entry.name, kind: entry.kind, by_batch, from_arrow }
    }

    fn is_tabular(&self) -> bool {
        !NETS.contains(&self.kind.as_str()) && !NOT_TABULAR.contains(&self.name.as_str())
    }

    fn worst(&self) -> f64 {
        min(&self.by_batch)
    }
}

fn summary(ratios: &[Ratios]) {
    let (tabular, others): (Vec<_>, Vec<_>) = ratios.iter().partition(|it| it.is_tabular());
    let mut kinds: BTreeMap<&str, Vec<&Ratios>> = BTreeMap::new();
    for ratios in &tabular {
        kinds.entry(&ratios.kind).or_default().push(ratios);
    }
    println!("\nGeometric means of the ratios, by kind.\n");
    println!("| kind | models | batch 1024 | batch 8192 | from Arrow | worst |");
    println!("|---|---|---|---|---|---|");
    for (kind, models) in &kinds {
        line(kind, models);
    }
    line("all of these", &tabular);
    for model in &others {
        line(&format!("not tabular: {} ({})", model.name, model.kind), &[model]);
    }
    let mut slow: Vec<_> = tabular.iter().filter(|it| it.worst() < SLOW).collect();
    slow.sort_by(|a, b| a.worst().total_cmp(&b.worst()));
    println!("\nTabular models below {SLOW}: {}\n", slow.len());
    for model in slow {
        let by_batch: Vec<_> = model.by_batch.iter().map(|ratio| format!("{ratio:.2}")).collect();
        println!("- {} ({}): {}", model.name, model.kind, by_batch.join(", "));
    }
}

fn line(what: &str, models: &[&Ratios]) {
    let of_batch = |at| geometric_mean(&models.iter().map(|it| it.by_batch[at]).collect::<Vec<_>>());
    let from_arrow: Vec<f64> = models.iter().flat_map(|it| it.from_arrow.iter().copied()).collect();
    let worst = models.iter().min_by(|a, b| a.worst().total_cmp(&b.worst()));
    let worst = worst.map_or(String::new(), |it| format!("{} {:.2}", it.name, it.worst()));
    println!(
        "| {what} | {} | {:.2} | {:.2} | {:.2} | {worst} |",
        models.len(),
        of_batch(0),
        of_batch(1),
        geometric_mean(&from_arrow)
    );
}
