//! The parallel lists in which ONNX keeps trees, read into a [`Description`].

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::super::node::{floats, ints, values};
use crate::trees::{Comparison, Description, Split, TreeNode, Weight};

pub(super) struct Attributes<'a> {
    pub(super) ctx: &'a ParsingContext<'a>,
    pub(super) node: &'a NodeProto,
}

impl Attributes<'_> {
    /// Floats from the attribute `name`, or doubles from the tensor `{name}_as_tensor`.
    pub(super) fn reals(&self, name: &str) -> TractResult<Vec<f64>> {
        let tensor = self.node.get_attr_opt::<&TensorProto>(&format!("{name}_as_tensor"))?;
        if let Some(proto) = tensor {
            let tensor = self.ctx.load_tensor(proto)?;
            return Ok(values::<f64>(&*tensor.cast_to::<f64>()?)?.to_vec());
        }
        Ok(floats(self.node, name)?.into_iter().map(f64::from).collect())
    }

    /// The trees, with the weights of `{kind}_ids`, `{kind}_nodeids`, `{kind}_treeids` and
    /// `{kind}_weights` for `targets` targets.
    pub(super) fn description(&self, kind: &str, targets: usize) -> TractResult<Description> {
        let index = Index::new(self.list("nodes_treeids")?, self.list("nodes_nodeids")?)?;
        let trees = self.trees(&index)?;
        let weights = self.weights(kind, &index)?;
        Ok(Description { trees, weights, targets, ..Description::default() })
    }

    fn list(&self, name: &str) -> TractResult<Vec<i64>> {
        ints(self.node, name)
    }

    fn trees(&self, index: &Index) -> TractResult<Vec<Vec<TreeNode>>> {
        let features = self.list("nodes_featureids")?;
        let modes = self.node.get_attr_opt_slice::<Vec<u8>>("nodes_modes")?.unwrap_or_default();
        let thresholds = self.reals("nodes_values")?;
        let yes = self.list("nodes_truenodeids")?;
        let no = self.list("nodes_falsenodeids")?;
        let mut missing = self.list("nodes_missing_value_tracks_true")?;
        if missing.is_empty() {
            missing.resize(index.len(), 0);
        }
        let lengths = [features.len(), modes.len(), thresholds.len(), yes.len(), no.len(), missing.len()];
        if lengths.iter().any(|&len| len != index.len()) || index.len() == 0 {
            return self.node.bail("the lists of nodes differ in length, or are empty");
        }
        let mut trees: Vec<Vec<TreeNode>> = index.sizes().map(|size| vec![TreeNode::Leaf; size]).collect();
        for at in 0..index.len() {
            let Some(comparison) = comparison(&modes[at])? else {
                continue;
            };
            let (tree, place) = index.places[at];
            let child = |id: i64| {
                index
                    .place_in(tree, id)
                    .with_context(|| format!("a node of tree {tree} has a child that does not exist"))
            };
            trees[tree][place] = TreeNode::Split(Split {
                feature: u32::try_from(features[at]).ok().context("a feature is out of bounds")?,
                comparison,
                threshold: thresholds[at],
                missing_is_yes: missing[at] != 0,
                yes: child(yes[at])?,
                no: child(no[at])?,
            });
        }
        Ok(trees)
    }

    fn weights(&self, kind: &str, index: &Index) -> TractResult<Vec<Weight>> {
        let targets = self.list(&format!("{kind}_ids"))?;
        let nodes = self.list(&format!("{kind}_nodeids"))?;
        let trees = self.list(&format!("{kind}_treeids"))?;
        let weights = self.reals(&format!("{kind}_weights"))?;
        if [targets.len(), nodes.len(), trees.len()].iter().any(|&len| len != weights.len()) {
            return self.node.bail("the lists of weights differ in length");
        }
        (0..weights.len())
            .map(|at| {
                let leaf = index.find(trees[at], nodes[at]);
                let (tree, node) = leaf.context("a weight is for a node that does not exist")?;
                let target = usize::try_from(targets[at]).ok().context("a weight is for no target")?;
                Ok(Weight { tree, node, target, value: weights[at] })
            })
            .collect()
    }
}

/// `None` for a leaf.
fn comparison(mode: &[u8]) -> TractResult<Option<Comparison>> {
    Ok(Some(match mode {
        b"LEAF" => return Ok(None),
        b"BRANCH_LEQ" => Comparison::LessOrEqual,
        b"BRANCH_LT" => Comparison::Less,
        b"BRANCH_GTE" => Comparison::GreaterOrEqual,
        b"BRANCH_GT" => Comparison::Greater,
        b"BRANCH_EQ" => Comparison::Equal,
        b"BRANCH_NEQ" => Comparison::NotEqual,
        other => bail!("the node mode {} is unknown", String::from_utf8_lossy(other)),
    }))
}

/// Where each node is: trees by ascending id, nodes of a tree by ascending id.
struct Index {
    /// Tree and place in the tree, in the order of the attributes.
    places: Vec<(usize, usize)>,
    tree_of_id: HashMap<i64, usize>,
    /// The node ids of each tree, ascending.
    ids: Vec<Vec<i64>>,
}

impl Index {
    fn new(trees: Vec<i64>, nodes: Vec<i64>) -> TractResult<Index> {
        ensure!(trees.len() == nodes.len(), "the lists of nodes differ in length");
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        // Nearly always sorted already, which costs one pass.
        order.sort_by_key(|&at| (trees[at], nodes[at]));
        let mut index = Index { places: vec![(0, 0); nodes.len()], tree_of_id: HashMap::new(), ids: Vec::new() };
        for at in order {
            let tree = *index.tree_of_id.entry(trees[at]).or_insert_with(|| {
                index.ids.push(Vec::new());
                index.ids.len() - 1
            });
            let ids = &mut index.ids[tree];
            ensure!(ids.last() != Some(&nodes[at]), "a node of tree {tree} is there twice");
            index.places[at] = (tree, ids.len());
            ids.push(nodes[at]);
        }
        Ok(index)
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn sizes(&self) -> impl Iterator<Item = usize> {
        self.ids.iter().map(Vec::len)
    }

    fn find(&self, tree_id: i64, node_id: i64) -> Option<(usize, usize)> {
        let tree = *self.tree_of_id.get(&tree_id)?;
        Some((tree, self.place_in(tree, node_id)?))
    }

    fn place_in(&self, tree: usize, node_id: i64) -> Option<usize> {
        let ids = &self.ids[tree];
        // Ids that count from zero are their own places.
        let guess = usize::try_from(node_id).ok()?;
        if ids.get(guess) == Some(&node_id) {
            return Some(guess);
        }
        ids.binary_search(&node_id).ok()
    }
}
