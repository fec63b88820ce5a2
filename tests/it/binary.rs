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
fn a_path_keeps_a_parameter_letter_by_letter() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "COPY (SELECT $ds AS ds) TO 'out/ds=${ds}/' STORED AS CSV OPTIONS (mode 'overwrite')";
    std::fs::write(folder.path().join("job.sql"), sql).unwrap();
    for ds in ["01", "1", "1.50", "1.5", "1e3"] {
        succeed(folder.path(), &["run", "job.sql", "--param", &format!("ds={ds}")]);
    }
    let mut days: Vec<_> = std::fs::read_dir(folder.path().join("out")).unwrap().flatten().collect();
    days.sort_by_key(std::fs::DirEntry::file_name);
    let days: Vec<_> = days.iter().map(|day| day.file_name().into_string().unwrap()).collect();
    assert_eq!(days, ["ds=01", "ds=1", "ds=1.5", "ds=1.50", "ds=1e3"]);
}

#[test]
fn a_parameter_that_nothing_uses_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("score.sql"), "SELECT $region AS region").unwrap();
    std::fs::write(folder.path().join("job.toml"), "sql = 'score.sql'\n[params]\nregion = 'south'\n").unwrap();
    let run = |arguments: &[&str]| volley(folder.path(), &[&["run", "job.toml"], arguments].concat());
    run(&["--param", "regoin=north"])
        .is_error(2, &["job.toml: ", "`regoin`", "did you mean `region`?", "[parameter_not_used]"]);
    assert_eq!(run(&["--param", "region=north"]).status, Some(0));
    std::fs::write(folder.path().join("job.toml"), "sql = 'SELECT 1'\n[params]\nregion = 'south'\n").unwrap();
    run(&[]).is_error(2, &["`region`", "[parameter_not_used]"]);
}

#[test]
fn what_the_command_line_names_wrongly_ends_with_status_two() {
    let folder = tempfile::tempdir().unwrap();
    volley(folder.path(), &["run", "nowhere.sql"]).is_error(2, &["[file_not_found]"]);
    let register = |more: &[&str]| volley(folder.path(), &[&["models", "register", "./nowhere"], more].concat());
    register(&["--name", "m"]).is_error(2, &["./nowhere", "[model_location_missing]"]);
    register(&["--name", "m", "--alias", "latest"]).is_error(2, &["latest", "[usage]"]);
    register(&["--name", "m", "--null", "a=nan", "--null", "a=error"]).is_error(2, &["`a`", "[usage]"]);
    volley(folder.path(), &["sql", "-c", "SELECT 1", "--registry", "file:x"])
        .is_error(2, &["file:///", "[unsupported_location]"]);
    volley(folder.path(), &["models", "check", "m", "--atol", "nan"]).is_error(2, &["finite", "[usage]"]);
    let mut listed = command(folder.path(), &["models", "list"]);
    Ended::from(listed.env("VOLLEY_REGISTRI", "x").output().unwrap())
        .is_error(2, &["VOLLEY_REGISTRI", "VOLLEY_REGISTRY", "[invalid_setting]"]);
}

#[test]
fn a_flag_wins_over_a_variable_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("volley.toml"), "registry = 'from_file'\n").unwrap();
    let told = |variable: &str, flags: &[&str]| {
        let mut list = command(folder.path(), &[&["models", "list"], flags].concat());
        let listed = Ended::from(list.env("VOLLEY_REGISTRY", variable).output().unwrap());
        assert_eq!(listed.status, Some(0), "{}", listed.warned);
        listed.said
    };
    assert!(told("", &[]).contains("/from_file"));
    assert!(told("from_variable", &[]).contains("/from_variable"));
    assert!(told("from_variable", &["--registry", "from_flag"]).contains("/from_flag"));
}

#[test]
fn a_result_that_is_published_is_done_even_if_nobody_can_be_told() {
    let folder = tempfile::tempdir().unwrap();
    for json in [&["--json"][..], &[]] {
        let sql = "COPY (SELECT 1 AS a) TO 'out' STORED AS CSV OPTIONS (mode 'overwrite')";
        let mut run = command(folder.path(), &[&["sql", "-c", sql], json].concat());
        // Every write to it fails.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ended::from(run.stdout(full).output().unwrap());
        assert_eq!(ran.status, Some(0), "{}", ran.warned);
        assert!(ran.warned.contains("published, but"), "{}", ran.warned);
        assert!(folder.path().join("out/_SUCCESS").is_file());
    }
}

#[test]
fn json_of_rows_claims_nothing_that_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let sql = format!("SELECT predict('{}', 1, 2, 3, NULL::double) AS p", model("linear_onnx_double"));
    std::fs::write(folder.path().join("rows.sql"), sql).unwrap();
    let object = volley(folder.path(), &["run", "rows.sql", "--json"]).json();
    assert_eq!((&object["rows"], &object["job"]), (&Value::from(1), &Value::Null));
    assert_eq!((&object["null_scores"], &object["models"]), (&Value::Null, &Value::Null));
    let both = "SELECT t.a, u.a FROM (SELECT 1 AS a) t, (SELECT 2 AS a) u";
    let twice = volley(folder.path(), &["sql", "--json", "-c", both]);
    assert_eq!((twice.status, &twice.json()["error"]["code"]), (Some(1), &"unsupported_columns".into()));
}

#[test]
fn a_model_that_is_not_registered_is_told_by_its_location() {
    let folder = tempfile::tempdir().unwrap();
    let model = model("linear_onnx_double");
    let sql = format!("COPY (SELECT predict('{model}', 1, 2, 3, 4) AS p) TO 'out' STORED AS CSV");
    let object = volley(folder.path(), &["sql", "--json", "-c", &sql]).json();
    assert_eq!((&object["models"][0]["name"], &object["models"][0]["version"]), (&model.into(), &Value::Null));
}

#[test]
fn a_statement_may_begin_with_a_comment() {
    let folder = tempfile::tempdir().unwrap();
    let said = succeed(folder.path(), &["sql", "--format", "csv", "-c", "-- one row\nSELECT 1 AS a"]);
    assert_eq!(said, "a\n1\n");
}

#[test]
fn the_prompt_keeps_standard_output_for_answers() {
    let folder = tempfile::tempdir().unwrap();
    // A terminal of its own for the prompt; only its standard output goes to a file.
    let Ok(script) = std::process::Command::new("script").arg("--version").output() else { return };
    assert!(script.status.success());
    let volley = command(folder.path(), &[]).get_program().to_string_lossy().into_owned();
    let line = format!("printf 'SELECT 41 + 1 AS n;\\nquit\\n' | script -qec \"{volley} sql --json > said\" /dev/null");
    let ran = std::process::Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
    assert!(said.contains("{\"n\":42}") && !said.contains("Ctrl-D"), "{said}");
    assert!(folder.path().join(".volley/state/history").is_file());
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
