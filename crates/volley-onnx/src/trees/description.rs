//! What a model file says of its trees, in our words.

use std::collections::{HashMap, HashSet};

use super::Malformed;

/// Trees as a model file describes them.
#[derive(Debug, Default)]
pub(crate) struct Description {
    /// Each tree's nodes; a child is named by its place in its tree.
    pub(crate) trees: Vec<Vec<TreeNode>>,
    /// By tree and node, what some nodes ask together with those behind them: a search that begins there.
    pub(crate) searches: HashMap<(usize, usize), Ranges>,
    /// What leaves add, in any order.
    pub(crate) weights: Vec<Weight>,
    /// Numbers in a row's score.
    pub(crate) targets: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum TreeNode {
    Leaf,
    Split(Split),
}

/// A question to one column of the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Split {
    pub(crate) feature: u32,
    pub(crate) comparison: Comparison,
    pub(crate) threshold: f64,
    /// Where a missing value goes: as if the answer were yes, or by comparing NaN.
    pub(crate) missing_is_yes: bool,
    pub(crate) yes: usize,
    pub(crate) no: usize,
}

/// Whether a column lies in one of some ranges, and what follows.
#[derive(Debug, Clone)]
pub(crate) struct Ranges {
    pub(crate) feature: u32,
    /// Where the answer turns: the first number of each stretch but the first, ascending.
    pub(crate) starts: Vec<f64>,
    pub(crate) first_is_yes: bool,
    pub(crate) missing_is_yes: bool,
    pub(crate) yes: usize,
    pub(crate) no: usize,
}

/// `value <comparison> threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

/// A leaf's contribution to one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) tree: usize,
    pub(crate) node: usize,
    pub(crate) target: usize,
    pub(crate) value: f64,
}

impl Description {
    /// Drops all but the first weight of each leaf.
    pub(crate) fn keep_first_weights(&mut self) {
        let mut seen = HashSet::with_capacity(self.weights.len());
        self.weights.retain(|weight| seen.insert((weight.tree, weight.node)));
    }

    /// Whether every threshold and weight is a single.
    pub(super) fn is_single_precision(&self) -> bool {
        let fits = |value: f64| value.is_nan() || f64::from(value as f32) == value;
        self.splits().all(|split| fits(split.threshold)) && self.weights.iter().all(|weight| fits(weight.value))
    }

    pub(super) fn columns_min(&self) -> usize {
        self.splits().map(|split| split.feature as usize + 1).max().unwrap_or(0)
    }

    /// The features that trees ask for, each as often as they do.
    pub(super) fn features(&self) -> impl Iterator<Item = usize> {
        self.splits().map(|split| split.feature as usize)
    }

    fn splits(&self) -> impl Iterator<Item = &Split> {
        self.trees.iter().flatten().filter_map(|node| match node {
            TreeNode::Split(split) => Some(split),
            TreeNode::Leaf => None,
        })
    }

    /// The weights that count, sorted by leaf; those of inner nodes are ignored, as in ONNX
    /// Runtime. An error if one is for a leaf or a target that does not exist.
    pub(super) fn leaf_weights(&self) -> Result<Vec<Weight>, Malformed> {
        let mut weights = Vec::with_capacity(self.weights.len());
        for weight in &self.weights {
            let node = self.trees.get(weight.tree).and_then(|tree| tree.get(weight.node));
            match node {
                None => {
                    return Err(Malformed("a weight is for a node that does not exist".into()));
                }
                Some(_) if weight.target >= self.targets => {
                    let (target, targets) = (weight.target, self.targets);
                    return Err(Malformed(format!("a weight is for target {target} of {targets}")));
                }
                Some(TreeNode::Leaf) => weights.push(*weight),
                Some(TreeNode::Split(_)) => {}
            }
        }
        // Stable: weights of one leaf and target are added in the order of the file.
        weights.sort_by_key(|weight| (weight.tree, weight.node));
        Ok(weights)
    }
}
