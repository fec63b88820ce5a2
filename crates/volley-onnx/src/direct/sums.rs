//! Weighted sums of columns: what linear models are made of.

use super::block::{AnyColumn, BLOCK_ROWS, Block, Column, Step};
use super::builder::Builder;
use super::number::Float;
use crate::ops::{Refusal, Work, widely};

/// In which order a row's products are added: it shows in the last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// One after the other.
    InTurn,
    /// As in the lanes of vectors of eight columns, which are added up at the end.
    ByLane,
}

/// Columns that are lanes of one vector.
const LANES: usize = 8;

impl Builder {
    /// The sum of columns times weights, and the intercept behind it.
    pub(crate) fn weighted_sum<T: Float>(
        &mut self,
        columns: &[Column<T>],
        weights: &[T],
        intercept: T,
        order: Order,
    ) -> Column<T> {
        let output = self.column();
        let terms: Vec<(Column<T>, T)> = columns.iter().copied().zip(weights.iter().copied()).collect();
        let terms = if order == Order::ByLane { lane_by_lane(&terms) } else { terms };
        self.step(WeightedSum { terms, intercept, order, output });
        output
    }
}

/// The terms of the first lane, then those of the second; those that fill no vector stay at the end.
fn lane_by_lane<T: Copy>(terms: &[T]) -> Vec<T> {
    let (vectors, rest) = terms.as_chunks::<LANES>();
    let lanes = (0..LANES).flat_map(|lane| vectors.iter().map(move |vector| vector[lane]));
    lanes.chain(rest.iter().copied()).collect()
}

struct WeightedSum<T> {
    terms: Vec<(Column<T>, T)>,
    intercept: T,
    order: Order,
    output: Column<T>,
}

impl<T: Float> Step for WeightedSum<T> {
    fn reads(&self) -> Vec<AnyColumn> {
        self.terms.iter().map(|term| term.0.any()).collect()
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |block, sums| {
            let terms: Vec<Term<'_, T>> =
                self.terms.iter().map(|&(column, weight)| (block.read(column), weight)).collect();
            widely(Summing { terms: &terms, intercept: self.intercept, order: self.order, sums });
        });
        Ok(())
    }
}

/// A column and its weight.
type Term<'a, T> = (&'a [T], T);

struct Summing<'a, T> {
    terms: &'a [Term<'a, T>],
    intercept: T,
    order: Order,
    sums: &'a mut [T],
}

impl<T: Float> Work for Summing<'_, T> {
    #[inline(always)]
    fn run(self) {
        match self.order {
            Order::InTurn => {
                self.sums.fill(T::ZERO);
                add(self.terms, self.sums);
            }
            Order::ByLane => by_lane(self.terms, self.sums),
        }
        self.sums.iter_mut().for_each(|sum| *sum = *sum + self.intercept);
    }
}

/// Adds the products of each row in turn; four columns at a time, so that sums are seldom put down.
#[inline(always)]
fn add<T: Float>(terms: &[Term<'_, T>], sums: &mut [T]) {
    let rows = sums.len();
    let (fours, rest) = terms.as_chunks::<4>();
    for &[(a, on_a), (b, on_b), (c, on_c), (d, on_d)] in fours {
        let (a, b, c, d) = (&a[..rows], &b[..rows], &c[..rows], &d[..rows]);
        for row in 0..rows {
            sums[row] = sums[row] + a[row] * on_a + b[row] * on_b + c[row] * on_c + d[row] * on_d;
        }
    }
    for &(column, weight) in rest {
        sums.iter_mut().zip(column).for_each(|(sum, &value)| *sum = *sum + value * weight);
    }
}

#[inline(always)]
fn by_lane<T: Float>(terms: &[Term<'_, T>], sums: &mut [T]) {
    let rows = sums.len();
    let vectors = terms.len() / LANES;
    let (lanes, rest) = terms.split_at(vectors * LANES);
    let lane = |at: usize| &lanes[at * vectors..][..vectors];
    let mut halves = [[T::ZERO; BLOCK_ROWS]; 4];
    let mut upper = [T::ZERO; BLOCK_ROWS];
    for (at, half) in halves.iter_mut().enumerate() {
        let (half, upper) = (&mut half[..rows], &mut upper[..rows]);
        upper.fill(T::ZERO);
        add(lane(at), half);
        add(lane(at + 4), upper);
        half.iter_mut().zip(upper).for_each(|(half, upper)| *half = *half + *upper);
    }
    let (four, rest) = rest.as_chunks::<4>();
    for (term, half) in four.iter().flatten().zip(&mut halves) {
        add(std::slice::from_ref(term), &mut half[..rows]);
    }
    sums.fill(-T::ZERO);
    add(rest, sums);
    let [a, b, c, d] = &halves;
    for (row, sum) in sums.iter_mut().enumerate() {
        *sum = (a[row] + c[row]) + (b[row] + d[row]) + *sum;
    }
}
