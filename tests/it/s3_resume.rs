//! Jobs over buckets that are killed for real and gone on with: their inputs are pinned by the marks of the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{House, model};
use crate::process;
use crate::resume::{id, jobs, receipts};
use crate::s3_kills::{spawn, volley};
use crate::s3_server::S3Server;

const SPLITS: usize = 20;
const ROWS_OF_SPLIT: usize = 1_000;

/// The change of the bucket that a job does not live to see: it comes after the bucket is tried out and some splits
/// are staged, and well before the last one is.
const LAST_CHANGE: u64 = 22;

/// A folder with `job.sql`, which scores a file in the bucket of [`SPLITS`] row groups.
async fn folder(server: &S3Server) -> TempDir {
    let mut house = House::new().await;
    let rows = SPLITS * ROWS_OF_SPLIT;
    let input = format!(
        "COPY (SELECT value AS id, 1.0 AS a, 2.0 AS b, value / 3.0 AS c, value % 2 AS d FROM generate_series(1, {rows}))
         TO 'in/' STORED AS PARQUET OPTIONS (max_row_group_size {ROWS_OF_SPLIT})"
    );
    house.run(&input).await;
    let (_, bytes) = house.files("in").pop().unwrap();
    std::fs::create_dir_all(input_of(server).parent().unwrap()).unwrap();
    std::fs::write(input_of(server), bytes).unwrap();
    let job = format!(
        "COPY (SELECT id, predict('{}') AS score FROM 's3://lake/in/') TO 's3://lake/out/' STORED AS PARQUET",
        model("linear_onnx_double")
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("job.sql"), job).unwrap();
    let settings = format!("split_rows = {ROWS_OF_SPLIT}\ncores = 2\nstore_settle_seconds = 1\n{}", server.settings());
    std::fs::write(folder.path().join("volley.toml"), settings).unwrap();
    folder
}

/// Where the input lies on this machine.
fn input_of(server: &S3Server) -> PathBuf {
    server.bucket("lake").join("in/rows.parquet")
}

/// Begins the job and kills it while it waits for the bucket, with some of its splits done.
async fn cut_off(server: &S3Server, folder: &Path) -> PathBuf {
    let mut running = spawn(folder);
    let dark = server.weather.dark_at(LAST_CHANGE);
    tokio::time::timeout(Duration::from_secs(120), dark).await.expect("the job changes the bucket often enough");
    running.kill().unwrap();
    running.wait().unwrap();
    server.weather.blackout(Duration::ZERO).await;
    let job = jobs(folder).pop().expect("a job was begun");
    let sealed = receipts(&job).len();
    assert!(sealed > 0 && sealed < SPLITS && !job.join("outcome.json").exists(), "{sealed} splits are done");
    assert!(server.objects("out").is_empty(), "nothing is visible before the decision");
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_over_a_bucket_that_is_killed_scores_the_rest_and_publishes_every_row_once() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    let job = cut_off(&server, folder).await;
    let sealed = receipts(&job);
    let ended = volley(folder, &["run", "job.sql", "--resume"]);
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    let told = format!("going on with job {}: {} of {SPLITS} splits are done", id(&job), sealed.len());
    assert!(ended.warned.contains(&told), "{} says no {told}", ended.warned);
    assert!(sealed.iter().all(|(split, receipt)| receipts(&job)[split] == *receipt));
    let mut house = House::with(|settings| server.connect(settings)).await;
    let rows = (SPLITS * ROWS_OF_SPLIT) as f64;
    for counted in ["count(*)", "count(DISTINCT id)", "count(score)"] {
        assert_eq!(house.number(&format!("SELECT {counted} FROM 's3://lake/out/'")).await, rows, "{counted}");
    }
    assert!(server.objects("out").contains_key("_SUCCESS"));
    assert!(server.objects(".volley-staging").is_empty(), "{:?}", server.objects(".volley-staging").keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_whose_bucket_stays_away_for_too_long_keeps_what_it_has_done() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    let settings = std::fs::read_to_string(folder.join("volley.toml")).unwrap();
    std::fs::write(folder.join("volley.toml"), format!("store_retry_seconds = 1\n{settings}")).unwrap();
    let place = folder.to_path_buf();
    let job = tokio::task::spawn_blocking(move || volley(&place, &["run", "job.sql"]));
    let dark = server.weather.dark_at(LAST_CHANGE);
    tokio::time::timeout(Duration::from_secs(120), dark).await.expect("the job changes the bucket often enough");
    let ended = job.await.unwrap();
    ended.has_error(1, "[store_unavailable]");
    server.weather.blackout(Duration::ZERO).await;
    let job = jobs(folder).pop().expect("a job was begun");
    let sealed = receipts(&job);
    assert!(!sealed.is_empty() && sealed.len() < SPLITS, "{} splits are done", sealed.len());
    let told = format!("{} of {SPLITS} splits of job {} are done and kept", sealed.len(), id(&job));
    assert!(ended.warned.contains(&told), "{} says no {told}", ended.warned);
    assert!(server.objects("out").is_empty());
    let ended = volley(folder, &["jobs", "resume", &id(&job)]);
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    assert!(sealed.iter().all(|(split, receipt)| receipts(&job)[split] == *receipt));
    assert!(server.objects("out").contains_key("_SUCCESS"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_over_a_bucket_is_told_of_without_its_keys_and_waits_for_them() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    let job = cut_off(&server, folder).await;
    let is_cut_off = format!("{}  cut_off", id(&job));
    let told = process::succeed(folder, &["jobs", "list"]);
    assert!(told.contains(&is_cut_off), "{told}");
    for line in [&["run", "job.sql", "--resume"] as &[_], &["jobs", "resume", &id(&job)]] {
        process::volley(folder, line).has_error(2, "[missing_credentials]");
    }
    let told = volley(folder, &["jobs", "list"]).said;
    assert!(told.contains(&is_cut_off), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_object_that_was_overwritten_in_between_is_named_though_only_its_mark_tells() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    let job = cut_off(&server, folder).await;
    let input = input_of(&server);
    let moment = std::fs::metadata(&input).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&input).unwrap();
    // Within a page of the last row group, which is not read yet; size and time are as they were.
    let place = bytes.len() * 3 / 4;
    bytes[place] ^= 1;
    std::fs::write(&input, bytes).unwrap();
    std::fs::File::options().append(true).open(&input).unwrap().set_modified(moment).unwrap();
    let ended = volley(folder, &["jobs", "resume", &id(&job)]);
    ended.has_error(1, "[input_changed]");
    assert!(ended.warned.contains("s3://lake/in/rows.parquet"), "{}", ended.warned);
    assert!(server.objects("out").is_empty() && server.objects(".volley-staging").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_that_does_not_answer_is_asked_once_however_many_jobs_wait_for_it() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    let job = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let mut waiting = vec![];
    for nth in 0..3 {
        std::fs::write(folder.join("job.sql"), job.replace("lake/out/", &format!("lake/out/{nth}/"))).unwrap();
        waiting.push(id(&cut_off(&server, folder).await));
    }
    let turns = || server.weather.asked().into_iter().filter(|key| key.ends_with(".turn")).count();
    turns();
    let told = volley(folder, &["jobs", "list"]);
    assert!(waiting.iter().all(|job| told.warned.contains(&format!("job {job} of job.sql was cut off"))), "{told:?}");
    assert_eq!(turns(), 3, "each has a turn of its own that could be held");

    server.weather.storm(100, 1);
    let told = volley(folder, &["jobs", "list", "--store-retry-seconds", "1"]);
    assert_eq!(told.said.matches("cut_off").count(), 3, "what is not known is no reason to give anything up: {told:?}");
    assert_eq!(turns(), 1, "the others would have waited as long");
}

/// A job file beside the job's SQL, with so many attempts.
fn with_attempts(folder: &Path, attempts: u32) {
    std::fs::write(folder.join("job.toml"), format!("sql = 'job.sql'\n[retry]\nattempts = {attempts}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_a_bucket_failed_is_tried_again_and_goes_on_where_it_was() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    // A split is sealed in two changes: some are, and most are not.
    let run = |line: &'static [&'static str]| {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || volley(&folder, line))
    };
    with_attempts(folder, 1);
    let hasty = run(&["run", "job.toml", "--store-retry-seconds", "1"]);
    server.weather.dark_at(LAST_CHANGE).await;
    let ended = hasty.await.unwrap();
    server.weather.blackout(Duration::ZERO).await;
    ended.has_error(1, "[store_unavailable]");
    ended.has_error(1, "--resume goes on");
    let job = jobs(folder).pop().unwrap();
    let sealed = receipts(&job);
    assert!(!sealed.is_empty() && sealed.len() < SPLITS, "{} splits are done", sealed.len());

    with_attempts(folder, 20);
    let patient = run(&["run", "job.toml", "--resume", "--store-retry-seconds", "1"]);
    server.weather.dark_at(4).await;
    server.weather.blackout(Duration::from_secs(3)).await;
    let ended = patient.await.unwrap();
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    assert!(ended.warned.contains("attempt 1 of 20 failed: "), "{}", ended.warned);
    assert!(ended.warned.matches("going on with job").count() > 1, "{}", ended.warned);
    assert_eq!(jobs(folder).len(), 1, "it is the same job throughout");
    assert!(sealed.iter().all(|(split, receipt)| receipts(&job)[split] == *receipt));
    assert!(server.objects("out").contains_key("_SUCCESS") && server.objects(".volley-staging").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failure_that_does_not_pass_is_not_tried_again() {
    let server = S3Server::start().await;
    let folder = folder(&server).await;
    let folder = folder.path();
    with_attempts(folder, 3);
    for (sql, code) in [
        (
            "COPY (SELECT 1 / (id - 20000) AS x FROM 's3://lake/in/') TO 's3://lake/out/' STORED AS CSV",
            "[execution_failed]",
        ),
        (
            "COPY (SELECT predict('./nowhere') FROM 's3://lake/in/') TO 's3://lake/out/' STORED AS CSV",
            "[model_location_missing]",
        ),
        ("COPY (SELECT nothing FROM 's3://lake/in/') TO 's3://lake/out/' STORED AS CSV", "[unknown_column]"),
    ] {
        std::fs::write(folder.join("job.sql"), sql).unwrap();
        let ended = volley(folder, &["run", "job.toml"]);
        assert!(ended.warned.contains(code) && !ended.warned.contains("attempt"), "{}", ended.warned);
    }
    assert_eq!(jobs(folder).len(), 1, "one was begun, and once");
}
