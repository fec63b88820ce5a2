//! Ensembles of decision trees, at full speed.
//!
//! [`Description`] is what a model file says, checked; [`Ensemble`] is what is walked. They know
//! nothing of ONNX attributes beyond the six comparisons, so that other model formats can be read
//! into them.

mod below;
mod columns;
mod complete;
mod cuts;
mod description;
mod entry;
mod forest;
mod lanes;
mod layout;
mod membership;
mod question;
mod ranked;
mod ranked_forest;
mod real;
mod said;
mod scan;
mod walk;

use std::sync::OnceLock;

pub(crate) use description::{Comparison, Description, Ranges, Split, TreeNode, Weight};
pub(crate) use forest::Aggregate;
pub(crate) use membership::Membership;
pub(crate) use real::Real;

use forest::{Forest, Leaves};
use lanes::Choice;
use ranked_forest::{RankedForest, Rulers};

/// Why a tree cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

/// Far more features than any table has.
const FEATURES_MAX: usize = 1 << 24;

/// Trees that are ready to score rows of single or double precision.
#[derive(Debug)]
pub(crate) struct Ensemble {
    form: Form,
    targets: usize,
    /// By feature: whether any tree asks for it.
    asked: Vec<bool>,
}

#[derive(Debug)]
enum Form {
    /// Thresholds are ranked, which they are if there are not too many of them. Rows of singles have a ruler if all
    /// thresholds are singles; that for doubles is made when the first double comes.
    Ranked { forest: RankedForest, singles: Option<Rulers<f32>>, doubles: OnceLock<Rulers<f64>> },
    /// Thresholds are singles; the forest for doubles is made when the first double comes.
    Single(Forest<f32>, OnceLock<Forest<f64>>),
    /// Thresholds are doubles that no single can hold.
    Double(Forest<f64>),
}

impl Ensemble {
    /// Checks and lays out the trees.
    pub(crate) fn new(description: &Description, aggregate: Aggregate) -> Result<Self, Malformed> {
        if description.columns_min() > FEATURES_MAX {
            return Err(Malformed("a feature is out of bounds".into()));
        }
        let form = match ranked(description, aggregate, Choice::detect())? {
            Some(ranked) => ranked,
            None => walked(description, aggregate)?,
        };
        Ok(Ensemble::of(description, form))
    }

    fn of(description: &Description, form: Form) -> Ensemble {
        let mut asked = vec![false; description.columns_min()];
        description.features().for_each(|feature| asked[feature] = true);
        Ensemble { form, targets: description.targets, asked }
    }

    /// Numbers in a row's score.
    pub(crate) fn targets(&self) -> usize {
        self.targets
    }

    /// The least number of columns in which all features are found.
    pub(crate) fn columns_min(&self) -> usize {
        self.asked.len()
    }

    /// Whether any tree asks for a feature.
    pub(crate) fn asks(&self, feature: usize) -> bool {
        self.asked.get(feature).is_some_and(|&asked| asked)
    }

    /// Whether rows of singles need no conversion.
    pub(crate) fn is_single_precision(&self) -> bool {
        matches!(self.form, Form::Ranked { singles: Some(_), .. } | Form::Single(..))
    }

    /// Scores rows of singles, if [`Ensemble::is_single_precision`]. `columns` is the length of a
    /// row; `each` is called with the number of every row, in order, its scores, and which targets
    /// any leaf spoke of.
    pub(crate) fn score_singles(
        &self,
        rows: &[f32],
        columns: usize,
        each: impl FnMut(usize, &mut [f32], &[bool]),
    ) -> Option<()> {
        match &self.form {
            Form::Ranked { forest, singles: Some(rulers), .. } => {
                forest.score(rulers, rows.len() / columns, by_row(rows, columns), each);
            }
            Form::Single(forest, _) => forest.score(rows, columns, each),
            Form::Ranked { singles: None, .. } | Form::Double(_) => return None,
        }
        Some(())
    }

    /// Scores rows of doubles, compared as doubles.
    pub(crate) fn score_doubles(&self, rows: &[f64], columns: usize, each: impl FnMut(usize, &mut [f64], &[bool])) {
        match &self.form {
            Form::Ranked { forest, doubles, .. } => {
                let rulers = doubles.get_or_init(|| forest.rulers());
                forest.score(rulers, rows.len() / columns, by_row(rows, columns), each);
            }
            Form::Single(single, double) => double.get_or_init(|| single.widened()).score(rows, columns, each),
            Form::Double(forest) => forest.score(rows, columns, each),
        }
    }
}

impl Ensemble {
    /// [`Ensemble::score_singles`] of `rows` rows, of which `read` gives some values of a feature, from a row on.
    pub(crate) fn score_single_columns(
        &self,
        rows: usize,
        read: impl Fn(usize, usize, &mut [f32]),
        each: impl FnMut(usize, &mut [f32], &[bool]),
    ) -> Option<()> {
        match &self.form {
            Form::Ranked { forest, singles: Some(rulers), .. } => {
                forest.score(rulers, rows, read, each);
                Some(())
            }
            _ => self.score_singles(&self.rows(rows, read), self.asked.len().max(1), each),
        }
    }

    /// [`Ensemble::score_doubles`] of `rows` rows, of which `read` gives some values of a feature, from a row on.
    pub(crate) fn score_double_columns(
        &self,
        rows: usize,
        read: impl Fn(usize, usize, &mut [f64]),
        each: impl FnMut(usize, &mut [f64], &[bool]),
    ) {
        match &self.form {
            Form::Ranked { forest, doubles, .. } => {
                forest.score(doubles.get_or_init(|| forest.rulers()), rows, read, each);
            }
            _ => self.score_doubles(&self.rows(rows, read), self.asked.len().max(1), each),
        }
    }

    /// Rows one behind the other.
    fn rows<T: Real>(&self, rows: usize, read: impl Fn(usize, usize, &mut [T])) -> Vec<T> {
        let columns = self.asked.len().max(1);
        let mut matrix = vec![T::default(); rows * columns];
        let mut values = vec![T::default(); rows];
        for feature in (0..columns).filter(|&feature| self.asks(feature)) {
            read(feature, 0, &mut values);
            let places = matrix[feature..].iter_mut().step_by(columns);
            places.zip(&values).for_each(|(place, &value)| *place = value);
        }
        matrix
    }
}

/// Reads a feature of rows that lie one behind the other.
fn by_row<T: Copy>(rows: &[T], columns: usize) -> impl Fn(usize, usize, &mut [T]) {
    move |feature, first, values| {
        for (value, row) in values.iter_mut().zip(rows[first * columns..].chunks_exact(columns)) {
            *value = row[feature];
        }
    }
}

fn ranked(description: &Description, aggregate: Aggregate, lanes: Choice) -> Result<Option<Form>, Malformed> {
    let single = description.is_single_precision();
    let leaves = match single {
        true => Leaves::<f32>::new(description, aggregate)?.widened(),
        false => Leaves::new(description, aggregate)?,
    };
    let forest = RankedForest::new(description, aggregate, leaves, lanes)?;
    Ok(forest.map(|forest| {
        let singles = single.then(|| forest.rulers());
        Form::Ranked { forest, singles, doubles: OnceLock::new() }
    }))
}

fn walked(description: &Description, aggregate: Aggregate) -> Result<Form, Malformed> {
    Ok(match description.is_single_precision() {
        true => Form::Single(Forest::new(description, aggregate)?, OnceLock::new()),
        false => Form::Double(Forest::new(description, aggregate)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are always the same.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % bound
        }

        /// One of few values, so that equality is met often.
        fn value(&mut self) -> f32 {
            [f32::NEG_INFINITY, -1.5, -0.0, 0.0, 1.0, 1.5, f32::INFINITY, f32::NAN][self.below(8)]
        }

        fn comparison(&mut self) -> Comparison {
            use Comparison::*;
            [LessOrEqual, Less, GreaterOrEqual, Greater, Equal, NotEqual][self.below(6)]
        }

        fn tree(&mut self, depth: usize) -> Vec<TreeNode> {
            let mut nodes = vec![];
            self.grow(depth, &mut nodes);
            nodes
        }

        fn grow(&mut self, depth: usize, nodes: &mut Vec<TreeNode>) -> usize {
            let at = nodes.len();
            nodes.push(TreeNode::Leaf);
            if depth > 0 && self.below(8) > 0 {
                let (yes, no) = (self.grow(depth - 1, nodes), self.grow(depth - 1, nodes));
                nodes[at] = TreeNode::Split(Split {
                    feature: self.below(3) as u32,
                    comparison: self.comparison(),
                    threshold: f64::from(self.value()),
                    missing_is_yes: self.below(2) == 0,
                    yes,
                    no,
                });
            }
            at
        }
    }

    /// The plainest way down a tree.
    fn leaf(tree: &[TreeNode], row: &[f64]) -> usize {
        let mut at = 0;
        while let TreeNode::Split(split) = &tree[at] {
            let (value, threshold) = (row[split.feature as usize], split.threshold);
            let yes = match split.comparison {
                Comparison::LessOrEqual => value <= threshold,
                Comparison::Less => value < threshold,
                Comparison::GreaterOrEqual => value >= threshold,
                Comparison::Greater => value > threshold,
                Comparison::Equal => value == threshold,
                Comparison::NotEqual => value != threshold,
            };
            at = if yes || (value.is_nan() && split.missing_is_yes) { split.yes } else { split.no };
        }
        at
    }

    fn description(trees: Vec<Vec<TreeNode>>) -> Description {
        let weights = trees
            .iter()
            .enumerate()
            .flat_map(|(tree, nodes)| {
                (0..nodes.len()).map(move |node| Weight { tree, node, target: 0, value: (tree * 1000 + node) as f64 })
            })
            .collect();
        Description { trees, weights, targets: 1, ..Description::default() }
    }

    /// The description in all forms in which it is scored anywhere.
    fn forms(description: &Description, aggregate: Aggregate) -> Vec<Ensemble> {
        let ranked = Choice::all().into_iter().map(|lanes| ranked(description, aggregate, lanes));
        let ranked = ranked.map(|form| form.expect("sound trees").expect("few thresholds"));
        let walked = walked(description, aggregate).expect("sound trees");
        ranked.chain([walked]).map(|form| Ensemble::of(description, form)).collect()
    }

    fn check(description: &Description, rows: &[f32], columns: usize) {
        let doubles: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
        let expected: Vec<f64> = doubles
            .chunks_exact(columns)
            .map(|row| {
                let leaves = description.trees.iter().map(|tree| leaf(tree, row)).enumerate();
                leaves.map(|(tree, node)| (tree * 1000 + node) as f64).sum()
            })
            .collect();
        for ensemble in forms(description, Aggregate::Sum) {
            let (mut singly, mut doubly) = (vec![], vec![]);
            ensemble.score_singles(rows, columns, |_, scores, _| singly.push(scores[0]));
            ensemble.score_doubles(&doubles, columns, |_, scores, _| doubly.push(scores[0]));
            let wrong = |row: usize| singly[row] != expected[row] as f32 || doubly[row] != expected[row];
            assert_eq!((0..expected.len()).find(|&row| wrong(row)), None, "a row");
        }
    }

    #[test]
    fn rows_end_together_where_each_would_alone() {
        let mut dice = Dice(7);
        for depth in [0, 1, 2, 3, 4, 5, 6, 7, 12] {
            let trees: Vec<Vec<TreeNode>> = (0..20).map(|_| dice.tree(depth)).collect();
            let rows: Vec<f32> = (0..3 * 300).map(|_| dice.value()).collect();
            check(&description(trees), &rows, 3);
        }
    }

    /// A tree of `depth` levels of the questions that `ask` gives for a level and a place in it.
    fn complete(depth: usize, mut ask: impl FnMut(usize) -> Split) -> Vec<TreeNode> {
        let inner = (1 << depth) - 1;
        let node = |at: usize| match at < inner {
            true => TreeNode::Split(Split { yes: 2 * at + 1, no: 2 * at + 2, ..ask((at + 1).ilog2() as usize) }),
            false => TreeNode::Leaf,
        };
        (0..=2 * inner).map(node).collect()
    }

    #[test]
    fn a_tree_that_asks_the_same_on_all_paths_is_scored_like_any() {
        let mut dice = Dice(11);
        for depth in [1, 2, 6] {
            let mut question = || Split {
                feature: dice.below(3) as u32,
                comparison: dice.comparison(),
                threshold: f64::from(dice.value()),
                missing_is_yes: dice.below(2) == 0,
                yes: 0,
                no: 0,
            };
            let trees = (0..20).map(|_| {
                let questions: Vec<Split> = (0..depth).map(|_| question()).collect();
                complete(depth, |level| questions[level])
            });
            let trees = trees.collect();
            let rows: Vec<f32> = (0..3 * 300).map(|_| dice.value()).collect();
            check(&description(trees), &rows, 3);
        }
    }

    #[test]
    fn many_thresholds_are_told_apart() {
        let mut dice = Dice(13);
        let mut number = || dice.below(1 << 20) as f32 / 1024.0 - 300.0;
        let mut rows: Vec<f32> = (0..400).map(|_| number().powi(3)).collect();
        let thresholds: Vec<f32> = (0..3000).map(|_| number().powi(3)).collect();
        rows.extend(thresholds.iter().flat_map(|it| [*it, it.next_up(), it.next_down()]));
        let tree = |threshold: &f32| {
            complete(1, |_| Split {
                feature: 0,
                comparison: Comparison::LessOrEqual,
                threshold: f64::from(*threshold),
                missing_is_yes: false,
                yes: 0,
                no: 0,
            })
        };
        check(&description(thresholds.iter().map(tree).collect()), &rows, 1);
    }

    #[test]
    fn a_chain_of_equalities_is_one_of_several() {
        for missing_is_yes in [false, true] {
            let equal = |threshold: f64, no: usize| {
                let (comparison, feature) = (Comparison::Equal, 0);
                TreeNode::Split(Split { feature, comparison, threshold, missing_is_yes, yes: 4, no })
            };
            let tree = vec![equal(3.0, 1), equal(0.0, 2), equal(7.0, 3), TreeNode::Leaf, TreeNode::Leaf];
            let rows = [-0.0, 0.0, 0.5, 3.0, 3.000_000_2, 6.0, 7.0, 8.0, f32::INFINITY, f32::NAN];
            check(&description(vec![tree]), &rows, 1);
        }
    }

    #[test]
    fn sums_in_turn_are_those_of_singles() {
        let mut dice = Dice(23);
        let trees: Vec<Vec<TreeNode>> = (0..60).map(|_| dice.tree(5)).collect();
        let mut description = description(trees);
        for weight in &mut description.weights {
            weight.value = f64::from(0.1 + 1e-3 * weight.value as f32);
        }
        let rows: Vec<f32> = (0..3 * 300).map(|_| dice.value()).collect();
        let value = |tree: usize, node: usize| 0.1 + 1e-3 * (tree * 1000 + node) as f32;
        let leaves = |row: &[f32]| -> Vec<f32> {
            let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            description.trees.iter().enumerate().map(|(tree, nodes)| value(tree, leaf(nodes, &row))).collect()
        };
        let in_turn = |row: &[f32]| leaves(row).iter().fold(0.0f32, |sum, leaf| sum + leaf);
        let at_once = |row: &[f32]| leaves(row).iter().map(|&leaf| f64::from(leaf)).sum::<f64>() as f32;
        let expected: Vec<f32> = rows.chunks_exact(3).map(in_turn).collect();
        assert!(rows.chunks_exact(3).map(at_once).ne(expected.iter().copied()), "rounding shows");
        for ensemble in forms(&description, Aggregate::SumInTurn) {
            let mut scores = vec![];
            ensemble.score_singles(&rows, 3, |row, sums, _| scores.push((row, sums[0])));
            scores.sort_by_key(|it| it.0);
            assert!(scores.iter().map(|it| it.1).eq(expected.iter().copied()));
        }
    }

    #[test]
    fn leaves_with_a_weight_for_each_target_are_summed_for_each() {
        let mut dice = Dice(29);
        for (targets, depth) in [(2, 5), (3, 12), (4, 5), (5, 12)] {
            let trees: Vec<Vec<TreeNode>> = (0..9).map(|_| dice.tree(depth)).collect();
            let value = |tree: usize, node: usize, target: usize| (tree * 1000 + node + target * 7) as f64;
            let leaves =
                trees.iter().enumerate().flat_map(|(tree, nodes)| (0..nodes.len()).map(move |node| (tree, node)));
            let weights = leaves.flat_map(|(tree, node)| {
                (0..targets).map(move |target| Weight { tree, node, target, value: value(tree, node, target) })
            });
            let description = Description { weights: weights.collect(), trees, targets, ..Description::default() };
            let rows: Vec<f32> = (0..3 * 300).map(|_| dice.value()).collect();
            let expected = |row: &[f32]| -> Vec<f32> {
                let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
                let leaves: Vec<usize> = description.trees.iter().map(|tree| leaf(tree, &row)).collect();
                let sum = |target| (0..).zip(&leaves).map(|(tree, &node)| value(tree, node, target)).sum::<f64>();
                (0..targets).map(|target| sum(target) as f32).collect()
            };
            for ensemble in forms(&description, Aggregate::Sum) {
                let mut scores = vec![];
                ensemble.score_singles(&rows, 3, |_, sums, spoken| {
                    assert!(spoken.iter().all(|spoken| *spoken));
                    scores.push(sums.to_vec());
                });
                assert!(scores == rows.chunks_exact(3).map(expected).collect::<Vec<_>>(), "{targets} targets");
            }
        }
    }

    #[test]
    fn several_targets_are_summed_or_compared_for_themselves() {
        let mut dice = Dice(17);
        for aggregate in [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max] {
            let trees: Vec<Vec<TreeNode>> = (0..9).map(|_| dice.tree(8)).collect();
            let mut weights = vec![];
            for (tree, nodes) in trees.iter().enumerate() {
                for node in 0..nodes.len() {
                    let targets = if tree < 3 { vec![tree] } else { (0..dice.below(3)).collect() };
                    let weight = |target| Weight { tree, node, target, value: dice.below(64) as f64 };
                    weights.extend(targets.into_iter().map(weight));
                }
            }
            let description = Description { trees, weights, targets: 3, ..Description::default() };
            let rows: Vec<f32> = (0..3 * 300).map(|_| dice.value()).collect();
            let scores = forms(&description, aggregate).into_iter().map(|ensemble| {
                let mut all = vec![];
                ensemble.score_singles(&rows, 3, |row, scores, spoken| {
                    all.push((row, scores.to_vec(), spoken.to_vec()));
                });
                all
            });
            let mut scores: Vec<_> = scores.collect();
            let mut walked = scores.pop().expect("a form");
            if aggregate == Aggregate::Sum {
                assert!(walked.iter().any(|(_, scores, _)| scores[2] > 0.0));
            }
            walked.sort_by_key(|it| it.0);
            assert!(scores.iter().all(|ranked| *ranked == walked), "{aggregate:?}");
        }
    }
}
