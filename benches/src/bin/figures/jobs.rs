//! Jobs with models of different weight, beside one that only scans and writes, and beside that and the model's own
//! time: the loaded model over rows in memory, on as many threads.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use volley_benches::{Bench, columns, job, scorer};

use crate::process::{self, Taken, median, peak_mib};

/// What its children are called.
pub const KIND: &str = "job";
/// What those are called that score rows in memory.
pub const KERNEL: &str = "kernel";

/// Of the engine that runs the jobs, and of a model by itself.
const THREADS: usize = 2;
/// Rows that a thread scores by itself, and how many of them in one call.
const KERNEL_ROWS: usize = 1 << 20;
const CALL_ROWS: usize = 8192;

const JOBS: [(&str, Option<&str>); 3] =
    [("scan and write alone", None), ("linear", Some("linear")), ("200 trees of 63 leaves", Some("trees"))];

/// Measures all of them and prints what they took.
pub fn compare(rows: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    Runtime::new()?.block_on(async { Bench::open(folder.path()).await?.generate(rows).await })?;
    let mut runs: Vec<Vec<Taken>> = vec![Vec::new(); JOBS.len()];
    let mut kernels = runs.clone();
    for _ in 0..rounds {
        for (index, (_, model)) in JOBS.iter().enumerate() {
            runs[index].push(process::run(KIND, folder.path(), index)?);
            if model.is_some() {
                kernels[index].push(process::run(KERNEL, folder.path(), index)?);
            }
        }
    }
    println!("{rows} rows of 30 floats, Parquet to Parquet, {THREADS} threads, median of {rounds}");
    let alone = median(&runs[0]);
    for ((name, model), (runs, kernels)) in JOBS.iter().zip(runs.iter().zip(&kernels)) {
        let seconds = median(runs);
        print!(
            "{name:<24} {seconds:>7.2} s {:>10.0} rows/s {:>5} MiB peak {:>6.2} x scan and write",
            rows as f64 / seconds,
            peak_mib(runs),
            seconds / alone
        );
        match model {
            None => println!(),
            Some(_) => {
                let kernel = median(kernels) * rows as f64 / (KERNEL_ROWS * THREADS) as f64;
                println!(", {:.2} x these and the model's own {kernel:.2} s", seconds / (alone + kernel));
            }
        }
    }
    Ok(())
}

/// Runs one of them.
pub async fn run(folder: &Path, index: usize) -> Result<f64> {
    Ok(Bench::open(folder).await?.publish(&job(JOBS[index].1)).await?.seconds)
}

/// Scores rows in memory by the model of one of them, [`KERNEL_ROWS`] in each thread.
pub fn score(index: usize) -> Result<f64> {
    let (scorer, binding) = scorer(JOBS[index].1.context("a job with a model")?)?;
    let columns = columns(CALL_ROWS);
    scorer.score(&binding, &columns, CALL_ROWS)?;
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let calls =
            || (0..KERNEL_ROWS / CALL_ROWS).try_for_each(|_| scorer.score(&binding, &columns, CALL_ROWS).map(drop));
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(calls)).collect();
        threads.into_iter().try_for_each(|thread| Ok(thread.join().expect("a thread of this process")?))
    })?;
    Ok(began.elapsed().as_secs_f64())
}
