//! Executors as operators see them: listed, watched and drained.

use serde_json::{Value, json};

use crate::cluster_ground::Executor;
use crate::harness::House;
use crate::http::ask;
use crate::process::{command, volley};
use crate::server::{Server, until};
use crate::server_runs::{SPLITS, folder};

/// The number that a metric has in a text of Prometheus.
fn metric(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("there is no {name} in {text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_is_listed_and_watched_and_leaves_when_it_is_drained() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start_with(folder, &["--cluster-listen", "127.0.0.1:0"], &[]);
    assert_eq!(server.succeed(folder, &["executors", "list"]).said, "no executors\n");
    let begin = || {
        let arguments = ["executor", "--server", &server.cluster(), "--cores", "1", "--pulse-milliseconds", "100"];
        let mut command = command(folder, &arguments);
        command.args(["--http-listen", "127.0.0.1:0"]);
        Executor::spawn(command)
    };
    let (first, second) = (begin(), begin());
    let watched = first.told("health and metrics are at http://");
    let look = |path: &str| ask(&watched, "GET", path, &[], "");
    assert_eq!(look("/healthz").status, 200);
    until(|| Some(()).filter(|()| look("/readyz").status == 200));

    let listed = || server.succeed(folder, &["executors", "list", "--json"]).json();
    let listed = until(|| Some(listed()).filter(|listed| listed.as_array().unwrap().len() == 2));
    let id = first.id();
    let known = listed.as_array().unwrap().iter().find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!((&known["state"], &known["vcores"], &known["running"]), (&json!("working"), &json!(1), &json!([])));
    let text = server.succeed(folder, &["executors", "list"]).said;
    assert!(text.starts_with("EXECUTOR ") && text.contains(&format!("{id}  working")), "{text}");

    let job =
        server.succeed(folder, &["run", "job.sql", "--detach", "--json"]).json()["job"].as_str().unwrap().to_owned();
    until(|| Some(()).filter(|()| metric(&look("/metrics").text(), "volley_executor_splits_sealed_total") >= 3));
    let drained = server.succeed(folder, &["executors", "drain", &id, "--wait"]);
    assert_eq!(drained.said, format!("executor {id} has left\n"));
    assert_eq!(first.ended().await.0, Some(0));
    assert_eq!(server.wait(&job)["state"], "succeeded");
    // Each says what it runs with its next pulse.
    for (name, count) in [("volley_executors", 1), ("volley_cluster_vcores", 1), ("volley_cluster_splits_running", 0)] {
        until(|| Some(()).filter(|()| metric(&server.get("/metrics").text(), name) == count));
    }
    let watched = second.told("health and metrics are at http://");
    let counted = ask(&watched, "GET", "/metrics", &[], "").text();
    let sealed = metric(&counted, "volley_executor_splits_sealed_total");
    assert!(sealed > 0 && sealed < SPLITS as u64, "both have worked: {counted}");
    assert_eq!(metric(&counted, "volley_executor_rows_written_total"), sealed * 1000);
    assert_eq!(metric(&counted, "volley_rows_scored_total"), sealed * 1000);
    assert_eq!((metric(&counted, "volley_models_loaded"), metric(&counted, "volley_model_loads_total")), (1, 1));
    assert!(metric(&counted, "process_resident_memory_bytes") > 10_000_000);

    let verified = server.succeed(folder, &["jobs", "verify", &job, "--rescore", "3", "--seed", "5"]).said;
    let here = volley(folder, &["jobs", "verify", &job, "--rescore", "3", "--seed", "5"]).said;
    assert!(verified.contains("scored again: the 3000 rows of splits ") && verified == here, "{verified}{here}");
    let young = server.succeed(folder, &["jobs", "expire", "--older-than", "1h"]).said;
    assert_eq!(young, "no job is over for so long\n");
    server.volley(folder, &["jobs", "expire", "--all"]).is_error(2, &["`volley jobs cancel`", "[usage]"]);
    std::fs::write(folder.join("out/stray.parquet"), "x").unwrap();
    let part = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let part = { part }.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("part-")).unwrap();
    std::fs::write(part, "another file").unwrap();
    server.volley(folder, &["jobs", "verify", &job]).is_error(1, &["1 of the 50 files", "[published_differs]"]);

    let unknown = server.volley(folder, &["executors", "drain", &id]);
    unknown.is_error(1, &[&id, "`volley executors list`", "[unknown_executor]"]);
    volley(folder, &["executors", "list"]).is_error(2, &["--cluster URL", "[usage]"]);
    let asked: Value = server.get("/v1/executors").json();
    assert_eq!(asked["executors"][0]["id"], second.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_tells_who_is_at_work_on_it() {
    let house = House::with_input(600, 2_000).await;
    house.register("line", "linear_onnx_double", None).await;
    let folder = house.folder.path();
    std::fs::write(folder.join("volley.toml"), "split_rows = 2000\ncores = 2\n").unwrap();
    let server = Server::up(folder, &["--executors", "2"]);
    let sql = "COPY (SELECT id, predict('line') AS score FROM 'input/') TO 'out/' STORED AS PARQUET";
    let job = server.submit(&json!({ "name": "job.sql", "sql": sql }));
    let has_some = |job: &Value| job["progress"]["executors"].as_array().is_some_and(|executors| !executors.is_empty());
    let progress = server.wait_for(&job, has_some)["progress"].take();
    let one = &progress["executors"][0];
    let ids = server.get("/v1/executors").json();
    assert!(ids["executors"].as_array().unwrap().iter().any(|known| known["id"] == one["executor"]), "{progress}");
    assert!(one["splits"].as_u64() >= Some(1) && one["rows"].as_u64() <= Some(2_000), "{progress}");
    assert_eq!(progress["splits_total"], 600);
    server.succeed(folder, &["jobs", "cancel", &job]);
    assert_eq!(server.wait(&job)["state"], "canceled");
    assert!(!folder.join("out").exists());
}
