//! Servers that are killed or stopped while jobs run: the next one goes on, and scores nothing twice.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::succeed;
use crate::resume::{files, forget, jobs, receipts};
use crate::server::{Server, until};
use crate::server_runs::{SPLITS, folder};

/// The receipts of the only job of a state.
fn sealed(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    jobs(folder).first().map(|job| receipts(job)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_when_its_server_is_killed_and_nothing_is_scored_again() {
    let folder = folder().await;
    let folder = folder.path();
    succeed(folder, &["run", "job.sql", "--key", "k"]);
    let undisturbed = files(&folder.join("out"));
    let request: Value = json!({
        "sql": std::fs::read_to_string(folder.join("job.sql")).unwrap(), "name": "job.sql", "key": "k"
    });
    for kept in [0, 1, SPLITS / 2, SPLITS - 5, SPLITS] {
        forget(folder);
        let _ = std::fs::remove_dir_all(folder.join(".volley/state/server"));
        let server = Server::start(folder);
        let id = server.submit(&request);
        until(|| (sealed(folder).len() >= kept).then_some(()));
        server.kill();
        let before = sealed(folder);
        let server = Server::start(folder);
        let job = server.wait(&id);
        assert_eq!((&job["state"], &job["results"][0]["rows"]), (&json!("succeeded"), &json!(50_000)), "{job}");
        let after = sealed(folder);
        assert_eq!(after.len(), SPLITS);
        assert!(before.iter().all(|(split, receipt)| after[split] == *receipt), "a split was scored again");
        assert!(files(&folder.join("out")) == undisturbed, "killed at {kept}: other bytes");
        assert_eq!(server.post("/v1/jobs", &request).json()["id"], json!(id), "the key is known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_leaves_its_jobs_to_the_next_one() {
    let folder = folder().await;
    let folder = folder.path();
    let sql = std::fs::read_to_string(folder.join("job.sql"))
        .unwrap()
        .replace("'input/'", "'input/', generate_series(1, 40)");
    let server = Server::start(folder);
    let id = server.submit(&json!({ "sql": sql }));
    let waiting = server.submit(&json!({ "sql": "COPY (SELECT 1 AS a) TO 'other/' STORED AS CSV" }));
    server.wait_for(&id, |job| job["progress"]["rows"].as_u64().is_some_and(|rows| rows > 0));
    server.stop();
    assert!(!folder.join("out").exists());
    let server = Server::start(folder);
    for (id, rows) in [(&id, 2_000_000), (&waiting, 1)] {
        let job = server.wait(id);
        assert_eq!((&job["state"], &job["results"][0]["rows"]), (&json!("succeeded"), &json!(rows)), "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_follows_its_job_over_the_death_of_the_server() {
    let folder = folder().await;
    let folder = folder.path();
    let sql = std::fs::read_to_string(folder.join("job.sql"))
        .unwrap()
        .replace("'input/'", "'input/', generate_series(1, 40)");
    std::fs::write(folder.join("long.sql"), sql).unwrap();
    let server = Server::start(folder);
    let address = server.address().to_owned();
    let mut client = crate::process::command(folder, &["run", "long.sql", "--json", "--cluster", &server.url]);
    let client = client.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let id = until(|| server.get("/v1/jobs").json()["jobs"][0]["id"].as_str().map(str::to_owned));
    server.wait_for(&id, |job| job["progress"]["rows"].as_u64().is_some_and(|rows| rows > 0));
    server.kill();
    let _server = Server::start_with(folder, &["--listen", &address], &[]);
    let ended = crate::process::Ended::from(client.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    assert_eq!(ended.json()["rows"], 2_000_000);
    assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_takes_no_job_with_it() {
    let folder = folder().await;
    let folder = folder.path();
    let server = Server::start(folder);
    let sql = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let done = server.submit(&json!({ "sql": sql, "key": "k" }));
    let failed = server.submit(&json!({ "sql": "COPY (SELECT * FROM nothing) TO 'x/' STORED AS CSV" }));
    let before = [server.wait(&done), server.wait(&failed)];
    server.kill();
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.join(".volley/state/server").join(name));
    }
    let server = Server::start(folder);
    for job in before {
        let after = server.get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).json();
        for field in ["id", "state", "name", "key", "results", "problems", "accepted_at", "ended_at"] {
            assert_eq!(after[field], job[field], "{field}");
        }
    }
    assert_eq!(server.submit(&json!({ "sql": sql, "key": "k" })), done);
}
