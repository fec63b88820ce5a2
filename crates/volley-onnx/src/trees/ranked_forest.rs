//! All ranked trees of an ensemble, and the sums of what their leaves say.

use super::columns::{BLOCK_ROWS, Column, Columns, Questions};
use super::cuts::Ruler;
use super::description::Description;
use super::forest::{Aggregate, Leaves};
use super::layout::{depth, root};
use super::ranked::{Ranked, Record, collect, rank};
use super::scan::{Lanes, Places};
use super::{Malformed, Real};

/// Rows that are walked together below the top of a tree: fewer leave the core idle, more do not
/// fit its registers (Asadi, Lin and de Vries, "Runtime Optimizations for Tree-based Machine
/// Learning Models", TKDE 2014).
const WALKED: usize = 16;
/// Steps between two looks at whether all rows have arrived.
const STEPS_UNSEEN: usize = 4;

#[derive(Debug)]
pub(super) struct RankedForest {
    columns: Columns,
    trees: Vec<(Ranked, Said)>,
    /// Of trees whose leaves have several weights, by the number of the leaf.
    leaves: Leaves<f64>,
    targets: usize,
    aggregate: Aggregate,
    lanes: Lanes,
}

/// What the leaves of a tree say, by their place.
#[derive(Debug)]
enum Said {
    /// Each has one weight, all for the same target, and weights are added.
    Lone { target: usize, weights: Box<[f64]> },
    /// The numbers of the leaves.
    Many(Box<[u32]>),
}

impl RankedForest {
    /// `None` if ranks do not fit their sixteen bits.
    pub(super) fn new(
        description: &Description,
        aggregate: Aggregate,
        leaves: Leaves<f64>,
        lanes: Lanes,
    ) -> Result<Option<Self>, Malformed> {
        let mut questions = Questions::default();
        description.trees.iter().for_each(|tree| collect(tree, &mut questions));
        let Some(columns) = Columns::new(questions) else { return Ok(None) };
        let (mut trees, mut first_leaf) = (Vec::with_capacity(description.trees.len()), 0);
        for (at, tree) in description.trees.iter().enumerate() {
            let malformed = |Malformed(why)| Malformed(format!("tree {at} is malformed: {why}"));
            let root = root(tree).map_err(malformed)?;
            depth(tree, root).map_err(malformed)?;
            let Some(ranked) = rank(tree, root, &columns, lanes) else { return Ok(None) };
            let said = Said::new(&ranked, first_leaf, &leaves, aggregate);
            trees.push((ranked, said));
            first_leaf += tree.len() as u32;
        }
        let targets = description.targets;
        Ok(Some(RankedForest { columns, trees, leaves, targets, aggregate, lanes }))
    }

    pub(super) fn rulers<T: Real>(&self) -> Vec<Ruler<T>> {
        self.columns.rulers()
    }

    /// Calls `each` with every row's number, aggregated scores, and which targets were spoken of.
    /// `read` gives the values of a feature from a row on.
    ///
    /// Sums are made in doubles and rounded once: summed in singles, the classes of a forest whose
    /// trees are divided evenly would differ in the last digit, and the wrong one could win.
    pub(super) fn score<T: Real>(
        &self,
        rulers: &[Ruler<T>],
        rows: usize,
        read: impl Fn(usize, usize, &mut [T]),
        mut each: impl FnMut(usize, &mut [T], &[bool]),
    ) {
        let mut columns = vec![[0; BLOCK_ROWS]; self.columns.len()];
        let mut sums = Sums::new(self.targets);
        let (mut scores, mut spoken) = (vec![T::default(); self.targets], vec![false; self.targets]);
        for first in (0..rows).step_by(BLOCK_ROWS) {
            let len = BLOCK_ROWS.min(rows - first);
            self.columns.fill(rulers, len, &mut columns, |feature, values| read(feature, first, values));
            sums.clear();
            self.score_block(&columns, len, &mut sums);
            for row in 0..len {
                sums.row(row, self.divisor(), &mut scores, &mut spoken);
                each(first + row, &mut scores, &spoken);
            }
        }
    }

    fn divisor(&self) -> f64 {
        if self.aggregate == Aggregate::Average { self.trees.len() as f64 } else { 1.0 }
    }

    fn score_block(&self, columns: &[Column], rows: usize, sums: &mut Sums) {
        let mut places = [0; BLOCK_ROWS];
        for (tree, said) in &self.trees {
            self.lanes.scan(&tree.top, columns, &mut places);
            if tree.records.is_empty() {
                self.add(said, rows, sums, |row| usize::from(places[row]));
            } else {
                let places = walk(tree, columns, &places, rows);
                self.add(said, rows, sums, |row| places[row] as usize);
            }
        }
    }

    #[inline(always)]
    fn add(&self, said: &Said, rows: usize, sums: &mut Sums, place: impl Fn(usize) -> usize) {
        match said {
            Said::Lone { target, weights } => {
                sums.spoken_of_all[*target] = true;
                for (row, sum) in sums.of(*target)[..rows].iter_mut().enumerate() {
                    *sum = self.aggregate.sum(*sum, weights[place(row)]);
                }
            }
            Said::Many(numbers) => {
                for row in 0..rows {
                    let said = self.leaves.of(numbers[place(row)] as usize);
                    said.iter().for_each(|&(target, weight)| sums.add(target as usize, row, weight, self.aggregate));
                }
            }
        }
    }
}

impl Said {
    fn new(tree: &Ranked, first_leaf: u32, leaves: &Leaves<f64>, aggregate: Aggregate) -> Said {
        let number = |&node: &u32| (first_leaf + node) as usize;
        Said::lone(tree, number, leaves, aggregate)
            .unwrap_or_else(|| Said::Many(tree.nodes.iter().map(|node| number(node) as u32).collect()))
    }

    fn lone(tree: &Ranked, number: impl Fn(&u32) -> usize, leaves: &Leaves<f64>, aggregate: Aggregate) -> Option<Said> {
        if let Leaves::One(weights) = leaves {
            return Some(Said::Lone { target: 0, weights: tree.nodes.iter().map(|it| weights[number(it)]).collect() });
        }
        let is_leaf = |place: usize| tree.records.get(place).is_none_or(|it| it.left as usize == place);
        let mut target = None;
        let weights = tree.nodes.iter().enumerate().map(|(place, node)| match leaves.of(number(node)) {
            _ if !is_leaf(place) => Some(0.0),
            [(of, weight)] => (*target.get_or_insert(*of) == *of).then_some(*weight),
            _ => None,
        });
        let weights = weights.collect::<Option<_>>()?;
        target.filter(|_| aggregate.adds()).map(|target| Said::Lone { target: target as usize, weights })
    }
}

/// Walks rows from the leaves of the top down to those of the tree.
fn walk(tree: &Ranked, columns: &[Column], tops: &Places, rows: usize) -> [u32; BLOCK_ROWS] {
    let mut places = [0; BLOCK_ROWS];
    let strips = places.as_chunks_mut::<WALKED>().0.iter_mut().zip(tops.as_chunks::<WALKED>().0);
    for (at, (strip, tops)) in strips.enumerate().take(rows.div_ceil(WALKED)) {
        *strip = tops.map(u32::from);
        let mut left = tree.depth;
        while left > 0 {
            for _ in 0..left.min(STEPS_UNSEEN) {
                step(&tree.records, columns, at * WALKED, strip);
            }
            left = left.saturating_sub(STEPS_UNSEEN);
            if left > 0 && strip.iter().all(|&place| tree.records[place as usize].left == place) {
                break;
            }
        }
    }
    places
}

#[inline(always)]
#[expect(unsafe_code, reason = "checking bounds at every step takes half of the time")]
fn step(records: &[Record], columns: &[Column], first_row: usize, places: &mut [u32; WALKED]) {
    for (lane, place) in places.iter_mut().enumerate() {
        debug_assert!((*place as usize) < records.len());
        // SAFETY: `Ranked` promises that the leaves of a top, and the `left` of a record and the place behind it, are
        // among its records.
        let record = unsafe { records.get_unchecked(*place as usize) };
        debug_assert!(usize::from(record.column) < columns.len());
        // SAFETY: `Ranked` promises that its columns are among those of the forest, of which there is one each.
        let column = unsafe { columns.get_unchecked(usize::from(record.column)) };
        *place = record.left + u32::from(column[first_row + lane] > record.code);
    }
}

/// Sums of a block's rows, target by target.
struct Sums {
    sums: Vec<f64>,
    /// By target and row.
    spoken: Vec<bool>,
    /// By target: all rows were spoken of.
    spoken_of_all: Vec<bool>,
}

impl Sums {
    fn new(targets: usize) -> Sums {
        let cells = targets * BLOCK_ROWS;
        Sums { sums: vec![0.0; cells], spoken: vec![false; cells], spoken_of_all: vec![false; targets] }
    }

    fn clear(&mut self) {
        self.sums.fill(0.0);
        self.spoken.fill(false);
        self.spoken_of_all.fill(false);
    }

    fn of(&mut self, target: usize) -> &mut [f64] {
        &mut self.sums[target * BLOCK_ROWS..][..BLOCK_ROWS]
    }

    #[inline(always)]
    fn add(&mut self, target: usize, row: usize, weight: f64, aggregate: Aggregate) {
        let at = target * BLOCK_ROWS + row;
        let (sum, spoken) = (&mut self.sums[at], &mut self.spoken[at]);
        if aggregate.adds() {
            *sum = aggregate.sum(*sum, weight);
        } else if !*spoken || aggregate.prefers(weight, *sum) {
            *sum = weight;
        }
        *spoken = true;
    }

    fn row<T: Real>(&self, row: usize, divisor: f64, scores: &mut [T], spoken: &mut [bool]) {
        for (target, (score, spoken)) in scores.iter_mut().zip(spoken).enumerate() {
            let at = target * BLOCK_ROWS + row;
            *score = T::of(self.sums[at] / divisor);
            *spoken = self.spoken[at] | self.spoken_of_all[target];
        }
    }
}
