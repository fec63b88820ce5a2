//! A job in a process of its own: its seconds, and the most memory that it had.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use crate::{jobs, safety, wide};

/// The argument by which the program is its own child.
pub const CHILD: &str = "--job";

/// What a job took.
#[derive(Clone, Copy)]
pub struct Taken {
    /// From the statement to the published result.
    pub seconds: f64,
    /// The most memory that was resident.
    pub peak_kib: u64,
}

/// Runs a job of a kind over the tables of a folder.
pub fn run(kind: &str, folder: &Path, index: usize) -> Result<Taken> {
    let mut child = Command::new(std::env::current_exe()?);
    let output = child.args([CHILD, kind]).arg(folder).arg(index.to_string()).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let (seconds, peak) = told.trim().split_once(' ').context("seconds and peak")?;
    Ok(Taken { seconds: seconds.parse()?, peak_kib: peak.parse()? })
}

/// Is such a child: `KIND FOLDER INDEX`.
pub fn child(arguments: &[String]) -> Result<()> {
    let [kind, folder, index] = arguments else { anyhow::bail!("a kind, a folder and a number") };
    let (folder, index) = (Path::new(folder), index.parse()?);
    let runtime = Runtime::new()?;
    let seconds = match kind.as_str() {
        jobs::KIND => runtime.block_on(jobs::run(folder, index))?,
        jobs::KERNEL => jobs::score(index)?,
        safety::KIND => runtime.block_on(safety::run(folder, index))?,
        wide::KIND => runtime.block_on(wide::run(folder))?,
        other => anyhow::bail!("no job is called {other}"),
    };
    println!("{seconds} {}", peak_kib()?);
    Ok(())
}

/// The most memory that this process had resident, in KiB, as Linux tells it.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from Linux")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// The middle one of seconds.
pub fn median(runs: &[Taken]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The highest of peaks, in MiB.
pub fn peak_mib(runs: &[Taken]) -> u64 {
    runs.iter().map(|run| run.peak_kib).max().unwrap_or_default() / 1024
}
