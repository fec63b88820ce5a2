//! Ensembles of decision trees, at full speed.
//!
//! [`Description`] is what a model file says, checked; [`Ensemble`] is what is walked. They know
//! nothing of ONNX attributes beyond the six comparisons, so that other model formats can be read
//! into them.

mod description;
mod forest;
mod layout;
mod membership;
mod real;
mod walk;

use std::sync::OnceLock;

pub(crate) use description::{Comparison, Description, Split, TreeNode, Weight};
pub(crate) use forest::Aggregate;
pub(crate) use membership::Membership;
pub(crate) use real::Real;

use forest::Forest;

/// Why a tree cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

/// Trees that are ready to score rows of single or double precision.
#[derive(Debug)]
pub(crate) struct Ensemble {
    precision: Precision,
    targets: usize,
    columns_min: usize,
}

#[derive(Debug)]
enum Precision {
    /// Thresholds are singles; the forest for doubles is made when the first double comes.
    Single(Forest<f32>, OnceLock<Forest<f64>>),
    /// Thresholds are doubles that no single can hold.
    Double(Forest<f64>),
}

impl Ensemble {
    /// Checks and lays out the trees.
    pub(crate) fn new(description: &Description, aggregate: Aggregate) -> Result<Self, Malformed> {
        let precision = if description.is_single_precision() {
            Precision::Single(Forest::new(description, aggregate)?, OnceLock::new())
        } else {
            Precision::Double(Forest::new(description, aggregate)?)
        };
        let columns_min = description.columns_min();
        Ok(Ensemble { precision, targets: description.targets, columns_min })
    }

    /// Numbers in a row's score.
    pub(crate) fn targets(&self) -> usize {
        self.targets
    }

    /// The least number of columns in which all features are found.
    pub(crate) fn columns_min(&self) -> usize {
        self.columns_min
    }

    /// Whether rows of singles need no conversion.
    pub(crate) fn is_single_precision(&self) -> bool {
        matches!(self.precision, Precision::Single(..))
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
        match &self.precision {
            Precision::Single(forest, _) => forest.score(rows, columns, each),
            Precision::Double(_) => return None,
        }
        Some(())
    }

    /// Scores rows of doubles, compared as doubles.
    pub(crate) fn score_doubles(&self, rows: &[f64], columns: usize, each: impl FnMut(usize, &mut [f64], &[bool])) {
        let forest = match &self.precision {
            Precision::Single(single, double) => double.get_or_init(|| single.widened()),
            Precision::Double(forest) => forest,
        };
        forest.score(rows, columns, each);
    }
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
        Description { trees, weights, targets: 1 }
    }

    #[test]
    fn rows_in_lockstep_end_where_each_would_alone() {
        let mut dice = Dice(7);
        for depth in [0, 1, 3, 12] {
            let trees: Vec<Vec<TreeNode>> = (0..20).map(|_| dice.tree(depth)).collect();
            let rows: Vec<f32> = (0..3 * 150).map(|_| dice.value()).collect();
            let description = description(trees);
            let ensemble = Ensemble::new(&description, Aggregate::Sum).expect("sound trees");
            let doubles: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
            let expected: Vec<f64> = doubles
                .chunks_exact(3)
                .map(|row| {
                    let leaves = description.trees.iter().map(|tree| leaf(tree, row)).enumerate();
                    leaves.map(|(tree, node)| (tree * 1000 + node) as f64).sum()
                })
                .collect();
            let (mut singly, mut doubly) = (vec![], vec![]);
            ensemble.score_singles(&rows, 3, |_, scores, _| singly.push(f64::from(scores[0])));
            ensemble.score_doubles(&doubles, 3, |_, scores, _| doubly.push(scores[0]));
            assert_eq!(singly, expected, "depth {depth}");
            assert_eq!(doubly, expected, "depth {depth}, doubles");
        }
    }
}
