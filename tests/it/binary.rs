//! The `volley` binary as a user meets it: what it prints, how it ends, and what is left when it is killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Cell, House, cells, fixture, model, root};

/// The binary that was built with these tests.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("VOLLEY_BIN") {
        return path.into();
    }
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("volley");
    assert!(path.is_file(), "build the binary first: cargo build -p volley");
    path
}

fn volley(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_publishes_what_scikit_learn_says() {
    let state = tempfile::tempdir().unwrap();
    for _twice in 0..2 {
        let ran = Command::new(binary())
            .args(["run", "examples/flights/score.sql", "--json"])
            .env("VOLLEY_STATE", state.path())
            .current_dir(root())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let summary: Value = serde_json::from_str(text(&ran.stdout).lines().last().unwrap()).unwrap();
        assert_eq!(summary["rows"], 27_004);
        assert_eq!(summary["models"][0]["name"], "flights");
        assert_eq!(summary["models"][0]["version"], 1);
        assert_eq!(summary["null_scores"], 0);
    }
    let mut house = House::with(|settings| settings.base = root()).await;
    let joined = "FROM 'examples/flights/out/scores/' o JOIN 'examples/flights/expected_scores.parquet' e
                  USING (year, month, day, carrier, flight, origin, dest, sched_dep_time)";
    assert_eq!(house.number(&format!("SELECT count(*) {joined}")).await, 27_004.0);
    let worst = house.number(&format!("SELECT max(abs(o.late_probability - e.late_probability)) {joined}")).await;
    assert!(worst <= 1e-5, "the largest difference is {worst}");
}

#[test]
fn an_error_says_where_what_and_code_and_ends_with_status_one() {
    let folder = tempfile::tempdir().unwrap();
    let sql = format!("SELECT\n  predict('{}', 1)\n", model("linear_onnx_double"));
    std::fs::write(folder.path().join("score.sql"), sql).unwrap();
    let ran = volley(folder.path(), &["run", "score.sql"]);
    assert_eq!(ran.status.code(), Some(1));
    let told = text(&ran.stderr);
    assert!(told.starts_with("score.sql:2:3: ") && told.contains("[missing_input]"), "{told}");
    let ran = volley(folder.path(), &["run", "score.sql", "--json"]);
    let error: Value = serde_json::from_str(text(&ran.stdout).lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "missing_input");
    assert_eq!(error["error"]["line"], 2);
}

#[test]
fn a_wrong_command_ends_with_status_two() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(volley(folder.path(), &["run", "nowhere.sql"]).status.code(), Some(2));
    assert_eq!(volley(folder.path(), &["fly"]).status.code(), Some(2));
}

#[test]
fn a_model_is_registered_shown_checked_and_scored_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| fixture("iris_onnx_v2").join(file).display().to_string();
    let ok = |arguments: &[&str]| {
        let ran = volley(folder.path(), arguments);
        assert!(ran.status.success(), "{arguments:?}\n{}{}", text(&ran.stdout), text(&ran.stderr));
        text(&ran.stdout)
    };
    ok(&[
        "models",
        "register",
        &at("model"),
        "--name",
        "iris",
        "--alias",
        "champion",
        "--golden",
        &at("input.parquet"),
        "--expected",
        &at("expected.parquet"),
    ]);
    assert!(ok(&["models", "list"]).contains("iris"));
    let shown: Value = serde_json::from_str(&ok(&["models", "show", "iris", "--json"])).unwrap();
    assert!(shown.to_string().contains("sepal_length"), "{shown}");
    ok(&["models", "check", "iris@champion"]);
    let sql = format!("SELECT count(*) AS n FROM '{}' WHERE predict_label('iris@champion') >= 0", at("input.parquet"));
    assert!(ok(&["sql", "-c", &sql, "--format", "csv"]).contains("150"));
    ok(&["models", "delete", "iris"]);
    assert_eq!(volley(folder.path(), &["models", "show", "iris"]).status.code(), Some(1));
}

/// Where a kill can leave a destination.
#[derive(Debug, PartialEq)]
enum Side {
    Before,
    After,
}

const KILLS: u32 = 20;
const ROWS: u64 = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_all_or_nothing_after_the_next_command() {
    let folder = killable().await;
    let whole = time_of_a_run(folder.path());
    let mut sides = Vec::new();
    let mut published = 1;
    for kill in 1..=KILLS {
        // Spread over the whole run, and a little beyond it.
        let moment = whole.mul_f64(f64::from(kill) * 1.1 / f64::from(KILLS));
        kill_a_run_at(folder.path(), moment);
        let recovered = volley(folder.path(), &["sql", "-c", "SELECT 1"]);
        assert!(recovered.status.success(), "{}", text(&recovered.stderr));
        let side = side(folder.path(), published).await;
        published += u64::from(side == Side::After);
        sides.push(side);
    }
    let after = sides.iter().filter(|side| **side == Side::After).count();
    println!("{KILLS} kills: {} before the decision, {after} after it", sides.len() - after);
    assert!(sides.contains(&Side::Before), "no kill came before the decision");
}

/// A folder with an input table and a job that appends its scores.
async fn killable() -> TempDir {
    let mut house = House::with(|settings| settings.split_rows = 50_000).await;
    house
        .run(&format!(
            "COPY (SELECT value AS id, 1.0 AS a, 2.0 AS b, 3.0 AS c, value % 10 AS d FROM generate_series(1, {ROWS}))
             TO 'input/' STORED AS PARQUET"
        ))
        .await;
    let job = format!(
        "COPY (SELECT id, predict('{}') AS score FROM 'input/') TO 'out/' STORED AS PARQUET OPTIONS (mode 'append')",
        model("linear_onnx_double")
    );
    std::fs::write(house.path("job.sql"), job).unwrap();
    std::fs::write(house.path("volley.toml"), "split_rows = 50000\n").unwrap();
    house.folder
}

fn time_of_a_run(folder: &Path) -> Duration {
    let start = Instant::now();
    let ran = volley(folder, &["run", "job.sql"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    start.elapsed()
}

fn kill_a_run_at(folder: &Path, moment: Duration) {
    let mut child = Command::new(binary())
        .args(["run", "job.sql"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment);
    // SIGKILL on Unix; a run that is done already is a kill after the end.
    let _ = child.kill();
    child.wait().unwrap();
}

/// Which side the destination is on; anything between the two is a failure of the test.
async fn side(folder: &Path, published: u64) -> Side {
    let mut house = House::with(|settings| settings.base = folder.to_path_buf()).await;
    let each = "SELECT id, count(*) AS n FROM 'out/' GROUP BY id";
    let sql = format!("SELECT sum(n) AS rows, count(*) AS ids, min(n) AS least, max(n) AS most FROM ({each})");
    let batch = house.rows(&sql).await;
    let number = |column: usize| match &cells(batch.column(column), 0)[0] {
        Cell::Number(number) => *number as u64,
        other => panic!("no number but {other:?}"),
    };
    let (rows, ids, least, most) = (number(0), number(1), number(2), number(3));
    assert_eq!((ids, least), (ROWS, most), "every id is there, and as often as every other");
    assert_eq!(rows, ROWS * most);
    assert!(folder.join("out/_SUCCESS").is_file(), "a recovered destination has its mark");
    let staged = std::fs::read_dir(folder.join(".volley-staging")).map_or(0, Iterator::count);
    assert_eq!(staged, 0, "a recovered job leaves nothing staged");
    match most - published {
        0 => Side::Before,
        1 => Side::After,
        more => panic!("{more} results were published by one run"),
    }
}
