//! Jobs with models of different weight, beside one that only scans and writes.

use std::path::Path;

use anyhow::Result;
use tokio::runtime::Runtime;
use volley_benches::{Bench, job};

use crate::process::{self, Taken, median, peak_mib};

/// What its children are called.
pub const KIND: &str = "job";

const JOBS: [(&str, Option<&str>); 3] =
    [("scan and write alone", None), ("linear", Some("linear")), ("200 trees of 63 leaves", Some("trees"))];

/// Measures all of them and prints what they took.
pub fn compare(rows: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    Runtime::new()?.block_on(async { Bench::open(folder.path()).await?.generate(rows).await })?;
    let mut runs: Vec<Vec<Taken>> = vec![Vec::new(); JOBS.len()];
    for _ in 0..rounds {
        for (index, runs) in runs.iter_mut().enumerate() {
            runs.push(process::run(KIND, folder.path(), index)?);
        }
    }
    println!("{rows} rows of 30 floats, Parquet to Parquet, two cores, median of {rounds}");
    let alone = median(&runs[0]);
    for ((name, _), runs) in JOBS.iter().zip(&runs) {
        let seconds = median(runs);
        println!(
            "{name:<24} {seconds:>7.2} s {:>12.0} rows/s {:>6.2} x scan and write {:>6} MiB peak",
            rows as f64 / seconds,
            seconds / alone,
            peak_mib(runs)
        );
    }
    Ok(())
}

/// Runs one of them.
pub async fn run(folder: &Path, index: usize) -> Result<f64> {
    Ok(Bench::open(folder).await?.publish(&job(JOBS[index].1)).await?.seconds)
}
