//! Scores the models of `models/peers/` on one thread, in turns with ONNX Runtime and with the predictors of
//! `peers.py`, on the same rows, and prints nanoseconds of processor time.
//!
//! `peers [NAME ...]` scores the models whose names hold one of the words, or all. `PYTHON` names the interpreter that
//! has the predictors, and `ORT_LIBRARY` ONNX Runtime's library.

mod child;
mod clock;
#[expect(dead_code, reason = "the other program also scores columns and tables")]
mod rows;
mod theirs;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ort::environment::Environment;
use volley_onnx::{Element, Graph, Limits, Plan, Predictor, Tensor, tensor_from, tensor_values};

use child::Child;
use clock::thread_time;
use rows::{ROWS, Rows, Values};
use theirs::Theirs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;
/// By how much of the greatest score others may be off.
const DIFFERENCE_MAX: f64 = 1e-6;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let library = std::env::var_os("ORT_LIBRARY").context("ORT_LIBRARY is not set")?;
    let environment = theirs::environment(Path::new(&library))?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/peers");
    println!("| model | batch | predictor | its ns/row (spread) | ours ns/row (spread) | ratio | differs by |");
    println!("|---|---|---|---|---|---|---|");
    for path in models(&folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            for batch in [1024, 8192] {
                measure(&path, &name, batch, &environment).with_context(|| format!("{name}, {batch} rows"))?;
            }
        }
    }
    Ok(())
}

/// The models in their libraries' own files; beside each lies the same one in ONNX.
fn models(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(folder).with_context(|| format!("{} (see peers.py)", folder.display()))?;
    let mut models: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    models.retain(|path| path.extension().is_some_and(|it| it == "json" || it == "txt"));
    models.sort();
    Ok(models)
}

fn peers(model: &Path) -> &'static [&'static str] {
    match model.extension().is_some_and(|it| it == "txt") {
        true => &["lightgbm", "lleaves", "gtil", "tl2cgen"],
        false => &["xgboost", "gtil", "tl2cgen"],
    }
}

/// What was measured of one predictor.
struct Measured {
    name: &'static str,
    rounds: Vec<f64>,
    /// Its scores of all rows.
    scores: Vec<f64>,
}

fn measure(path: &Path, name: &str, batch: usize, environment: &Environment) -> Result<()> {
    let (own, onnx) = (Ours::native(path)?, Ours::onnx(path)?);
    let rows = Rows::generated(onnx.graph.inputs(), name);
    let Values::Floats(values) = &rows.inputs[0].values else { anyhow::bail!("rows are numbers") };
    let mut theirs = Theirs::load(environment, &path.with_extension("onnx"))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rows");
    std::fs::write(&file, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    let children = peers(path).iter().map(|peer| Child::start(peer, path, &file, batch));
    let mut children: Vec<Child> = children.collect::<Result<_>>()?;
    let new = |name, scores| Measured { name, rounds: vec![], scores };
    let mut ours = [new("ours", own.scores(values, batch)?), new("ours, of ONNX", onnx.scores(values, batch)?)];
    let mut others = vec![new("ONNX Runtime", vec![])];
    others.extend(peers(path).iter().zip(&children).map(|(peer, child)| new(peer, child.scores.clone())));
    // The first round warms up.
    for round in 0..=ROUNDS {
        let (of_theirs, _) = theirs.score(&rows, batch, ROWS / batch)?;
        let mut spent = vec![own.score(values, batch)?, onnx.score(values, batch)?, of_theirs / ROWS as f64];
        spent.extend(children.iter_mut().map(Child::score).collect::<Result<Vec<_>>>()?);
        let measured = ours.iter_mut().chain(&mut others).zip(spent).filter(|_| round > 0);
        measured.for_each(|(measured, spent)| measured.rounds.push(spent));
    }
    let [own, onnx] = &ours;
    for other in &others {
        let ours = if other.name == "ONNX Runtime" { onnx } else { own };
        other.print(name, batch, ours);
        ensure!(other.difference(own) <= DIFFERENCE_MAX, "{} scores otherwise", other.name);
    }
    Ok(())
}

impl Measured {
    fn print(&self, model: &str, batch: usize, ours: &Measured) {
        let difference = match self.scores.is_empty() {
            true => String::new(),
            false => format!("{:.0e}", self.difference(ours)),
        };
        println!(
            "| {model} | {batch} | {} | {} | {} | {:.2} | {difference} |",
            self.name,
            self.time(),
            ours.time(),
            self.median() / ours.median()
        );
    }

    fn time(&self) -> String {
        let (low, high) = self.rounds.iter().fold((f64::MAX, 0f64), |(low, high), &it| (low.min(it), high.max(it)));
        format!("{:.1} ({:.0} %)", self.median(), 100.0 * (high - low) / self.median())
    }

    fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// The largest difference of scores, as a part of the largest score.
    fn difference(&self, ours: &Measured) -> f64 {
        let largest = ours.scores.iter().fold(f64::MIN_POSITIVE, |largest, score| largest.max(score.abs()));
        let pairs = self.scores.iter().zip(&ours.scores);
        pairs.map(|(a, b)| (a - b).abs() / largest).fold(0.0, f64::max)
    }
}

/// A model that we score.
struct Ours {
    graph: Graph,
    plan: Plan,
}

impl Ours {
    fn new(graph: Graph) -> Result<Ours> {
        Ok(Ours { plan: graph.plan()?, graph })
    }

    /// From its library's own file.
    fn native(path: &Path) -> Result<Ours> {
        let (file, limits) = (std::fs::read(path)?, Limits::default());
        Ours::new(match path.extension().is_some_and(|it| it == "txt") {
            true => Graph::from_lightgbm(&file, Predictor::Booster, &limits)?,
            false => Graph::from_xgboost(&file, Predictor::Booster, &limits)?,
        })
    }

    fn onnx(path: &Path) -> Result<Ours> {
        let file = std::fs::read(path.with_extension("onnx"))?;
        Ours::new(Graph::parse(&file, &|_| None, &Limits::default())?)
    }

    /// Batches in the precision that the model takes.
    fn batches(&self, values: &[f32], batch: usize) -> Vec<Tensor> {
        let width = values.len() / ROWS;
        let batches = values.chunks(batch * width);
        let doubles = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let tensor = |values: &[f32]| match self.graph.inputs()[0].element {
            Element::F64 => tensor_from(&[batch, width], doubles(values)),
            _ => tensor_from(&[batch, width], values.to_vec()),
        };
        batches.map(tensor).collect()
    }

    /// Nanoseconds a row.
    fn score(&self, values: &[f32], batch: usize) -> Result<f64> {
        let batches = self.batches(values, batch);
        let start = thread_time();
        for rows in batches {
            self.plan.run(batch, vec![rows])?;
        }
        Ok((thread_time() - start) / ROWS as f64)
    }

    /// The score of each row, as a native model gives it.
    fn scores(&self, values: &[f32], batch: usize) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(ROWS);
        for rows in self.batches(values, batch) {
            let outputs = self.plan.run(batch, vec![rows])?;
            let singles = |it: &Tensor| tensor_values::<f32>(it).map(|it| it.iter().map(|&v| f64::from(v)).collect());
            let found =
                outputs.iter().find_map(|it| singles(it).or_else(|| tensor_values::<f64>(it).map(<[f64]>::to_vec)));
            scores.extend(found.context("no output is of numbers")?);
        }
        Ok(scores)
    }
}
