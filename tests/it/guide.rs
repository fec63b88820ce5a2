//! The commands and statements of the documents, run as a reader would run them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::root;
use crate::process::{Ended, command, succeed};
use crate::server::Server;

/// The fenced blocks of a document with this text behind the fence.
fn blocks(document: &str, info: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).expect(document);
    let fence = format!("\n```{info}\n");
    let block = |rest: &str| rest.split("\n```").next().unwrap_or_default().to_string();
    text.split(&fence).skip(1).map(block).collect()
}

/// The folder of a reader: the examples, as they are in the repository, without anything that was run before.
fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("examples"), &folder.path().join("examples"));
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = { entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap() };
        match from.is_dir() {
            true if from.ends_with("out") => {}
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).unwrap()),
        }
    }
}

/// The lines of a block that call `volley`, with continued lines put together.
fn commands(block: &str) -> Vec<String> {
    let whole = block.replace("\\\n", " ");
    whole.lines().filter(|line| line.starts_with("volley ")).map(str::to_string).collect()
}

#[test]
fn the_tour_of_the_readme_runs_from_top_to_bottom() {
    let folder = checkout();
    let commands: Vec<_> = blocks("README.md", "").iter().flat_map(|block| commands(block)).collect();
    assert!(commands.len() >= 2, "{commands:?}");
    for line in commands {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        succeed(folder.path(), &words);
    }
    let statements = blocks("README.md", "sql");
    assert!(statements.len() >= 3, "{statements:?}");
    for statement in statements {
        let said = succeed(folder.path(), &["sql", "-c", &statement]);
        assert!(!said.trim().is_empty(), "{statement}\nsays nothing");
    }
    assert!(folder.path().join("examples/flights/out/labels/_SUCCESS").is_file());
}

#[test]
fn the_statements_of_the_sql_guide_run_in_one_session() {
    let folder = checkout();
    let statements = blocks("docs/guide/sql.md", "sql run");
    assert!(statements.len() >= 10, "only {} blocks run", statements.len());
    fs::write(folder.path().join("guide.sql"), statements.join("\n")).unwrap();
    let mut run = command(folder.path(), &["run", "guide.sql", "--registry", "examples/flights/registry"]);
    let ran = Ended::from(run.output().unwrap());
    assert_eq!(ran.status, Some(0), "{}{}", ran.said, ran.warned);
    for result in ["by_origin", "late_flights"] {
        assert!(folder.path().join("examples/flights/out").join(result).join("_SUCCESS").is_file(), "{result}");
    }
}

#[test]
fn the_requests_of_the_server_guide_are_answered() {
    let folder = checkout();
    let server = Server::start(folder.path());
    let requests = blocks("docs/guide/server.md", "sh");
    assert!(requests.len() >= 4, "only {} requests", requests.len());
    let mut said = String::new();
    for request in requests {
        let request = request.replace("http://127.0.0.1:8080", &server.url);
        let asked =
            std::process::Command::new("sh").args(["-ec", &request]).current_dir(folder.path()).output().unwrap();
        assert!(asked.status.success(), "{request}\n{}", String::from_utf8_lossy(&asked.stderr));
        said += &String::from_utf8_lossy(&asked.stdout);
    }
    assert!(said.contains("\"state\":\"succeeded\"") && !said.contains("\"code\""), "{said}");
    assert!(folder.path().join("out/day=2026-11-22/_SUCCESS").is_file());
    let rows = fs::read(folder.path().join("rows.arrows")).unwrap();
    let rows = arrow::ipc::reader::StreamReader::try_new(rows.as_slice(), None).unwrap();
    assert_eq!(rows.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 1);
}
