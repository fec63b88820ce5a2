//! The figures of docs/guide/performance.md for whole jobs: rows a second, ratios, and peak memory.
//!
//!     cargo run --release -p volley-benches --bin figures [ROWS] [ROUNDS]
//!
//! Each job runs in a process of its own, so that its peak is its own; the jobs alternate, and medians are told.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use volley_benches::{Bench, job};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOBS: [(&str, Option<&str>); 3] =
    [("scan and write alone", None), ("linear", Some("linear")), ("200 trees of 63 leaves", Some("trees"))];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--job") => run_job(Path::new(&arguments[1]), arguments[2].parse()?),
        _ => compare(number(&arguments, 0, 2_000_000)?, number(&arguments, 1, 3)?),
    }
}

fn number(arguments: &[String], index: usize, default: usize) -> Result<usize> {
    arguments.get(index).map_or(Ok(default), |text| text.parse().with_context(|| format!("`{text}` is no number")))
}

fn compare(rows: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async { Bench::open(folder.path()).await?.generate(rows).await })?;
    let mut runs: Vec<Vec<(f64, u64)>> = vec![Vec::new(); JOBS.len()];
    for _ in 0..rounds {
        for (index, runs) in runs.iter_mut().enumerate() {
            runs.push(in_a_process(folder.path(), index)?);
        }
    }
    let seconds: Vec<f64> = runs.iter().map(|runs| median(runs.iter().map(|run| run.0).collect())).collect();
    println!("{rows} rows of 30 floats, Parquet to Parquet, two cores, median of {rounds}");
    for ((name, _), (index, runs)) in JOBS.iter().zip(runs.iter().enumerate()) {
        let peak = runs.iter().map(|run| run.1).max().unwrap_or_default();
        println!(
            "{name:<24} {:>7.2} s {:>12.0} rows/s {:>6.2} x scan and write {:>6} MiB peak",
            seconds[index],
            rows as f64 / seconds[index],
            seconds[index] / seconds[0],
            peak / 1024
        );
    }
    Ok(())
}

fn in_a_process(folder: &Path, index: usize) -> Result<(f64, u64)> {
    let output = Command::new(std::env::current_exe()?).arg("--job").arg(folder).arg(index.to_string()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let (seconds, peak) = told.trim().split_once(' ').context("seconds and peak")?;
    Ok((seconds.parse()?, peak.parse()?))
}

fn run_job(folder: &Path, index: usize) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let summary = runtime.block_on(async { Bench::open(folder).await?.publish(&job(JOBS[index].1)).await })?;
    println!("{} {}", summary.seconds, peak_kib()?);
    Ok(())
}

/// The most memory that this process had resident, in KiB, as Linux tells it.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from Linux")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
