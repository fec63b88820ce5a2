//! The same commands in process and through a server: the same output, the same bytes, the same ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{House, root};
use crate::http::ask;
use crate::process::{Ended, command, succeed, volley};
use crate::resume::{files, forget};
use crate::server::{Server, until};

pub const SPLITS: usize = 50;
const ROWS_OF_SPLIT: usize = 1_000;
const ROWS: usize = SPLITS * ROWS_OF_SPLIT;

/// A query that outlasts every test.
pub const ENDLESS: &str = "SELECT sum(value % 7) AS n FROM generate_series(1, 1000000000000)";

/// A folder with an input of [`SPLITS`] row groups, a registered model `line`, and `job.sql`, which scores it.
pub async fn folder() -> TempDir {
    let house = House::with_input(SPLITS, ROWS_OF_SPLIT).await;
    house.register("line", "linear_onnx_double", None).await;
    let job = "COPY (SELECT id, d, predict('line') AS score FROM 'input/') TO 'out/' STORED AS PARQUET";
    std::fs::write(house.path("job.sql"), job).unwrap();
    std::fs::write(house.path("volley.toml"), format!("split_rows = {ROWS_OF_SPLIT}\ncores = 2\n")).unwrap();
    house.folder
}

/// Runs `job.sql` in process, and forgets it: all but what its key stands for, so that it is the same job elsewhere.
/// Gives how it ended, and what it published.
pub fn run_here(folder: &Path, arguments: &[&str]) -> (Ended, BTreeMap<PathBuf, Vec<u8>>) {
    let here = volley(folder, arguments);
    let published = files(&folder.join("out"));
    assert_eq!(published.len(), SPLITS + 1, "{}", here.warned);
    forget(folder);
    (here, published)
}

/// The object that a run ends with, without what differs each time.
fn comparable(ended: &Ended) -> Value {
    let mut object = ended.json();
    assert!(object["seconds"].as_f64().unwrap() > 0.0, "{object}");
    for name in ["seconds", "rows_per_second"] {
        object[name] = Value::Null;
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_a_server_publishes_the_same_bytes_as_in_process() {
    let folder = folder().await;
    let folder = folder.path();
    let arguments = ["run", "job.sql", "--key", "k", "--json"];
    let (here, published) = run_here(folder, &arguments);
    let server = Server::start(folder);
    let there = server.succeed(folder, &arguments);
    assert_eq!(comparable(&there), comparable(&here));
    assert!(files(&folder.join("out")) == published, "the bytes differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs_on_a_server_that_was_started_beside_it() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().display().to_string();
    let server = Server::start_with(&root(), &["--config", "examples/flights/volley.toml", "--state", &state], &[]);
    let ran = server.succeed(&root(), &["run", "examples/flights/score.sql", "--json"]);
    let summary = ran.json();
    assert_eq!((&summary["rows"], &summary["null_scores"]), (&json!(27_004), &json!(0)));
    assert_eq!(summary["models"][0]["name"], "flights");
    assert!(summary["destination"].as_str().unwrap().ends_with("/examples/flights/out/scores/"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_as_it_would_in_process_when_it_goes_wrong() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    for (file, text) in [
        ("columns.sql", "COPY (SELECT\n  predict('line', 1)\n) TO 'x/' STORED AS CSV"),
        ("syntax.sql", "COPY (SELECT 1 AS a) TO 'x/' STORED AS CSV;\nSELECT a FORM t"),
        ("model.sql", "COPY (SELECT predict('lime', 1) AS p) TO 'x/' STORED AS CSV"),
        ("column.sql", "COPY (SELECT idd FROM 'input/') TO 'x/' STORED AS CSV"),
        ("table.sql", "COPY (SELECT 1 FROM 'inputs/') TO 'x/' STORED AS CSV"),
        ("unset.sql", "COPY (SELECT $a AS a) TO 'x/${b}/' STORED AS CSV"),
        ("rows.sql", "SELECT predict('line', 1)"),
        ("none.sql", "-- nothing"),
        ("divided.sql", "COPY (SELECT 1 / (id - 5) AS a FROM 'input/') TO 'x/' STORED AS CSV"),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
        let (here, there) = (volley(folder, &["run", file]), server.volley(folder, &["run", file]));
        let last = |ended: &Ended| ended.warned.lines().last().unwrap_or_default().to_owned();
        assert_eq!((there.status, last(&there)), (here.status, last(&here)), "{file}");
        assert_ne!(here.status, Some(0), "{file}");
        let (here, there) = (volley(folder, &["run", file, "--json"]), server.volley(folder, &["run", file, "--json"]));
        assert_eq!(there.json(), here.json(), "{file}");
    }
    assert!(!folder.join("x").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_file_brings_parameters_and_a_destination_to_a_server() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    let job = "sql = 'SELECT $name AS name, $rate AS rate, ${day} AS day'\n[params]\nname = '007'\nrate = 1.50\n
               [output]\nto = 'scores/rate=${rate}/day=${day}/'\nformat = 'csv'\n";
    std::fs::write(folder.join("job.toml"), job).unwrap();
    server.succeed(folder, &["run", "job.toml", "--param", "day=01"]);
    let files: Vec<_> = files(&folder.join("scores/rate=1.50/day=01")).into_values().collect();
    assert!(files.contains(&b"name,rate,day\n007,1.5,1\n".to_vec()), "{files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_job_however_often_it_is_asked_for() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    let run = |file: &str| server.volley(folder, &["run", file, "--key", "k", "--json"]);
    let (first, second) = (run("job.sql"), run("job.sql"));
    assert_eq!(first.status, Some(0), "{}", first.warned);
    assert_eq!(second.json(), first.json());
    std::fs::write(folder.join("other.sql"), "COPY (SELECT 1 AS a) TO 'other/' STORED AS CSV").unwrap();
    run("other.sql").has_error_code("key_reused");
    assert!(!folder.join("other").exists());
    assert_eq!(server.get("/v1/jobs").json()["jobs"].as_array().unwrap().len(), 1);
    // In process the key stands for the same job.
    drop(server);
    let told = volley(folder, &["run", "job.sql", "--key", "k", "--json"]);
    assert!(told.warned.contains("published before"), "{}", told.warned);
    assert_eq!(told.json()["job"], first.json()["job"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_left_to_the_server_is_watched_shown_and_listed() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    let id = server.succeed(folder, &["run", "job.sql", "--detach"]).said.trim().to_owned();
    let watched = server.succeed(folder, &["jobs", "watch", &id]);
    assert!(watched.said.contains("50,000 rows") && watched.said.contains("with line/1 sha256:"), "{}", watched.said);
    let shown = server.succeed(folder, &["jobs", "show", &id]).said;
    for part in [&id, "succeeded", "job.sql", "50,000 rows"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let listed = server.succeed(folder, &["jobs", "list"]).said;
    assert!(listed.contains(&id) && listed.contains("succeeded") && listed.contains("50000"), "{listed}");
    // It is a job of the state too.
    assert!(succeed(folder, &["jobs", "list"]).contains(&id));
    server.volley(folder, &["jobs", "cancel", &id]).is_error(1, &["is over", "[job_over]"]);
    server.volley(folder, &["jobs", "resume", &id]).is_error(1, &["is over", "[job_over]"]);
    let nobody = "0197c6f0-0000-7000-8000-000000000001";
    server.volley(folder, &["jobs", "show", nobody]).is_error(1, &[nobody, "[unknown_job]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_from_a_server_as_they_would_in_process() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    for sql in [
        "SELECT 1 AS a, 'x' AS b, NULL::int AS c, {'l': 1, 'm': 'y'} AS s, [1, 2] AS l",
        "SELECT id, predict('line') AS score FROM 'input/' ORDER BY id LIMIT 3000",
        "SELECT 1 AS a WHERE false",
        "CREATE VIEW v AS SELECT * FROM 'input/'; SET volley.coercion = 'strict'; SELECT count(*) AS n FROM v",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "SET volley.coercion = 'strict'",
    ] {
        for format in ["table", "csv", "json"] {
            let arguments = ["sql", "--format", format, "-c", sql];
            let (here, there) = (volley(folder, &arguments), server.volley(folder, &arguments));
            assert_eq!((there.status, &there.said), (here.status, &here.said), "{sql}\n{}", there.warned);
            assert_eq!(here.status, Some(0), "{sql}\n{}", here.warned);
        }
    }
    std::fs::write(folder.join("rows.sql"), "SELECT count(*) AS n FROM 'input/'").unwrap();
    let there = server.succeed(folder, &["run", "rows.sql", "--json"]);
    assert!(there.said.starts_with("{\"n\":50000}\n"), "{}", there.said);
    assert_eq!((&there.json()["rows"], &there.json()["job"]), (&json!(1), &Value::Null));
    let sql = "COPY (SELECT 1 AS a) TO 'one/' STORED AS CSV";
    assert_eq!(server.succeed(folder, &["sql", "--json", "-c", sql]).json()["rows"], 1);
    server.volley(folder, &["sql", "-c", "SELECT 1; SELECT 2"]).is_error(1, &["statement 1", "[one_answer]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    // The last row group fails, and by then the first ones are sent.
    let sql = format!("SELECT id, 1 / (id - {ROWS}) AS a FROM 'input/'");
    let (here, there) = (volley(folder, &["sql", "-c", &sql]), server.volley(folder, &["sql", "-c", &sql]));
    assert_eq!((there.status, there.warned.lines().last()), (Some(1), here.warned.lines().last()));
    let answered = ask(server.address(), "POST", "/v1/sql", &[], &json!({ "sql": sql }).to_string());
    assert_eq!(answered.status, 200);
    assert_eq!(answered.header("content-type"), "application/vnd.apache.arrow.stream");
    assert!(!answered.is_whole && answered.body.len() > 1_000, "{} bytes", answered.body.len());
    let why = server.get(&format!("/v1/sql/{}", answered.header("volley-statement"))).json();
    assert_eq!(why["code"], "execution_failed", "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_ends_a_statement_and_leaves_a_job() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    for sql in [ENDLESS.to_owned(), format!("COPY ({ENDLESS}) TO 'never/' STORED AS CSV")] {
        let request = json!({ "sql": sql }).to_string();
        let asking = crate::http::send(server.address(), "POST", "/v1/sql", &[], &request);
        until(|| (metric(&server, "volley_statements_running") == 1).then_some(()));
        drop(asking);
        until(|| (metric(&server, "volley_statements_running") == 0).then_some(()));
    }
    until(|| (!unfinished(folder)).then_some(()));
    assert!(!folder.join("never").exists());
    let request = json!({ "sql": std::fs::read_to_string(folder.join("job.sql")).unwrap() });
    let asking = crate::http::send(server.address(), "POST", "/v1/jobs", &[], &request.to_string());
    let id = until(|| server.get("/v1/jobs").json()["jobs"][0]["id"].as_str().map(str::to_owned));
    drop(asking);
    assert_eq!(server.wait(&id)["state"], "succeeded");
}

/// Whether the state has a job that nobody has finished.
fn unfinished(folder: &Path) -> bool {
    std::fs::read_dir(folder.join(".volley/state/open")).is_ok_and(|mut open| open.next().is_some())
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
    line.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_stopped_says_how_to_come_back_to_its_job() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    std::fs::write(folder.join("long.sql"), format!("COPY ({ENDLESS}) TO 'never/' STORED AS CSV")).unwrap();
    let mut client = command(folder, &["run", "long.sql", "--cluster", &server.url]);
    let client = client.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let id = until(|| server.get("/v1/jobs").json()["jobs"][0]["id"].as_str().map(str::to_owned));
    server.wait_for(&id, |job| job["state"] == "running");
    crate::kills::signal("INT", &client);
    let ended = Ended::from(client.wait_with_output().unwrap());
    ended.has_error(1, &format!("volley jobs cancel {id} --cluster {}", server.url));
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).json()["state"], "running");
    server.succeed(folder, &["jobs", "cancel", &id]);
    assert_eq!(server.wait(&id)["state"], "canceled");
    assert!(!folder.join("never").exists());
    server.volley(folder, &["jobs", "watch", &id]).has_error(1, "[canceled]");
}
