//! Trees over columns of ranks: a top that is scanned, and below it levels or records that are walked.
//!
//! Scanning costs for every split of a tree, walking for every step of a row. Small trees are all
//! top; of large ones, the first levels.

use std::collections::VecDeque;

use super::below::{Below, Fixed, Levels, Record, Records};
use super::columns::{Columns, Questions};
use super::complete::{self, Complete};
use super::description::Description;
use super::entry::Entry;
use super::question::{Fork, Question};
use super::scan::{Move, Moves, Top};

/// Splits of a tree that is all top: places of its leaves fit eight bits.
const SCANNED_MAX: usize = 254;
/// Levels of the top of a tree that goes on.
const TOP_LEVELS: usize = complete::LEVELS_MAX;

// What things cost, in instructions for the 64 rows of a strip, as counted with AVX2.
const MOVE_COST: usize = 9;
const COMPLETE_COST: [usize; TOP_LEVELS + 1] = [2, 8, 16, 28, 52, 100, 200];
const STEP_COST: usize = 448;
/// More slots for leaves than this for each of them cost too much memory.
const SLOTS_MAX: usize = 6;

/// A tree over columns: its top, what is below, and the columns of both are those of one forest.
#[derive(Debug)]
pub(super) struct Ranked {
    pub(super) top: Top,
    pub(super) below: Below,
}

/// Knows the column and the code of a question, asked in the top or below it.
pub(super) trait Ask {
    fn top(&mut self, question: &Question) -> Option<(u16, i8)>;
    fn below(&mut self, question: &Question) -> Option<(u16, u16)>;
}

/// Collects all questions, for columns that do not exist yet.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) top: Questions,
    pub(super) below: Questions,
}

impl Ask for Collector {
    fn top(&mut self, question: &Question) -> Option<(u16, i8)> {
        self.top.add(question);
        Some((0, 0))
    }

    fn below(&mut self, question: &Question) -> Option<(u16, u16)> {
        self.below.add(question);
        Some((0, 0))
    }
}

/// The columns of a forest.
#[derive(Debug)]
pub(super) struct Both {
    pub(super) top: Columns<i8>,
    pub(super) below: Columns<u16>,
}

impl Ask for &Both {
    fn top(&mut self, question: &Question) -> Option<(u16, i8)> {
        self.top.place(question)
    }

    fn below(&mut self, question: &Question) -> Option<(u16, u16)> {
        self.below.place(question)
    }
}

/// Makes the tree of a number, whose root is `root` and which has no cycle, and tells the node at each place. `None`
/// if a question has no column. Only what is asked for decides on the form, not the answers of `ask`; `picks` says
/// whether a complete top is fast.
pub(super) fn rank(
    description: &Description,
    number: usize,
    root: usize,
    picks: bool,
    ask: &mut impl Ask,
) -> Option<(Ranked, Vec<u32>)> {
    let tree = &description.trees[number];
    let fork = |node| match description.searches.get(&(number, node)) {
        Some(search) => Some(Fork::search(search)),
        None => Fork::of(tree, node),
    };
    let forks: Vec<Option<Fork>> = (0..tree.len()).map(fork).collect();
    let steps = steps(&forks, root);
    Builder { forks, steps, picks, ask }.build(root)
}

/// Steps from each node to the farthest leaf, where `root` leads to it.
fn steps(forks: &[Option<Fork>], root: usize) -> Vec<u32> {
    const UNKNOWN: u32 = u32::MAX;
    let (mut steps, mut open) = (vec![UNKNOWN; forks.len()], vec![root]);
    while let Some(&node) = open.last() {
        let Some(fork) = &forks[node] else {
            steps[node] = 0;
            open.pop();
            continue;
        };
        match (steps[fork.left], steps[fork.right]) {
            (UNKNOWN, _) => open.push(fork.left),
            (_, UNKNOWN) => open.push(fork.right),
            (left, right) => {
                steps[node] = 1 + left.max(right);
                open.pop();
            }
        }
    }
    steps
}

/// The splits of a top in the order of a scan, and the nodes at its leaves from left to right.
#[derive(Default)]
struct Scanned {
    moves: Vec<Move>,
    leaves: Vec<usize>,
}

struct Builder<'a, A> {
    forks: Vec<Option<Fork>>,
    steps: Vec<u32>,
    picks: bool,
    ask: &'a mut A,
}

impl<A: Ask> Builder<'_, A> {
    fn build(&mut self, root: usize) -> Option<(Ranked, Vec<u32>)> {
        let steps = self.steps[root] as usize;
        let splits = self.splits_up_to(root, SCANNED_MAX);
        if let Some((moves, leaves)) = splits.and_then(|_| self.oblivious(root)) {
            let moves = moves.iter().map(|question| self.ask.top(question)).collect::<Option<Vec<_>>>()?;
            let moves = moves.into_iter().map(|(column, code)| Move { column, code, from: 0, to: 0 }).collect();
            return Some((Ranked { top: Top::Oblivious(Moves::new(moves)), below: Below::Nothing }, numbers(&leaves)));
        }
        if let Some(splits) = splits.filter(|splits| self.is_scanned(*splits, steps)) {
            let is_complete = self.picks && steps <= TOP_LEVELS && COMPLETE_COST[steps] < MOVE_COST * splits;
            let (top, leaves) = if is_complete { self.complete(root, steps)? } else { self.moves(root, steps)? };
            return Some((Ranked { top, below: Below::Nothing }, numbers(&leaves)));
        }
        let (top, leaves) = if self.picks { self.complete(root, TOP_LEVELS)? } else { self.moves(root, TOP_LEVELS)? };
        let (below, nodes) = self.below(&leaves)?;
        Some((Ranked { top, below }, numbers(&nodes)))
    }

    /// Whether a tree of so many splits and steps is all top.
    fn is_scanned(&self, splits: usize, steps: usize) -> bool {
        let walked = COMPLETE_COST[TOP_LEVELS] + STEP_COST * steps.saturating_sub(TOP_LEVELS);
        steps <= TOP_LEVELS || MOVE_COST * splits <= walked
    }

    /// How many splits there are, each counted once for every path to it, unless they are more than `max`.
    fn splits_up_to(&self, root: usize, max: usize) -> Option<usize> {
        let (mut open, mut splits) = (vec![root], 0);
        while let Some(node) = open.pop() {
            if let Some(fork) = &self.forks[node] {
                splits += 1;
                open.extend([fork.left, fork.right]);
            }
            if splits > max {
                return None;
            }
        }
        Some(splits)
    }

    fn moves(&mut self, root: usize, levels: usize) -> Option<(Top, Vec<usize>)> {
        let mut scanned = Scanned::default();
        self.descend(root, levels, &mut scanned)?;
        Some((Top::Moves(Moves::new(scanned.moves)), scanned.leaves))
    }

    fn descend(&mut self, node: usize, levels: usize, top: &mut Scanned) -> Option<()> {
        let fork = if levels == 0 { &None } else { &self.forks[node] };
        let Some(fork) = fork else {
            top.leaves.push(node);
            return Some(());
        };
        let (left, right) = (fork.left, fork.right);
        let (column, code) = self.ask.top(&fork.question)?;
        let (this, from) = (top.moves.len(), top.leaves.len() as u8);
        top.moves.push(Move { column, code, from, to: 0 });
        self.descend(left, levels - 1, top)?;
        top.moves[this].to = top.leaves.len() as u8;
        self.descend(right, levels - 1, top)
    }

    /// The first levels, complete; a leaf among them is as if all its descendants were the same.
    fn complete(&mut self, root: usize, levels: usize) -> Option<(Top, Vec<usize>)> {
        let (mut level, mut splits) = (vec![root], Vec::new());
        for _ in 0..levels {
            let mut below = Vec::with_capacity(2 * level.len());
            for &node in &level {
                let Some(fork) = &self.forks[node] else {
                    splits.push((0, i8::ALWAYS));
                    below.extend([node, node]);
                    continue;
                };
                splits.push(self.ask.top(&fork.question)?);
                below.extend([fork.left, fork.right]);
            }
            level = below;
        }
        Some((Top::Complete(Complete::new(&splits)), level))
    }

    /// One question for each level and the leaves, if all paths ask the same.
    fn oblivious(&self, root: usize) -> Option<(Vec<Question>, Vec<usize>)> {
        let (mut level, mut questions) = (vec![root], Vec::new());
        while level.iter().any(|&node| self.forks[node].is_some()) {
            let first = &self.forks[level[0]].as_ref()?.question;
            let mut below = Vec::with_capacity(2 * level.len());
            for &node in &level {
                let fork = self.forks[node].as_ref().filter(|fork| fork.question == *first)?;
                below.extend([fork.left, fork.right]);
            }
            questions.push(first.clone());
            level = below;
        }
        Some((questions, level))
    }

    /// What is below the `leaves` of the top, and the node at each place.
    fn below(&mut self, leaves: &[usize]) -> Option<(Below, Vec<usize>)> {
        let steps = leaves.iter().map(|&leaf| self.steps[leaf] as usize).max().unwrap_or(0);
        let ends = 1 + self.forks.iter().filter(|it| it.is_some()).count();
        match leaves.len().checked_shl(steps as u32) {
            Some(slots) if steps < 16 && slots <= SLOTS_MAX * ends => self.levels(leaves, steps),
            _ => self.records(leaves, steps),
        }
    }

    fn levels(&mut self, leaves: &[usize], steps: usize) -> Option<(Below, Vec<usize>)> {
        let (mut level, mut levels) = (leaves.to_vec(), Vec::with_capacity(steps));
        for _ in 0..steps {
            let (mut nodes, mut below) = (Vec::with_capacity(level.len()), Vec::with_capacity(2 * level.len()));
            for &node in &level {
                let Some(fork) = &self.forks[node] else {
                    nodes.push(Fixed { column: 0, code: u16::ALWAYS });
                    below.extend([node, node]);
                    continue;
                };
                let (column, code) = self.ask.below(&fork.question)?;
                nodes.push(Fixed { column, code });
                below.extend([fork.left, fork.right]);
            }
            levels.push(nodes);
            level = below;
        }
        Some((Below::Levels(Levels::new(levels)), level))
    }

    /// Records in breadth-first order behind one for each of `leaves`, and the node of each. A node with several
    /// parents has as many records, but its children are not repeated.
    fn records(&mut self, leaves: &[usize], steps: usize) -> Option<(Below, Vec<usize>)> {
        let mut nodes = leaves.to_vec();
        // Siblings share a cache line.
        nodes.resize(leaves.len().next_multiple_of(2), leaves[0]);
        let (mut pairs, mut open) = (vec![0; self.forks.len()], VecDeque::from(leaves.to_vec()));
        while let Some(node) = open.pop_front() {
            if let Some(fork) = self.forks[node].as_ref().filter(|_| pairs[node] == 0) {
                pairs[node] = u32::try_from(nodes.len()).ok()?;
                nodes.extend([fork.left, fork.right]);
                open.extend([fork.left, fork.right]);
            }
        }
        // A place follows every other.
        nodes.push(leaves[0]);
        let end = u32::try_from(nodes.len()).ok()? - 1;
        let mut records = Vec::with_capacity(nodes.len());
        for (place, &node) in (0..).zip(&nodes) {
            records.push(match &self.forks[node] {
                Some(fork) if place < end => {
                    let (column, code) = self.ask.below(&fork.question)?;
                    Record { left: pairs[node], fixed: Fixed { column, code } }
                }
                _ => {
                    let left = if place < end { place } else { 0 };
                    Record { left, fixed: Fixed { column: 0, code: u16::ALWAYS } }
                }
            });
        }
        Some((Below::Records(Records::new(records, steps)), nodes))
    }
}

fn numbers(nodes: &[usize]) -> Vec<u32> {
    nodes.iter().map(|&node| node as u32).collect()
}
