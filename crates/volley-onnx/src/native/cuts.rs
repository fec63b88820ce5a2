//! Questions that one comparison cannot ask, as a few comparisons: sets of categories, and ranges around zero.

use crate::trees::{Comparison, Ranges, Split, TreeNode};

/// The line of numbers, cut into stretches that say yes or no by turns.
#[derive(Debug)]
pub(super) struct Cuts {
    /// The first number of each stretch but the first, ascending.
    starts: Vec<f64>,
    first_is_yes: bool,
    missing_is_yes: bool,
}

/// The children of a node, by their places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Children {
    pub(super) yes: usize,
    pub(super) no: usize,
}

impl Cuts {
    /// `says_yes` is asked of negative infinity and of each candidate; between candidates it must not change its answer.
    pub(super) fn new(mut candidates: Vec<f64>, missing_is_yes: bool, says_yes: impl Fn(f64) -> bool) -> Cuts {
        candidates.sort_by(f64::total_cmp);
        let first_is_yes = says_yes(f64::NEG_INFINITY);
        let mut last = first_is_yes;
        candidates.retain(|&start| {
            let turns = says_yes(start) != last;
            last ^= turns;
            turns
        });
        Cuts { starts: candidates, first_is_yes, missing_is_yes }
    }

    /// How many nodes the question takes.
    pub(super) fn nodes(&self) -> usize {
        self.starts.len().max(1)
    }

    /// Lays the question at `at`, its further nodes behind the others: a search by halves. Children that are asked
    /// for from several places are shared.
    pub(super) fn lay(&self, nodes: &mut Vec<TreeNode>, at: usize, feature: u32, children: Children) {
        if self.starts.is_empty() {
            nodes[at] = self.constant(feature, children);
            return;
        }
        let mut open = vec![(at, 0..self.starts.len())];
        while let Some((at, range)) = open.pop() {
            let middle = range.start + range.len() / 2;
            let mut side = |range: std::ops::Range<usize>, stretch: usize| {
                if range.is_empty() {
                    return if self.is_yes(stretch) { children.yes } else { children.no };
                }
                nodes.push(TreeNode::Leaf);
                open.push((nodes.len() - 1, range));
                nodes.len() - 1
            };
            let yes = side(range.start..middle, middle);
            let no = side(middle + 1..range.end, middle + 1);
            // Among several stretches both answers are there; one alone must be the missing values' own.
            let missing_is_yes = middle > range.start || self.is_yes(middle) == self.missing_is_yes;
            let threshold = self.starts[middle];
            let comparison = Comparison::Less;
            nodes[at] = TreeNode::Split(Split { feature, comparison, threshold, missing_is_yes, yes, no });
        }
    }

    /// What is laid, as one question; `None` if it is no search.
    pub(super) fn search(&self, feature: u32, children: Children) -> Option<Ranges> {
        let (first_is_yes, missing_is_yes) = (self.first_is_yes, self.missing_is_yes);
        let Children { yes, no } = children;
        let starts = self.starts.clone();
        (!starts.is_empty()).then_some(Ranges { feature, starts, first_is_yes, missing_is_yes, yes, no })
    }

    /// All numbers say the same, and missing values perhaps something else.
    fn constant(&self, feature: u32, children: Children) -> TreeNode {
        let (yes, no) = if self.first_is_yes { (children.yes, children.no) } else { (children.no, children.yes) };
        let missing_is_yes = self.first_is_yes == self.missing_is_yes;
        let (comparison, threshold) = (Comparison::LessOrEqual, f64::INFINITY);
        TreeNode::Split(Split { feature, comparison, threshold, missing_is_yes, yes, no })
    }

    /// What the stretch says that ends before cut `at`.
    fn is_yes(&self, at: usize) -> bool {
        self.first_is_yes ^ (at % 2 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::{Aggregate, Description, Ensemble, Weight};

    /// The answers of a tree that asks one question: 1 for yes.
    fn answers(cuts: &Cuts, values: &[f64]) -> Vec<f64> {
        let mut nodes = vec![TreeNode::Leaf; 3];
        let children = Children { yes: 1, no: 2 };
        cuts.lay(&mut nodes, 0, 0, children);
        assert_eq!(nodes.len(), 2 + cuts.nodes());
        let weights = vec![Weight { tree: 0, node: 1, target: 0, value: 1.0 }];
        let mut description = Description { trees: vec![nodes], weights, targets: 1, ..Description::default() };
        let answers = |description: &Description| {
            let ensemble = Ensemble::new(description, Aggregate::Sum).expect("a tree");
            let mut said = vec![];
            ensemble.score_doubles(values, 1, |_, scores, _| said.push(scores[0]));
            said
        };
        let by_nodes = answers(&description);
        description.searches.extend(cuts.search(0, children).map(|search| ((0, 0), search)));
        assert_eq!(answers(&description), by_nodes, "{cuts:?}");
        by_nodes
    }

    fn check(candidates: &[f64], says_yes: impl Fn(f64) -> bool) {
        let values: Vec<f64> =
            (-30..60).map(|half| f64::from(half) / 2.0).chain([f64::NEG_INFINITY, f64::INFINITY]).collect();
        for missing in [true, false] {
            let cuts = Cuts::new(candidates.to_vec(), missing, &says_yes);
            let expected: Vec<f64> = values.iter().map(|&value| f64::from(says_yes(value))).collect();
            assert_eq!(answers(&cuts, &values), expected, "{cuts:?}");
            // A missing value changes how the rows beside it are walked.
            assert_eq!(answers(&cuts, &[f64::NAN, values[0]]), [f64::from(missing), expected[0]], "{cuts:?}");
        }
    }

    #[test]
    fn every_number_and_the_missing_one_get_their_answer() {
        check(&[], |_| true);
        check(&[], |_| false);
        check(&[3.0], |value| value < 3.0);
        check(&[3.0, 3.0], |value| value >= 3.0);
        check(&[8.0, 2.0, 5.0], |value| (2.0..5.0).contains(&value) || value >= 8.0);
        for set in [0b1u32, 0b1011, 0b10_0000, 0b1111_0000, 0b1010_1010_1010_1011] {
            let edges: Vec<f64> = (0..=16).map(f64::from).collect();
            check(&edges, |value| (0.0..16.0).contains(&value) && set >> value as u32 & 1 == 1);
        }
    }
}
