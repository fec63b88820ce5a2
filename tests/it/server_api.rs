//! The HTTP API, request by request.

use std::io::Read;

use serde_json::{Value, json};

use crate::http::{ask, send};
use crate::server::Server;
use crate::server_runs::{ENDLESS, folder};

/// The events of an answer: their names with their ids, in order, progress aside.
fn events(text: &str) -> Vec<(String, String)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
    };
    let blocks = text.split("\n\n").map(|block| (field(block, "event"), field(block, "id")));
    blocks.filter(|(name, _)| !name.is_empty() && name != "progress").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_job_are_told_again_from_where_the_reader_was() {
    let folder = folder().await;
    let server = Server::start(folder.path());
    let sql = std::fs::read_to_string(folder.path().join("job.sql")).unwrap();
    let id = server.submit(&json!({ "sql": sql, "name": "job.sql" }));
    let path = format!("/v1/jobs/{id}/events");
    // Followed while it runs, to its end.
    let all = events(&server.get(&path).text());
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["state", "state", "published", "state"]);
    let ids: Vec<_> = all.iter().map(|(_, id)| id.parse::<u64>().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    for seen in 0..all.len() {
        let last = [("last-event-id", all[seen].1.as_str())];
        let rest = events(&ask(server.address(), "GET", &path, &last, "").text());
        assert_eq!(rest, all[seen + 1..], "after {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_while_a_job_runs() {
    let folder = folder().await;
    let server = Server::start(folder.path());
    let id = server.submit(&json!({ "sql": format!("COPY ({ENDLESS}) TO 'never/' STORED AS CSV") }));
    let mut stream = send(server.address(), "GET", &format!("/v1/jobs/{id}/events"), &[], "");
    let mut text = String::new();
    while !text.contains("event: progress") {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "{text}");
        text += &String::from_utf8_lossy(&bytes[..read]);
    }
    let shown = server.get(&format!("/v1/jobs/{id}")).json();
    assert_eq!((&shown["state"], &shown["progress"]["splits_done"]), (&json!("running"), &json!(0)));
    for field in ["rows", "splits_total", "seconds", "rows_per_second"] {
        assert!(shown["progress"][field].is_number(), "{field}: {shown}");
    }
    assert_eq!(server.post(&format!("/v1/jobs/{id}/cancel"), &Value::Null).status, 202);
    assert_eq!(server.wait(&id)["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_job_leaves_its_destination_as_it_was_and_can_be_gone_on_with() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    let write =
        |query: &str| json!({ "sql": format!("COPY ({query}) TO 'out/' STORED AS CSV OPTIONS (mode 'overwrite')") });
    let first = server.submit(&write("SELECT 1 AS a"));
    assert_eq!(server.wait(&first)["state"], "succeeded");
    let before = crate::resume::files(&folder.join("out"));
    let id = server.submit(&write("SELECT id, predict('line') AS p FROM 'input/', generate_series(1, 1000)"));
    server.wait_for(&id, |job| job["progress"]["rows"].as_u64().is_some_and(|rows| rows > 0));
    assert_eq!(server.post(&format!("/v1/jobs/{id}/cancel"), &Value::Null).status, 202);
    let canceled = server.wait(&id);
    assert_eq!((&canceled["state"], &canceled["results"]), (&json!("canceled"), &json!([])));
    assert!(crate::resume::files(&folder.join("out")) == before, "the destination was touched");
    assert!(crate::resume::files(&folder.join(".volley-staging")).is_empty(), "staged files are left");
    assert_eq!(server.post(&format!("/v1/jobs/{id}/resume"), &Value::Null).status, 202);
    server.wait_for(&id, |job| job["state"] == "running");
    assert_eq!(server.post(&format!("/v1/jobs/{id}/cancel"), &Value::Null).status, 202);
    assert_eq!(server.wait(&id)["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_problem_details_with_our_codes() {
    let folder = folder().await;
    let server = Server::start(folder.path());
    let sql = |sql: &str| server.post("/v1/sql", &json!({ "sql": sql }));
    let refused = sql("SELECT\n  predict('line', 1)");
    assert_eq!((refused.status, refused.code().as_str()), (422, "missing_input"));
    let details = refused.json();
    assert_eq!((&details["line"], &details["column"], &details["status"]), (&json!(2), &json!(3), &json!(422)));
    assert_eq!(details["type"], "urn:volley:error:missing_input");
    assert_eq!(details["detail"], details["problems"][0]["message"]);
    for (path, body, status, code) in [
        ("/v1/jobs", "{}", 400, "invalid_request"),
        ("/v1/jobs", "no json", 400, "invalid_request"),
        ("/v1/jobs", r#"{"sql": "SELECT 1", "qsl": 1}"#, 400, "invalid_request"),
        ("/v1/jobs", r#"{"sql": "SELECT 1"}"#, 422, "rows_in_job"),
        ("/v1/jobs", r#"{"sql": " -- nothing"}"#, 422, "no_statement"),
        ("/v1/jobs", r#"{"sql": "SELECT 1 FORM t u"}"#, 422, "syntax"),
        ("/v1/jobs", r#"{"sql": "SELECT 1", "params": {"a": 1}}"#, 422, "parameter_not_used"),
        ("/v1/jobs", r#"{"sql": "SELECT 1", "params": {"a": [1]}}"#, 400, "invalid_request"),
        ("/v1/jobs", r#"{"sql": "SET a.b = 1", "output": {"to": "x/"}}"#, 422, "not_a_query"),
        ("/v1/sql", r#"{"sql": "SELECT * FROM nothing"}"#, 422, "table_not_found"),
        ("/v1/jobs/x/cancel", "", 404, "unknown_job"),
        ("/v1/jobs/x/resume", "", 404, "unknown_job"),
        ("/v1/nothing", "", 404, "not_found"),
        ("/metrics", "", 405, "method_not_allowed"),
    ] {
        let refused = ask(server.address(), "POST", path, &[], body);
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{path} {body}");
    }
    for path in ["/v1/jobs/x", "/v1/jobs/x/events"] {
        assert_eq!(server.get(path).code(), "unknown_job", "{path}");
    }
    assert_eq!(server.get("/v1/sql/x").code(), "unknown_statement");
    assert_eq!(server.get("/v1/jobs?limit=many").code(), "invalid_request");
    let large = json!({ "sql": format!("SELECT '{}'", "x".repeat(2 << 20)) }).to_string();
    // The server may close before all of it is sent.
    let refused = std::panic::catch_unwind(|| ask(server.address(), "POST", "/v1/sql", &[], &large).code());
    assert!(refused.is_err() || refused.is_ok_and(|code| code == "request_too_large"));
    assert_eq!(sql("SELECT 1").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_what_happened() {
    let folder = folder().await;
    let server = Server::start(folder.path());
    assert_eq!((server.get("/healthz").status, server.get("/readyz").status), (200, 200));
    let done = server.submit(&json!({ "sql": "COPY (SELECT 1 AS a UNION ALL SELECT 2) TO 'x/' STORED AS CSV" }));
    let failed = server.submit(&json!({ "sql": "COPY (SELECT * FROM nothing) TO 'y/' STORED AS CSV" }));
    assert_eq!((&server.wait(&done)["state"], &server.wait(&failed)["state"]), (&json!("succeeded"), &json!("failed")));
    server.post("/v1/sql", &json!({ "sql": "SELECT 1" }));
    let metrics = server.get("/metrics").text();
    for line in [
        "volley_jobs_accepted_total 2",
        "volley_jobs_begun_total 2",
        "volley_jobs_succeeded_total 1",
        "volley_jobs_failed_total 1",
        "volley_statements_total 1",
        "volley_rows_published_total 2",
        "volley_jobs_running 0",
        "volley_jobs_waiting 0",
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}\n{metrics}");
    }
}
