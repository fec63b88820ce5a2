//! What the guide says of NULL, NaN, unseen categories and overflow, and of rows that a sound model fails at.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{Float32Type, Int64Type};
use bytes::Bytes;
use volley_model::{
    Argument, Arguments, Artifact, BindOptions, BindProblem, Contract, Limits, ModelError, NullRule, Scorer, Scores,
    bind, inspect, load,
};

struct Model {
    contract: Contract,
    scorer: Arc<dyn Scorer>,
}

impl Model {
    /// Of `tests/zoo`, by its path without the ending.
    fn open(path: &str) -> Model {
        Model::with_rule(path, None)
    }

    fn with_rule(path: &str, rule: Option<NullRule>) -> Model {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/zoo").join(format!("{path}.onnx"));
        let bytes = Bytes::from(fs::read(file).expect(path));
        let artifact = Artifact::new(BTreeMap::from([("model.onnx".to_owned(), bytes)]));
        let mut contract = inspect(&artifact, &Limits::default()).expect(path);
        if let Some(rule) = rule {
            contract.inputs.iter_mut().for_each(|input| input.null_rule = rule.clone());
        }
        let scorer = load(&artifact, &contract, &Limits::default()).expect(path);
        Model { contract, scorer }
    }

    fn bound(&self, columns: &[ArrayRef]) -> Result<volley_model::Binding, Vec<BindProblem>> {
        let argument =
            |column: &ArrayRef| Argument { name: None, data_type: column.data_type().clone(), nullable: true };
        let arguments = Arguments::Positional(columns.iter().map(argument).collect());
        bind(&self.contract, "edge", &arguments, &BindOptions::default())
    }

    fn try_score(&self, columns: &[ArrayRef]) -> Result<Scores, ModelError> {
        let binding = self.bound(columns).expect("a binding");
        self.scorer.score(&binding, columns, columns[0].len())
    }

    fn score(&self, columns: &[ArrayRef]) -> ArrayRef {
        self.try_score(columns).expect("scores").outputs.remove(0)
    }

    fn refusal(&self, columns: &[ArrayRef]) -> &'static str {
        self.bound(columns).expect_err("a refusal")[0].code
    }
}

fn floats(values: Vec<Option<f32>>) -> ArrayRef {
    Arc::new(Float32Array::from(values))
}

fn ids(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn words(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Two rows of the eight features, the first of which is 0 but for `value` in its first column.
fn features(value: Option<f32>) -> Vec<ArrayRef> {
    let zeros = || floats(vec![Some(0.0); 2]);
    (0..8).map(|column| if column == 0 { floats(vec![value, Some(0.0)]) } else { zeros() }).collect()
}

fn is_scored(model: &str, value: Option<f32>) -> bool {
    let scores = Model::open(model).score(&features(value));
    assert!(scores.is_valid(1), "{model}: the row beside it");
    scores.is_valid(0)
}

#[test]
fn a_key_of_a_map_that_a_row_does_not_have_is_zero() {
    let model = Model::open("data/models/dict_vectorizer");
    let inputs = &model.contract.inputs;
    let names: Vec<_> = inputs.iter().filter_map(|input| input.name.as_deref()).collect();
    assert_eq!(names, ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]);
    assert!(inputs.iter().all(|input| !input.required && input.null_rule.to_string() == "fill:0"));
    let scores = |absent: Option<f32>| {
        let columns: Vec<_> =
            (0..8u8).map(|at| floats(vec![if at % 2 == 0 { absent } else { Some(f32::from(at)) }])).collect();
        model.try_score(&columns).expect("scores").outputs
    };
    assert_eq!(scores(None), scores(Some(0.0)));
    assert_ne!(scores(None), scores(Some(4.0)));
}

#[test]
fn a_null_is_missing_to_imputers_and_trees_that_track_it_and_leaves_no_score_elsewhere() {
    for model in ["imputer_mean", "hist_boosting_regressor", "lightgbm_regression", "xgboost_squarederror"] {
        assert!(is_scored(&format!("data/models/{model}"), None), "{model}");
    }
    for model in ["linear_regression", "forest_regressor", "torch_mlp"] {
        assert!(!is_scored(&format!("data/models/{model}"), None), "{model}");
    }
}

#[test]
fn a_nan_is_what_a_null_is_to_models_that_know_missing_values() {
    for model in ["imputer_mean", "hist_boosting_regressor", "lightgbm_regression", "xgboost_squarederror"] {
        let model = Model::open(&format!("data/models/{model}"));
        assert_eq!(&model.score(&features(Some(f32::NAN))), &model.score(&features(None)));
    }
}

#[test]
fn a_nan_goes_through_a_linear_model_to_a_null_score_and_down_a_tree_to_a_leaf() {
    assert!(!is_scored("data/models/linear_regression", Some(f32::NAN)));
    assert!(is_scored("data/models/forest_regressor", Some(f32::NAN)));
}

#[test]
fn an_infinity_is_a_number_until_it_meets_its_opposite() {
    let linear = Model::open("data/models/linear_regression");
    let scores = linear.score(&features(Some(f32::INFINITY)));
    assert!(scores.as_primitive::<Float32Type>().value(0).is_infinite());
    let mut opposed = features(Some(f32::INFINITY));
    opposed[1] = floats(vec![Some(f32::INFINITY), Some(0.0)]);
    // Its coefficient is negative.
    assert!(linear.score(&opposed).is_null(0));
}

#[test]
fn an_unseen_category_is_no_category_where_the_encoder_ignores_it() {
    let model = Model::open("data/models/churn_logistic");
    let numbers = || (0..3).map(|_| floats(vec![Some(0.0); 3])).collect::<Vec<_>>();
    let with = |cities: &[&str]| [numbers(), vec![words(cities), words(&["free"; 3])]].concat();
    let scores = model.try_score(&with(&["Atlantis", "", "oslo"])).expect("scores").outputs.remove(1);
    assert_eq!(&scores.slice(0, 1), &scores.slice(1, 1));
    assert_eq!(&scores.slice(0, 1), &scores.slice(2, 1));
    let known = model.try_score(&with(&["Oslo"; 3])).expect("scores").outputs.remove(1);
    assert_ne!(&scores.slice(0, 1), &known.slice(0, 1));
}

#[test]
fn an_unseen_category_fails_its_row_where_the_encoder_is_strict() {
    let model = Model::open("edges/sound/one_hot_strict");
    let error = model.try_score(&[words(&["a", "b", "Atlantis", "a"])]).expect_err("a category that is unknown");
    assert_eq!(error.code(), "score_failed");
    assert!(error.to_string().starts_with("row 2 of the batch: "), "{error}");
    assert!(!error.to_string().contains("Atlantis"), "{error}");
}

#[test]
fn an_unseen_word_is_the_default_of_a_label_encoder() {
    let scores = Model::open("edges/sound/label_encoder").score(&[words(&["b", "Atlantis", "", "a"])]);
    assert_eq!(scores.as_primitive::<Int64Type>().values(), &[2, -9, -9, 1]);
}

#[test]
fn an_unseen_category_of_an_ordinal_encoder_has_its_number_for_them() {
    let model = Model::open("data/models/ordinal_tree");
    let columns = |city: &str| {
        let numbers = (0..3).map(|_| floats(vec![Some(0.0)])).collect::<Vec<_>>();
        [numbers, vec![words(&[city]), words(&["pro"])]].concat()
    };
    assert_eq!(&model.score(&columns("Atlantis")), &model.score(&columns("")));
}

#[test]
fn an_id_beyond_what_a_double_holds_arrives_whole_in_an_integer_and_rounded_in_a_float() {
    let division = Model::open("edges/sound/division");
    let large = (1_i64 << 53) + 1;
    assert_eq!(division.score(&[ids(vec![Some(large)])]).as_primitive::<Int64Type>().values(), &[0]);
    let binding = division.bound(&[ids(vec![Some(large)])]).expect("a binding");
    assert!(!binding.inputs[0].rounds);
    let mut wide = features(Some(0.0));
    wide[0] = ids(vec![Some(large), Some(0)]);
    assert!(Model::open("data/models/linear_regression").bound(&wide).expect("a binding").inputs[0].rounds);
}

#[test]
fn numbers_that_would_overflow_or_lose_their_fraction_are_refused_before_a_row_is_read() {
    let division = Model::open("edges/sound/division");
    let fraction: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    assert_eq!(division.refusal(&[fraction]), "lossy_coercion");
    let unsigned: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![1]));
    assert_eq!(division.refusal(&[unsigned]), "lossy_coercion");
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    assert_eq!(division.score(&[narrow]).as_primitive::<Int64Type>().values(), &[14]);
}

#[test]
fn text_never_becomes_a_number_by_itself_nor_a_number_text() {
    assert_eq!(Model::open("edges/sound/division").refusal(&[words(&["7"])]), "type_mismatch");
    assert_eq!(Model::open("edges/sound/label_encoder").refusal(&[ids(vec![Some(7)])]), "type_mismatch");
}

/// The error of a call whose row 17 of 3,000 has `value`.
fn failure(model: &str, rule: NullRule, null: Option<usize>, value: i64) -> String {
    let model = Model::with_rule(model, Some(rule));
    let column =
        |value| ids((0..3000).map(|row| (Some(row) != null).then_some(if row == 17 { value } else { 1 })).collect());
    let error = model.try_score(&[column(value)]).expect_err("a row that fails");
    assert_eq!(model.score(&[column(2)]).len(), 3000, "the model lives on");
    error.to_string()
}

#[test]
fn a_row_that_a_sound_model_fails_at_is_named_without_its_values() {
    let error = failure("edges/sound/lookup", NullRule::Null, None, 987_654);
    assert!(error.starts_with("row 17 of the batch: ") && !error.contains("987"), "{error}");
    let error = failure("edges/sound/division", NullRule::Null, None, 0);
    assert!(error.starts_with("row 17 of the batch: "), "{error}");
}

#[test]
fn rows_that_a_null_rule_excludes_count_in_the_place_of_a_row_that_fails() {
    let error = failure("edges/sound/lookup", NullRule::Null, Some(3), 99);
    assert!(error.starts_with("row 17 of the batch: "), "{error}");
}
