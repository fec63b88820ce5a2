//! `volley models`: the registry as a user meets it.

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{House, fixture, model, root};
use crate::process::{Ended, command, succeed, volley};

/// A folder whose registry holds nothing yet.
struct Registry {
    folder: TempDir,
}

impl Registry {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder whose registry holds `iris/1`, with golden rows and the alias `champion`.
    fn with_iris() -> Self {
        let registry = Self::new();
        let registered = registry.register(&file("iris_onnx_v2", "expected"), &["--alias", "champion"]);
        assert_eq!(registered.status, Some(0), "{}", registered.warned);
        registry
    }

    fn register(&self, expected: &str, more: &[&str]) -> Ended {
        let (model, input) = (fixture("iris_onnx_v2").join("model"), file("iris_onnx_v2", "input"));
        let model = model.display().to_string();
        let command = ["register", &model, "--name", "iris", "--golden", &input, "--expected", expected];
        self.models(&[&command, more].concat())
    }

    fn models(&self, arguments: &[&str]) -> Ended {
        volley(self.folder.path(), &[&["models"], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.models(&[arguments, &["--json"]].concat());
        assert_eq!(ended.status, Some(0), "{}", ended.warned);
        ended.json()
    }
}

/// A Parquet file of a fixture.
fn file(fixture_name: &str, name: &str) -> String {
    fixture(fixture_name).join(format!("{name}.parquet")).display().to_string()
}

#[test]
fn a_registered_model_is_listed_shown_checked_and_scored_by_name() {
    let registry = Registry::with_iris();
    assert!(registry.json(&["list"]).to_string().contains("champion"));
    assert!(registry.json(&["show", "iris"]).to_string().contains("sepal_length"));
    let check = registry.json(&["check", "iris@champion"]);
    assert_eq!((&check["accepted"], &check["rows"]), (&true.into(), &150.into()));
    let sql = format!(
        "SELECT count(*) AS n FROM '{}' WHERE predict_label('iris@champion') >= 0",
        file("iris_onnx_v2", "input")
    );
    assert_eq!(succeed(registry.folder.path(), &["sql", "-c", &sql, "--format", "csv"]), "n\n150\n");
}

#[test]
fn a_registration_says_what_the_model_costs_and_so_does_show() {
    let registry = Registry::with_iris();
    let trial = &registry.json(&["show", "iris"])["trial"];
    assert!(trial["load_seconds"].as_f64().unwrap() > 0.0, "{trial}");
    assert!(trial["nanoseconds_per_row"].as_f64().unwrap() > 0.0, "{trial}");
    let again = registry.register(&file("iris_onnx_v2", "expected"), &[]).said;
    for told in ["registered iris/2 sha256:", "golden rows scored as expected", "runs on ", "a row"] {
        assert!(again.contains(told), "{told}: {again}");
    }
}

#[test]
fn a_registration_says_what_was_done_to_the_model_and_so_does_show() {
    let registry = Registry::new();
    let lstm = root().join("tests/zoo/data/models/lstm.onnx");
    for (location, expected) in [
        (fixture("iris_onnx_zipmap").join("model"), ["the ZipMap of `output_probability`", "our own kernels compute "]),
        (lstm, ["1 recurrent layer without a first state", "tract runs it, planned for "]),
    ] {
        let registered = registry.models(&["register", &location.display().to_string(), "--name", "m"]);
        assert_eq!(registered.status, Some(0), "{}", registered.warned);
        let shown = registry.models(&["show", "m"]).said;
        let preparation = registry.json(&["show", "m"])["trial"]["preparation"].to_string();
        for told in expected {
            assert!(registered.said.contains(told), "{told}: {}", registered.said);
            assert!(shown.contains(told), "{told}: {shown}");
            assert!(preparation.contains(told), "{told}: {preparation}");
        }
    }
}

#[test]
fn a_registration_says_how_its_golden_rows_compared() {
    let registry = Registry::new();
    let registered = registry.register(&file("iris_onnx_v2", "expected"), &["--json"]).json();
    let comparison = &registered["golden_comparison"];
    assert_eq!((&registered["version"], &comparison["rows"]), (&1.into(), &150.into()));
    assert!(comparison["largest_difference"].as_f64().is_some_and(|largest| largest <= 1e-5), "{comparison}");
}

#[test]
fn a_refused_model_keeps_its_code_on_its_way_out_of_the_process_that_tried_it() {
    let registry = Registry::new();
    for (name, code) in [("broken_truncated_onnx", "[model_invalid]"), ("iris_sklearn_skops", "[unsupported_flavor]")] {
        let location = fixture(name).join("model").display().to_string();
        registry.models(&["register", &location, "--name", "m"]).is_error(1, &[code]);
    }
    let bad_rule = ["--null", "nothing=null"];
    registry.register(&file("iris_onnx_v2", "expected"), &bad_rule).is_error(2, &["`nothing`", "[invalid_null_rule]"]);
}

#[test]
fn an_audit_tells_the_road_of_each_model_and_the_shares() {
    let registry = Registry::with_iris();
    let audit = registry.json(&["audit"]);
    assert_eq!(audit["models"][0]["model"], "iris/1");
    let folder = fixture("iris_onnx_v2").parent().unwrap().display().to_string();
    let audit = registry.json(&["audit", &folder]);
    let road = |name: &str| {
        let models = audit["models"].as_array().unwrap();
        let named = |model: &&Value| model["model"].as_str().unwrap().contains(&format!("/{name}/"));
        models.iter().find(named).unwrap()["road"].clone()
    };
    assert_eq!(road("iris_sklearn_skops"), "converts");
    assert_eq!(road("broken_truncated_onnx"), "refused");
    let shares: f64 = audit["shares"].as_object().unwrap().values().map(|share| share["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{audit}");
    assert!(registry.models(&["audit", &folder]).said.contains("models: "));
}

#[test]
fn golden_rows_that_the_model_scores_otherwise_make_no_version() {
    let registry = Registry::new();
    // The scores of another version of the model.
    registry.register(&file("iris_onnx_v1", "expected"), &[]).is_error(1, &["150 rows", "[golden_mismatch]"]);
    registry.models(&["show", "iris"]).is_error(1, &["`iris`", "[unknown_model]"]);
}

#[test]
fn an_alias_is_set_moved_and_removed() {
    let registry = Registry::with_iris();
    let second = registry.register(&file("iris_onnx_v2", "expected"), &[]);
    assert_eq!(second.status, Some(0), "{}", second.warned);
    let version = |model: &str| registry.json(&["show", model])["version"].clone();
    assert_eq!((version("iris@champion"), version("iris")), (1.into(), 2.into()));
    registry.json(&["alias", "iris", "champion", "2"]);
    assert_eq!(version("iris@champion"), 2);
    registry.models(&["alias", "iris", "champion", "9"]).is_error(1, &["version 9", "[unknown_version]"]);
    assert_eq!(version("iris@champion"), 2);
    registry.json(&["alias", "iris", "champion", "--delete"]);
    registry.models(&["show", "iris@champion"]).is_error(1, &["[unknown_alias]"]);
}

#[test]
fn a_table_whose_scores_are_outside_the_tolerance_fails_the_check() {
    let registry = Registry::new();
    let model = model("linear_onnx_double");
    let tables = format!(
        "COPY (SELECT row_number() OVER () AS id, * FROM '{}') TO 'input/' STORED AS PARQUET;
         COPY (SELECT id, predict('{model}') + (CASE WHEN id = 7 THEN 0.5 ELSE 0 END) AS y FROM 'input/')
         TO 'expected/' STORED AS PARQUET",
        file("linear_onnx_double", "input")
    );
    std::fs::write(registry.folder.path().join("tables.sql"), tables).unwrap();
    succeed(registry.folder.path(), &["run", "tables.sql"]);
    let check = |more: &[&str]| {
        let tables = ["check", model.as_str(), "--input", "input/", "--expected", "expected/", "--key", "id"];
        registry.models(&[&tables, more].concat())
    };
    let told = check(&["--json"]);
    assert_eq!(told.status, Some(1), "{}", told.warned);
    let told = told.json();
    assert_eq!((&told["accepted"], &told["rows_outside"]), (&false.into(), &1.into()));
    assert_eq!(told["worst"][0]["key"], "7");
    assert!((told["worst"][0]["difference"].as_f64().unwrap() - 0.5).abs() < 1e-6);
    let told = check(&[]);
    assert_eq!(told.status, Some(1));
    assert!(told.said.lines().any(|line| line.starts_with("7 ") && line.contains("5.0e-1")), "{}", told.said);
    assert_eq!(check(&["--atol", "0.6"]).status, Some(0));
}

#[test]
fn a_deleted_model_is_gone_and_a_reference_is_no_version() {
    let registry = Registry::with_iris();
    registry.models(&["delete", "iris/latest"]).is_error(2, &["iris/latest", "NAME/VERSION"]);
    registry.models(&["delete", "iris@champion"]).is_error(2, &["iris@champion", "NAME/VERSION"]);
    registry.json(&["show", "iris/1"]);
    registry.json(&["delete", "iris"]);
    registry.models(&["show", "iris"]).is_error(1, &["[unknown_model]"]);
}

#[test]
fn alias_and_delete_answer_programs_too() {
    let registry = Registry::with_iris();
    let set = registry.json(&["alias", "iris", "challenger", "1"]);
    assert_eq!(set, serde_json::json!({"name": "iris", "alias": "challenger", "version": 1}));
    let removed = registry.json(&["alias", "iris", "challenger", "--delete"]);
    assert_eq!(removed, serde_json::json!({"name": "iris", "alias": "challenger", "version": null}));
    assert_eq!(registry.json(&["delete", "iris/1"]), serde_json::json!({"name": "iris", "deleted": [1]}));
}

#[test]
fn the_parent_of_a_model_directory_is_no_model() {
    let registry = Registry::new();
    let parent = fixture("iris_onnx_v2").display().to_string();
    let told = registry.models(&["register", &parent, "--name", "iris"]);
    told.is_error(2, &["did you mean", &model("iris_onnx_v2"), "[model_location_missing]"]);
    registry.models(&["show", "iris"]).is_error(1, &["[unknown_model]"]);
}

#[test]
fn a_check_accepts_nothing_that_it_did_not_compare() {
    let registry = Registry::with_iris();
    let whole = registry.json(&["check", "iris"]);
    assert_eq!(
        (&whole["uncompared"], &whole["left_out"]),
        (&Value::from(Vec::<Value>::new()), &Vec::<Value>::new().into())
    );
    let outputs: Vec<_> = whole["compared"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let (first, others) = outputs.split_first().unwrap();
    assert!(!others.is_empty(), "the model has one output");
    let labels =
        format!("COPY (SELECT \"{first}\" FROM '{}') TO 'labels/' STORED AS PARQUET", file("iris_onnx_v2", "expected"));
    succeed(registry.folder.path(), &["sql", "-c", &labels]);
    let input = file("iris_onnx_v2", "input");
    let tables = ["check", "iris", "--input", &input, "--expected", "labels/"];
    let told = registry.models(&[&tables[..], &["--json"]].concat());
    assert_eq!(told.status, Some(1), "{}", told.warned);
    let told = told.json();
    assert_eq!((&told["accepted"], &told["error"]["code"]), (&false.into(), &"output_not_compared".into()));
    assert_eq!(told["uncompared"], Value::from(others.to_vec()));
    let told = registry.models(&tables);
    assert_eq!(told.status, Some(1));
    let uncompared = |line: &str| line.starts_with("not compared ") && line.ends_with(others[0]);
    assert!(told.said.lines().any(uncompared), "{}", told.said);
    let narrowed = registry.json(&[&tables[..], &["--output", first]].concat());
    assert_eq!((&narrowed["accepted"], &narrowed["left_out"]), (&true.into(), &Value::from(others.to_vec())));
    registry
        .models(&[&tables[..], &["--output", "lable"]].concat())
        .is_error(2, &["`lable`", first, "[unknown_output]"]);
}

#[test]
fn golden_rows_that_do_not_fit_are_told_once_in_the_users_words() {
    let registry = Registry::new();
    let (model, input) = (model("iris_onnx_v2"), file("linear_onnx_double", "input"));
    let expected = file("iris_onnx_v2", "expected");
    let told =
        registry.models(&["register", &model, "--name", "iris", "--golden", &input, "--expected", &expected]).warned;
    let problems: Vec<_> = told.lines().collect();
    assert_eq!(problems.len(), 4, "one for each input: {told}");
    for problem in problems {
        assert!(problem.starts_with("golden rows: model `iris`") && problem.ends_with("[missing_input]"), "{problem}");
    }
    assert!(!told.contains(".tmp") && !told.contains("iris/1"), "{told}");
}

#[test]
fn many_registrations_at_once_lose_no_version() {
    const AT_ONCE: u64 = 20;
    let registry = Registry::new();
    let model = model("linear_onnx_double");
    let register = || command(registry.folder.path(), &["models", "register", &model, "--name", "m"]).spawn().unwrap();
    let running: Vec<_> = (0..AT_ONCE).map(|_| register()).collect();
    for mut one in running {
        assert!(one.wait().unwrap().success());
    }
    assert_eq!(registry.json(&["list"])[0]["versions"], Value::from((1..=AT_ONCE).collect::<Vec<_>>()));
}

#[test]
fn a_killed_registration_leaves_a_whole_registry() {
    let registry = Registry::new();
    let model = model("iris_onnx_v2");
    let folder = registry.folder.path().join(".volley/registry");
    // Killed when so many files of the registry are there, whatever they are.
    for files in 0..12 {
        let arguments = ["models", "register", &model, "--name", "m", "--alias", "a"];
        let mut one = command(registry.folder.path(), &arguments).spawn().unwrap();
        let before = count(&folder);
        while one.try_wait().unwrap().is_none() && count(&folder) < before + files {
            std::thread::yield_now();
        }
        // SIGKILL; one that is done already has nothing left to lose.
        let _ = one.kill();
        one.wait().unwrap();
        for version in versions(&registry.json(&["list"])) {
            let show = format!("SELECT predict('m/{version}', 1, 2, 3, 4) AS p");
            succeed(registry.folder.path(), &["sql", "-c", &show]);
        }
    }
    registry.json(&["register", &model, "--name", "m", "--alias", "a"]);
}

fn versions(list: &Value) -> Vec<u64> {
    let versions = list[0]["versions"].as_array().cloned().unwrap_or_default();
    versions.iter().filter_map(Value::as_u64).collect()
}

/// How many files lie below a folder.
fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn models_that_nobody_scores_with_make_room_for_others() {
    for (bytes, loads, kept) in [(u64::MAX, 2, 2), (1, 4, 1)] {
        let mut house = House::with(|settings| settings.model_cache_bytes = bytes).await;
        let (one, other) = (model("linear_onnx_double"), model("iris_onnx_v2"));
        assert_eq!(house.engine.host().loaded().models, 0);
        let score = |model: &str| format!("SELECT count(predict('{model}', x, x, x, x)) FROM (VALUES (1.0)) AS t(x)");
        for model in [&one, &one, &other, &other, &one, &other] {
            house.run(&score(model)).await;
        }
        let host = house.engine.host();
        assert_eq!((host.loads(), host.loaded().models), (loads, kept), "of {bytes} bytes");
        assert!(host.loaded().bytes > 100, "a file of a model is no smaller");
        assert_eq!(host.total_rows_scored(), 6, "what models scored that are gone by now counts too");
    }
}
