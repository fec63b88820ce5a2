//! All ranked trees of an ensemble, and the sums of what their leaves say.

use super::below::{Below, Column};
use super::columns::{Columns, STRIP};
use super::cuts::Ruler;
use super::description::Description;
use super::forest::{Aggregate, Leaves};
use super::lanes::{Choice, Lanes, Work};
use super::layout::{depth, root};
use super::ranked::{Both, Collector, Ranked, rank};
use super::said::{Said, Sums};
use super::scan::{Strip, Strips};
use super::{Malformed, Real};

/// Strips that go through all trees before the next ones: enough that a tree is brought from far caches for many
/// rows, few enough that their columns stay in near ones.
const BLOCK_STRIPS: usize = 16;

#[derive(Debug)]
pub(super) struct RankedForest {
    columns: Both,
    trees: Vec<(Ranked, Said)>,
    /// Of trees whose leaves have several weights, by the number of the leaf.
    leaves: Leaves<f64>,
    targets: usize,
    aggregate: Aggregate,
    lanes: Choice,
}

/// What finds the ranks of numbers, for the columns of the tops and for those below.
#[derive(Debug)]
pub(super) struct Rulers<T> {
    top: Vec<Ruler<T>>,
    below: Vec<Ruler<T>>,
}

impl RankedForest {
    /// `None` if there are more cuts or columns than their numbers have bits for.
    pub(super) fn new(
        description: &Description,
        aggregate: Aggregate,
        leaves: Leaves<f64>,
        lanes: Choice,
    ) -> Result<Option<Self>, Malformed> {
        let mut roots = Vec::with_capacity(description.trees.len());
        for (at, tree) in description.trees.iter().enumerate() {
            let malformed = |Malformed(why)| Malformed(format!("tree {at} is malformed: {why}"));
            let root = root(tree).map_err(malformed)?;
            depth(tree, root).map_err(malformed)?;
            roots.push(root);
        }
        Ok(RankedForest::ranked(description, &roots, aggregate, leaves, lanes))
    }

    fn ranked(
        description: &Description,
        roots: &[usize],
        aggregate: Aggregate,
        leaves: Leaves<f64>,
        lanes: Choice,
    ) -> Option<Self> {
        let mut asked = Collector::default();
        for (number, &root) in roots.iter().enumerate() {
            rank(description, number, root, lanes.picks(), &mut asked)?;
        }
        let columns = Both { top: Columns::new(asked.top)?, below: Columns::new(asked.below)? };
        let (mut ranked, mut first_leaf) = (Vec::with_capacity(roots.len()), 0);
        for (number, &root) in roots.iter().enumerate() {
            let (form, nodes) = rank(description, number, root, lanes.picks(), &mut &columns)?;
            let numbers: Vec<u32> = nodes.iter().map(|node| first_leaf + node).collect();
            ranked.push((form, Said::new(&numbers, &leaves, description.targets, aggregate)));
            first_leaf += description.trees[number].len() as u32;
        }
        Some(RankedForest { columns, trees: ranked, leaves, targets: description.targets, aggregate, lanes })
    }

    pub(super) fn rulers<T: Real>(&self) -> Rulers<T> {
        Rulers { top: self.columns.top.rulers(), below: self.columns.below.rulers() }
    }

    /// Calls `each` with every row's number, aggregated scores, and which targets were spoken of.
    /// `read` gives the values of a feature from a row on.
    ///
    /// Sums are made in doubles and rounded once: summed in singles, the classes of a forest whose
    /// trees are divided evenly would differ in the last digit, and the wrong one could win.
    pub(super) fn score<T: Real>(
        &self,
        rulers: &Rulers<T>,
        rows: usize,
        read: impl Fn(usize, usize, &mut [T]),
        each: impl FnMut(usize, &mut [T], &[bool]),
    ) {
        self.lanes.run(Scoring { forest: self, rulers, rows, read, each });
    }

    fn divisor(&self) -> f64 {
        if self.aggregate == Aggregate::Average { self.trees.len() as f64 } else { 1.0 }
    }
}

struct Scoring<'s, T, R, E> {
    forest: &'s RankedForest,
    rulers: &'s Rulers<T>,
    rows: usize,
    read: R,
    each: E,
}

impl<T: Real, R: Fn(usize, usize, &mut [T]), E: FnMut(usize, &mut [T], &[bool])> Work for Scoring<'_, T, R, E> {
    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let Scoring { forest, rulers, rows, .. } = self;
        let block_rows = (BLOCK_STRIPS * STRIP).min(rows);
        let mut block = Block::new(&forest.columns, block_rows.div_ceil(STRIP));
        let mut sums = Sums::new(block_rows, forest.targets, forest.aggregate);
        let (mut scores, mut spoken) = (vec![T::default(); forest.targets], vec![false; forest.targets]);
        let divisor = forest.divisor();
        for first in (0..rows).step_by(block_rows.max(1)) {
            let len = block_rows.min(rows - first);
            let read = |feature: usize, values: &mut [T]| (self.read)(feature, first, values);
            forest.columns.top.fill(lanes, &rulers.top, len, &mut block.top, read);
            forest.columns.below.fill(lanes, &rulers.below, len, &mut block.below, read);
            sums.clear();
            block.score(lanes, forest, len, &mut sums);
            for row in 0..len {
                sums.row(row, divisor, &mut scores, &mut spoken);
                (self.each)(first + row, &mut scores, &spoken);
            }
        }
    }
}

/// The columns of a block of rows, and their places in the tree at hand.
struct Block {
    top: Vec<Strip>,
    top_columns: usize,
    below: Vec<Column>,
    below_columns: usize,
    places: Vec<Strip>,
}

impl Block {
    fn new(columns: &Both, strips: usize) -> Block {
        Block {
            top: vec![[0; STRIP]; strips * columns.top.len()],
            top_columns: columns.top.len(),
            below: vec![[0; STRIP]; strips * columns.below.len()],
            below_columns: columns.below.len(),
            places: vec![[0; STRIP]; strips],
        }
    }

    #[inline(always)]
    fn score<L: Lanes>(&mut self, lanes: L, forest: &RankedForest, rows: usize, sums: &mut Sums) {
        let strips = rows.div_ceil(STRIP);
        let mut walked = [0; STRIP];
        for (tree, said) in &forest.trees {
            let places = &mut self.places[..strips];
            tree.top.scan(lanes, Strips::new(&self.top, self.top_columns), places);
            if let Below::Nothing = tree.below {
                sums.add(said, &forest.leaves, 0, &places.as_flattened()[..rows]);
                continue;
            }
            for (at, places) in places.iter().enumerate() {
                let strip = &self.below[at * self.below_columns..][..self.below_columns];
                let first = at * STRIP;
                let rows = STRIP.min(rows - first);
                match &tree.below {
                    Below::Nothing => {}
                    Below::Levels(levels) => levels.walk(strip, rows, places, &mut walked),
                    Below::Records(records) => records.walk(strip, rows, places, &mut walked),
                }
                sums.add(said, &forest.leaves, first, &walked[..rows]);
            }
        }
    }
}
