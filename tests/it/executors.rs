//! Executors as operators see them: listed, watched and drained.

use serde_json::{Value, json};

use crate::cluster_ground::Executor;
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
    let counted = server.get("/metrics").text();
    for (name, count) in [("volley_executors", 1), ("volley_cluster_vcores", 1), ("volley_cluster_splits_running", 0)] {
        assert_eq!(metric(&counted, name), count, "{name}");
    }
    let watched = second.told("health and metrics are at http://");
    let counted = ask(&watched, "GET", "/metrics", &[], "").text();
    let sealed = metric(&counted, "volley_executor_splits_sealed_total");
    assert!(sealed > 0 && sealed < SPLITS as u64, "both have worked: {counted}");
    assert_eq!(metric(&counted, "volley_executor_rows_written_total"), sealed * 1000);
    assert_eq!(metric(&counted, "volley_rows_scored_total"), sealed * 1000);
    assert_eq!((metric(&counted, "volley_models_loaded"), metric(&counted, "volley_model_loads_total")), (1, 1));
    assert!(metric(&counted, "process_resident_memory_bytes") > 10_000_000);

    let unknown = server.volley(folder, &["executors", "drain", &id]);
    unknown.is_error(1, &[&id, "`volley executors list`", "[unknown_executor]"]);
    volley(folder, &["executors", "list"]).is_error(2, &["--cluster URL", "[usage]"]);
    let asked: Value = server.get("/v1/executors").json();
    assert_eq!(asked["executors"][0]["id"], second.id());
}
