//! The trees of a file on their way into our form, each node checked as it is reached from the root.

use super::cuts::{Children, Cuts};
use super::document::invalid;
use crate::error::Error;
use crate::limits::Limits;
use crate::trees::{Aggregate, Comparison, Description, Ensemble, Malformed, Split, TreeNode, Weight};

/// Sums that a model may have in a row.
const GROUPS_MAX: usize = 10_000;

/// A tree of a file. Nodes are named by their places in it; the root is 0.
pub(super) trait Source {
    /// How many nodes there are, leaves among them.
    fn len(&self) -> usize;
    /// What node `at` asks, or what it adds if it is a leaf.
    fn node(&self, at: usize) -> Result<Found, Error>;
}

pub(super) enum Found {
    Question { feature: usize, asked: Asked, children: Children },
    Leaf(Leaf),
}

pub(super) enum Asked {
    Comparison {
        comparison: Comparison,
        threshold: f64,
        missing_is_yes: bool,
    },
    Cuts(Cuts),
    /// Cuts between categories: they are many, and nodes that ask the same share what it costs.
    Set(Cuts),
}

/// What a leaf adds.
pub(super) enum Leaf {
    One {
        group: usize,
        value: f64,
    },
    /// To each group.
    All(Vec<f64>),
}

/// All trees so far.
#[derive(Debug)]
pub(super) struct Grove {
    description: Description,
    features: usize,
    nodes: usize,
    nodes_max: usize,
}

impl Grove {
    /// For trees of a file of `file_bytes`, which score `groups` sums from `features`.
    pub(super) fn new(groups: usize, features: usize, file_bytes: usize, limits: &Limits) -> Result<Grove, Error> {
        if groups == 0 {
            return Err(invalid("it scores nothing"));
        }
        if groups > GROUPS_MAX {
            return Err(Error::TooLarge { what: "number of classes or targets", size: groups, max: GROUPS_MAX });
        }
        // A set of categories may be named by many nodes, and takes a node for each of its ends: without a bound, a
        // small file could ask for any memory. An honest one has a few bytes for each.
        let nodes_max = (limits.constant_bytes_max / size_of::<TreeNode>()).min(1024 + 4 * file_bytes);
        let description = Description { targets: groups, ..Description::default() };
        Ok(Grove { description, features, nodes: 0, nodes_max })
    }

    /// A tree without a question, which adds `values` to the groups of every row.
    pub(super) fn add_base(&mut self, values: &[f64]) {
        let tree = self.description.trees.len();
        let weight = |(target, &value)| Weight { tree, node: 0, target, value };
        self.description.weights.extend(values.iter().enumerate().map(weight));
        self.description.trees.push(vec![TreeNode::Leaf]);
    }

    /// Adds a tree of the file, the `number`th.
    pub(super) fn add(&mut self, number: usize, source: &impl Source) -> Result<(), Error> {
        self.copy(source).map_err(|error| match error {
            Error::Invalid(why) => invalid(format!("tree {number} is malformed: {why}")),
            other => other,
        })
    }

    /// Only what the root leads to: XGBoost leaves pruned nodes in its files.
    fn copy(&mut self, source: &impl Source) -> Result<(), Error> {
        let tree = self.description.trees.len();
        let mut seen = vec![false; source.len()];
        let mut nodes = vec![TreeNode::Leaf];
        let mut open = vec![(0, 0)];
        while let Some((at, place)) = open.pop() {
            match seen.get_mut(at) {
                None => return Err(invalid(format!("a node has the child {at}, which does not exist"))),
                Some(true) => return Err(invalid(format!("node {at} has two parents, or is its own descendant"))),
                Some(seen) => *seen = true,
            }
            match source.node(at)? {
                Found::Leaf(leaf) => self.weigh(tree, place, &leaf),
                Found::Question { feature, asked, children } => {
                    let feature = self.check_feature(feature)?;
                    let laid = self.lay(&mut nodes, place, feature, &asked)?;
                    open.extend([(children.no, laid.no), (children.yes, laid.yes)]);
                }
            }
        }
        self.description.trees.push(nodes);
        Ok(())
    }

    /// Writes the question at `place`; its children get places behind.
    fn lay(&mut self, nodes: &mut Vec<TreeNode>, place: usize, feature: u32, asked: &Asked) -> Result<Children, Error> {
        let children = Children { yes: nodes.len(), no: nodes.len() + 1 };
        nodes.extend([TreeNode::Leaf; 2]);
        let taken = match asked {
            Asked::Comparison { .. } => 2,
            Asked::Cuts(cuts) | Asked::Set(cuts) => 2 + cuts.nodes(),
        };
        self.nodes = self.nodes.saturating_add(taken);
        if self.nodes > self.nodes_max {
            return Err(Error::TooLarge { what: "number of tree nodes", size: self.nodes, max: self.nodes_max });
        }
        match asked {
            &Asked::Comparison { comparison, threshold, missing_is_yes } => {
                let Children { yes, no } = children;
                nodes[place] = TreeNode::Split(Split { feature, comparison, threshold, missing_is_yes, yes, no });
            }
            Asked::Cuts(cuts) => cuts.lay(nodes, place, feature, children),
            Asked::Set(cuts) => {
                cuts.lay(nodes, place, feature, children);
                let tree = self.description.trees.len();
                self.description.searches.extend(cuts.search(feature, children).map(|search| ((tree, place), search)));
            }
        }
        Ok(children)
    }

    fn check_feature(&self, feature: usize) -> Result<u32, Error> {
        let known = u32::try_from(feature).ok().filter(|_| feature < self.features);
        known.ok_or_else(|| invalid(format!("a node asks for feature {feature} of {}", self.features)))
    }

    fn weigh(&mut self, tree: usize, node: usize, leaf: &Leaf) {
        let weights = &mut self.description.weights;
        match leaf {
            &Leaf::One { group: target, value } => weights.push(Weight { tree, node, target, value }),
            Leaf::All(values) => {
                let weight = |(target, &value)| Weight { tree, node, target, value };
                weights.extend(values.iter().enumerate().map(weight));
            }
        }
    }

    /// The trees ready to walk. A leaf for a group that does not exist is an error here.
    pub(super) fn ensemble(&self, aggregate: Aggregate) -> Result<Ensemble, Error> {
        Ensemble::new(&self.description, aggregate).map_err(|Malformed(why)| invalid(why))
    }
}
