//! Every fixture of `tests/data/models`: the ONNX ones score as the framework does, the others are refused with their own code.

#[path = "fixtures/native.rs"]
mod native;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchReader};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use volley_model::{
    Argument, Arguments, Artifact, BindOptions, Contract, Function, Limits, NullRule, NullRules, Runtime, Scorer,
    Scores, bind, inspect, load,
};

const ONNX: [&str; 23] = [
    "cancer_onnx_from_lightgbm",
    "cancer_onnx_from_xgboost",
    "cancer_onnx_mlp_external",
    "cancer_onnx_mlp_inline",
    "cancer_onnx_rf",
    "churn_onnx_mixed",
    "churn_onnx_pipeline",
    "diabetes_onnx_gbr",
    "diabetes_onnx_ridge_core",
    "diabetes_onnx_ridge_nosig",
    "iris_onnx_noscaler",
    "iris_onnx_string_label",
    "iris_onnx_v1",
    "iris_onnx_v2",
    "iris_onnx_v3",
    "iris_onnx_zipmap",
    "linear_onnx_double",
    "linear_onnx_f64",
    "linear_onnx_fixed_batch1",
    "linear_onnx_optional",
    "linear_onnx_tensor_unnamed",
    "linear_onnx_unnamed_cols",
    "multi1d_onnx",
];

/// Files of the libraries that trained them.
const NATIVE: [&str; 5] = [
    "cancer_lightgbm_booster",
    "cancer_xgboost_json",
    "cancer_xgboost_ubj",
    "cats_lightgbm_booster",
    "iris_xgboost_sklearn",
];

const REFUSED: [(&str, &str); 12] = [
    ("all_types_pyfunc", "unsupported_flavor"),
    ("broken_hostile_tree", "model_invalid"),
    ("broken_missing_data", "model_file_missing"),
    ("broken_missing_external", "external_data_missing"),
    ("broken_mlmodel_yaml", "mlmodel_invalid"),
    ("broken_no_flavor", "no_flavor"),
    ("broken_path_escape", "model_path_escape"),
    ("broken_signature_mismatch", "signature_mismatch"),
    ("broken_truncated_onnx", "model_invalid"),
    ("iris_lightgbm_skops", "unsupported_flavor"),
    ("iris_sklearn_cloudpickle", "unsupported_flavor"),
    ("iris_sklearn_skops", "unsupported_flavor"),
];

fn folder(fixture: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/models").join(fixture)
}

fn artifact(fixture: &str) -> Artifact {
    let model = folder(fixture).join("model");
    let files = fs::read_dir(model).expect("a model directory").map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, Bytes::from(fs::read(path).expect("a readable file")))
    });
    Artifact::new(files.collect::<BTreeMap<_, _>>())
}

fn table(fixture: &str, file: &str) -> RecordBatch {
    let file = File::open(folder(fixture).join(file)).expect("a file of the fixture");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
    let schema = reader.schema();
    let batches: Vec<_> = reader.collect::<Result<_, _>>().expect("batches");
    concat_batches(&schema, &batches).expect("one schema")
}

struct Model {
    contract: Contract,
    scorer: std::sync::Arc<dyn Scorer>,
}

impl Model {
    fn open(fixture: &str) -> Self {
        Self::with_rules(fixture, |_| {})
    }

    fn with_rules(fixture: &str, set: impl Fn(&mut Contract)) -> Self {
        let artifact = artifact(fixture);
        let mut contract = inspect(&artifact, &Limits::default()).expect(fixture);
        set(&mut contract);
        let scorer = load(&artifact, &contract, &Limits::default()).expect(fixture);
        Self { contract, scorer }
    }

    fn score(&self, arguments: Arguments, columns: &[ArrayRef], rows: usize, null_rules: NullRules) -> Scores {
        let options = BindOptions { null_rules, ..BindOptions::default() };
        let binding = bind(&self.contract, "fixture", &arguments, &options).expect("a binding");
        self.scorer.score(&binding, columns, rows).expect("scores")
    }

    fn by_position(&self, input: &RecordBatch) -> Scores {
        self.score(Arguments::Positional(arguments(input)), input.columns(), input.num_rows(), NullRules::Contract)
    }

    /// Columns in reverse, so that only names can put them right.
    fn by_name(&self, input: &RecordBatch) -> Scores {
        let reversed: Vec<_> = (0..input.num_columns()).rev().collect();
        let input = input.project(&reversed).expect("a projection");
        self.score(Arguments::Named(arguments(&input)), input.columns(), input.num_rows(), NullRules::Contract)
    }

    fn has_names_of(&self, input: &RecordBatch) -> bool {
        let schema = input.schema();
        self.contract.inputs.iter().all(|input| input.name.as_ref().is_some_and(|name| schema.index_of(name).is_ok()))
    }
}

fn arguments(input: &RecordBatch) -> Vec<Argument> {
    let schema = input.schema();
    let argument = |field: &arrow::datatypes::FieldRef| Argument {
        name: Some(field.name().clone()),
        data_type: field.data_type().clone(),
        nullable: true,
    };
    schema.fields().iter().map(argument).collect()
}

/// Scores against the framework's; a row with a NaN anywhere is NULL in all outputs.
fn assert_scores(fixture: &str, contract: &Contract, scores: &Scores, expected: &RecordBatch) {
    let nan_rows: BTreeSet<usize> = expected.columns().iter().flat_map(nan_rows).collect();
    let results = predicted(contract, scores);
    for (field, column) in expected.schema().fields().iter().zip(expected.columns()) {
        let output = &results[field.name()];
        assert_eq!(output.len(), column.len(), "{fixture}");
        for row in 0..output.len() {
            let place = format!("{fixture} {} row {row}", field.name());
            assert_eq!(output.is_null(row), nan_rows.contains(&row), "{place}");
            if output.is_valid(row) {
                assert_row(&output.slice(row, 1), &column.slice(row, 1), &place);
            }
        }
    }
    assert_eq!(scores.null_scores, nan_rows.len(), "{fixture}");
}

/// What `predict` gives, by the name of each output.
fn predicted(contract: &Contract, scores: &Scores) -> BTreeMap<String, ArrayRef> {
    let result = scores.result(contract, Function::Predict).expect("a column");
    assert_eq!(result.data_type(), &contract.result_type(Function::Predict).expect("a type"));
    let columns = match contract.outputs.len() {
        1 => vec![result],
        _ => result.as_struct().columns().to_vec(),
    };
    contract.outputs.iter().map(|output| output.name.clone()).zip(columns).collect()
}

/// The floats of a column, a list or a struct; `None` of anything else.
fn doubles(column: &ArrayRef) -> Option<Vec<f64>> {
    match column.data_type() {
        DataType::List(_) => doubles(&column.as_list::<i32>().iter().next().flatten()?),
        DataType::Struct(_) => {
            column.as_struct().columns().iter().map(doubles).collect::<Option<Vec<_>>>().map(|v| v.concat())
        }
        DataType::Float32 | DataType::Float64 => {
            let values = cast(column, &DataType::Float64).expect("doubles");
            Some(values.as_primitive::<Float64Type>().values().to_vec())
        }
        _ => None,
    }
}

fn nan_rows(column: &ArrayRef) -> Vec<usize> {
    let has_nan = |row: &usize| doubles(&column.slice(*row, 1)).is_some_and(|values| values.iter().any(|v| v.is_nan()));
    (0..column.len()).filter(has_nan).collect()
}

fn assert_row(score: &ArrayRef, expected: &ArrayRef, place: &str) {
    let Some(expected_values) = doubles(expected) else {
        let expected = cast(expected, score.data_type()).expect("the same kind");
        assert_eq!(score, &expected, "{place}");
        return;
    };
    let values = doubles(score).expect("floats");
    assert_eq!(values.len(), expected_values.len(), "{place}");
    for (value, expected) in values.iter().zip(&expected_values) {
        let near = (value - expected).abs() <= 1e-5 + 1e-5 * expected.abs();
        assert!(near, "{place}: {value} is not {expected}");
    }
}

#[test]
fn the_lists_name_every_fixture() {
    let listed: BTreeSet<String> =
        ONNX.into_iter().chain(NATIVE).chain(REFUSED.map(|(name, _)| name)).map(str::to_owned).collect();
    let entries = fs::read_dir(folder("")).expect("fixtures").map(|entry| entry.expect("an entry"));
    let present =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert_eq!(present.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn every_onnx_fixture_scores_as_the_framework_does_by_position_and_by_name() {
    for fixture in ONNX {
        let model = Model::open(fixture);
        let (input, expected) = (table(fixture, "input.parquet"), table(fixture, "expected.parquet"));
        assert_scores(fixture, &model.contract, &model.by_position(&input), &expected);
        if model.has_names_of(&input) {
            assert_scores(fixture, &model.contract, &model.by_name(&input), &expected);
        }
    }
}

#[test]
fn nulls_that_go_in_as_nan_score_as_the_framework_does() {
    let with_nulls: Vec<_> =
        ONNX.into_iter().filter(|fixture| folder(fixture).join("input_nulls.parquet").exists()).collect();
    assert!(with_nulls.len() >= 7, "{with_nulls:?}");
    for fixture in with_nulls {
        let all_nan =
            |contract: &mut Contract| contract.inputs.iter_mut().for_each(|input| input.null_rule = NullRule::Nan);
        let model = Model::with_rules(fixture, all_nan);
        let scores = model.by_position(&table(fixture, "input_nulls.parquet"));
        assert_scores(fixture, &model.contract, &scores, &table(fixture, "expected_nulls.parquet"));
    }
}

#[test]
fn trees_that_track_missing_values_take_nulls_as_nan_by_default() {
    for fixture in ["cancer_onnx_from_lightgbm", "cancer_onnx_from_xgboost"] {
        let model = Model::open(fixture);
        assert!(model.contract.inputs.iter().all(|input| input.null_rule == NullRule::Nan), "{fixture}");
        let scores = model.by_position(&table(fixture, "input_nulls.parquet"));
        assert_scores(fixture, &model.contract, &scores, &table(fixture, "expected_nulls.parquet"));
    }
    assert!(Model::open("iris_onnx_v1").contract.inputs.iter().all(|input| input.null_rule == NullRule::Null));
}

#[test]
fn by_default_a_null_leaves_its_row_without_a_score_and_the_others_as_they_are() {
    let model = Model::open("linear_onnx_double");
    let (full, holed) =
        (table("linear_onnx_double", "input.parquet"), table("linear_onnx_double", "input_nulls.parquet"));
    let with_null = |row: usize| holed.columns().iter().any(|column| column.is_null(row));
    let scores = model.by_position(&holed);
    assert_eq!(scores.null_scores, (0..holed.num_rows()).filter(|row| with_null(*row)).count());
    assert!(scores.null_scores > 0);
    assert_eq!(holed.num_rows(), full.num_rows());
    let all = model.by_position(&full);
    for row in 0..holed.num_rows() {
        assert_eq!(scores.outputs[0].is_null(row), with_null(row));
        if !with_null(row)
            && (0..full.num_columns()).all(|c| full.column(c).slice(row, 1) == holed.column(c).slice(row, 1))
        {
            assert_eq!(&scores.outputs[0].slice(row, 1), &all.outputs[0].slice(row, 1));
        }
    }
}

#[test]
fn an_optional_column_that_is_left_out_needs_a_value_here_and_gives_no_score_under_mlflow_s_rules() {
    let model = Model::open("linear_onnx_optional");
    let input = table("linear_onnx_optional", "input.parquet").project(&[0, 1, 2]).expect("three columns");
    let named = || Arguments::Named(arguments(&input));
    let problems = bind(&model.contract, "m", &named(), &BindOptions::default()).expect_err("refused");
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["missing_input"]);
    let scores = model.score(named(), input.columns(), input.num_rows(), NullRules::Mlflow);
    assert_eq!(scores.null_scores, input.num_rows());
}

#[test]
fn a_zipmap_gives_its_label_and_a_struct_of_its_probabilities() {
    let model = Model::open("iris_onnx_zipmap");
    let scores = model.by_position(&table("iris_onnx_zipmap", "input.parquet"));
    let result = scores.result(&model.contract, Function::Predict).expect("a struct");
    assert_eq!(result.data_type(), &model.contract.result_type(Function::Predict).expect("a type"));
    let label = result.as_struct().column_by_name("output_label").expect("the label");
    let probabilities = result.as_struct().column_by_name("output_probability").expect("the probabilities").as_struct();
    assert_eq!(probabilities.column_names(), ["0", "1", "2"]);
    let classes: Vec<_> =
        probabilities.columns().iter().map(|column| column.as_primitive::<Float64Type>().clone()).collect();
    for row in 0..label.len() {
        let of_row: Vec<f64> = classes.iter().map(|class| class.value(row)).collect();
        assert!((of_row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let label = label.as_primitive::<arrow::datatypes::Int64Type>().value(row) as usize;
        assert!(of_row.iter().all(|probability| *probability <= of_row[label]), "row {row}");
    }
    assert_eq!(
        &scores.result(&model.contract, Function::PredictProba).expect("a struct"),
        result.as_struct().column(1)
    );
}

#[test]
fn labels_and_probabilities_of_every_classifier_are_those_of_predict() {
    for fixture in ONNX
        .into_iter()
        .filter(|name| name.starts_with("iris") || name.contains("_from_") || *name == "churn_onnx_pipeline")
    {
        let model = Model::open(fixture);
        let input = table(fixture, "input.parquet");
        let scores = model.by_position(&input);
        for function in Function::ALL {
            let result = scores.result(&model.contract, function).expect(fixture);
            assert_eq!(result.data_type(), &model.contract.result_type(function).expect(fixture), "{fixture}");
            assert_eq!(result.len(), input.num_rows(), "{fixture}");
        }
        let probabilities = scores.result(&model.contract, Function::PredictProba).expect(fixture);
        for (class, column) in probabilities.as_struct().columns().iter().enumerate() {
            let third = doubles(&scores.outputs[1].slice(2, 1)).expect("floats")[class];
            assert_eq!(column.as_primitive::<Float64Type>().value(2), third, "{fixture}");
        }
    }
}

#[test]
fn external_and_inline_weights_give_the_same_bits() {
    let of = |fixture| Model::open(fixture).by_position(&table(fixture, "input.parquet")).outputs;
    assert_eq!(of("cancer_onnx_mlp_external"), of("cancer_onnx_mlp_inline"));
}

#[test]
fn a_fixed_batch_is_looped_over() {
    let model = Model::open("linear_onnx_fixed_batch1");
    assert_eq!(model.contract.fixed_batch, Some(1));
    let input = table("linear_onnx_fixed_batch1", "input.parquet");
    assert!(input.num_rows() > 1);
    let together = model.by_position(&input).outputs.remove(0);
    for row in 0..input.num_rows() {
        assert_eq!(&together.slice(row, 1), &model.by_position(&input.slice(row, 1)).outputs[0], "row {row}");
    }
}

#[test]
fn no_rows_give_no_scores() {
    for fixture in ["iris_onnx_string_label", "cancer_onnx_mlp_inline"] {
        let model = Model::open(fixture);
        let scores = model.by_position(&table(fixture, "input.parquet").slice(0, 0));
        let result = scores.result(&model.contract, Function::Predict).expect("a column");
        assert_eq!(result.len(), 0);
        assert_eq!(result.data_type(), &model.contract.result_type(Function::Predict).expect("a type"));
    }
}

#[test]
fn a_bare_onnx_file_takes_a_list_or_numbers() {
    let content = artifact("linear_onnx_double").file("model.onnx").expect("the graph").clone();
    let artifact = Artifact::new(BTreeMap::from([("linear.onnx".to_owned(), content)]));
    let contract = inspect(&artifact, &Limits::default()).expect("a contract");
    let model = Model { scorer: load(&artifact, &contract, &Limits::default()).expect("a scorer"), contract };
    let expected = table("linear_onnx_double", "expected.parquet");
    assert_scores(
        "bare",
        &model.contract,
        &model.by_position(&table("linear_onnx_double", "input.parquet")),
        &expected,
    );
    let lists = table("linear_onnx_tensor_unnamed", "input.parquet");
    let expected = table("linear_onnx_tensor_unnamed", "expected.parquet");
    assert_scores("bare", &model.contract, &model.by_position(&lists), &expected);
}

#[test]
fn every_other_fixture_is_refused_with_its_own_code() {
    for (fixture, code) in REFUSED {
        let error = inspect(&artifact(fixture), &Limits::default()).expect_err(fixture);
        assert_eq!(error.code(), code, "{fixture}: {error}");
        assert!(!error.to_string().contains('\n'), "{fixture}: {error}");
    }
}

#[test]
fn a_contract_of_other_files_is_refused() {
    let contract = inspect(&artifact("iris_onnx_v1"), &Limits::default()).expect("a contract");
    let error = load(&artifact("cancer_onnx_rf"), &contract, &Limits::default()).expect_err("refused");
    assert_eq!(error.code(), "model_invalid");
}

/// The graph of a fixture under another signature: JSON lists of inputs and parameters.
fn under_signature(fixture: &str, inputs: &str, params: &str) -> Artifact {
    let mut files = artifact(fixture).files().clone();
    let model =
        format!("flavors: {{onnx: {{data: model.onnx}}}}\nsignature:\n  inputs: '{inputs}'\n  params: '{params}'\n");
    files.insert("MLmodel".to_owned(), Bytes::from(model));
    Artifact::new(files)
}

#[test]
fn a_parameter_that_the_graph_reads_is_a_constant_column() {
    let inputs = r#"[{"type": "long", "name": "i"}, {"type": "boolean", "name": "bo"}]"#;
    let params = r#"[{"name": "dd", "type": "double", "default": 0.5, "shape": null}]"#;
    let artifact = under_signature("multi1d_onnx", inputs, params);
    let contract = inspect(&artifact, &Limits::default()).expect("a contract");
    assert_eq!(contract.params[0].graph_input, Some(2));
    let scorer = load(&artifact, &contract, &Limits::default()).expect("a scorer");
    let input = table("multi1d_onnx", "input.parquet").project(&[0, 1]).expect("two columns");
    let scored = |params: &str| {
        let params = serde_json::from_str(params).expect("an object");
        let options = BindOptions { params, ..BindOptions::default() };
        let binding = bind(&contract, "m", &Arguments::Named(arguments(&input)), &options).expect("a binding");
        let scores = scorer.score(&binding, input.columns(), input.num_rows()).expect("scores");
        doubles(&scores.outputs[0]).expect("floats")
    };
    let (default, higher) = (scored("{}"), scored(r#"{"dd": 2.5}"#));
    assert!(default.iter().zip(&higher).all(|(default, higher)| (higher - default - 2.0).abs() < 1e-5));
}

#[test]
fn a_signature_that_the_graph_cannot_take_is_refused() {
    let code = |fixture: &str, inputs: &str, params: &str| {
        let artifact = under_signature(fixture, inputs, params);
        inspect(&artifact, &Limits::default()).expect_err(inputs).code()
    };
    let i_and_bo = r#"[{"type": "long", "name": "i"}, {"type": "boolean", "name": "bo"}]"#;
    let dd = |rest: &str| format!(r#"[{{"name": "dd", {rest}}}]"#);
    assert_eq!(code("multi1d_onnx", i_and_bo, "[]"), "signature_mismatch");
    assert_eq!(code("multi1d_onnx", i_and_bo, &dd(r#""type": "string", "default": null"#)), "signature_mismatch");
    assert_eq!(code("multi1d_onnx", i_and_bo, &dd(r#""type": "double", "default": "high""#)), "mlmodel_invalid");
    assert_eq!(code("multi1d_onnx", i_and_bo, &dd(r#""type": "object", "default": null"#)), "unsupported_input");
    let swapped =
        r#"[{"type": "long", "name": "bo"}, {"type": "boolean", "name": "i"}, {"type": "double", "name": "x"}]"#;
    assert_eq!(code("multi1d_onnx", swapped, "[]"), "signature_mismatch");
    let of = |column_type: &str| format!(r#"[{{"name": "v", {column_type}}}]"#);
    let three = |last: &str| {
        format!(r#"[{{"type": "long", "name": "i"}}, {{"type": "boolean", "name": "bo"}}, {{"name": "dd", {last}}}]"#)
    };
    for unreadable in [r#""type": "binary""#, r#""type": "map", "values": {"type": "double"}"#, r#""type": "any""#] {
        assert_eq!(code("multi1d_onnx", &three(unreadable), "[]"), "unsupported_input");
    }
    assert_eq!(
        code("linear_onnx_double", &of(r#""type": "array", "items": {"type": "string"}"#), "[]"),
        "signature_mismatch"
    );
    let nested = of(r#""type": "array", "items": {"type": "array", "items": {"type": "float"}}"#);
    assert_eq!(code("linear_onnx_double", &nested, "[]"), "unsupported_input");
}

#[test]
fn an_array_column_feeds_a_whole_matrix() {
    let inputs = r#"[{"name": "v", "type": "array", "items": {"type": "float"}}]"#;
    let artifact = under_signature("linear_onnx_tensor_unnamed", inputs, "[]");
    let contract = inspect(&artifact, &Limits::default()).expect("a contract");
    let model = Model { scorer: load(&artifact, &contract, &Limits::default()).expect("a scorer"), contract };
    let (input, expected) =
        (table("linear_onnx_tensor_unnamed", "input.parquet"), table("linear_onnx_tensor_unnamed", "expected.parquet"));
    assert_scores("array column", &model.contract, &model.by_name(&input), &expected);
}

#[test]
fn the_same_scorer_serves_many_threads() {
    let model = Model::open("cancer_onnx_rf");
    let (input, expected) = (table("cancer_onnx_rf", "input.parquet"), table("cancer_onnx_rf", "expected.parquet"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_scores("cancer_onnx_rf", &model.contract, &model.by_position(&input), &expected));
        }
    });
}
