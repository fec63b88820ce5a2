//! Lays one tree out for walking.
//!
//! A node is sixteen bytes and its two children lie side by side, so that a step is
//! `next = left + !(value <= threshold)`, without a branch. A leaf leads to itself. Nodes come in
//! breadth-first order: the first levels of a tree share a few cache lines. A child with several
//! parents is copied, one record for each, but its own children are not.

use std::collections::VecDeque;

use super::description::{Comparison, Split, TreeNode};
use super::{Malformed, Real};

/// One record of a tree that is walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<T> {
    pub(super) threshold: T,
    /// The column.
    pub(super) feature: u32,
    /// Where the left child is, the right one behind it; a leaf's own place.
    pub(super) left: u32,
    /// A leaf's number, counted through all trees; the flags of a split.
    tag: u32,
}

/// A missing value goes to the left child.
const MISSING_GOES_LEFT: u32 = 1 << 31;
/// The threshold stands just below the one that was given: the comparison excludes it.
const STRICT: u32 = 1 << 30;
/// Leaf numbers are below the flags.
pub(super) const LEAVES_MAX: usize = STRICT as usize;

impl<T: Real> Node<T> {
    #[inline(always)]
    pub(super) fn missing_goes_left(&self) -> bool {
        self.tag & MISSING_GOES_LEFT != 0
    }

    /// The number of a leaf.
    #[inline(always)]
    pub(super) fn leaf_number(&self) -> usize {
        (self.tag & (STRICT - 1)) as usize
    }

    fn leaf(place: u32, number: u32) -> Self {
        // Nothing is above infinity, and a missing value stays too.
        let tag = number | MISSING_GOES_LEFT;
        Node { threshold: T::INFINITY, feature: 0, left: place, tag }
    }

    fn split(split: &Split, strict: bool, missing_goes_left: bool, left: u32) -> Self {
        let given = T::of(split.threshold);
        let missing = if missing_goes_left { MISSING_GOES_LEFT } else { 0 };
        let (threshold, flag) = if strict { (given.below(), STRICT) } else { (given, 0) };
        Node { threshold, feature: split.feature, left, tag: missing | flag }
    }
}

impl Node<f32> {
    /// The same question to a double.
    fn widened(&self) -> Node<f64> {
        let threshold = if self.tag & STRICT == 0 || self.threshold.is_nan() {
            f64::from(self.threshold)
        } else {
            f64::from(self.threshold.next_up()).below()
        };
        Node { threshold, feature: self.feature, left: self.left, tag: self.tag }
    }
}

/// A tree that can be walked without looking at bounds: for every node, `left` and the place behind
/// it are among the nodes, and `feature` is below `columns_min`. Only this file makes one.
#[derive(Debug)]
pub(super) struct Laid<T> {
    nodes: Vec<Node<T>>,
    depth: usize,
    columns_min: usize,
}

impl<T: Real> Laid<T> {
    fn new(nodes: Vec<Node<T>>, depth: usize) -> Self {
        let inside = |node: &Node<T>| (node.left as usize) + 1 < nodes.len();
        assert!(nodes.iter().all(inside), "children are laid among the nodes");
        let columns_min = nodes.iter().map(|node| node.feature as usize + 1).max().unwrap_or(0);
        Laid { nodes, depth, columns_min }
    }

    /// The root is the first.
    #[inline(always)]
    pub(super) fn nodes(&self) -> &[Node<T>] {
        &self.nodes
    }

    /// Steps from the root that reach any leaf.
    #[inline(always)]
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The least length of a row in which all features are found, at least one.
    #[inline(always)]
    pub(super) fn columns_min(&self) -> usize {
        self.columns_min
    }
}

impl Laid<f32> {
    /// The same tree for doubles.
    pub(super) fn widened(&self) -> Laid<f64> {
        Laid::new(self.nodes.iter().map(Node::widened).collect(), self.depth)
    }
}

/// Lays out a tree whose leaves are numbered from `first_leaf` by their place in `tree`. The tree
/// must have one root, from which each node is reached, and no cycle.
pub(super) fn lay<T: Real>(tree: &[TreeNode], first_leaf: u32) -> Result<Laid<T>, Malformed> {
    let root = root(tree)?;
    let depth = depth(tree, root)?;
    let pairs = pairs(tree, root)?;
    let layout = Layout { tree, pairs: &pairs.of_node, first_leaf };
    // Two places are never reached: the second, which is there so that siblings share a cache
    // line, and the last, so that a place follows every other.
    let mut nodes = vec![Node::leaf(0, 0); pairs.end as usize + 1];
    nodes[0] = layout.record(root, 0);
    for &at in &pairs.order {
        if let TreeNode::Split(split) = &tree[at] {
            layout.children(split, pairs.of_node[at], &mut nodes);
        }
    }
    Ok(Laid::new(nodes, depth))
}

/// The one node that is nobody's child.
pub(super) fn root(tree: &[TreeNode]) -> Result<usize, Malformed> {
    let mut is_child = vec![false; tree.len()];
    for (at, node) in tree.iter().enumerate() {
        if let TreeNode::Split(split) = node {
            for child in [split.yes, split.no] {
                match is_child.get_mut(child) {
                    Some(flag) => *flag = true,
                    None => {
                        return Err(Malformed(format!("node {at} has a child that does not exist")));
                    }
                }
            }
        }
    }
    let mut roots = is_child.iter().enumerate().filter(|(_, child)| !**child).map(|(at, _)| at);
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (None, _) => Err(Malformed("a tree is a cycle".into())),
        (Some(_), Some(other)) => Err(Malformed(format!("node {other} cannot be reached"))),
    }
}

/// Steps from `root` to the farthest leaf; an error for a cycle.
pub(super) fn depth(tree: &[TreeNode], root: usize) -> Result<usize, Malformed> {
    #[derive(Clone, Copy)]
    enum Visit {
        None,
        Open,
        Done(usize),
    }
    let mut visits = vec![Visit::None; tree.len()];
    let mut stack = vec![root];
    while let Some(&at) = stack.last() {
        let TreeNode::Split(split) = &tree[at] else {
            visits[at] = Visit::Done(0);
            stack.pop();
            continue;
        };
        let children = [split.yes, split.no];
        visits[at] = Visit::Open;
        let unfinished = children.into_iter().find(|&child| !matches!(visits[child], Visit::Done(_)));
        match unfinished {
            Some(child) if matches!(visits[child], Visit::Open) => {
                return Err(Malformed(format!("node {child} is its own descendant")));
            }
            Some(child) => stack.push(child),
            None => {
                let below = children.into_iter().map(|child| match visits[child] {
                    Visit::Done(steps) => steps,
                    Visit::None | Visit::Open => 0,
                });
                visits[at] = Visit::Done(split.comparison.steps() + below.max().unwrap_or(0));
                stack.pop();
            }
        }
    }
    match (visits.iter().position(|visit| matches!(visit, Visit::None)), visits[root]) {
        (Some(at), _) => Err(Malformed(format!("node {at} cannot be reached"))),
        (None, Visit::Done(steps)) => Ok(steps),
        (None, Visit::None | Visit::Open) => unreachable!("the walk ends when the root is done"),
    }
}

/// Where the children of each node are laid.
struct Pairs {
    order: Vec<usize>,
    of_node: Vec<u32>,
    end: u32,
}

fn pairs(tree: &[TreeNode], root: usize) -> Result<Pairs, Malformed> {
    let mut of_node = vec![0u32; tree.len()];
    let mut order = Vec::new();
    let mut end = 2u32;
    let mut open = VecDeque::from([root]);
    while let Some(at) = open.pop_front() {
        if let TreeNode::Split(split) = &tree[at]
            && of_node[at] == 0
        {
            of_node[at] = end;
            order.push(at);
            end = end
                .checked_add(2 * split.comparison.steps() as u32)
                .ok_or_else(|| Malformed("a tree has too many nodes".into()))?;
            open.extend([split.yes, split.no]);
        }
    }
    Ok(Pairs { order, of_node, end })
}

impl Comparison {
    /// Steps of a walk that one question takes: equality is asked as "not above, not below".
    fn steps(self) -> usize {
        match self {
            Comparison::Equal | Comparison::NotEqual => 2,
            _ => 1,
        }
    }

    /// Whether the yes child of an inequality is the left one.
    fn is_upper_bound(self) -> bool {
        matches!(self, Comparison::LessOrEqual | Comparison::Less)
    }

    /// Whether the question, asked as "not above", excludes the threshold.
    fn is_strict(self) -> bool {
        matches!(self, Comparison::Less | Comparison::GreaterOrEqual)
    }
}

struct Layout<'t> {
    tree: &'t [TreeNode],
    pairs: &'t [u32],
    first_leaf: u32,
}

impl Layout<'_> {
    /// The record of node `at`, laid at `place`.
    fn record<T: Real>(&self, at: usize, place: u32) -> Node<T> {
        let TreeNode::Split(split) = &self.tree[at] else {
            return Node::leaf(place, self.first_leaf + at as u32);
        };
        let split = self.settled(split);
        let left = self.pairs[at];
        match split.comparison {
            // Among equals, NaN equals nothing: it leaves to the right at the first step unless it
            // is to end with the equal ones.
            Comparison::Equal => Node::split(&split, false, split.missing_is_yes, left),
            Comparison::NotEqual => Node::split(&split, false, false, left),
            comparison => {
                let missing_goes_left = comparison.is_upper_bound() == split.missing_is_yes;
                Node::split(&split, comparison.is_strict(), missing_goes_left, left)
            }
        }
    }

    /// A comparison with a NaN is never true; one that never is can be asked as "not above NaN".
    fn settled(&self, split: &Split) -> Split {
        let never =
            split.threshold.is_nan() && matches!(split.comparison, Comparison::Greater | Comparison::GreaterOrEqual);
        if never { Split { comparison: Comparison::LessOrEqual, ..*split } } else { *split }
    }

    /// Lays the children of `split`, and the second question of an equality.
    fn children<T: Real>(&self, split: &Split, left: u32, nodes: &mut [Node<T>]) {
        let split = &self.settled(split);
        let (yes, no) = (split.yes, split.no);
        let mut put = |at: usize, place: u32| nodes[place as usize] = self.record(at, place);
        match split.comparison {
            Comparison::Equal => {
                put(no, left + 1);
                put(no, left + 2);
                put(yes, left + 3);
                nodes[left as usize] = Node::split(split, true, false, left + 2);
            }
            Comparison::NotEqual => {
                put(yes, left + 1);
                put(yes, left + 2);
                put(no, left + 3);
                nodes[left as usize] = Node::split(split, true, false, left + 2);
            }
            comparison if comparison.is_upper_bound() => {
                put(yes, left);
                put(no, left + 1);
            }
            _ => {
                put(no, left);
                put(yes, left + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(yes: usize, no: usize) -> TreeNode {
        TreeNode::Split(Split {
            feature: 0,
            comparison: Comparison::LessOrEqual,
            threshold: 0.0,
            missing_is_yes: false,
            yes,
            no,
        })
    }

    fn check_refused(tree: &[TreeNode], reason: &str) {
        let Malformed(why) = lay::<f32>(tree, 0).expect_err(reason);
        assert!(why.contains(reason), "{why}");
    }

    #[test]
    fn a_tree_has_one_root_and_no_cycle() {
        let leaf = TreeNode::Leaf;
        check_refused(&[split(1, 2), split(1, 2), leaf], "its own descendant");
        check_refused(&[split(1, 3), split(2, 3), split(1, 3), leaf], "its own descendant");
        check_refused(&[split(1, 0), split(0, 1)], "a tree is a cycle");
        check_refused(&[leaf, leaf], "cannot be reached");
        check_refused(&[leaf, split(1, 1)], "cannot be reached");
        check_refused(&[split(1, 7), leaf], "does not exist");
    }

    #[test]
    fn siblings_share_a_cache_line() {
        let laid =
            lay::<f32>(&[split(1, 2), split(3, 4), TreeNode::Leaf, TreeNode::Leaf, TreeNode::Leaf], 0).expect("a tree");
        assert_eq!(size_of::<Node<f32>>(), 16);
        assert_eq!(laid.nodes.len(), 7);
        assert_eq!((laid.nodes[0].left, laid.nodes[2].left), (2, 4));
        assert_eq!(laid.depth, 2);
    }
}
