//! The figures of docs/guide/performance.md for whole jobs.
//!
//!     cargo run --release -p volley-benches --bin figures [ROWS] [ROUNDS]          rows a second, ratios, peak memory
//!     cargo run --release -p volley-benches --bin figures safety [ROWS] [ROUNDS]   beside the same work without safety
//!     cargo run --release -p volley-benches --bin figures wide [MB]                peak memory of wide rows
//!     cargo run --release -p volley-benches --bin figures cluster [PART...]        price, scale, latency, cancel, files,
//!                                                                                  splits
//!
//! Each job runs in a process of its own, so that its peak is its own; jobs that are compared take turns, and medians
//! are told.

mod cluster;
mod jobs;
mod process;
mod safety;
mod wide;

use anyhow::{Context, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, rest) = arguments.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    match first {
        process::CHILD => process::child(rest),
        "safety" => safety::compare(number(rest, 0, 2_000_000)?, number(rest, 1, 5)?),
        "cluster" => cluster::measure(rest, 2_000_000, 3),
        "wide" => wide::measure(number(rest, 0, 2048)?),
        _ => jobs::compare(number(&arguments, 0, 2_000_000)?, number(&arguments, 1, 3)?),
    }
}

fn number(arguments: &[String], index: usize, default: usize) -> Result<usize> {
    arguments.get(index).map_or(Ok(default), |text| text.parse().with_context(|| format!("`{text}` is no number")))
}
