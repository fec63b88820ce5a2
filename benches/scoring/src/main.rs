//! Scores models on one thread, in turns with ONNX Runtime where `ORT_LIBRARY` names its library, and prints
//! nanoseconds of thread time.
//!
//! `speed [NAME ...]` scores the models of `models/` whose names hold one of the words, or all; `speed zoo [NAME ...]`
//! those of the zoo, whose names or kinds hold one.

mod clock;
mod figures;
mod generated;
mod measured;
mod rows;
mod theirs;
mod zoo;

use std::path::PathBuf;

use anyhow::Result;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows a call.
const BATCHES: [usize; 2] = [1024, 8192];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let library = std::env::var_os("ORT_LIBRARY").map(PathBuf::from);
    let environment = library.as_deref().map(theirs::environment).transpose()?;
    if environment.is_none() {
        println!("ORT_LIBRARY is not set: ours alone.\n");
    }
    match words.split_first() {
        Some((first, words)) if first == "zoo" => zoo::run(words, environment.as_ref()),
        _ => generated::run(&words, environment.as_ref()),
    }
}

/// Whether one of `words` is in one of `names`, or there are no words.
fn chosen(words: &[String], names: &[&str]) -> bool {
    words.is_empty() || words.iter().any(|word| names.iter().any(|name| name.contains(word.as_str())))
}
