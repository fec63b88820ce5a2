//! One tree of an XGBoost file: parallel lists with an entry for each node.

use std::borrow::Cow;

use crate::error::Error;
use crate::native::cuts::{Children, Cuts};
use crate::native::document::{Value, index, invalid};
use crate::native::grove::{Asked, Found, Leaf, Source};
use crate::trees::Comparison;

/// Categories from here on are none to XGBoost: singles cannot count them.
const CATEGORIES_MAX: usize = 1 << 24;

/// What the file has as a leaf's left child.
const NO_CHILD: f64 = -1.0;

pub(super) struct Tree<'v> {
    left: Cow<'v, [f64]>,
    right: Cow<'v, [f64]>,
    feature: Cow<'v, [f64]>,
    /// A question's threshold, a leaf's value.
    condition: Cow<'v, [f64]>,
    missing_is_left: Vec<usize>,
    /// 1 for a set of categories; empty in files of releases that had none.
    kind: Vec<usize>,
    sets: Sets,
    group: usize,
    /// By node, a value for each of the groups; empty where leaves have one value.
    vectors: Vectors<'v>,
    weight: f32,
}

struct Vectors<'v> {
    values: Cow<'v, [f64]>,
    groups: usize,
}

impl<'v> Tree<'v> {
    /// `weight` is what leaves are multiplied with; `group` is what they add to, if not to all `groups`.
    pub(super) fn new(tree: &'v Value, group: usize, groups: usize, weight: f32) -> Result<Self, Error> {
        let read = Tree {
            left: tree.numbers("left_children")?,
            right: tree.numbers("right_children")?,
            feature: tree.numbers("split_indices")?,
            condition: tree.numbers("split_conditions")?,
            missing_is_left: tree.indices("default_left")?,
            kind: tree.indices("split_type")?,
            sets: Sets::read(tree)?,
            group,
            vectors: Vectors::read(tree, groups)?,
            weight,
        };
        read.check(groups)?;
        Ok(read)
    }

    fn check(&self, groups: usize) -> Result<(), Error> {
        let len = self.left.len();
        let others = [self.right.len(), self.feature.len(), self.condition.len(), self.missing_is_left.len()];
        let kinds = [0, len].contains(&self.kind.len());
        if len == 0 || others != [len; 4] || !kinds {
            return Err(invalid("a tree's lists are of different lengths"));
        }
        if self.group >= groups {
            return Err(invalid(format!("a tree is for class or target {} of {groups}", self.group)));
        }
        Ok(())
    }

    fn leaf(&self, at: usize) -> Result<Leaf, Error> {
        let weighted = |value: f64| f64::from(value as f32 * self.weight);
        if self.vectors.groups == 1 {
            return Ok(Leaf::One { group: self.group, value: weighted(self.condition[at]) });
        }
        // The right child of a leaf is the place of its vector.
        let values = index(self.right[at]).and_then(|vector| self.vectors.get(vector));
        let values = values.ok_or_else(|| invalid("a leaf has no values"))?;
        Ok(Leaf::All(values.iter().map(|&value| weighted(value)).collect()))
    }

    fn asked(&self, at: usize) -> Result<Asked, Error> {
        let missing_is_yes = self.missing_is_left[at] == 1;
        match self.kind.get(at) {
            None | Some(0) => {
                let threshold = f64::from(self.condition[at] as f32);
                Ok(Asked::Comparison { comparison: Comparison::Less, threshold, missing_is_yes })
            }
            Some(1) => Ok(Asked::Set(self.sets.cuts(at, missing_is_yes)?)),
            Some(_) => Err(invalid("a node asks what is neither a number nor a category")),
        }
    }
}

impl Source for Tree<'_> {
    fn len(&self) -> usize {
        self.left.len()
    }

    fn node(&self, at: usize) -> Result<Found, Error> {
        if self.left[at] == NO_CHILD {
            return Ok(Found::Leaf(self.leaf(at)?));
        }
        let place = |number: f64| index(number).ok_or_else(|| invalid("a node has a child or a feature that is none"));
        let children = Children { yes: place(self.left[at])?, no: place(self.right[at])? };
        Ok(Found::Question { feature: place(self.feature[at])?, asked: self.asked(at)?, children })
    }
}

impl<'v> Vectors<'v> {
    fn read(tree: &'v Value, groups: usize) -> Result<Self, Error> {
        let params = tree.find("tree_param").map_or(Ok(None), |params| params.count("size_leaf_vector"))?;
        match params.unwrap_or(1).max(1) {
            1 => Ok(Vectors { values: Cow::Borrowed(&[]), groups: 1 }),
            len if len != groups => Err(invalid(format!("a tree's leaves have {len} values, not {groups}"))),
            _ if tree.find("leaf_weights").is_none() => {
                let reason = "vector leaves of XGBoost before 3.2 (load the model in 3.2 and save it again)";
                Err(Error::UnsupportedOperator { operators: vec![reason.to_owned()] })
            }
            _ => Ok(Vectors { values: tree.numbers("leaf_weights")?, groups }),
        }
    }

    fn get(&self, vector: usize) -> Option<&[f64]> {
        let start = vector.checked_mul(self.groups)?;
        self.values.get(start..start.checked_add(self.groups)?)
    }
}

/// The sets of categories that a tree asks for.
struct Sets {
    categories: Vec<usize>,
    /// Sorted by node: where the node's categories start, and how many there are.
    of_node: Vec<(usize, usize, usize)>,
}

impl Sets {
    fn read(tree: &Value) -> Result<Sets, Error> {
        let (nodes, starts) = (tree.indices("categories_nodes")?, tree.indices("categories_segments")?);
        let sizes = tree.indices("categories_sizes")?;
        if starts.len() != nodes.len() || sizes.len() != nodes.len() {
            return Err(invalid("its sets of categories are not one for each node"));
        }
        let categories = tree.indices("categories")?;
        // Overlapping sets could take any time to read.
        if sizes.iter().fold(0usize, |sum, &size| sum.saturating_add(size)) > categories.len() {
            return Err(invalid("its sets of categories are larger than all its categories"));
        }
        let mut of_node: Vec<_> = (0..nodes.len()).map(|at| (nodes[at], starts[at], sizes[at])).collect();
        of_node.sort_unstable();
        Ok(Sets { categories, of_node })
    }

    /// Right is for the categories of the set, left for all others.
    fn cuts(&self, node: usize, missing_is_left: bool) -> Result<Cuts, Error> {
        let set = self.set(node).ok_or_else(|| invalid("a node's set of categories is missing"))?;
        if set.last().is_some_and(|&last| last >= CATEGORIES_MAX) {
            return Err(invalid("a category is too large"));
        }
        let ends = set.iter().flat_map(|&category| [category as f64, (category + 1) as f64]).collect();
        // Fractions are cut off, as XGBoost does.
        let is_in = |value: f64| value >= 0.0 && set.binary_search(&(value as usize)).is_ok();
        Ok(Cuts::new(ends, missing_is_left, |value| !is_in(value)))
    }

    fn set(&self, node: usize) -> Option<Vec<usize>> {
        let at = self.of_node.binary_search_by_key(&node, |set| set.0).ok()?;
        let (_, start, size) = self.of_node[at];
        let mut set = self.categories.get(start..start.checked_add(size)?)?.to_vec();
        set.sort_unstable();
        Some(set)
    }
}
