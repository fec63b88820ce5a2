//! The models of `models/`, on generated rows of 28 columns.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ort::environment::Environment;
use volley_onnx::{Graph, Limits};

use crate::figures::{max, median, min};
use crate::measured::{Measured, measure};
use crate::rows::Rows;
use crate::theirs::Theirs;
use crate::{BATCHES, chosen};

pub fn run(words: &[String], environment: Option<&Environment>) -> Result<()> {
    println!(
        "| model | batch | ours ns/row (spread) | ns/row/tree | from Arrow ns/row | ONNX Runtime ns/row | ratio | from Arrow | differs by |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for path in models()? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !chosen(words, &[&name]) {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        let graph = Graph::parse(&bytes, &|_| None, &Limits::default())?;
        let rows = Rows::generated(graph.inputs(), &name);
        let mut theirs = environment.map(|it| Theirs::load(it, &path)).transpose()?;
        for batch in BATCHES {
            match measure(&bytes, &rows, batch, theirs.as_mut()) {
                Ok(measured) => print(&measured, &name, batch),
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

fn print(measured: &Measured, name: &str, batch: usize) {
    let (ours, arrow, theirs) = (median(&measured.ours), median(&measured.arrow), median(&measured.theirs));
    let spread = 100.0 * (max(&measured.ours) - min(&measured.ours)) / ours;
    let per_tree = trees(name).map_or(String::new(), |trees| format!("{:.2}", ours / trees));
    let difference = measured.difference.map_or(String::new(), |it| format!("{it:.0e}"));
    println!(
        "| {name} | {batch} | {ours:.1} ({spread:.0} %) | {per_tree} | {arrow:.1} | {theirs:.1} | {:.2} | {:.2} | {difference} |",
        theirs / ours,
        theirs / arrow
    );
}

/// From a name that ends in TREESxDEPTH.
fn trees(name: &str) -> Option<f64> {
    let (trees, depth) = name.rsplit('_').next()?.split_once('x')?;
    depth.parse::<f64>().ok().filter(|_| !name.starts_with("mlp"))?;
    trees.parse().ok()
}
