//! Trees over columns of ranks: a top that is scanned, and below it records that are walked.
//!
//! Scanning costs for every split of a tree, walking for every step of a row. Small trees are all
//! top; of large ones, so many levels as are soon scanned.

use std::collections::{HashMap, VecDeque};

use super::columns::{Columns, Membership, Questions};
use super::complete::{self, Complete};
use super::cuts::{Cut, LAST};
use super::description::{Comparison, Split, TreeNode};
use super::scan::{Lanes, Move, Top};

/// Splits that are scanned at most, in a tree that ends there, and in one that goes on.
const WHOLE_MAX: usize = 160;
const TOP_MAX: usize = 63;

/// One record below the top: sixteen bytes would be two steps further from the core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Where the left child is, the right one behind it; a leaf's own place.
    pub(super) left: u32,
    pub(super) column: u16,
    /// Greater entries go right.
    pub(super) code: u16,
}

/// A tree that can be scanned and walked without looking at bounds: a place is that of a leaf of
/// the top, or a `left` or the one behind it, and all of them are below `places`, and so are those
/// of `records` if there are any; columns are below the number of columns. Only this file makes one.
#[derive(Debug)]
pub(super) struct Ranked {
    pub(super) top: Top,
    /// The first ones are the leaves of the top. None if those are the leaves of the tree.
    pub(super) records: Box<[Record]>,
    /// Steps from the leaves of the top that reach any leaf.
    pub(super) depth: usize,
    /// The node at each place.
    pub(super) nodes: Vec<u32>,
}

/// A split as a question to a column.
struct Asked {
    column: u16,
    code: u16,
    left: usize,
    right: usize,
}

/// Collects what a tree asks.
pub(super) fn collect(tree: &[TreeNode], questions: &mut Questions) {
    for node in tree {
        let TreeNode::Split(split) = node else { continue };
        match Form::of(tree, split) {
            Form::Inequality { cut, missing_first, .. } => questions.inequality(split.feature, cut, missing_first),
            Form::Membership { membership, .. } => questions.membership(membership),
        }
    }
}

/// How a split is asked.
enum Form {
    Inequality { cut: Cut, missing_first: bool, left: usize, right: usize },
    Membership { membership: Membership, left: usize, right: usize },
}

impl Form {
    fn of(tree: &[TreeNode], split: &Split) -> Form {
        let (at, missing_is_yes) = (split.threshold, split.missing_is_yes);
        let below = |strict| Form::Inequality {
            cut: Cut { at, strict },
            missing_first: missing_is_yes,
            left: split.yes,
            right: split.no,
        };
        let above = |strict| Form::Inequality {
            cut: Cut { at, strict },
            missing_first: !missing_is_yes,
            left: split.no,
            right: split.yes,
        };
        match split.comparison {
            Comparison::LessOrEqual => below(false),
            Comparison::Less => below(true),
            // Nothing is above NaN, and nothing before it.
            Comparison::Greater | Comparison::GreaterOrEqual if at.is_nan() => below(false),
            Comparison::Greater => above(false),
            Comparison::GreaterOrEqual => above(true),
            Comparison::Equal => Form::chain(tree, split),
            Comparison::NotEqual => {
                let membership = Membership::new(split.feature, &[at], false);
                Form::Membership { membership, left: split.no, right: split.yes }
            }
        }
    }

    /// Exporters write "one of several" as a chain of equalities with the same yes.
    fn chain(tree: &[TreeNode], first: &Split) -> Form {
        let (mut members, mut missing_is_member, mut last) = (vec![first.threshold], first.missing_is_yes, first);
        while let Some(TreeNode::Split(next)) = tree.get(last.no)
            && (next.comparison, next.feature, next.yes) == (Comparison::Equal, first.feature, first.yes)
            && members.len() < tree.len()
        {
            members.push(next.threshold);
            missing_is_member |= next.missing_is_yes;
            last = next;
        }
        let membership = Membership::new(first.feature, &members, missing_is_member);
        Form::Membership { membership, left: first.yes, right: last.no }
    }
}

/// Makes a tree, whose root is `root` and which has no cycle. `None` if it asks what was not collected.
pub(super) fn rank(tree: &[TreeNode], root: usize, columns: &Columns, lanes: Lanes) -> Option<Ranked> {
    let builder = Builder { tree, columns };
    let (top, leaves) = builder.top(root, lanes)?;
    if leaves.iter().all(|&leaf| matches!(tree[leaf], TreeNode::Leaf)) {
        return Some(Ranked { top, records: [].into(), depth: 0, nodes: numbers(&leaves) });
    }
    let depth = builder.depth(&leaves)?;
    let (records, nodes) = builder.records(&leaves)?;
    let inside = |it: &Record| (it.left as usize) + 1 < records.len() && usize::from(it.column) < columns.len();
    assert!(records.iter().all(inside), "children are laid among the records");
    Some(Ranked { top, records: records.into(), depth, nodes })
}

fn numbers(nodes: &[usize]) -> Vec<u32> {
    nodes.iter().map(|&node| node as u32).collect()
}

/// The splits of a top in the order of a scan, and the nodes at its leaves from left to right.
#[derive(Default)]
struct Scanned {
    moves: Vec<Move>,
    leaves: Vec<usize>,
}

struct Builder<'t> {
    tree: &'t [TreeNode],
    columns: &'t Columns,
}

impl Builder<'_> {
    /// `Some(None)` for a leaf.
    fn asked(&self, node: usize) -> Option<Option<Asked>> {
        let TreeNode::Split(split) = &self.tree[node] else { return Some(None) };
        let ((column, code), left, right) = match Form::of(self.tree, split) {
            Form::Inequality { cut, missing_first, left, right } => {
                (self.columns.inequality(split.feature, cut, missing_first)?, left, right)
            }
            Form::Membership { membership, left, right } => ((self.columns.membership(&membership)?, 0), left, right),
        };
        Some(Some(Asked { column, code, left, right }))
    }

    /// The top, and the nodes at its leaves from left to right.
    fn top(&self, root: usize, lanes: Lanes) -> Option<(Top, Vec<usize>)> {
        let levels = self.levels(root)?;
        let mut scanned = Scanned::default();
        self.descend(root, levels, &mut scanned)?;
        if let Some(moves) = self.oblivious(root, &scanned)? {
            return Some((Top::Oblivious(moves), scanned.leaves));
        }
        if !lanes.picks_levels() {
            return Some((Top::Moves(scanned.moves.into()), scanned.leaves));
        }
        let (top, leaves) = self.complete(root, levels.min(complete::LEVELS_MAX))?;
        Some((Top::Complete(top), leaves))
    }

    /// The first levels, complete; a leaf among them is as if all its descendants were the same.
    fn complete(&self, root: usize, levels: usize) -> Option<(Complete, Vec<usize>)> {
        let (mut level, mut splits) = (vec![root], Vec::new());
        for _ in 0..levels {
            let mut below = Vec::new();
            for &node in &level {
                let Some(asked) = self.asked(node)? else {
                    splits.push((0, LAST));
                    below.extend([node, node]);
                    continue;
                };
                splits.push((asked.column, asked.code));
                below.extend([asked.left, asked.right]);
            }
            level = below;
        }
        Some((Complete::new(&splits), level))
    }

    /// How many levels from the root are scanned: all, or as many as have few enough splits.
    fn levels(&self, root: usize) -> Option<usize> {
        let (mut level, mut splits, mut levels, mut partial) = (vec![root], 0, 0, None);
        loop {
            let mut below = Vec::new();
            for &node in &level {
                if let Some(asked) = self.asked(node)? {
                    splits += 1;
                    below.extend([asked.left, asked.right]);
                }
            }
            if below.is_empty() {
                return Some(levels);
            }
            if splits > TOP_MAX && partial.is_none() {
                partial = Some(levels);
            }
            if splits > WHOLE_MAX {
                return partial;
            }
            (level, levels) = (below, levels + 1);
        }
    }

    fn descend(&self, node: usize, levels: usize, top: &mut Scanned) -> Option<()> {
        let asked = if levels == 0 { None } else { self.asked(node)? };
        let Some(asked) = asked else {
            top.leaves.push(node);
            return Some(());
        };
        let (this, from) = (top.moves.len(), top.leaves.len() as u16);
        top.moves.push(Move { column: asked.column, code: asked.code, from, to: 0 });
        self.descend(asked.left, levels - 1, top)?;
        top.moves[this].to = top.leaves.len() as u16;
        self.descend(asked.right, levels - 1, top)
    }

    /// One move for each level, if the top is the whole tree, complete, and the same on all paths.
    fn oblivious(&self, root: usize, top: &Scanned) -> Option<Option<Box<[Move]>>> {
        let levels = top.leaves.len().trailing_zeros() as usize;
        if levels == 0 || top.leaves.len() != 1 << levels {
            return Some(None);
        }
        let (mut level, mut moves) = (vec![root], Vec::new());
        for _ in 0..levels {
            let mut below = Vec::new();
            let mut question = None;
            for &node in &level {
                let Some(asked) = self.asked(node)? else { return Some(None) };
                if *question.get_or_insert((asked.column, asked.code)) != (asked.column, asked.code) {
                    return Some(None);
                }
                below.extend([asked.left, asked.right]);
            }
            moves.extend(question.map(|(column, code)| Move { column, code, from: 0, to: 0 }));
            level = below;
        }
        let ends = level.iter().all(|&node| matches!(self.tree[node], TreeNode::Leaf));
        Some(ends.then(|| moves.into()))
    }

    /// Steps from `leaves` of the top to the farthest leaf.
    fn depth(&self, leaves: &[usize]) -> Option<usize> {
        let (mut steps, mut open) = (HashMap::new(), leaves.to_vec());
        while let Some(&node) = open.last() {
            let Some(asked) = self.asked(node)? else {
                steps.insert(node, 0);
                open.pop();
                continue;
            };
            match (steps.get(&asked.left), steps.get(&asked.right)) {
                (Some(&left), Some(&right)) => {
                    steps.insert(node, 1 + usize::max(left, right));
                    open.pop();
                }
                (None, _) => open.push(asked.left),
                (_, None) => open.push(asked.right),
            }
        }
        leaves.iter().map(|leaf| steps[leaf]).max()
    }

    /// Records in breadth-first order behind one for each of `leaves`, and the node of each. A node with several
    /// parents has as many records, but its children are not repeated.
    fn records(&self, leaves: &[usize]) -> Option<(Vec<Record>, Vec<u32>)> {
        let mut nodes = leaves.to_vec();
        // Siblings share a cache line.
        nodes.resize(leaves.len().next_multiple_of(2), leaves[0]);
        let (mut pairs, mut open) = (HashMap::new(), VecDeque::from(leaves.to_vec()));
        while let Some(node) = open.pop_front() {
            if let Some(asked) = self.asked(node)?
                && !pairs.contains_key(&node)
            {
                pairs.insert(node, nodes.len());
                nodes.extend([asked.left, asked.right]);
                open.extend([asked.left, asked.right]);
            }
        }
        // A place follows every other.
        nodes.push(leaves[0]);
        u32::try_from(nodes.len()).ok()?;
        let record = |(place, &node): (usize, &usize)| {
            Some(match self.asked(node)? {
                None => Record { left: place as u32, column: 0, code: LAST },
                Some(asked) => Record { left: pairs[&node] as u32, column: asked.column, code: asked.code },
            })
        };
        let mut records: Vec<Record> = nodes.iter().enumerate().map(record).collect::<Option<_>>()?;
        if let Some(last) = records.last_mut() {
            *last = Record { left: 0, column: 0, code: LAST };
        }
        Some((records, numbers(&nodes)))
    }
}
