//! Plain readers (pyarrow, pandas, Polars, DuckDB) that poll a destination while jobs append to it and overwrite it:
//! what they may see, and for how long the destination is without `_SUCCESS`.
//!
//! More commits on demand: `READERS_COMMITS=200 ./test plain_readers`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;
use volley_engine::{Request, Run};

use crate::harness::{House, note, number, root};

const READERS: [&str; 4] = ["pyarrow", "pandas", "polars", "duckdb"];
const SPLITS: u64 = 16;
const ROWS_OF_SPLIT: u64 = 250;
const ROWS: u64 = SPLITS * ROWS_OF_SPLIT;

fn commits() -> u32 {
    number("READERS_COMMITS").unwrap_or(20)
}

/// One read of one reader, as it wrote it down.
#[derive(Debug, Deserialize)]
struct Read {
    before: Option<String>,
    after: Option<String>,
    versions: BTreeMap<u32, u64>,
    error: Option<String>,
    undecided: Vec<u32>,
}

/// A reader at work.
struct Reader {
    name: &'static str,
    process: Child,
    /// Closed when it is to end.
    until: Option<ChildStdin>,
    report: PathBuf,
}

impl Reader {
    fn start(name: &'static str, house: &House, reports: &TempDir) -> Self {
        let python = std::env::var_os("PYTHON_UNDER_TEST").expect("./test names the Python that has the packages");
        let report = reports.path().join(name);
        let mut command = Command::new(python);
        command.arg(root().join("tests/readers/poll.py")).arg(name).arg(house.path("out"));
        let mut process = command.arg(house.path(".volley/state")).arg(&report).stdin(Stdio::piped()).spawn().unwrap();
        Self { name, until: process.stdin.take(), process, report }
    }

    fn lines(&self) -> usize {
        std::fs::read(&self.report).map_or(0, |told| told.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Waits for the end of a read that begins from now on.
    fn wait_for_read(&mut self) {
        let wanted = self.lines() + 2;
        while self.lines() < wanted {
            assert!(self.process.try_wait().unwrap().is_none(), "{} has ended", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(mut self) -> Vec<Read> {
        drop(self.until.take());
        assert!(self.process.wait().unwrap().success(), "{}", self.name);
        let told = std::fs::read_to_string(&self.report).unwrap();
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// How long a destination was without its marker, each time; looked at many times a millisecond.
struct Windows {
    ended: Arc<AtomicBool>,
    watching: JoinHandle<Vec<Duration>>,
}

impl Windows {
    fn watch(marker: PathBuf) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        let watching = std::thread::spawn(move || {
            let (mut windows, mut since) = (vec![], None);
            while !until.load(Ordering::Relaxed) {
                match (marker.exists(), since) {
                    (false, None) => since = Some(Instant::now()),
                    (true, Some(began)) => {
                        windows.push(Instant::elapsed(&began));
                        since = None;
                    }
                    _ => {}
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            windows
        });
        Self { ended, watching }
    }

    fn end(self) -> Vec<Duration> {
        self.ended.store(true, Ordering::Relaxed);
        let mut windows = self.watching.join().unwrap();
        windows.sort();
        windows
    }
}

/// What the destination holds after each job: its versions, by the job's id.
type Expected = BTreeMap<String, Vec<u32>>;

/// Publishes version after version, each a file a split. Every third one is appended; after every fifth comes one that
/// fails when most of its files are staged. `published` is called after each.
async fn publish_versions(house: &mut House, mut published: impl FnMut()) -> Expected {
    let (mut expected, mut live) = (Expected::new(), vec![]);
    for version in 1..=commits() {
        let mode = if version % 3 == 0 { "append" } else { "overwrite" };
        let job = publish(house, version, mode, "").await.expect("published");
        if mode == "overwrite" {
            live.clear();
        }
        live.push(version);
        expected.insert(job, live.clone());
        if version % 5 == 0 {
            let fails = format!(" + 0 / (id - {ROWS})");
            publish(house, 1_000_000 + version, mode, &fails).await.expect_err("the last row divides by zero");
        }
        published();
    }
    expected
}

/// The job of a version, or the code of its failure.
async fn publish(house: &mut House, version: u32, mode: &str, fails: &str) -> Result<String, &'static str> {
    let name = version.to_string();
    house.session.set_run(Run::new(&Request::new(name.as_str(), name.as_bytes())));
    let sql = format!(
        "COPY (SELECT id, {version}{fails} AS version FROM 'input/') TO 'out/' STORED AS PARQUET OPTIONS (mode '{mode}')"
    );
    match house.try_run(&sql).await {
        Ok(crate::harness::Given::Published(summary)) => Ok(summary.job),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code()),
    }
}

/// What one reader saw that it must not have seen.
fn wrong(read: &Read, expected: &Expected) -> Option<String> {
    if !read.undecided.is_empty() {
        return Some("rows of a job that was not committed".to_owned());
    }
    if read.versions.values().any(|rows| *rows > ROWS) {
        return Some("rows twice".to_owned());
    }
    // The same marker before and after: nothing was published in between.
    let marked = read.before.as_ref().filter(|job| read.after.as_ref() == Some(job))?;
    let whole: BTreeMap<u32, u64> = expected[marked].iter().map(|version| (*version, ROWS)).collect();
    (read.error.is_some() || read.versions != whole).then(|| format!("beside the marker of {whole:?}, other rows"))
}

/// A reader's reads, checked; how many were beside one marker, and what else is worth telling.
fn check(name: &str, reads: &[Read], expected: &Expected) -> String {
    for read in reads {
        if let Some(wrong) = wrong(read, expected) {
            panic!("{name} saw {wrong}: {read:?}");
        }
    }
    let beside_a_marker = reads.iter().filter(|read| read.before.is_some() && read.before == read.after).count();
    let between = reads.iter().filter(|read| read.before.is_none() || read.after.is_none()).count();
    let failed = reads.iter().filter(|read| read.error.is_some()).count();
    assert!(beside_a_marker >= commits() as usize, "{name} read each version: {beside_a_marker} of {}", reads.len());
    format!(
        "{name}: {} reads, {beside_a_marker} beside one marker, {between} without one, {failed} failed",
        reads.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_readers_see_no_row_that_is_not_committed_and_beside_a_marker_one_version() {
    let mut house = House::with(|settings| settings.split_rows = ROWS_OF_SPLIT).await;
    house
        .run(&format!(
            "COPY (SELECT value AS id FROM generate_series(1, {ROWS})) TO 'input/' STORED AS PARQUET
             OPTIONS (max_row_group_size {ROWS_OF_SPLIT})"
        ))
        .await;
    // Readers want a folder that is there.
    let first = publish(&mut house, 0, "error", "").await.expect("published");
    let reports = tempfile::tempdir().unwrap();
    let mut readers = READERS.map(|name| Reader::start(name, &house, &reports));
    readers.iter_mut().for_each(Reader::wait_for_read);

    let windows = Windows::watch(house.path("out/_SUCCESS"));
    let mut expected = publish_versions(&mut house, || readers.iter_mut().for_each(Reader::wait_for_read)).await;
    expected.insert(first, vec![0]);
    let windows = windows.end();

    let mut told: Vec<_> = readers.into_iter().map(|reader| check(reader.name, &{ reader }.end(), &expected)).collect();
    let shown = |window: Option<&Duration>| window.map_or(0.0, |window| window.as_secs_f64() * 1000.0);
    told.push(format!(
        "{SPLITS} files were without `_SUCCESS` {} times, median {:.1} ms, longest {:.1} ms",
        windows.len(),
        shown(windows.get(windows.len() / 2)),
        shown(windows.last())
    ));
    note(&format!("{} commits; {}", commits(), told.join("; ")));
}
