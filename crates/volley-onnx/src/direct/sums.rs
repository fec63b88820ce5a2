//! Weighted sums of columns: what linear models are made of.

use super::block::{AnyColumn, Block, Column, Step};
use super::builder::Builder;
use super::number::Float;
use crate::ops::{Refusal, Work, widely};

impl Builder {
    /// The sum of columns times weights, added in turn, and the intercept behind them.
    pub(crate) fn weighted_sum<T: Float>(&mut self, columns: &[Column<T>], weights: &[T], intercept: T) -> Column<T> {
        let output = self.column();
        let terms = columns.iter().copied().zip(weights.iter().copied()).collect();
        self.step(WeightedSum { terms, intercept, output });
        output
    }
}

struct WeightedSum<T> {
    terms: Vec<(Column<T>, T)>,
    intercept: T,
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
            widely(Summing { terms: &terms, intercept: self.intercept, sums });
        });
        Ok(())
    }
}

/// A column and its weight.
type Term<'a, T> = (&'a [T], T);

struct Summing<'a, T> {
    terms: &'a [Term<'a, T>],
    intercept: T,
    sums: &'a mut [T],
}

impl<T: Float> Work for Summing<'_, T> {
    /// Four columns at a time, so that sums are seldom put down.
    #[inline(always)]
    fn run(self) {
        let sums = self.sums;
        sums.fill(T::ZERO);
        let (fours, rest) = self.terms.as_chunks::<4>();
        for &[(a, on_a), (b, on_b), (c, on_c), (d, on_d)] in fours {
            for (sum, (((&a, &b), &c), &d)) in sums.iter_mut().zip(a.iter().zip(b).zip(c).zip(d)) {
                *sum = *sum + a * on_a + b * on_b + c * on_c + d * on_d;
            }
        }
        for &(column, weight) in rest {
            sums.iter_mut().zip(column).for_each(|(sum, &value)| *sum = *sum + value * weight);
        }
        sums.iter_mut().for_each(|sum| *sum = *sum + self.intercept);
    }
}
