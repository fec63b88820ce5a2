//! Processes that write to a bucket are killed for real: after the next command there is all of a result or nothing.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{House, model};
use crate::process::{Ended, command};
use crate::s3_server::{KEY_ID, S3Server, SECRET};

const ROWS: u64 = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_is_killed_between_any_two_calls_leaves_all_or_nothing() {
    kill_at(&[1, 13, 15, 17, 18, 19, 20, 21, 22, 24, 26, 28, 30, 32, 33, 34, 35, 36, 38], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_is_killed_in_bad_weather_leaves_all_or_nothing() {
    kill_at(&[14, 18, 20, 22, 25, 28, 31, 34], 5).await;
    kill_at(&[16, 21, 26, 31, 36], 20).await;
}

/// Kills a run after each of these numbers of changes, and looks at what is there after the next command.
async fn kill_at(changes: &[u64], percent: u64) {
    let server = S3Server::start().await;
    let folder = killable(&server).await;
    let folder = folder.path();
    let (mut undecided, mut cut_off) = (0, 0);
    for &changes in changes {
        server.weather.storm(percent, changes);
        let before = committed(folder);
        let mut job = spawn(folder);
        wait(&server, changes, &mut job).await;
        // SIGKILL; a run that is done already is a kill after the end.
        let _ = job.kill();
        job.wait().unwrap();
        let published = published(folder);
        // Finishes what is decided, as every command does, and gives up what is not.
        let next = volley(folder, &["jobs", "expire", "--all"]);
        assert_eq!(next.status, Some(0), "{}", next.warned);
        let now = committed(folder);
        undecided += u64::from(now == before);
        cut_off += u64::from(now > published);
        check_whole(&server, now)
            .await
            .unwrap_or_else(|wrong| panic!("kill after {changes} changes: {wrong}\n{}", next.warned));
    }
    assert!(
        undecided > 0 && cut_off > 0,
        "{undecided} before the decision, {cut_off} between it and the end of the publish"
    );
}

/// A folder with a job that appends its scores of a table in the bucket as many files there.
async fn killable(server: &S3Server) -> TempDir {
    let mut house = House::new().await;
    for part in 0..3 {
        let first = part * 1000 + 1;
        house
            .run(&format!(
                "COPY (SELECT value AS id, 1.0 AS a, 2.0 AS b, 3.0 AS c, value % 2 AS d
                       FROM generate_series({first}, {})) TO 'in{part}/' STORED AS PARQUET",
                first + 999
            ))
            .await;
        let (_, bytes) = house.files(&format!("in{part}")).pop().unwrap();
        let file = server.bucket("lake").join(format!("in/{part}.parquet"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let job = format!(
        "COPY (SELECT id, d, predict('{}') AS score FROM 's3://lake/in/')
         TO 's3://lake/out/' STORED AS PARQUET PARTITIONED BY (d) OPTIONS (mode 'append')",
        model("linear_onnx_double")
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.sql"), job).unwrap();
    let settings = format!("split_rows = 1000\nstore_settle_seconds = 1\n{}", server.settings());
    std::fs::write(folder.path().join("volley.toml"), settings).unwrap();
    folder
}

fn with_keys(mut command: Command) -> Command {
    command.env("LAKE_KEY_ID", KEY_ID).env("LAKE_SECRET", SECRET);
    command
}

/// Runs `volley ARGUMENTS` in a folder to its end, with the keys of the bucket.
pub fn volley(folder: &Path, arguments: &[&str]) -> Ended {
    Ended::from(with_keys(command(folder, arguments)).output().unwrap())
}

/// Begins to run the job of a folder.
pub fn spawn(folder: &Path) -> Child {
    with_keys(command(folder, &["run", "job.sql"])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for so many changes of the bucket, or for the end of the process.
async fn wait(server: &S3Server, changes: u64, job: &mut Child) {
    let ended = async {
        while job.try_wait().unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = server.weather.changes(changes) => {}
        () = ended => {}
    }
}

/// How many jobs have a record of this name that says so.
fn jobs_with(folder: &Path, record: &str, says: &str) -> u64 {
    let jobs = std::fs::read_dir(folder.join(".volley/state/jobs")).into_iter().flatten().flatten();
    let records = jobs.filter_map(|job| std::fs::read_to_string(job.path().join(record)).ok());
    records.filter(|record| record.contains(says)).count() as u64
}

fn committed(folder: &Path) -> u64 {
    jobs_with(folder, "outcome.json", "\"committed\"")
}

fn published(folder: &Path) -> u64 {
    jobs_with(folder, "published.json", "")
}

/// That every id is in the destination as often as results were committed.
async fn check_whole(server: &S3Server, published: u64) -> Result<(), String> {
    server.weather.storm(0, 0);
    let objects = server.objects("out");
    if published == 0 {
        return if objects.is_empty() { Ok(()) } else { Err(format!("there is {:?}", objects.keys())) };
    }
    let mut house = House::with(|settings| server.connect(settings)).await;
    let each = "SELECT id, count(*) AS n FROM 's3://lake/out/' GROUP BY id";
    let found = house.text(&format!("SELECT count(*) AS ids, min(n) AS least, max(n) AS most FROM ({each})")).await;
    let wanted = format!("| {ROWS} | {published} | {published} |");
    let told: String = found.split_whitespace().collect::<Vec<_>>().join(" ");
    if !told.contains(&wanted) {
        return Err(format!("{published} results of {ROWS} ids were committed, and there are\n{found}"));
    }
    if !objects.contains_key("_SUCCESS") {
        return Err("the destination has no mark".to_string());
    }
    match server.objects(".volley-staging") {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{:?} is left in staging", left.keys())),
    }
}
