//! What is left when a running job is killed, and after the next command: all of its result or nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Cell, House, cells, model, note};
use crate::process::{Ended, command, succeed};

/// How far a job was when it was killed, as its records tell.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    BeforeDecision,
    BetweenDecisionAndPublished,
    AfterPublished,
}

const KILLS: u32 = 20;
/// Of them, those that come as soon as the job takes its turn at the destination.
const KILLS_AT_TURN: u32 = 6;
/// Of them, those that come as soon as the decision is on disk.
const KILLS_AT_DECISION: u32 = 6;
const ROWS: u64 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_all_or_nothing_after_the_next_command() {
    let folder = killable().await;
    let folder = folder.path();
    let whole = time_of_whole_run(folder);
    let mut published = 1;
    let mut sides = Vec::new();
    for kill in 1..=KILLS {
        let before = jobs(folder);
        let mut job = spawn(folder);
        match kill.checked_sub(KILLS_AT_TURN + KILLS_AT_DECISION) {
            None if kill <= KILLS_AT_TURN => wait_for_turn(folder, &mut job),
            None | Some(0) => wait_for_decision(folder, &mut job),
            // Spread over the whole run, and a little beyond it; where exactly is up to the machine.
            Some(spread) => {
                let part = f64::from(spread) / f64::from(KILLS - KILLS_AT_TURN - KILLS_AT_DECISION);
                std::thread::sleep(whole.mul_f64(part * 1.1));
            }
        }
        // SIGKILL; a run that is done already is a kill after the end.
        let _ = job.kill();
        job.wait().unwrap();
        let side = side(folder, &before);
        give_up(folder);
        published += u64::from(side != Side::BeforeDecision);
        check_whole(folder, published).await.unwrap_or_else(|wrong| panic!("kill {kill}, {side:?}: {wrong}"));
        sides.push(side);
    }
    let count = |side| sides.iter().filter(|other| **other == side).count();
    let told = format!(
        "{KILLS} kills: {} before the decision, {} between it and the end of the publish, {} after that: {sides:?}",
        count(Side::BeforeDecision),
        count(Side::BetweenDecisionAndPublished),
        count(Side::AfterPublished),
    );
    note(&told);
    assert!(sides.contains(&Side::BeforeDecision), "{told}");
    assert!(sides.contains(&Side::BetweenDecisionAndPublished), "{told}");
}

const SIGNALS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_says_what_became_of_its_result() {
    let folder = killable().await;
    let folder = folder.path();
    let whole = time_of_whole_run(folder);
    let mut published = 1;
    let mut stopped = 0;
    for round in 1..=SIGNALS {
        let mut job = command(folder, &["run", "job.sql"]);
        let mut job = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        match round % 2 {
            0 => wait_for_decision(folder, &mut job),
            _ => std::thread::sleep(whole.mul_f64(f64::from(round) / f64::from(SIGNALS))),
        }
        signal(if round % 3 == 0 { "INT" } else { "TERM" }, &job);
        let ended = Ended::from(job.wait_with_output().unwrap());
        match ended.status {
            Some(0) => published += 1,
            Some(1) => {
                assert!(ended.warned.contains("[interrupted]"), "{}", ended.warned);
                stopped += 1;
            }
            // The signal came before the process listened for it.
            None => stopped += 1,
            other => panic!("round {round}: status {other:?}: {}", ended.warned),
        }
        give_up(folder);
        check_whole(folder, published).await.unwrap_or_else(|wrong| panic!("round {round}, {ended:?}: {wrong}"));
    }
    assert!(stopped > 0 && published > 1, "{stopped} stopped, {published} published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_finished_while_another_process_of_the_state_lives() {
    let folder = killable().await;
    let folder = folder.path();
    succeed(folder, &["run", "job.sql"]);
    let mut prompt = command(folder, &["sql"]);
    let mut prompt = prompt.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut published = 1;
    for kill in 1..=4 {
        let before = jobs(folder);
        let mut job = spawn(folder);
        wait_for_decision(folder, &mut job);
        let _ = job.kill();
        job.wait().unwrap();
        published += u64::from(side(folder, &before) != Side::BeforeDecision);
        give_up(folder);
        assert!(prompt.try_wait().unwrap().is_none(), "the prompt lives on");
        check_whole(folder, published).await.unwrap_or_else(|wrong| panic!("kill {kill}: {wrong}"));
    }
    prompt.kill().unwrap();
    prompt.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_states_that_overwrite_one_destination_leave_the_result_of_one() {
    let (here, there, shared) = (killable().await, killable().await, tempfile::tempdir().unwrap());
    for folder in [&here, &there] {
        let job = std::fs::read_to_string(folder.path().join("job.sql")).unwrap();
        let to = format!("TO '{}/out/'", shared.path().display());
        let job = job.replace("TO 'out/'", &to).replace("append", "overwrite");
        std::fs::write(folder.path().join("job.sql"), job).unwrap();
    }
    for _ in 0..3 {
        let mut running = [spawn(here.path()), spawn(there.path())];
        let ended = running.each_mut().map(|job| job.wait().unwrap().code());
        assert!(ended.contains(&Some(0)), "{ended:?}");
        check_whole(shared.path(), 1).await.unwrap_or_else(|wrong| panic!("{ended:?}: {wrong}"));
    }
}

pub fn signal(name: &str, process: &Child) {
    // A process that has ended already takes no signal.
    let _ = std::process::Command::new("kill").args([format!("-{name}"), process.id().to_string()]).status().unwrap();
}

/// Finishes what is decided, as every command does, and gives up what is not.
fn give_up(folder: &Path) {
    succeed(folder, &["jobs", "expire", "--all"]);
}

/// A folder with an input table and a job that appends its scores as many files.
async fn killable() -> TempDir {
    let mut house = House::with(|settings| settings.split_rows = 50_000).await;
    house
        .run(&format!(
            "COPY (SELECT value AS id, 1.0 AS a, 2.0 AS b, 3.0 AS c, value % 10 AS d FROM generate_series(1, {ROWS}))
             TO 'input/' STORED AS PARQUET"
        ))
        .await;
    let job = format!(
        "COPY (SELECT id, d, predict('{}') AS score FROM 'input/')
         TO 'out/' STORED AS PARQUET PARTITIONED BY (d) OPTIONS (mode 'append')",
        model("linear_onnx_double")
    );
    std::fs::write(house.path("job.sql"), job).unwrap();
    std::fs::write(house.path("volley.toml"), "split_rows = 50000\n").unwrap();
    house.folder
}

/// Runs the job to its end.
fn time_of_whole_run(folder: &Path) -> Duration {
    let start = Instant::now();
    succeed(folder, &["run", "job.sql"]);
    start.elapsed()
}

fn spawn(folder: &Path) -> Child {
    command(folder, &["run", "job.sql"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until the record of a turn begins to be, or the process has ended.
fn wait_for_turn(folder: &Path, job: &mut Child) {
    while !staged(folder).iter().any(|name| name.contains(".turn")) && job.try_wait().unwrap().is_none() {}
}

/// Waits until one more job than before is decided, or the process has ended.
fn wait_for_decision(folder: &Path, job: &mut Child) {
    let decided = || jobs(folder).iter().filter(|job| job.join("outcome.json").is_file()).count();
    let before = decided();
    while decided() == before && job.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The records of the jobs, a folder each.
fn jobs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(".volley/state/jobs")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// How far the job is that began after `before`; a kill may come before it has any record.
fn side(folder: &Path, before: &[PathBuf]) -> Side {
    let new = jobs(folder).into_iter().find(|job| !before.contains(job));
    let has = |record: &str| new.as_ref().is_some_and(|job| job.join(record).is_file());
    match (has("outcome.json"), has("published.json")) {
        (false, _) => Side::BeforeDecision,
        (true, false) => Side::BetweenDecisionAndPublished,
        (true, true) => Side::AfterPublished,
    }
}

/// What lies in staging: folders of jobs, and turns.
fn staged(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join(".volley-staging")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// That every id is in the destination as often as results were published.
async fn check_whole(folder: &Path, published: u64) -> Result<(), String> {
    let mut house = House::with(|settings| settings.base = folder.to_path_buf()).await;
    let each = "SELECT id, count(*) AS n FROM 'out/' GROUP BY id";
    let sql = format!("SELECT count(*) AS ids, min(n) AS least, max(n) AS most FROM ({each})");
    let batch = house.rows(&sql).await;
    let number = |column: usize| match &cells(batch.column(column), 0)[0] {
        Cell::Number(number) => *number as u64,
        other => panic!("no number but {other:?}"),
    };
    let found = (number(0), number(1), number(2));
    if found != (ROWS, published, published) {
        return Err(format!("{published} results of {ROWS} ids were published, and (ids, least, most) is {found:?}"));
    }
    if !folder.join("out/_SUCCESS").is_file() {
        return Err("the destination has no mark".to_string());
    }
    match staged(folder) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?} is left in staging")),
    }
}
