//! Every ONNX model of `tests/data/models` gives its expected scores through SQL, however it is called.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

use volley_model::NullRule;

use crate::harness::{Cell, House, cells, close, fixture, model, root};

/// The onnx models that can be scored, and how their inputs can be given.
const MODELS: [(&str, Inputs); 23] = [
    ("cancer_onnx_from_lightgbm", Inputs::Named),
    ("cancer_onnx_from_xgboost", Inputs::Named),
    ("cancer_onnx_mlp_external", Inputs::Named),
    ("cancer_onnx_mlp_inline", Inputs::Named),
    ("cancer_onnx_rf", Inputs::Named),
    ("churn_onnx_mixed", Inputs::Named),
    ("churn_onnx_pipeline", Inputs::Named),
    ("diabetes_onnx_gbr", Inputs::Named),
    ("diabetes_onnx_ridge_core", Inputs::Named),
    ("diabetes_onnx_ridge_nosig", Inputs::Positional),
    ("iris_onnx_noscaler", Inputs::Named),
    ("iris_onnx_string_label", Inputs::Named),
    ("iris_onnx_v1", Inputs::Named),
    ("iris_onnx_v2", Inputs::Named),
    ("iris_onnx_v3", Inputs::Named),
    ("iris_onnx_zipmap", Inputs::Named),
    ("linear_onnx_double", Inputs::Named),
    ("linear_onnx_f64", Inputs::Named),
    ("linear_onnx_fixed_batch1", Inputs::Named),
    ("linear_onnx_optional", Inputs::Named),
    ("linear_onnx_tensor_unnamed", Inputs::Positional),
    ("linear_onnx_unnamed_cols", Inputs::Positional),
    ("multi1d_onnx", Inputs::Named),
];

/// Models in the files of the libraries that trained them.
const NATIVE: [&str; 5] = [
    "cancer_lightgbm_booster",
    "cancer_xgboost_json",
    "cancer_xgboost_ubj",
    "cats_lightgbm_booster",
    "iris_xgboost_sklearn",
];

#[derive(Clone, Copy, PartialEq)]
enum Inputs {
    /// From scope, by struct, and by position.
    Named,
    /// By position only: the signature has no names.
    Positional,
}

#[test]
fn the_list_is_the_folder() {
    let mut found: Vec<String> = std::fs::read_dir(root().join("tests/data/models"))
        .unwrap()
        .flatten()
        .filter(|entry| {
            let is_onnx =
                std::fs::read_to_string(entry.path().join("model/MLmodel")).unwrap_or_default().contains("onnx:");
            is_onnx && entry.path().join("expected.parquet").is_file()
        })
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, MODELS.map(|(name, _)| name));
}

#[test]
fn every_fixture_is_scored_or_refused() {
    let folders = std::fs::read_dir(root().join("tests/data/models")).unwrap().flatten();
    let folders = folders.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap());
    let listed = MODELS.iter().map(|(name, _)| name).chain(&NATIVE).chain(REFUSED.iter().map(|(name, _)| name));
    assert_eq!(folders.collect::<BTreeSet<_>>(), listed.map(|name| name.to_string()).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_onnx_model_gives_its_expected_scores() {
    let mut house = House::new().await;
    for (name, inputs) in MODELS {
        check(&mut house, name, inputs, "input", "expected").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_in_its_library_s_own_file_gives_its_expected_scores_nulls_or_not() {
    let mut house = House::new().await;
    for name in NATIVE {
        check(&mut house, name, Inputs::Named, "input", "expected").await;
        if fixture(name).join("expected_nulls.parquet").is_file() {
            check(&mut house, name, Inputs::Named, "input_nulls", "expected_nulls").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_onnx_model_gives_its_expected_scores_on_nulls() {
    let mut house = House::new().await;
    // The expected scores were made by feeding NaN for each null, which is what this setting does.
    house.run("SET volley.null_rules = 'mlflow'").await;
    let mut checked = 0;
    for (name, inputs) in MODELS {
        if fixture(name).join("expected_nulls.parquet").is_file() {
            check(&mut house, name, inputs, "input_nulls", "expected_nulls").await;
            checked += 1;
        }
    }
    assert_eq!(checked, 7, "models with nulls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_registered_with_the_rule_nan_scores_nulls_as_its_framework_does() {
    let mut house = House::new().await;
    for (name, _) in MODELS {
        let path = |file: &str| fixture(name).join(format!("{file}.parquet")).display().to_string();
        if !fixture(name).join("expected_nulls.parquet").is_file() {
            continue;
        }
        house.register(name, name, Some(NullRule::Nan)).await;
        let expected = house.rows(&format!("SELECT * FROM '{}'", path("expected_nulls"))).await;
        let call = format!("predict('{name}')");
        let scores = house.rows(&format!("SELECT {call} AS p FROM '{}'", path("input_nulls"))).await;
        compare_unless(name, &call, &scores, &expected, is_nan);
    }
}

async fn check(house: &mut House, name: &str, inputs: Inputs, input: &str, expected: &str) {
    let file = |name: &str| format!("{name}.parquet");
    check_calls(house, &fixture(name), &model(name), inputs, &file(input), &file(expected)).await;
}

/// That a model, however it is called, gives the scores of a folder with `input.parquet` and `expected.parquet`.
pub async fn check_named(house: &mut House, folder: &Path, model: &str) {
    check_calls(house, folder, model, Inputs::Named, "input.parquet", "expected.parquet").await;
}

/// The same of a model whose inputs have no names.
pub async fn check_by_position(house: &mut House, folder: &Path, model: &str) {
    check_calls(house, folder, model, Inputs::Positional, "input.parquet", "expected.parquet").await;
}

async fn check_calls(house: &mut House, folder: &Path, model: &str, inputs: Inputs, input: &str, expected: &str) {
    let name = folder.file_name().unwrap().to_string_lossy();
    let path = |file: &str| folder.join(file).display().to_string();
    let (input, expected) = (path(input), path(expected));
    let expected = house.rows(&format!("SELECT * FROM '{expected}'")).await;
    let columns: Vec<String> = house
        .rows(&format!("SELECT * FROM '{input}' LIMIT 0"))
        .await
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let quoted: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
    let fields: Vec<String> = columns.iter().map(|column| format!("'{column}': \"{column}\"")).collect();
    let mut calls = vec![format!("predict('{model}', {})", quoted.join(", "))];
    if inputs == Inputs::Named {
        calls.push(format!("predict('{model}')"));
        calls.push(format!("predict('{model}', {{{}}})", fields.join(", ")));
    }
    for call in calls {
        let scores = house.rows(&format!("SELECT {call} AS p FROM '{input}'")).await;
        compare(&name, &call, &scores, &expected);
    }
}

/// That the first column of `scores` is what is expected, within 1e-5, labels exactly.
pub fn compare(name: &str, call: &str, scores: &RecordBatch, expected: &RecordBatch) {
    compare_unless(name, call, scores, expected, |_| false);
}

fn is_nan(cell: &Cell) -> bool {
    matches!(cell, Cell::Number(number) if number.is_nan())
}

/// Compares row by row; one with a value that is `void` has no score at all.
fn compare_unless(name: &str, call: &str, scores: &RecordBatch, expected: &RecordBatch, void: impl Fn(&Cell) -> bool) {
    assert_eq!(scores.num_rows(), expected.num_rows(), "{name}: {call}");
    let outputs = outputs(scores.column(0), expected);
    for row in 0..expected.num_rows() {
        let wanted: Vec<Cell> = expected.columns().iter().flat_map(|column| cells(column, row)).collect();
        let given: Vec<Cell> = outputs.iter().flat_map(|column| cells(column, row)).collect();
        if wanted.iter().any(&void) {
            assert!(given.iter().all(|given| *given == Cell::Null), "{name}: {call}: row {row}: {given:?}");
            continue;
        }
        // A score that is no number is NULL; the expected files keep it as NaN.
        let same = given.len() == wanted.len()
            && given.iter().zip(&wanted).all(|(given, wanted)| match wanted {
                Cell::Number(number) if number.is_nan() => *given == Cell::Null,
                wanted => close(given, wanted),
            });
        assert!(same, "{name}: {call}: row {row}: {given:?} is not {wanted:?}");
    }
}

/// The result's parts in the order of the expected columns.
fn outputs(result: &ArrayRef, expected: &RecordBatch) -> Vec<ArrayRef> {
    match result.data_type() {
        DataType::Struct(_) if expected.num_columns() > 1 => {
            let result = result.as_struct();
            let part = |name: &str| result.column_by_name(name).unwrap_or_else(|| panic!("no output {name}")).clone();
            expected.schema().fields().iter().map(|field| part(field.name())).collect()
        }
        _ => vec![result.clone()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn external_and_inline_weights_give_the_same_bits() {
    let mut house = House::new().await;
    let input = fixture("cancer_onnx_mlp_inline").join("input.parquet").display().to_string();
    let (inline, external) = (model("cancer_onnx_mlp_inline"), model("cancer_onnx_mlp_external"));
    let differing = format!(
        "SELECT count(*) FROM (SELECT predict('{inline}') AS a, predict('{external}') AS b FROM '{input}') WHERE a <> b"
    );
    assert_eq!(house.number(&differing).await, 0.0);
}

/// What a broken or unsupported model is refused with.
const REFUSED: [(&str, &str); 12] = [
    ("broken_truncated_onnx", "model_invalid"),
    ("broken_missing_data", "model_file_missing"),
    ("broken_mlmodel_yaml", "mlmodel_invalid"),
    ("broken_no_flavor", "no_flavor"),
    ("broken_path_escape", "model_path_escape"),
    ("broken_missing_external", "external_data_missing"),
    ("broken_signature_mismatch", "signature_mismatch"),
    ("broken_hostile_tree", "model_invalid"),
    ("all_types_pyfunc", "unsupported_flavor"),
    ("iris_sklearn_skops", "unsupported_flavor"),
    ("iris_sklearn_cloudpickle", "unsupported_flavor"),
    ("iris_lightgbm_skops", "unsupported_flavor"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_or_unsupported_model_is_refused_with_its_own_code() {
    let mut house = House::new().await;
    for (name, code) in REFUSED {
        let sql = format!("SELECT predict('{}', 1.0) AS p", model(name));
        assert_eq!(house.codes(&sql).await, [code], "{name}");
    }
}
