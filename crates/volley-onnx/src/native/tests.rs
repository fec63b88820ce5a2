//! Files by hand: what each part of them means, and that whatever is wrong with them is told.

use super::*;
use crate::Tensor;
use crate::direct::TensorRows;
use crate::tensor::tensor_from;

/// Two trees of three nodes over two features, in the file of an old release: no categories, no iterations.
fn xgboost(objective: &str, base: &str, second_tree: &str) -> String {
    let first = r#"{"left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
        "split_conditions": [2.5, 1.0, -1.0], "default_left": [true, false, false]}"#;
    format!(
        r#"{{"learner": {{
            "attributes": {{"best_iteration": "0"}}, "feature_names": ["a", "b"],
            "gradient_booster": {{"name": "gbtree", "model": {{
                "gbtree_model_param": {{"num_trees": "2", "num_parallel_tree": "1"}},
                "tree_info": [0, 0], "trees": [{first}, {second_tree}]}}}},
            "learner_model_param": {{"base_score": "{base}", "num_class": "0", "num_feature": "2"}},
            "objective": {{"name": "{objective}"}}}}, "version": [1, 7, 0]}}"#
    )
}

/// Right for the categories 1 and 3 of feature 1.
const CATEGORICAL: &str = r#"{"left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [1, 0, 0],
    "split_conditions": [0.0, 0.25, 0.5], "default_left": [0, 0, 0], "split_type": [1, 0, 0],
    "categories": [1, 3], "categories_nodes": [0], "categories_segments": [0], "categories_sizes": [2]}"#;

/// A question to a number, then one to categories 0 and 33, then one where zero is missing.
const LIGHTGBM: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\n\
    objective=regression\nfeature_names=a b\nfeature_infos=[0:1] -1:0:33\ntree_sizes=1\n\nTree=0\nnum_leaves=4\n\
    num_cat=1\nsplit_feature=0 1 0\nthreshold=2.5 0 -1\ndecision_type=10 1 4\nleft_child=1 -1 -3\nright_child=2 -2 -4\n\
    leaf_value=1 2 4 8\ncat_boundaries=0 2\ncat_threshold=1 2\nis_linear=0\nshrinkage=1\n\n\nend of trees\n\n\
    pandas_categorical:null\n";

fn read_xgboost(text: &str, predictor: Predictor) -> Result<Native, Error> {
    Native::xgboost(text.as_bytes(), predictor, &Limits::default())
}

fn read_lightgbm(text: &str) -> Result<Native, Error> {
    Native::lightgbm(text.as_bytes(), Predictor::Booster, &Limits::default())
}

fn scored(native: &Native, rows: usize, inputs: Vec<Tensor>) -> Vec<Values> {
    native.score(&TensorRows::new(&inputs, rows)).expect("scores")
}

fn singles(native: &Native, rows: &[[f32; 2]]) -> Vec<f32> {
    let input = tensor_from(&[rows.len(), 2], rows.concat());
    match scored(native, rows.len(), vec![input]).remove(0) {
        Values::Singles(values) => values,
        other => panic!("{other:?} are no singles"),
    }
}

fn doubles(native: &Native, rows: &[[f64; 2]]) -> Vec<f64> {
    let input = tensor_from(&[rows.len(), 2], rows.concat());
    match scored(native, rows.len(), vec![input]).remove(0) {
        Values::Doubles(values) => values,
        other => panic!("{other:?} are no doubles"),
    }
}

#[test]
fn an_xgboost_row_below_the_threshold_goes_left_and_categories_of_the_set_go_right() {
    let native = read_xgboost(&xgboost("reg:squarederror", "5E-1", CATEGORICAL), Predictor::Booster).expect("a model");
    let rows = [[2.0, 0.0], [2.5, 0.0], [f32::NAN, 1.0], [2.0, 3.9], [2.0, f32::NAN], [2.0, -1.0], [2.0, 4.0]];
    assert_eq!(singles(&native, &rows), [1.75, -0.25, 2.0, 2.0, 2.0, 1.75, 1.75]);
}

#[test]
fn a_base_score_is_a_probability_to_the_logistic_objective_in_either_spelling() {
    for base in ["2.5E-1", "[2.5E-1]"] {
        let native = read_xgboost(&xgboost("binary:logistic", base, CATEGORICAL), Predictor::Booster).expect("a model");
        let sum = (0.25f32 / 0.75).ln() + 1.25;
        let expected = 1.0 / (1.0 + (-sum).exp());
        assert!((singles(&native, &[[2.0, 0.0]])[0] - expected).abs() < 1e-6);
        let names: Vec<&str> = native.outputs.iter().map(|output| output.port.name.as_str()).collect();
        assert_eq!(names, ["prediction", "label", "probabilities"]);
    }
}

#[test]
fn the_wrapper_stops_at_the_best_iteration_and_the_booster_does_not() {
    let text = xgboost("reg:squarederror", "0E0", CATEGORICAL);
    let of = |predictor| singles(&read_xgboost(&text, predictor).expect("a model"), &[[2.0, 0.0]])[0];
    assert_eq!(of(Predictor::Booster), 1.25);
    assert_eq!(of(Predictor::Estimator), 1.0);
}

#[test]
fn a_lightgbm_row_goes_where_its_number_its_category_or_its_zero_says() {
    let native = read_lightgbm(LIGHTGBM).expect("a model");
    let nan = f64::NAN;
    let rows = [[2.5, 0.0], [2.5, 33.5], [2.5, 1.0], [2.5, nan], [nan, -0.5], [2.6, 0.0], [f64::INFINITY, 0.0]];
    assert_eq!(doubles(&native, &rows), [1.0, 1.0, 2.0, 2.0, 1.0, 8.0, 8.0]);
}

#[test]
fn an_objective_or_booster_that_is_unknown_is_named() {
    let refused = |result: Result<Native, Error>| {
        let error = result.expect_err("refused");
        assert_eq!(error.code(), "unsupported_operator");
        error.to_string()
    };
    assert!(
        refused(read_xgboost(&xgboost("reg:secret", "0", CATEGORICAL), Predictor::Booster)).contains("`reg:secret`")
    );
    let other = xgboost("reg:squarederror", "0", CATEGORICAL).replace("\"gbtree\"", "\"gbforest\"");
    assert!(refused(read_xgboost(&other, Predictor::Booster)).contains("`gbforest`"));
    assert!(refused(read_lightgbm(&LIGHTGBM.replace("=regression", "=secret x:1"))).contains("`secret`"));
    assert!(refused(read_lightgbm(&LIGHTGBM.replace("is_linear=0", "is_linear=1"))).contains("linear trees"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let sound = xgboost("reg:squarederror", "0", CATEGORICAL);
    let damages = [
        ("[1, -1, -1]", "[0, -1, -1]"),
        ("[1, -1, -1]", "[7, -1, -1]"),
        ("[1, -1, -1]", "[2, -1, -1]"),
        ("[1, -1, -1]", "[1, -1]"),
        ("[1, -1, -1]", "[1.5, -1, -1]"),
        ("\"split_indices\": [1,", "\"split_indices\": [2,"),
        ("\"tree_info\": [0, 0]", "\"tree_info\": [0, 1]"),
        ("\"tree_info\": [0, 0]", "\"tree_info\": [0]"),
        ("\"categories\": [1, 3]", "\"categories\": [1]"),
        ("\"categories\": [1, 3]", "\"categories\": [1, 99999999]"),
        ("\"categories_nodes\": [0]", "\"categories_nodes\": [1]"),
        ("\"num_feature\": \"2\"", "\"num_feature\": \"999999999\""),
        ("\"num_class\": \"0\"", "\"num_class\": \"999999999\""),
        ("\"base_score\": \"0\"", "\"base_score\": \"[1,2,3]\""),
    ];
    for (from, to) in damages {
        let file = sound.replace(from, to);
        assert_ne!(file, sound, "{from}");
        assert!(read_xgboost(&file, Predictor::Booster).is_err(), "{to}");
    }
    let damages = [
        ("left_child=1", "left_child=0"),
        ("left_child=1", "left_child=9"),
        ("left_child=1", "left_child=-9"),
        ("left_child=1 -1", "left_child=1 -2"),
        ("num_leaves=4", "num_leaves=1000000000000"),
        ("split_feature=0 1", "split_feature=0 2"),
        ("cat_boundaries=0 2", "cat_boundaries=2 0"),
        ("cat_threshold=1 2", "cat_threshold=1"),
        ("threshold=2.5 0", "threshold=2.5 1"),
        ("threshold=2.5", "threshold=nan"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0"),
        ("tree_sizes=1", "tree_sizes=1 2"),
        ("version=v4", "version=v9"),
        ("end of trees", "end"),
    ];
    for (from, to) in damages {
        let file = LIGHTGBM.replace(from, to);
        assert_ne!(file, LIGHTGBM, "{from}");
        assert!(read_lightgbm(&file).is_err(), "{to}");
    }
}

/// The same document as XGBoost's binary form has it.
fn ubjson(value: &document::Value, out: &mut Vec<u8>) {
    use document::Value;
    let text = |text: &str, out: &mut Vec<u8>| {
        out.extend([b'L'].into_iter().chain((text.len() as i64).to_be_bytes()));
        out.extend(text.as_bytes());
    };
    match value {
        Value::Null => out.push(b'Z'),
        Value::Bool(truth) => out.push(if *truth { b'T' } else { b'F' }),
        Value::Number(number) => out.extend([b'D'].into_iter().chain(number.to_be_bytes())),
        Value::Text(value) => {
            out.push(b'S');
            text(value, out);
        }
        Value::Numbers(numbers) => {
            out.extend(b"[$d#L".iter().copied().chain((numbers.len() as i64).to_be_bytes()));
            numbers.iter().for_each(|&number| out.extend((number as f32).to_be_bytes()));
        }
        Value::List(values) => {
            out.push(b'[');
            values.iter().for_each(|value| ubjson(value, out));
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (name, value) in members {
                text(name, out);
                ubjson(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Every file that is cut short or has one byte changed is refused, or is a model that scores.
fn check_damages(file: &[u8], read: impl Fn(&[u8]) -> Result<Native, Error>) {
    let survives = |damaged: &[u8]| {
        if let Ok(native) = read(damaged) {
            let (rows, features) = (3, native.features.names().len());
            let input = |port: &Port| match port.element {
                crate::Element::F32 => tensor_from(&[rows, features], vec![1f32; rows * features]),
                _ => tensor_from(&[rows, features], vec![1f64; rows * features]),
            };
            let outputs = scored(&native, rows, native.inputs.iter().map(input).collect());
            assert!(!outputs[0].is_empty() && outputs[0].len().is_multiple_of(rows));
        }
    };
    for at in 0..file.len() {
        survives(&file[..at]);
        for flip in [1, 2, 4, 8, 16, 32, 64, 128] {
            let mut damaged = file.to_vec();
            damaged[at] ^= flip;
            survives(&damaged);
        }
    }
}

#[test]
fn no_damage_to_a_file_goes_further_than_an_error() {
    let json = xgboost("binary:logistic", "5E-1", CATEGORICAL).replace(char::is_whitespace, "");
    let mut binary = Vec::new();
    ubjson(&json::parse(json.as_bytes()).expect("JSON"), &mut binary);
    let read = |file: &[u8]| Native::xgboost(file, Predictor::Booster, &Limits::default());
    assert!(read(&binary).is_ok());
    check_damages(json.as_bytes(), read);
    check_damages(&binary, read);
    check_damages(LIGHTGBM.as_bytes(), |file| Native::lightgbm(file, Predictor::Booster, &Limits::default()));
}

#[test]
fn a_set_of_categories_that_many_nodes_ask_for_is_refused() {
    let shared = LIGHTGBM.replace("decision_type=10 1 4", "decision_type=10 1 1").replace("2.5 0 -1", "2.5 0 0");
    assert!(read_lightgbm(&shared).is_err());
}

#[test]
fn the_old_binary_form_is_refused_with_the_next_step() {
    let error = Native::xgboost(b"binf\0\0\0\x3f", Predictor::Booster, &Limits::default()).expect_err("refused");
    assert_eq!(error.code(), "model_invalid");
    assert!(error.to_string().contains("save_model('model.ubj')"), "{error}");
}
