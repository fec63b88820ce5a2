//! Telling the folder of a model from one that only holds models somewhere below it.

use std::fs;
use std::path::Path;

use crate::error::LocationFault;

const MLMODEL: &str = "MLmodel";

/// Accepts a file, a folder with an `MLmodel` file, and one with a single `.onnx` file. Anything else, such as
/// the parent of a model directory, would bring whatever lies below it.
pub(crate) fn check(path: &Path) -> Result<(), LocationFault> {
    if !path.is_dir() || path.join(MLMODEL).exists() {
        return Ok(());
    }
    let entries: Vec<_> = fs::read_dir(path).map_err(LocationFault::Unreadable)?.flatten().collect();
    let mut models: Vec<_> = entries
        .iter()
        .filter(|entry| entry.path().join(MLMODEL).is_file())
        .map(|entry| path.join(entry.file_name()).display().to_string())
        .collect();
    models.sort();
    let graphs = entries.iter().filter(|entry| is_graph(&entry.path())).count();
    match models.into_iter().next() {
        None if graphs == 1 => Ok(()),
        nearer => Err(LocationFault::Above(nearer)),
    }
}

fn is_graph(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}
