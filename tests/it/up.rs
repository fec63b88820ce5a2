//! `volley up`: a server whose jobs run on executors beside it.

use std::path::Path;

use crate::harness::root;
use crate::process::command;
use crate::resume::{files, jobs, receipts};
use crate::server::{Server, until};
use crate::server_runs::{SPLITS, folder, run_here};

/// The processes of this machine whose command line holds all of these.
fn processes(words: &[&str]) -> Vec<u32> {
    let entries =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let holds = |process: &u32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        words.iter().all(|word| line.contains(word))
    };
    entries.filter(holds).collect()
}

/// The executors of a server, by where they found it.
fn executors(server: &Server) -> Vec<u32> {
    processes(&["executor", "--until-input-ends", &server.cluster()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_executors_publishes_the_same_bytes_as_in_process() {
    let folder = folder().await;
    let folder = folder.path();
    let arguments = ["run", "job.sql", "--key", "k", "--json"];
    let (here, published) = run_here(folder, &arguments);
    let server = Server::up(folder, &["--executors", "3"]);
    let there = server.succeed(folder, &arguments);
    assert_eq!(there.json()["job"], here.json()["job"]);
    assert_eq!(there.json()["rows"], here.json()["rows"]);
    for (file, bytes) in files(&folder.join("out")) {
        // The marker says when it was published.
        assert!(file.ends_with("_SUCCESS") || published[&file] == bytes, "{file:?}");
    }
    assert_eq!(files(&folder.join("out")).len(), published.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_scored_by_executors_with_its_own_settings() {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("examples/flights"), &folder.path().join("examples/flights"));
    let server = Server::up(folder.path(), &["--executors", "3", "--config", "examples/flights/volley.toml"]);
    let ended = server.succeed(folder.path(), &["run", "examples/flights/score.sql", "--json"]);
    assert_eq!(ended.json()["rows"], 27_004);
}

fn copy(from: &Path, to: &Path) {
    for (file, bytes) in files(from) {
        let file = to.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_of_the_server_its_executors_leave_and_new_ones_score_the_rest() {
    let folder = folder().await;
    let folder = folder.path();
    std::fs::write(folder.join("volley.toml"), "split_rows = 1000\ncores = 6\n").unwrap();
    let server = Server::up(folder, &["--executors", "2"]);
    let theirs = until(|| Some(executors(&server)).filter(|found| found.len() == 2));
    assert_eq!(processes(&["--until-input-ends", "--cores 3"]), theirs, "each has its share of what the settings say");
    let mut running = command(folder, &["run", "job.sql", "--cluster", &server.url]).spawn().unwrap();
    until(|| jobs(folder).first().filter(|job| receipts(job).len() >= 5).cloned());
    server.kill();
    running.kill().unwrap();
    running.wait().unwrap();
    let gone = |process: &u32| !processes(&["--until-input-ends"]).contains(process);
    until(|| theirs.iter().all(gone).then_some(()));
    let job = jobs(folder)[0].clone();
    let done = receipts(&job);

    let server = Server::up(folder, &["--executors", "2"]);
    until(|| folder.join("out/_SUCCESS").exists().then_some(()));
    assert_eq!(files(&folder.join("out")).len(), SPLITS + 1);
    let kept = receipts(&job);
    assert!(done.iter().all(|(split, receipt)| kept[split] == *receipt), "what has a receipt is not scored again");
    server.stop();
}
