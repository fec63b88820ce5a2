//! Tree ensembles of ONNX, as their nodes say them.

use tract_onnx::pb::AttributeProto;

use super::*;
use crate::testing::{
    assert_close, float, floats, int, ints, ints_in, ml, stored, string, strings, strings_in, tensor,
};
use crate::{Element, Error};

const NAN: f32 = f32::NAN;

/// One question to column 0, with leaf 1 for yes and leaf 2 for no.
fn stump(mode: &str, threshold: f32) -> Vec<AttributeProto> {
    vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        strings("nodes_modes", &[mode, "LEAF", "LEAF"]),
        floats("nodes_values", &[threshold, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
    ]
}

/// The weights of leaves 1 and 2, each for one target.
fn weights(kind: &str, ids: [i64; 2], values: [f32; 2]) -> Vec<AttributeProto> {
    vec![
        ints(&format!("{kind}_treeids"), &[0, 0]),
        ints(&format!("{kind}_nodeids"), &[1, 2]),
        ints(&format!("{kind}_ids"), &ids),
        floats(&format!("{kind}_weights"), &values),
    ]
}

fn joined(parts: [Vec<AttributeProto>; 3]) -> Vec<AttributeProto> {
    parts.into_iter().flatten().collect()
}

/// A stump that gives 1 for yes and 0 for no.
fn yes_or_no(mode: &str, threshold: f32, more: Vec<AttributeProto>) -> Vec<AttributeProto> {
    joined([stump(mode, threshold), weights("target", [0, 0], [1.0, 0.0]), more])
}

fn check_mode(mode: &str, expected: [f32; 4]) {
    let answers = |more, expected: [f32; 4]| {
        ml("TreeEnsembleRegressor", yes_or_no(mode, 2.0, more))
            .gives(tensor(&[4, 1], &[1.0, 2.0, 3.0, NAN]), tensor(&[4, 1], &expected));
    };
    answers(vec![int("n_targets", 1)], expected);
    let [below, at, above, _] = expected;
    answers(vec![ints("nodes_missing_value_tracks_true", &[1, 0, 0])], [below, at, above, 1.0]);
}

#[test]
fn each_mode_compares_in_its_way_and_missing_values_follow_the_flag() {
    check_mode("BRANCH_LEQ", [1.0, 1.0, 0.0, 0.0]);
    check_mode("BRANCH_LT", [1.0, 0.0, 0.0, 0.0]);
    check_mode("BRANCH_GTE", [0.0, 1.0, 1.0, 0.0]);
    check_mode("BRANCH_GT", [0.0, 0.0, 1.0, 0.0]);
    check_mode("BRANCH_EQ", [0.0, 1.0, 0.0, 0.0]);
    // NaN differs from everything.
    check_mode("BRANCH_NEQ", [1.0, 0.0, 1.0, 1.0]);
}

#[test]
fn doubles_next_to_the_threshold_go_their_own_way() {
    let rows = tensor(&[3, 1], &[2.0 - 1e-12, 2.0, 2.0 + 1e-12]);
    let answers = |mode, expected: [f32; 3]| {
        ml("TreeEnsembleRegressor", yes_or_no(mode, 2.0, vec![])).gives(rows.clone(), tensor(&[3, 1], &expected));
    };
    answers("BRANCH_LEQ", [1.0, 1.0, 0.0]);
    answers("BRANCH_LT", [1.0, 0.0, 0.0]);
    answers("BRANCH_EQ", [0.0, 1.0, 0.0]);
    answers("BRANCH_GTE", [0.0, 1.0, 1.0]);
}

#[test]
fn thresholds_may_be_doubles_that_no_single_holds() {
    let mut attributes = yes_or_no("BRANCH_LEQ", 0.0, vec![]);
    attributes.retain(|attribute| attribute.name != "nodes_values");
    attributes.push(stored("nodes_values_as_tensor", tensor(&[3], &[0.1f64, 0.0, 0.0])));
    ml("TreeEnsembleRegressor", attributes)
        .gives(tensor(&[3, 1], &[0.1f64, 0.1 + 1e-12, f64::from(0.1f32)]), tensor(&[3, 1], &[1.0f32, 0.0, 0.0]));
}

/// Two stumps on column 0: 1 or 2 at 0, and 10 or 20 at 5.
fn pair(function: &str) -> Vec<AttributeProto> {
    vec![
        string("aggregate_function", function),
        floats("base_values", &[0.5]),
        ints("nodes_treeids", &[0, 0, 0, 1, 1, 1]),
        ints("nodes_nodeids", &[0, 1, 2, 0, 1, 2]),
        ints("nodes_featureids", &[0; 6]),
        strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"]),
        floats("nodes_values", &[0.0, 0.0, 0.0, 5.0, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0, 1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0, 2, 0, 0]),
        ints("target_treeids", &[0, 0, 1, 1]),
        ints("target_nodeids", &[1, 2, 1, 2]),
        ints("target_ids", &[0; 4]),
        floats("target_weights", &[1.0, 2.0, 10.0, 20.0]),
    ]
}

#[test]
fn trees_are_aggregated_before_the_base_value_is_added() {
    let check = |function, expected: [f32; 3]| {
        ml("TreeEnsembleRegressor", pair(function))
            .gives(tensor(&[3, 1], &[-1.0f32, 1.0, 6.0]), tensor(&[3, 1], &expected));
    };
    check("SUM", [11.5, 12.5, 22.5]);
    check("AVERAGE", [6.0, 6.5, 11.5]);
    check("MIN", [1.5, 2.5, 2.5]);
    check("MAX", [10.5, 10.5, 20.5]);
}

#[test]
fn more_rows_than_a_block_are_all_scored() {
    let rows: Vec<f32> = (0..300).map(|row| (row % 3) as f32 - 1.0).collect();
    let expected: Vec<f32> = rows.iter().map(|&v| if v <= 0.0 { 1.0 } else { 0.0 }).collect();
    ml("TreeEnsembleRegressor", yes_or_no("BRANCH_LEQ", 0.0, vec![]))
        .gives(tensor(&[300, 1], &rows), tensor(&[300, 1], &expected));
}

fn classifier(ids: [i64; 2], values: [f32; 2], more: Vec<AttributeProto>) -> Vec<AttributeProto> {
    joined([stump("BRANCH_LEQ", 0.0), weights("class", ids, values), more])
}

fn check_classes(attributes: Vec<AttributeProto>, labels: Tensor, scores: [f32; 4]) {
    ml("TreeEnsembleClassifier", attributes)
        .gives_all(tensor(&[2, 1], &[-1.0f32, 1.0]), vec![labels, tensor(&[2, 2], &scores)]);
}

#[test]
fn a_single_column_of_probabilities_speaks_for_the_second_class() {
    let labels = vec![ints("classlabels_int64s", &[70, 71])];
    check_classes(classifier([0, 0], [0.25, 0.75], labels), ints_in(&[2], &[70, 71]), [0.75, 0.25, 0.25, 0.75]);
}

#[test]
fn a_single_column_with_negative_scores_is_decided_by_its_sign() {
    let quarter = -(3.0f32.ln());
    let more = || vec![strings("classlabels_strings", &["no", "yes"]), string("post_transform", "LOGISTIC")];
    check_classes(
        classifier([0, 0], [quarter, -quarter], more()),
        strings_in(&[2], &["no", "yes"]),
        [0.75, 0.25, 0.25, 0.75],
    );
    // A base value moves the score, not the threshold.
    let moved = [more(), vec![floats("base_values", &[-quarter])]].concat();
    let tenth = 1.0f32 / 10.0;
    check_classes(
        classifier([0, 0], [quarter, -quarter], moved),
        strings_in(&[2], &["no", "yes"]),
        [0.5, 0.5, tenth, 1.0 - tenth],
    );
}

#[test]
fn with_a_score_for_each_class_the_largest_wins() {
    let labels = vec![ints("classlabels_int64s", &[7, 8, 9])];
    ml("TreeEnsembleClassifier", classifier([2, 1], [0.5, 0.25], labels)).gives_all(
        tensor(&[2, 1], &[-1.0f32, 1.0]),
        vec![ints_in(&[2], &[9, 8]), tensor(&[2, 3], &[0.0f32, 0.0, 0.5, 0.0, 0.25, 0.0])],
    );
}

/// Replaces the attribute of the same name.
fn with(mut attributes: Vec<AttributeProto>, changed: AttributeProto) -> Vec<AttributeProto> {
    attributes.retain(|attribute| attribute.name != changed.name);
    attributes.push(changed);
    attributes
}

fn check_malformed(changed: AttributeProto, reason: &str) {
    let attributes = with(yes_or_no("BRANCH_LEQ", 0.0, vec![]), changed);
    ml("TreeEnsembleRegressor", attributes).refuses(tensor(&[1, 1], &[0.0f32]), reason);
}

#[test]
fn malformed_trees_are_refused() {
    check_malformed(ints("nodes_truenodeids", &[0, 0, 0]), "cannot be reached");
    check_malformed(ints("nodes_truenodeids", &[9, 0, 0]), "a child that does not exist");
    check_malformed(ints("nodes_truenodeids", &[2, 0, 0]), "cannot be reached");
    check_malformed(ints("nodes_nodeids", &[0, 1, 1]), "is there twice");
    check_malformed(ints("nodes_featureids", &[1, 0, 0]), "trees ask for column 1, there are 1");
    check_malformed(ints("nodes_featureids", &[-1, 0, 0]), "a feature is out of bounds");
    check_malformed(ints("nodes_featureids", &[0, 0]), "differ in length");
    check_malformed(ints("target_ids", &[0, 1]), "target 1 of 1");
    check_malformed(ints("target_nodeids", &[1, 5]), "a node that does not exist");
    check_malformed(strings("nodes_modes", &["BRANCH_ODD", "LEAF", "LEAF"]), "is unknown");
    check_malformed(floats("base_values", &[0.0, 0.0]), "one value for each target");
    check_malformed(float("base_values", 0.0), "base_values");
}

#[test]
fn a_class_that_does_not_exist_is_refused() {
    let labels = vec![ints("classlabels_int64s", &[7, 8])];
    ml("TreeEnsembleClassifier", classifier([0, 2], [1.0, 1.0], labels))
        .refuses(tensor(&[1, 1], &[0.0f32]), "a class that does not exist");
}

fn check_repeated_weights(op_type: &'static str, kind: &str, more: AttributeProto, expected: Tensor) {
    let repeated = vec![
        ints(&format!("{kind}_treeids"), &[0; 4]),
        ints(&format!("{kind}_nodeids"), &[1, 2, 1, 1]),
        ints(&format!("{kind}_ids"), &[0; 4]),
        floats(&format!("{kind}_weights"), &[5.0, 1.0, 7.0, 9.0]),
    ];
    let attributes = joined([stump("BRANCH_LEQ", 0.0), repeated, vec![more]]);
    ml(op_type, attributes).gives(tensor(&[2, 1], &[0.0f32, 1.0]), expected);
}

#[test]
fn of_several_weights_of_a_leaf_the_first_counts_where_there_is_one_target() {
    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"] {
        let more = string("aggregate_function", aggregate);
        check_repeated_weights("TreeEnsembleRegressor", "target", more, tensor(&[2, 1], &[5.0f32, 1.0]));
    }
    let two = tensor(&[2, 2], &[21.0f32, 0.0, 1.0, 0.0]);
    check_repeated_weights("TreeEnsembleRegressor", "target", int("n_targets", 2), two);
}

/// A forest of `trees` leaves, of which the second half says the contrary of the first: a tie on every row.
fn divided(trees: i64, shares: [f64; 2]) -> Vec<AttributeProto> {
    let [one, other] = shares.map(|share| (share / trees as f64) as f32);
    let each = |of: &dyn Fn(i64) -> Vec<i64>| (0..trees).flat_map(of).collect::<Vec<i64>>();
    let all = (0..trees).map(|tree| if 2 * tree < trees { [one, other] } else { [other, one] });
    vec![
        ints("nodes_treeids", &each(&|tree| vec![tree])),
        ints("nodes_nodeids", &each(&|_| vec![0])),
        ints("nodes_featureids", &each(&|_| vec![0])),
        strings("nodes_modes", &vec!["LEAF"; trees as usize]),
        floats("nodes_values", &vec![0.0; trees as usize]),
        ints("nodes_truenodeids", &each(&|_| vec![0])),
        ints("nodes_falsenodeids", &each(&|_| vec![0])),
        ints("class_treeids", &each(&|tree| vec![tree, tree])),
        ints("class_nodeids", &each(&|_| vec![0, 0])),
        ints("class_ids", &each(&|_| vec![0, 1])),
        floats("class_weights", &all.flatten().collect::<Vec<f32>>()),
        ints("classlabels_int64s", &[70, 71, 72]),
    ]
}

#[test]
fn a_tie_of_many_trees_goes_to_the_first_class() {
    for (trees, shares) in [(20, [0.8, 0.2]), (50, [0.2, 0.8])] {
        let tie = vec![ints_in(&[1], &[70]), tensor(&[1, 3], &[0.5f32, 0.5, 0.0])];
        ml("TreeEnsembleClassifier", divided(trees, shares)).gives_all(tensor(&[1, 1], &[0.0f32]), tie);
    }
}

/// Chains of equalities that share their leaves, as exporters write categorical splits.
#[test]
fn nodes_may_have_several_parents() {
    let attributes = vec![
        ints("nodes_treeids", &[0; 4]),
        ints("nodes_nodeids", &[0, 1, 2, 3]),
        ints("nodes_featureids", &[0; 4]),
        strings("nodes_modes", &["BRANCH_EQ", "BRANCH_EQ", "LEAF", "LEAF"]),
        floats("nodes_values", &[1.0, 4.0, 0.0, 0.0]),
        ints("nodes_truenodeids", &[2, 2, 0, 0]),
        ints("nodes_falsenodeids", &[1, 3, 0, 0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[2, 3]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[1.0, -1.0]),
    ];
    ml("TreeEnsembleRegressor", attributes)
        .gives(tensor(&[5, 1], &[1.0f32, 2.0, 4.0, 5.0, NAN]), tensor(&[5, 1], &[1.0f32, -1.0, 1.0, -1.0, -1.0]));
}

#[test]
fn a_target_that_no_leaf_speaks_of_has_no_base_value() {
    let check = |ids, expected: [f32; 4]| {
        let more = vec![int("n_targets", 2), floats("base_values", &[10.0, 20.0])];
        let attributes = joined([stump("BRANCH_LEQ", 0.0), weights("target", ids, [1.0, 2.0]), more]);
        ml("TreeEnsembleRegressor", attributes).gives(tensor(&[2, 1], &[-1.0f32, 1.0]), tensor(&[2, 2], &expected));
    };
    check([0, 0], [11.0, 0.0, 12.0, 0.0]);
    check([0, 1], [11.0, 0.0, 0.0, 22.0]);
}

fn check_two_classes(base: Option<&[f32]>, values: [f32; 4], labels: [i64; 2], scores: [f32; 4]) {
    let weights = vec![
        ints("class_treeids", &[0; 4]),
        ints("class_nodeids", &[1, 1, 2, 2]),
        ints("class_ids", &[0, 1, 0, 1]),
        floats("class_weights", &values),
        ints("classlabels_int64s", &[70, 71]),
    ];
    let base = base.map(|base| floats("base_values", base)).into_iter().collect();
    check_classes(joined([stump("BRANCH_LEQ", 0.0), weights, base]), ints_in(&[2], &labels), scores);
}

#[test]
fn of_two_scores_the_sign_of_the_second_decides_or_with_two_base_values_that_of_the_first() {
    let values = [2.0, 1.0, -1.0, -2.0];
    check_two_classes(None, values, [71, 70], values);
    check_two_classes(Some(&[0.5]), values, [71, 70], [2.5, 1.0, -0.5, -2.0]);
    check_two_classes(Some(&[7.0, 0.5]), [0.25, 0.5, -1.0, 3.0], [71, 70], [-0.75, 0.75, 0.5, -0.5]);
}

#[test]
fn an_output_may_be_left_out() {
    let labels = vec![ints("classlabels_int64s", &[70, 71])];
    let attributes = classifier([0, 0], [0.25, 0.75], labels);
    let got = crate::testing::ModelBuilder::default()
        .input("x", Element::F32, &[-1, 1])
        .output("p", Element::F32)
        .node("ai.onnx.ml", "TreeEnsembleClassifier", &["x"], &["", "p"], attributes)
        .run(1, vec![tensor(&[1, 1], &[1.0f32])]);
    let got: Vec<Tensor> = got.unwrap_or_else(|error: Error| panic!("{error}"));
    assert_close(&got[0], &tensor(&[1, 2], &[0.25f32, 0.75]));
}

#[test]
fn more_targets_or_features_than_any_model_has_are_refused() {
    let refused = |attributes, reason| {
        ml("TreeEnsembleRegressor", attributes).refuses(tensor(&[1, 1], &[1.0f32]), reason);
    };
    refused(yes_or_no("BRANCH_LEQ", 2.0, vec![int("n_targets", 1 << 40)]), "no more than a million");
    let mut attributes = yes_or_no("BRANCH_LEQ", 2.0, vec![]);
    attributes.iter_mut().filter(|it| it.name == "nodes_featureids").for_each(|it| it.ints[0] = 1 << 30);
    refused(attributes, "a feature is out of bounds");
}
