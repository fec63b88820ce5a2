//! Models that ONNX Runtime scores: through SQL, as its own Python says, and what is said where it is not there.

#[path = "../../crates/volley-model/tests/zoo/comparison.rs"]
mod comparison;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use tempfile::TempDir;
use volley_model::{
    Argument, Arguments, Artifact, BindOptions, Limits, ModelError, OnnxRuntime, Runtime, Runtimes, Scores, bind,
    inspect_for,
};
use volley_registry::Registration;

use crate::harness::{House, cells, close, fixture, root};
use crate::process::{Ended, command};
use comparison::{Difference, Zoo};

/// The library that the tests' Python packages brought.
fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("ONNXRUNTIME_UNDER_TEST") {
        return path.into();
    }
    let versions = std::fs::read_dir(root().join(".venv/lib")).into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("site-packages/onnxruntime/capi"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let is_library = |path: &PathBuf| path.display().to_string().contains("/libonnxruntime.");
    files.map(|file| file.path()).find(is_library).expect("run ./test once: it installs the tests' Python packages")
}

fn runtimes(sessions: usize) -> Runtimes {
    let sessions_max = NonZeroUsize::new(sessions).unwrap();
    Runtimes { onnxruntime: Some(OnnxRuntime { library: library(), sessions_max }) }
}

/// A model of `tests/data/onnxruntime`.
fn ours(name: &str) -> String {
    root().join(format!("tests/data/onnxruntime/{name}.onnx")).display().to_string()
}

/// A file of `tests/zoo`.
fn of_zoo(path: &str) -> String {
    root().join("tests/zoo").join(path).display().to_string()
}

/// The net that the zoo quantized by hand was compared without ONNX Runtime's optimizer, which rounds elsewhere.
const WITHOUT_OPTIMIZER: &str = "mlp_int8_static";

#[test]
fn models_of_every_kind_score_as_in_onnx_runtime_s_own_python() {
    let zoo = Zoo::open(&root().join("tests/zoo/data")).on(Runtime::Ort, runtimes(1));
    let all = ["recurrent net", "convolutional net", "transformer", "quantized net", "embeddings"];
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in zoo.entries.iter().filter(|entry| entry.name != WITHOUT_OPTIMIZER) {
        let count = seen.entry(&entry.kind).or_default();
        if *count >= 1 && !all.contains(&entry.kind.as_str()) {
            continue;
        }
        *count += 1;
        match zoo.compare(entry) {
            Ok(_) => {}
            // Not every system has the locale that ONNX Runtime wants for texts.
            Err(Difference::Refused(ModelError::RuntimeUnavailable(told))) if told.contains("en_US.UTF-8") => {}
            Err(Difference::Refused(error)) if error.to_string().contains("is a map") => {}
            Err(difference) => panic!("{}: {difference:?}", entry.name),
        }
    }
    assert!(seen.len() >= 20, "{seen:?}");
}

/// Registers a model of the zoo twice, as `tract` and as `ort`.
async fn register_twice(house: &House, name: &str) {
    let registry = house.engine.registry();
    let artifact = registry.read(&of_zoo(&format!("data/models/{name}.onnx"))).await.unwrap();
    for runtime in [Runtime::Tract, Runtime::Ort] {
        let contract = inspect_for(&artifact, Some(runtime), &Limits::default()).unwrap();
        let registration = Registration::new(artifact.clone(), contract);
        registry.register(&runtime.to_string(), &registration).await.unwrap();
    }
}

fn agree(rows: &RecordBatch) {
    assert!(rows.num_rows() > 0);
    for row in 0..rows.num_rows() {
        let [left, right] = [0, 1].map(|column| cells(rows.column(column), row));
        let equal = left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| close(left, right));
        assert!(equal, "row {row}: {left:?} is not {right:?}");
    }
}

async fn check_through_sql(name: &str, table: &str, columns: &[String]) {
    let mut house = House::with(|settings| settings.onnxruntime = Some(library())).await;
    register_twice(&house, name).await;
    let columns: String = columns.iter().map(|column| format!(", \"{column}\"")).collect();
    let table = of_zoo(&format!("data/tables/{table}.parquet"));
    let sql = format!("SELECT predict('ort'{columns}) AS ort, predict('tract'{columns}) AS tract FROM '{table}'");
    agree(&house.rows(&sql).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nets_score_through_sql_as_with_tract() {
    let zoo: serde_json::Value =
        serde_json::from_slice(&std::fs::read(of_zoo("data/zoo.json")).unwrap()).expect("a manifest");
    let find = |name: &str| zoo.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone();
    for name in ["lstm", "gru", "cnn_image", "transformer", "mlp_int8"] {
        let entry = find(name);
        let columns: Vec<String> = serde_json::from_value(entry["inputs"][0].clone()).unwrap();
        check_through_sql(name, entry["table"].as_str().unwrap(), &columns).await;
    }
}

/// A folder with a registry, and the binary in it with and without the library.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with(&self, library: &Path, arguments: &[&str]) -> Ended {
        let mut command = command(self.folder.path(), arguments);
        Ended::from(command.env("VOLLEY_ONNXRUNTIME", library).output().unwrap())
    }

    fn volley(&self, arguments: &[&str]) -> Ended {
        self.with(&library(), arguments)
    }

    fn without(&self, arguments: &[&str]) -> Ended {
        Ended::from(command(self.folder.path(), arguments).output().unwrap())
    }

    /// Registers a model of `tests/data/onnxruntime` under its own name.
    fn register(&self, name: &str) -> Ended {
        self.volley(&["models", "register", &ours(name), "--name", name, "--runtime", "ort"])
    }

    fn registered(&self, name: &str) -> String {
        let ended = self.register(name);
        assert_eq!(ended.status, Some(0), "{}", ended.warned);
        ended.said
    }
}

#[test]
fn mlflow_models_give_their_golden_rows_in_onnx_runtime() {
    let place = Place::new();
    for (name, told) in [
        ("iris_onnx_zipmap", "the ZipMap of `output_probability` is cut"),
        ("iris_onnx_string_label", "up to 1024 at a time"),
        ("churn_onnx_mixed", "up to 1024 at a time"),
        ("cancer_onnx_mlp_external", "tensor data is read from `model.onnx.data`"),
        ("linear_onnx_fixed_batch1", "one row at a time, as the graph says"),
        ("linear_onnx_f64", "up to 1024 at a time"),
    ] {
        let file = |file: &str| fixture(name).join(file).display().to_string();
        let (model, input, expected) = (file("model"), file("input.parquet"), file("expected.parquet"));
        let golden = ["--golden", &input, "--expected", &expected, "--runtime", "ort"];
        let ended = place.volley(&[&["models", "register", &model, "--name", name], &golden[..]].concat());
        assert_eq!(ended.status, Some(0), "{name}: {}", ended.warned);
        for told in [told, "golden rows scored as expected", "runs on ort: "] {
            assert!(ended.said.contains(told), "{name}: {told}: {}", ended.said);
        }
    }
}

const DETERMINANTS: &str = "SELECT predict('determinants', x0, x1, x2, x3, x4, x5, x6, x7) AS y";

#[test]
fn an_operator_that_tract_lacks_is_scored_a_row_at_a_time_and_the_registration_says_so() {
    let place = Place::new();
    let location = ours("determinants");
    let refused = place.volley(&["models", "register", &location, "--name", "m"]);
    refused.is_error(1, &["Det", "[unsupported_operator]"]);
    assert!(place.registered("determinants").contains("ONNX Runtime runs one row at a time"));
    let shown = place.volley(&["models", "show", "determinants"]).said;
    assert!(shown.contains("ort") && shown.contains("at most 1"), "{shown}");

    let table = root().join("tests/data/onnxruntime/determinants.parquet").display().to_string();
    let worst = format!(
        "SELECT max(abs(y[1] - y0) + abs(y[2] - y1) + abs(y[3] - y2)) < 1e-5 AS close, count(y) AS n
         FROM ({DETERMINANTS}, y0, y1, y2 FROM '{table}')"
    );
    let ended = place.volley(&["sql", "-c", &worst, "--format", "csv"]);
    assert_eq!(ended.said, "close,n\ntrue,20\n", "{}", ended.warned);
}

#[test]
fn rows_that_would_meet_in_such_an_operator_never_do() {
    let place = Place::new();
    place.registered("centred");
    let rows = "(VALUES (1.0, 2.0, 3.0, 5.0), (9.0, -4.0, 2.0, 2.0), (0.0, 7.0, 1.0, 1.0)) AS t (a, b, c, d)";
    let sql = format!("SELECT max(abs(predict('centred', a, b, c, d))) AS largest, count(*) AS n FROM {rows}");
    let ended = place.volley(&["sql", "-c", &sql, "--format", "csv"]);
    assert_eq!(ended.said, "largest,n\n0.0,3\n", "{}", ended.warned);
    place.register("centred_by_three").is_error(1, &["3 rows at a time", "[unsupported_input]"]);
}

#[test]
fn a_model_that_onnx_runtime_refuses_makes_no_version() {
    let place = Place::new();
    place.register("unknown").is_error(1, &["ONNX Runtime does not load it", "Guess", "[model_invalid]"]);
    let native = fixture("cancer_xgboost_json").join("model").display().to_string();
    place
        .volley(&["models", "register", &native, "--name", "m", "--runtime", "ort"])
        .is_error(2, &["a file of XGBoost", "[runtime_unavailable]"]);
    assert_eq!(place.volley(&["models", "list", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn without_the_library_a_version_is_planned_and_shown_and_its_score_says_what_is_missing() {
    let place = Place::new();
    place.registered("determinants");
    let row = "(VALUES (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)) AS t (x0, x1, x2, x3, x4, x5, x6, x7)";
    let sql = format!("{DETERMINANTS} FROM {row}");
    let explained = place.without(&["sql", "-c", &format!("EXPLAIN {sql}")]);
    assert!(explained.said.contains("runtime: ort"), "{}{}", explained.said, explained.warned);
    assert_eq!(place.without(&["models", "show", "determinants"]).status, Some(0));
    place.without(&["sql", "-c", &sql]).is_error(2, &["determinants/1", "set `onnxruntime`", "[runtime_unavailable]"]);
    assert_eq!(place.volley(&["sql", "-c", &sql]).status, Some(0));
}

#[test]
fn a_library_that_is_none_is_refused_with_what_it_is() {
    let place = Place::new();
    std::fs::write(place.folder.path().join("text.so"), "no library").unwrap();
    let foreign = library().with_file_name("libonnxruntime_providers_shared.so");
    for (library, told) in [
        (Path::new("nowhere.so"), "there is no library of ONNX Runtime at `nowhere.so`"),
        (Path::new("text.so"), "text.so` cannot be loaded"),
        (&foreign, "it is no library of ONNX Runtime"),
    ] {
        let register = ["models", "register", &ours("determinants"), "--name", "m", "--runtime", "ort"];
        place.with(library, &register).is_error(2, &[told, "[runtime_unavailable]"]);
    }
    assert_eq!(place.volley(&["models", "list", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn the_library_is_named_in_the_settings_file_beside_which_it_lies() {
    let place = Place::new();
    let toml = format!("onnxruntime = {:?}\n", library());
    std::fs::write(place.folder.path().join("volley.toml"), toml).unwrap();
    let registered = place.without(&["models", "register", &ours("determinants"), "--name", "m", "--runtime", "ort"]);
    assert_eq!(registered.status, Some(0), "{}", registered.warned);
}

#[test]
fn an_audit_says_what_onnx_runtime_would_take() {
    let place = Place::new();
    let folder = root().join("tests/data/onnxruntime").display().to_string();
    let audit = |ended: Ended| {
        let models = ended.json()["models"].as_array().unwrap().clone();
        let of = |name: &str| {
            let model = models.iter().find(|it| it["model"].as_str().unwrap().ends_with(&format!("/{name}.onnx")));
            let model = model.unwrap();
            (model["road"].as_str().unwrap().to_owned(), model["reason"].as_str().unwrap().to_owned())
        };
        (of("determinants"), of("unknown"))
    };
    let ((road, reason), (unknown, _)) = audit(place.volley(&["models", "audit", &folder, "--json"]));
    assert_eq!((road.as_str(), unknown.as_str()), ("ort", "refused"));
    assert!(reason.contains("Det") && reason.contains("--runtime ort"), "{reason}");
    let ((road, reason), _) = audit(place.without(&["models", "audit", &folder, "--json"]));
    assert_eq!(road, "refused");
    assert!(reason.contains("ONNX Runtime might score it: no library of ONNX Runtime is named"), "{reason}");

    place.registered("determinants");
    let audited = |ended: Ended| ended.json()["models"][0].clone();
    let here = audited(place.volley(&["models", "audit", "--json"]));
    assert_eq!((&here["road"], &here["reason"]), (&"ort".into(), &serde_json::Value::Null));
    let elsewhere = audited(place.without(&["models", "audit", "--json"]));
    assert_eq!((&elsewhere["road"], &elsewhere["code"]), (&"ort".into(), &"runtime_unavailable".into()));
}

/// A model of the zoo's edges in ONNX Runtime, given one column of integers.
fn scored(path: &str, sessions: usize, values: Vec<i64>) -> impl Fn() -> Result<Scores, ModelError> {
    let bytes = std::fs::read(of_zoo(path)).unwrap();
    let artifact = Artifact::new(BTreeMap::from([("model.onnx".to_owned(), bytes.into())]));
    let contract = inspect_for(&artifact, Some(Runtime::Ort), &Limits::default()).unwrap();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(values))];
    let argument = Argument { name: None, data_type: columns[0].data_type().clone(), nullable: false };
    let binding = bind(&contract, "m", &Arguments::Positional(vec![argument]), &BindOptions::default()).unwrap();
    let scorer = runtimes(sessions).load(&artifact, &contract, &Limits::default()).unwrap();
    move || scorer.score(&binding, &columns, columns[0].len())
}

#[test]
fn the_row_that_a_model_fails_at_is_named_without_its_values() {
    let error = scored("edges/sound/lookup.onnx", 1, vec![0, 1, 99, 2])().unwrap_err();
    assert!(matches!(error, ModelError::Row { row: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("(Gather)") && !error.to_string().contains("99"), "{error}");
}

#[test]
fn more_threads_than_sessions_score_by_turns() {
    let score = scored("edges/sound/lookup.onnx", 2, vec![0, 1, 2]);
    let expected = score().unwrap().outputs;
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(score().unwrap().outputs, expected)));
        }
    });
}

#[test]
fn no_hostile_model_is_registered_for_onnx_runtime_or_crashes_it() {
    let place = Place::new();
    let models: Vec<_> = std::fs::read_dir(of_zoo("edges/hostile")).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(models.len() >= 35, "only {} models", models.len());
    // One gigabyte of zeros is within the bounds, for tract as well.
    for model in models.iter().filter(|model| !model.ends_with("fill_one_gigabyte.onnx")) {
        let location = model.display().to_string();
        let ended = place.volley(&["models", "register", &location, "--name", "m", "--runtime", "ort"]);
        assert_eq!(ended.status, Some(1), "{location}: {}", ended.said);
        assert!(!ended.warned.contains("[model_crashed]"), "{location}: {}", ended.warned);
    }
}
