//! Scores the models of `models/` on one thread, in turns with ONNX Runtime where `ORT_LIBRARY`
//! names its library, and prints nanoseconds of thread time.
//!
//! `speed [NAME ...]` scores the models whose names hold one of the words, or all.

mod rows;
mod theirs;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use volley_model::{Argument, Arguments, Artifact, BindOptions, Binding, Limits, Scorer, bind, inspect, load};
use volley_onnx::{Graph, Plan, Tensor, tensor_values};

use rows::Rows;
use theirs::Theirs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a round: enough that none is remembered from the round before.
const ROWS: usize = 32_768;
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let library = std::env::var_os("ORT_LIBRARY").map(PathBuf::from);
    let environment = library.as_deref().map(theirs::environment).transpose()?;
    if environment.is_none() {
        println!("ORT_LIBRARY is not set: ours alone.\n");
    }
    println!(
        "| model | batch | ours ns/row (spread) | ns/row/tree | from Arrow ns/row | ONNX Runtime ns/row | ratio | from Arrow | differs by |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for path in models()? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let mut theirs = environment.as_ref().map(|it| Theirs::load(it, &path)).transpose()?;
        for batch in [1024, 8192] {
            match measure(&path, batch, theirs.as_mut()) {
                Ok(measured) => measured.print(&name, batch),
                Err(error) => println!("| {name} | {batch} | {error:#} |"),
            }
        }
    }
    Ok(())
}

fn models() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let files = std::fs::read_dir(&folder).with_context(|| format!("{} (see make_models.py)", folder.display()))?;
    let mut models: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    models.retain(|path| path.extension().is_some_and(|it| it == "onnx"));
    models.sort();
    Ok(models)
}

/// Nanoseconds a row in each round.
#[derive(Default)]
struct Measured {
    ours: Vec<f64>,
    arrow: Vec<f64>,
    theirs: Vec<f64>,
    difference: Option<f32>,
}

fn measure(path: &Path, batch: usize, mut theirs: Option<&mut Theirs>) -> Result<Measured> {
    let bytes = std::fs::read(path)?;
    let graph = Graph::parse(&bytes, &|_| None, &Limits::default())?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let rows = Rows::new(graph.inputs(), &name, ROWS);
    let plan = graph.plan()?;
    let arrow = Arrow::new(bytes, &rows)?;
    let mut measured = Measured::default();
    // The first round warms up.
    for round in 0..=ROUNDS {
        let (ours, last) = ours(&plan, &rows, batch)?;
        let arrow = arrow.score(&rows, batch)?;
        let theirs = theirs.as_mut().map(|theirs| theirs.score(&rows, batch)).transpose()?;
        if round == 0 {
            continue;
        }
        measured.ours.push(ours);
        measured.arrow.push(arrow);
        if let Some((theirs, scores)) = theirs {
            measured.theirs.push(theirs);
            measured.difference = difference(&last, &scores);
        }
    }
    Ok(measured)
}

/// Nanoseconds a row, and the outputs of the last batch.
fn ours(plan: &Plan, rows: &Rows, batch: usize) -> Result<(f64, Vec<Tensor>)> {
    let batches = rows.tensors(batch);
    let mut last = vec![];
    let start = thread_time();
    for inputs in batches {
        last = plan.run(batch, inputs)?;
    }
    Ok((since(start), last))
}

/// The way through volley-model.
struct Arrow {
    scorer: std::sync::Arc<dyn Scorer>,
    binding: Binding,
}

impl Arrow {
    fn new(bytes: Vec<u8>, rows: &Rows) -> Result<Arrow> {
        let artifact = Artifact::new([("model.onnx".to_owned(), bytes.into())].into());
        let contract = inspect(&artifact, &Limits::default())?;
        let arguments = rows.columns.iter().map(|column| {
            let nullable = column.is_nullable();
            Argument { name: None, data_type: column.data_type().clone(), nullable }
        });
        let arguments = Arguments::Positional(arguments.collect());
        let binding = bind(&contract, "model", &arguments, &BindOptions::default())
            .map_err(|problems| anyhow::anyhow!("{}", problems[0].message))?;
        Ok(Arrow { scorer: load(&artifact, &contract, &Limits::default())?, binding })
    }

    fn score(&self, rows: &Rows, batch: usize) -> Result<f64> {
        let batches = rows.batches(batch);
        let start = thread_time();
        for columns in &batches {
            self.scorer.score(&self.binding, columns, batch)?;
        }
        Ok(since(start))
    }
}

/// The largest difference between the last outputs of single precision.
fn difference(ours: &[Tensor], theirs: &[Vec<f32>]) -> Option<f32> {
    let ours = ours.iter().rev().find_map(tensor_values::<f32>)?;
    let pairs = ours.iter().zip(theirs.last()?);
    Some(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
}

impl Measured {
    fn print(&self, name: &str, batch: usize) {
        let (ours, arrow, theirs) = (median(&self.ours), median(&self.arrow), median(&self.theirs));
        let spread = 100.0 * (max(&self.ours) - min(&self.ours)) / ours;
        let per_tree = trees(name).map_or(String::new(), |trees| format!("{:.2}", ours / trees));
        let difference = self.difference.map_or(String::new(), |it| format!("{it:.0e}"));
        println!(
            "| {name} | {batch} | {ours:.1} ({spread:.0} %) | {per_tree} | {arrow:.1} | {theirs:.1} | {:.2} | {:.2} | {difference} |",
            theirs / ours,
            theirs / arrow
        );
    }
}

/// From a name that ends in TREESxDEPTH.
fn trees(name: &str) -> Option<f64> {
    let (trees, depth) = name.rsplit('_').next()?.split_once('x')?;
    depth.parse::<f64>().ok().filter(|_| !name.starts_with("mlp"))?;
    trees.parse().ok()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Nanoseconds of this thread, which other programs do not lengthen.
fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds a row since `start`.
fn since(start: f64) -> f64 {
    (thread_time() - start) / ROWS as f64
}
