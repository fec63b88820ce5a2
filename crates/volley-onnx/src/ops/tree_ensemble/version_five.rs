//! `TreeEnsemble`, which takes the place of the regressor and the classifier in version 5 of `ai.onnx.ml`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::super::node::{ints, row_dim, rows_and_columns, values};
use super::super::{Built, Kernel, PostTransform, Signature, kernel};
use super::{Scores, score, targets};
use crate::trees::{Aggregate, Comparison, Description, Ensemble, Membership, Real, Split, TreeNode, Weight};

pub(in crate::ops) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let targets = targets(node)?;
    let aggregate = match node.get_attr_opt::<i64>("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        _ => return node.bail_attr("aggregate_function", "is unknown"),
    };
    let transform = match node.get_attr_opt::<i64>("post_transform")?.unwrap_or(0) {
        0 => PostTransform::None,
        1 => PostTransform::Softmax,
        2 => PostTransform::Logistic,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        _ => return node.bail_attr("post_transform", "is unknown"),
    };
    let lists = Lists::read(ctx, node)?;
    let ensemble = Ensemble::new(&Growth::of(&lists, targets)?, aggregate)?;
    kernel(node, 1..=1, TreeEnsemble { ensemble, transform, element: lists.element })
}

#[derive(Debug)]
struct TreeEnsemble {
    ensemble: Ensemble,
    transform: PostTransform,
    /// Thresholds, rows and scores are of one type.
    element: DatumType,
}

impl Kernel for TreeEnsemble {
    fn name(&self) -> &'static str {
        "TreeEnsemble"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let (given, needed) = (inputs[0].element, self.element);
        ensure!(given == needed, "thresholds are {needed:?}, the input is {given:?}");
        let shape = [row_dim(&inputs[0])?, self.ensemble.targets().to_dim()];
        Ok(vec![Signature::new(needed, shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let shape = [rows, self.ensemble.targets()];
        Ok(vec![match self.element {
            DatumType::F64 => crate::tensor_from(&shape, self.scores::<f64>(inputs[0], rows)?),
            DatumType::F32 => crate::tensor_from(&shape, self.scores::<f32>(inputs[0], rows)?),
            other => crate::tensor_from(&shape, self.scores::<f32>(inputs[0], rows)?).cast_to_dt(other)?.into_owned(),
        }])
    }
}

impl TreeEnsemble {
    fn scores<T: Real>(&self, input: &Tensor, rows: usize) -> TractResult<Vec<T>> {
        let targets = self.ensemble.targets();
        let mut out = vec![T::default(); rows * targets];
        let mut singles = vec![0.0f32; targets];
        score(&self.ensemble, input, &mut |row, scores| {
            let out = &mut out[row * targets..][..targets];
            match scores {
                Scores::Single(scores, _) => self.finish(scores, &mut singles, out),
                Scores::Double(scores, _) => self.finish(scores, &mut singles, out),
            }
        })?;
        Ok(out)
    }

    fn finish<S: Real, T: Real>(&self, scores: &[S], singles: &mut [f32], out: &mut [T]) {
        if self.transform == PostTransform::None {
            out.iter_mut().zip(scores).for_each(|(out, score)| *out = T::of(score.double()));
            return;
        }
        singles.iter_mut().zip(scores).for_each(|(single, score)| *single = score.single());
        self.transform.apply(singles);
        out.iter_mut().zip(singles).for_each(|(out, single)| *out = T::of(single.double()));
    }
}

/// The parallel lists of the node.
struct Lists {
    element: DatumType,
    roots: Vec<i64>,
    features: Vec<i64>,
    questions: Vec<Question>,
    missing: Vec<i64>,
    /// For each node, where the answers yes and no lead.
    branches: Vec<[Branch; 2]>,
    leaf_targets: Vec<i64>,
    leaf_weights: Vec<f64>,
}

enum Question {
    Compares(Comparison, f64),
    IsAmong(Vec<f64>),
}

/// A place in the list of nodes or in that of leaves.
#[derive(Clone, Copy)]
enum Branch {
    Node(usize),
    Leaf(usize),
}

impl Lists {
    fn read(ctx: &ParsingContext, node: &NodeProto) -> TractResult<Lists> {
        let Some(splits) = tensor(ctx, node, "nodes_splits")? else {
            return node.bail("no thresholds are given");
        };
        let Some(modes) = tensor(ctx, node, "nodes_modes")? else {
            return node.bail("no modes are given");
        };
        let element = splits.datum_type();
        ensure!(matches!(element, DatumType::F16 | DatumType::F32 | DatumType::F64), "thresholds are not floats");
        let splits = doubles(&splits)?;
        let modes = modes.cast_to::<i64>()?;
        let members = tensor(ctx, node, "membership_values")?.map_or(Ok(Vec::new()), |it| doubles(&it))?;
        let questions = questions(values::<i64>(&modes)?, &splits, &members)?;
        let features = ints(node, "nodes_featureids")?;
        let branches = branches(node)?;
        let mut missing = ints(node, "nodes_missing_value_tracks_true")?;
        if missing.is_empty() {
            missing.resize(features.len(), 0);
        }
        let lengths = [questions.len(), branches.len(), missing.len()];
        if lengths.iter().any(|&len| len != features.len()) {
            return node.bail("the lists of nodes differ in length");
        }
        let weights = tensor(ctx, node, "leaf_weights")?.map_or(Ok(Vec::new()), |it| doubles(&it))?;
        let leaf_targets = ints(node, "leaf_targetids")?;
        if weights.len() != leaf_targets.len() {
            return node.bail("the lists of leaves differ in length");
        }
        let roots = ints(node, "tree_roots")?;
        Ok(Lists { element, roots, features, questions, missing, branches, leaf_targets, leaf_weights: weights })
    }
}

fn tensor(ctx: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Option<Tensor>> {
    node.get_attr_opt::<&TensorProto>(name)?.map(|proto| ctx.load_tensor(proto)).transpose()
}

fn doubles(tensor: &Tensor) -> TractResult<Vec<f64>> {
    Ok(values::<f64>(&*tensor.cast_to::<f64>()?)?.to_vec())
}

/// The sets come in the order of the nodes that ask for them, with a NaN between each two.
fn questions(modes: &[i64], splits: &[f64], members: &[f64]) -> TractResult<Vec<Question>> {
    ensure!(modes.len() == splits.len(), "the lists of nodes differ in length");
    let mut sets = members.split(|member| member.is_nan());
    let each = modes.iter().zip(splits).map(|(&mode, &threshold)| {
        let comparison = match mode {
            0 => Comparison::LessOrEqual,
            1 => Comparison::Less,
            2 => Comparison::GreaterOrEqual,
            3 => Comparison::Greater,
            4 => Comparison::Equal,
            5 => Comparison::NotEqual,
            6 => return Ok(Question::IsAmong(sets.next().context("a set of members is missing")?.to_vec())),
            other => bail!("the node mode {other} is unknown"),
        };
        Ok(Question::Compares(comparison, threshold))
    });
    each.collect()
}

fn branches(node: &NodeProto) -> TractResult<Vec<[Branch; 2]>> {
    let read = |ids: &str, leaf_flags: &str| -> TractResult<Vec<Branch>> {
        let (ids, flags) = (ints(node, ids)?, ints(node, leaf_flags)?);
        ensure!(ids.len() == flags.len(), "the lists of nodes differ in length");
        let branch = |(id, flag): (i64, i64)| {
            let id = usize::try_from(id).ok().context("a node has a child that does not exist")?;
            Ok(if flag == 0 { Branch::Node(id) } else { Branch::Leaf(id) })
        };
        ids.into_iter().zip(flags).map(branch).collect()
    };
    let yes = read("nodes_truenodeids", "nodes_trueleafs")?;
    let no = read("nodes_falsenodeids", "nodes_falseleafs")?;
    ensure!(yes.len() == no.len(), "the lists of nodes differ in length");
    Ok(yes.into_iter().zip(no).map(|(yes, no)| [yes, no]).collect())
}

/// Trees on their way from lists to a description.
struct Growth<'l> {
    lists: &'l Lists,
    description: Description,
    /// The tree and place of each node that was met.
    places: Vec<Option<(usize, usize)>>,
    tree: Vec<TreeNode>,
    open: Vec<usize>,
}

impl Growth<'_> {
    fn of(lists: &Lists, targets: usize) -> TractResult<Description> {
        let description = Description { targets, ..Description::default() };
        let places = vec![None; lists.features.len()];
        let mut growth = Growth { lists, description, places, tree: Vec::new(), open: Vec::new() };
        ensure!(!lists.roots.is_empty(), "there are no trees");
        for &root in &lists.roots {
            growth.grow(usize::try_from(root).ok().context("a tree has no root")?)?;
        }
        Ok(growth.description)
    }

    fn grow(&mut self, root: usize) -> TractResult<()> {
        self.child(Branch::Node(root))?;
        while let Some(at) = self.open.pop() {
            self.ask(at)?;
        }
        self.description.trees.push(std::mem::take(&mut self.tree));
        Ok(())
    }

    /// Puts the question of node `at` into its place.
    fn ask(&mut self, at: usize) -> TractResult<()> {
        let (_, place) = self.places[at].context("a node is open when it has its place")?;
        let [yes, no] = self.lists.branches[at];
        let (yes, no) = (self.child(yes)?, self.child(no)?);
        let feature = u32::try_from(self.lists.features[at]).ok().context("a feature is out of bounds")?;
        let missing_is_yes = self.lists.missing[at] != 0;
        match &self.lists.questions[at] {
            &Question::Compares(comparison, threshold) => {
                self.tree[place] = TreeNode::Split(Split { feature, comparison, threshold, missing_is_yes, yes, no });
            }
            Question::IsAmong(members) => {
                Membership { feature, members, missing_is_yes, yes, no }.put(&mut self.tree, place);
            }
        }
        Ok(())
    }

    /// The place of a child in the tree. A node may have several parents, of one tree.
    fn child(&mut self, branch: Branch) -> TractResult<usize> {
        let tree = self.description.trees.len();
        let place = self.tree.len();
        match branch {
            Branch::Leaf(leaf) => self.weigh(leaf)?,
            Branch::Node(at) => match self.places.get_mut(at).context("a node has a child that does not exist")? {
                Some((of, place)) if *of == tree => return Ok(*place),
                // Copied into each tree, a hostile file's nodes would be without end.
                Some((of, _)) => bail!("a node belongs to the trees {of} and {tree}"),
                empty => {
                    *empty = Some((tree, place));
                    self.open.push(at);
                }
            },
        }
        self.tree.push(TreeNode::Leaf);
        Ok(place)
    }

    fn weigh(&mut self, leaf: usize) -> TractResult<()> {
        let (tree, node) = (self.description.trees.len(), self.tree.len());
        let value = *self.lists.leaf_weights.get(leaf).context("a node has a leaf that does not exist")?;
        let target = usize::try_from(self.lists.leaf_targets[leaf]).ok().context("a weight is for no target")?;
        self.description.weights.push(Weight { tree, node, target, value });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;

    use super::*;
    use crate::testing::{int, ints, ml, stored, tensor};

    /// One question to column 0: 1 for yes and -1 for no, in the type of `splits`.
    fn stump(mode: i32, splits: Tensor, weights: Tensor) -> Vec<AttributeProto> {
        vec![
            ints("tree_roots", &[0]),
            ints("nodes_featureids", &[0]),
            stored("nodes_modes", tensor(&[1], &[mode])),
            stored("nodes_splits", splits),
            ints("nodes_truenodeids", &[0]),
            ints("nodes_falsenodeids", &[1]),
            ints("nodes_trueleafs", &[1]),
            ints("nodes_falseleafs", &[1]),
            ints("leaf_targetids", &[0, 0]),
            stored("leaf_weights", weights),
        ]
    }

    fn singles(mode: i32) -> Vec<AttributeProto> {
        stump(mode, tensor(&[1], &[2.0f32]), tensor(&[2], &[1.0f32, -1.0]))
    }

    #[test]
    fn a_set_of_members_is_asked_for_and_missing_values_follow_the_flag() {
        let members = stored("membership_values", tensor(&[3], &[1.0f32, 4.0, 9.0]));
        let rows = tensor(&[5, 1], &[1.0f32, 2.0, 4.0, 9.0, f32::NAN]);
        let mut attributes = [singles(6), vec![members]].concat();
        ml("TreeEnsemble", attributes.clone()).gives(rows.clone(), tensor(&[5, 1], &[1.0f32, -1.0, 1.0, 1.0, -1.0]));
        attributes.push(ints("nodes_missing_value_tracks_true", &[1]));
        ml("TreeEnsemble", attributes).gives(rows, tensor(&[5, 1], &[1.0f32, -1.0, 1.0, 1.0, 1.0]));
    }

    #[test]
    fn nothing_is_a_member_of_the_empty_set() {
        let members = stored("membership_values", tensor(&[1], &[f32::NAN]));
        ml("TreeEnsemble", [singles(6), vec![members]].concat())
            .gives(tensor(&[2, 1], &[0.0f32, f32::NAN]), tensor(&[2, 1], &[-1.0f32, -1.0]));
    }

    #[test]
    fn doubles_are_compared_and_given_as_doubles() {
        let attributes = stump(0, tensor(&[1], &[0.1f64]), tensor(&[2], &[0.3f64, -0.3]));
        ml("TreeEnsemble", attributes).gives(tensor(&[2, 1], &[0.1f64, 0.1 + 1e-12]), tensor(&[2, 1], &[0.3f64, -0.3]));
    }

    #[test]
    fn malformed_trees_are_refused() {
        let check = |changed: AttributeProto, reason: &str| {
            let mut attributes = singles(0);
            attributes.retain(|attribute| attribute.name != changed.name);
            attributes.push(changed);
            ml("TreeEnsemble", attributes).refuses(tensor(&[1, 1], &[0.0f32]), reason);
        };
        check(ints("nodes_trueleafs", &[0]), "a tree is a cycle");
        check(ints("nodes_falsenodeids", &[2]), "a leaf that does not exist");
        check(ints("tree_roots", &[1]), "a child that does not exist");
        check(ints("tree_roots", &[0, 0]), "belongs to the trees 0 and 1");
        check(ints("leaf_targetids", &[0, 1]), "target 1 of 1");
        check(ints("nodes_featureids", &[0, 0]), "differ in length");
        check(int("aggregate_function", 4), "is unknown");
    }
}
