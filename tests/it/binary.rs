//! The `volley` binary as a user meets it: what it prints, and how it ends.

use serde_json::Value;

use crate::harness::{House, model, root};
use crate::process::{Ended, command, succeed, volley};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_publishes_what_scikit_learn_says() {
    let state = tempfile::tempdir().unwrap();
    for _twice in 0..2 {
        let mut run = command(&root(), &["run", "examples/flights/score.sql", "--json"]);
        let ran = Ended::from(run.env("VOLLEY_STATE", state.path()).output().unwrap());
        assert_eq!(ran.status, Some(0), "{}", ran.warned);
        let summary = ran.json();
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
    volley(folder.path(), &["run", "score.sql"]).is_error(1, &["score.sql:2:3: ", "[missing_input]"]);
    let error = volley(folder.path(), &["run", "score.sql", "--json"]).json();
    assert_eq!(error["error"]["code"], "missing_input");
    assert_eq!((&error["error"]["line"], &error["error"]["column"]), (&Value::from(2), &Value::from(3)));
}

#[test]
fn a_wrong_command_ends_with_status_two() {
    let folder = tempfile::tempdir().unwrap();
    volley(folder.path(), &["run", "nowhere.sql"]).is_error(2, &["nowhere.sql"]);
    volley(folder.path(), &["fly"]).is_error(2, &["fly"]);
    std::fs::write(folder.path().join("volley.toml"), "cores = 1\nregistri = 'x'\n").unwrap();
    volley(folder.path(), &["sql", "-c", "SELECT 1"])
        .is_error(2, &["volley.toml:2:1: ", "registri", "[invalid_setting]"]);
}

#[test]
fn a_job_file_brings_parameters_and_a_destination() {
    let folder = tempfile::tempdir().unwrap();
    let sql = format!(
        "SELECT 1 AS id, predict('{}', 1.0, 2.0, 3.0, 4.0) AS score, $region AS region",
        model("linear_onnx_double")
    );
    std::fs::write(folder.path().join("score.sql"), sql).unwrap();
    let job = "sql = 'score.sql'\n[params]\nregion = 'south'\n[output]\nto = 'scores/day=${ds}/'\n";
    std::fs::write(folder.path().join("job.toml"), job).unwrap();
    let run = |arguments: &[&str]| volley(folder.path(), &[&["run", "job.toml"], arguments].concat());
    run(&[]).is_error(2, &["job.toml: ", "`ds`", "[unset_parameter]"]);
    run(&["--param", "ds=../.."]).is_error(2, &["`ds`", "[invalid_parameter]"]);
    assert!(!folder.path().join("scores").exists(), "a refused job leaves nothing");
    assert_eq!(run(&["--param", "ds=2026-11-22"]).status, Some(0));
    run(&["--param", "ds=2026-11-22"]).is_error(1, &["[destination_not_empty]"]);
    let read = "SELECT id, region, day FROM 'scores/'";
    assert_eq!(succeed(folder.path(), &["sql", "-c", read, "--format", "csv"]), "id,region,day\n1,south,2026-11-22\n");
}

#[test]
fn rows_are_printed_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let print = |sql: &str, format: &str| succeed(folder.path(), &["sql", "-c", sql, "--format", format]);
    let row = "SELECT {'a': 1, 'b': 'x, y'} AS s, NULL::int AS nothing";
    assert_eq!(print(row, "csv"), "s_a,s_b,nothing\n1,\"x, y\",\n");
    assert_eq!(print(row, "json"), "{\"s\":{\"a\":1,\"b\":\"x, y\"},\"nothing\":null}\n");
    let none = "SELECT 1 AS a WHERE false";
    assert_eq!(print(none, "csv"), "a\n");
    assert_eq!(print(none, "json"), "");
    assert!(print(none, "table").contains("| a |"));
}
