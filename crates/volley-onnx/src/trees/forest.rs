//! All trees of an ensemble, and the sums of what their leaves say.

use super::description::{Description, Weight};
use super::layout::{LEAVES_MAX, Laid, lay};
use super::walk::{LANES, walk};
use super::{Malformed, Real};

/// Rows that go through all trees before the next ones: a tree stays in the nearest cache while
/// they pass, and so do their columns.
const BLOCK_ROWS: usize = 128;

/// What becomes of the trees' contributions to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    /// The sum, rounded to single precision after each tree, in their order: as XGBoost adds.
    SumInTurn,
    Average,
    Min,
    Max,
}

#[derive(Debug)]
pub(super) struct Forest<T> {
    trees: Vec<Laid<T>>,
    leaves: Leaves<T>,
    targets: usize,
    aggregate: Aggregate,
}

impl Aggregate {
    #[inline(always)]
    pub(super) fn adds(self) -> bool {
        matches!(self, Aggregate::Sum | Aggregate::SumInTurn | Aggregate::Average)
    }

    /// Two doubles that hold singles, added and rounded, are the singles' own sum.
    #[inline(always)]
    pub(super) fn sum(self, sum: f64, weight: f64) -> f64 {
        let sum = sum + weight;
        if self == Aggregate::SumInTurn { f64::from(sum as f32) } else { sum }
    }

    #[inline(always)]
    pub(super) fn prefers(self, weight: f64, other: f64) -> bool {
        match self {
            Aggregate::Min => weight < other,
            _ => weight > other,
        }
    }
}

/// What each leaf contributes, by its number.
#[derive(Debug)]
pub(super) enum Leaves<T> {
    /// Exactly one sum for one target.
    One(Vec<T>),
    /// Any number: leaf `i` has `entries[starts[i]..starts[i + 1]]`.
    Many { starts: Vec<u32>, entries: Vec<(u32, T)> },
}

impl<T: Real> Forest<T> {
    pub(super) fn new(description: &Description, aggregate: Aggregate) -> Result<Self, Malformed> {
        let leaves = Leaves::new(description, aggregate)?;
        let mut trees = Vec::with_capacity(description.trees.len());
        let mut first_leaf = 0u32;
        for (at, tree) in description.trees.iter().enumerate() {
            let laid =
                lay(tree, first_leaf).map_err(|Malformed(why)| Malformed(format!("tree {at} is malformed: {why}")))?;
            trees.push(laid);
            first_leaf += tree.len() as u32;
        }
        Ok(Forest { trees, leaves, targets: description.targets, aggregate })
    }

    /// Calls `each` with every row's number, aggregated scores, and which targets were spoken of.
    /// Rows are `columns` long; all features are below that.
    ///
    /// Sums are made in doubles and rounded once: summed in singles, the classes of a forest whose
    /// trees are divided evenly would differ in the last digit, and the wrong one could win.
    pub(super) fn score(&self, rows: &[T], columns: usize, mut each: impl FnMut(usize, &mut [T], &[bool])) {
        let mut sums = vec![0.0; BLOCK_ROWS * self.targets];
        let mut spoken = vec![false; BLOCK_ROWS * self.targets];
        let mut scores = vec![T::default(); self.targets];
        for (at, block) in rows.chunks(BLOCK_ROWS * columns).enumerate() {
            sums.fill(0.0);
            spoken.fill(false);
            let len = block.len() / columns;
            self.score_block(block, columns, &mut sums, &mut spoken);
            let all = sums.chunks_exact(self.targets).zip(spoken.chunks_exact(self.targets));
            for (row, (sums, spoken)) in all.take(len).enumerate() {
                self.round(sums, &mut scores);
                each(at * BLOCK_ROWS + row, &mut scores, spoken);
            }
        }
    }

    fn score_block(&self, block: &[T], columns: usize, sums: &mut [f64], spoken: &mut [bool]) {
        let missing = block.iter().fold(false, |missing, value| missing | value.is_nan());
        for tree in &self.trees {
            if missing {
                self.score_tree::<true>(tree, block, columns, sums, spoken);
            } else {
                self.score_tree::<false>(tree, block, columns, sums, spoken);
            }
        }
    }

    fn score_tree<const MISSING: bool>(
        &self,
        tree: &Laid<T>,
        block: &[T],
        columns: usize,
        sums: &mut [f64],
        spoken: &mut [bool],
    ) {
        let nodes = tree.nodes();
        let rows = block.len() / columns;
        for first in (0..rows).step_by(LANES) {
            // Lanes without a row of their own repeat the last one.
            let starts = std::array::from_fn(|lane| (first + lane).min(rows - 1) * columns);
            let places = walk::<T, MISSING>(tree, block, columns, &starts);
            let lanes = LANES.min(rows - first);
            match &self.leaves {
                Leaves::One(weights) => {
                    for (sum, place) in sums[first..first + lanes].iter_mut().zip(places) {
                        *sum = self.aggregate.sum(*sum, weights[nodes[place as usize].leaf_number()].double());
                    }
                }
                Leaves::Many { starts, entries } => {
                    for lane in 0..lanes {
                        let leaf = nodes[places[lane] as usize].leaf_number();
                        let said = &entries[starts[leaf] as usize..starts[leaf + 1] as usize];
                        let from = (first + lane) * self.targets;
                        let row = from..from + self.targets;
                        self.add(said, &mut sums[row.clone()], &mut spoken[row]);
                    }
                }
            }
        }
    }

    fn add(&self, said: &[(u32, T)], sums: &mut [f64], spoken: &mut [bool]) {
        for &(target, weight) in said {
            let (sum, spoken) = (&mut sums[target as usize], &mut spoken[target as usize]);
            let weight = weight.double();
            if self.aggregate.adds() {
                *sum = self.aggregate.sum(*sum, weight);
            } else if !*spoken || self.aggregate.prefers(weight, *sum) {
                *sum = weight;
            }
            *spoken = true;
        }
    }

    fn round(&self, sums: &[f64], scores: &mut [T]) {
        let divisor = if self.aggregate == Aggregate::Average { self.trees.len() as f64 } else { 1.0 };
        for (score, sum) in scores.iter_mut().zip(sums) {
            *score = T::of(sum / divisor);
        }
    }
}

impl Forest<f32> {
    /// The same forest for rows of doubles.
    pub(super) fn widened(&self) -> Forest<f64> {
        Forest {
            trees: self.trees.iter().map(Laid::widened).collect(),
            leaves: self.leaves.widened(),
            targets: self.targets,
            aggregate: self.aggregate,
        }
    }
}

impl<T: Real> Leaves<T> {
    pub(super) fn new(description: &Description, aggregate: Aggregate) -> Result<Self, Malformed> {
        let weights = description.leaf_weights()?;
        let sizes = description.trees.iter().map(Vec::len);
        let leaves: usize = sizes.sum();
        // Places and leaf numbers are 32 bits wide, to keep nodes small.
        if leaves > LEAVES_MAX || weights.len() > u32::MAX as usize {
            return Err(Malformed("there are too many nodes".into()));
        }
        let firsts: Vec<usize> = description
            .trees
            .iter()
            .scan(0, |first, tree| {
                let this = *first;
                *first += tree.len();
                Some(this)
            })
            .collect();
        let leaf = |weight: &Weight| firsts[weight.tree] + weight.node;
        if description.targets == 1 && aggregate.adds() {
            let mut one = vec![T::default(); leaves];
            for weight in &weights {
                one[leaf(weight)] += T::of(weight.value);
            }
            return Ok(Leaves::One(one));
        }
        let mut starts = vec![0u32; leaves + 1];
        for weight in &weights {
            starts[leaf(weight) + 1] += 1;
        }
        for at in 0..leaves {
            starts[at + 1] += starts[at];
        }
        let entries = weights.iter().map(|it| (it.target as u32, T::of(it.value))).collect();
        Ok(Leaves::Many { starts, entries })
    }
}

impl<T> Leaves<T> {
    /// The targets and weights of a leaf, where leaves have several.
    #[inline(always)]
    pub(super) fn of(&self, leaf: usize) -> &[(u32, T)] {
        match self {
            Leaves::One(_) => &[],
            Leaves::Many { starts, entries } => &entries[starts[leaf] as usize..starts[leaf + 1] as usize],
        }
    }
}

impl Leaves<f32> {
    pub(super) fn widened(&self) -> Leaves<f64> {
        match self {
            Leaves::One(weights) => Leaves::One(weights.iter().map(|&v| f64::from(v)).collect()),
            Leaves::Many { starts, entries } => Leaves::Many {
                starts: starts.clone(),
                entries: entries.iter().map(|&(target, v)| (target, f64::from(v))).collect(),
            },
        }
    }
}
