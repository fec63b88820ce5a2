//! The figures of docs/guide/performance.md for whole jobs: rows a second, ratios, and peak memory.
//!
//!     cargo run --release -p volley-benches --bin figures [ROWS] [ROUNDS]
//!
//! Each job runs in a process of its own, so that its peak is its own; the jobs alternate, and medians are told. What a
//! job costs is compared with scan and write alone, and with these and its model's own time: that of its loaded model
//! over as many rows in memory, on as many threads, in the same rounds.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use volley_benches::{Bench, columns, job, scorer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOBS: [(&str, Option<&str>); 3] =
    [("scan and write alone", None), ("linear", Some("linear")), ("200 trees of 63 leaves", Some("trees"))];

/// Of the engine that runs the jobs, and of a model by itself.
const THREADS: usize = 2;

/// Rows of one call of a model by itself.
const SLICE: usize = 8192;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--job") => run_job(Path::new(&arguments[1]), arguments[2].parse()?),
        Some("--kernel") => run_kernel(&arguments[1], arguments[2].parse()?),
        _ => compare(number(&arguments, 0, 2_000_000)?, number(&arguments, 1, 3)?),
    }
}

fn number(arguments: &[String], index: usize, default: usize) -> Result<usize> {
    arguments.get(index).map_or(Ok(default), |text| text.parse().with_context(|| format!("`{text}` is no number")))
}

/// What one process took.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    peak_kib: u64,
}

fn compare(rows: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async { Bench::open(folder.path()).await?.generate(rows).await })?;
    let place = folder.path().to_str().context("a folder's name")?;
    let mut jobs: Vec<Vec<Run>> = vec![Vec::new(); JOBS.len()];
    let mut kernels = jobs.clone();
    for _ in 0..rounds {
        for (index, (_, model)) in JOBS.iter().enumerate() {
            jobs[index].push(in_a_process(&["--job", place, &index.to_string()])?);
            if let Some(model) = model {
                kernels[index].push(in_a_process(&["--kernel", model, &rows.to_string()])?);
            }
        }
    }
    println!("{rows} rows of 30 floats, Parquet to Parquet, {THREADS} threads, median of {rounds}");
    let alone = median(&jobs[0]);
    for ((name, model), (jobs, kernels)) in JOBS.iter().zip(jobs.iter().zip(&kernels)) {
        let (seconds, peak) = (median(jobs), jobs.iter().map(|run| run.peak_kib).max().unwrap_or_default());
        print!("{name:<24} {seconds:>7.2} s {:>10.0} rows/s {:>5} MiB peak", rows as f64 / seconds, peak / 1024);
        print!(" {:>6.2} x scan and write", seconds / alone);
        match model {
            None => println!(),
            Some(_) => {
                let kernel = median(kernels);
                println!(", {:.2} x these and the model's own {kernel:.2} s", seconds / (alone + kernel));
            }
        }
    }
    Ok(())
}

fn in_a_process(arguments: &[&str]) -> Result<Run> {
    let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let (seconds, peak) = told.trim().split_once(' ').context("seconds and peak")?;
    Ok(Run { seconds: seconds.parse()?, peak_kib: peak.parse()? })
}

/// Scores at least `rows` rows in memory by a model of the jobs.
fn run_kernel(model: &str, rows: usize) -> Result<()> {
    let (scorer, binding) = scorer(model)?;
    let columns = columns(SLICE);
    let slices = rows.div_ceil(SLICE * THREADS);
    scorer.score(&binding, &columns, SLICE)?;
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let score = || (0..slices).try_for_each(|_| scorer.score(&binding, &columns, SLICE).map(drop));
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(score)).collect();
        threads.into_iter().try_for_each(|thread| Ok(thread.join().expect("a thread of this process")?))
    })?;
    println!("{} {}", began.elapsed().as_secs_f64(), peak_kib()?);
    Ok(())
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

fn median(runs: &[Run]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
