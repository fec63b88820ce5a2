//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: their attributes, and what they make of
//! the trees' scores.

mod attributes;
mod by_columns;
mod classes;
mod version_five;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, labels, refuse, row_dim, rows_and_columns, singles, values};
use super::{Built, Kernel, PostTransform, Signature, kernel};
use crate::direct::{Builder, Cells, Given};
use crate::port::ClassLabels;
use crate::trees::{Aggregate, Ensemble, Real};
use attributes::Attributes;
use classes::Classes;

pub(super) use version_five::build as build_version_five;

pub(super) fn build_regressor(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes { ctx, node };
    let targets = node.get_attr_opt::<usize>("n_targets")?.unwrap_or(1);
    node.expect(targets > 0, "at least one target")?;
    let aggregate = match node.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        _ => return node.bail_attr("aggregate_function", "is unknown"),
    };
    let base = attributes.reals("base_values")?;
    let base = match base.len() {
        0 => vec![0.0; targets],
        len if len == targets => base,
        _ => return node.bail_attr("base_values", "must hold one value for each target"),
    };
    let mut description = attributes.description("target", targets)?;
    if targets == 1 {
        // As ONNX Runtime does; exporters of leaf numbers write a leaf's weight several times.
        description.keep_first_weights();
    }
    let ensemble = Ensemble::new(&description, aggregate)?;
    kernel(node, 1..=1, Regressor { ensemble, base, transform: PostTransform::read(node)? })
}

#[derive(Debug)]
struct Regressor {
    ensemble: Ensemble,
    base: Vec<f64>,
    transform: PostTransform,
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "TreeEnsembleRegressor"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let rows = rows(&self.ensemble, &inputs[0])?;
        Ok(vec![Signature::new(DatumType::F32, [rows, self.ensemble.targets().to_dim()])])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        Some(vec![Cells::Singles(by_columns::columns(self, &inputs[0], build)?.1)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let targets = self.ensemble.targets();
        let mut out = vec![0.0f32; rows * targets];
        score(&self.ensemble, inputs[0], &mut |row, scores| self.finish(scores, &mut out[row * targets..][..targets]))?;
        Ok(vec![crate::tensor_from(&[rows, targets], out)])
    }
}

impl Regressor {
    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) {
        match scores {
            Scores::Single(scores, spoken) => add_base(scores, spoken, &self.base, out),
            Scores::Double(scores, spoken) => add_base(scores, spoken, &self.base, out),
        }
        self.transform.apply(out);
    }
}

/// Of several targets, one that no leaf of the row speaks of is zero: ONNX Runtime leaves its base value out.
fn add_base<T: Real>(scores: &[T], spoken: &[bool], base: &[f64], out: &mut [f32]) {
    let is_alone = base.len() == 1;
    for (((out, &score), &spoken), &base) in out.iter_mut().zip(scores).zip(spoken).zip(base) {
        let mut score = score;
        if spoken || is_alone {
            score += T::of(base);
        }
        *out = score.single();
    }
}

pub(super) fn build_classifier(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes { ctx, node };
    let Some(labels) = labels(node, "classlabels_int64s", "classlabels_strings")? else {
        return node.bail("no class labels are given");
    };
    let base = attributes.reals("base_values")?;
    let mut description = attributes.description("class", labels.len())?;
    let classes = Classes::new(&mut description, base, PostTransform::read(node)?).or_else(|why| node.bail(why))?;
    let ensemble = Ensemble::new(&description, Aggregate::Sum)?;
    kernel(node, 1..=1, Classifier { ensemble, classes, labels })
}

#[derive(Debug)]
struct Classifier {
    ensemble: Ensemble,
    classes: Classes,
    labels: ClassLabels,
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let rows = rows(&self.ensemble, &inputs[0])?;
        Ok(vec![
            Signature::new(self.labels.element(), [rows.clone()]),
            Signature::new(DatumType::F32, [rows, self.labels.len().to_dim()]),
        ])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let (winners, scores) = by_columns::columns(self.clone(), &inputs[0], build)?;
        Some(vec![self.labels.columns(winners, build), Cells::Singles(scores)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let count = self.labels.len();
        let mut winners = vec![0u32; rows];
        let mut out = vec![0.0f32; rows * count];
        score(&self.ensemble, inputs[0], &mut |row, scores| {
            winners[row] = self.finish(scores, &mut out[row * count..][..count]);
        })?;
        Ok(vec![self.labels.tensor(&winners), crate::tensor_from(&[rows, count], out)])
    }
}

impl Classifier {
    /// The place of a row's class; its scores go into `out`.
    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) -> u32 {
        match scores {
            Scores::Single(scores, spoken) => self.classes.decide(scores, spoken, out),
            Scores::Double(scores, spoken) => self.classes.decide(scores, spoken, out),
        }
    }
}

/// The dimension of rows, if trees can be walked with the input.
fn rows(ensemble: &Ensemble, input: &Signature) -> TractResult<TDim> {
    ensure_numeric(input)?;
    if let Some(Ok(columns)) = input.shape.last().map(TDim::to_usize)
        && columns < ensemble.columns_min()
    {
        bail!("trees ask for column {}, there are {columns}", ensemble.columns_min() - 1);
    }
    row_dim(input)
}

/// A row's scores and the targets that were spoken of, in the precision of the input.
enum Scores<'s> {
    Single(&'s mut [f32], &'s [bool]),
    Double(&'s mut [f64], &'s [bool]),
}

/// Scores each row of a matrix; integers are compared as singles, as in ONNX Runtime.
fn score(ensemble: &Ensemble, input: &Tensor, each: &mut dyn FnMut(usize, Scores<'_>)) -> TractResult<()> {
    let (rows, columns) = rows_and_columns(input)?;
    if columns < ensemble.columns_min().max(1) {
        return refuse(format!("trees need {} columns, there are {columns}", ensemble.columns_min()));
    }
    if rows == 0 {
        return Ok(());
    }
    if input.datum_type() != DatumType::F64 && ensemble.is_single_precision() {
        let each = |row: usize, scores: &mut [f32], spoken: &[bool]| {
            each(row, Scores::Single(scores, spoken));
        };
        let scored = ensemble.score_singles(&singles(input)?, columns, each);
        return scored.context("a single precision ensemble scores singles");
    }
    let doubles = input.cast_to::<f64>()?;
    ensemble.score_doubles(values::<f64>(&doubles)?, columns, |row, scores, spoken| {
        each(row, Scores::Double(scores, spoken));
    });
    Ok(())
}

#[cfg(test)]
mod tests {
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
}
