//! Steps over the values of a row: the largest, their sum, their shares.

use super::block::{AnyColumn, BLOCK_ROWS, Block, Cell, Column, Step, any};
use super::builder::Builder;
use super::number::Float;
use crate::elementary::exp_of_negative;
use crate::ops::{Refusal, Work, widely};

impl Builder {
    /// What `function` makes of the values of a row, one after the other, from `start` on.
    pub(crate) fn fold<T: Cell>(
        &mut self,
        columns: &[Column<T>],
        start: T,
        function: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> Column<T> {
        let output = self.column();
        self.step(Fold { columns: columns.to_vec(), output, start: Some(start), function });
        output
    }

    /// The first value of a row, or another that `wins` over all before it: a NaN wins nothing, and loses nothing.
    pub(crate) fn best<T: Cell>(
        &mut self,
        columns: &[Column<T>],
        wins: impl Fn(T, T) -> bool + Send + Sync + 'static,
    ) -> Column<T> {
        let output = self.column();
        let function = move |best, value| if wins(value, best) { value } else { best };
        self.step(Fold { columns: columns.to_vec(), output, start: None, function });
        output
    }

    /// The place of [`Builder::best`].
    pub(crate) fn winner<T: Float>(
        &mut self,
        columns: &[Column<T>],
        wins: impl Fn(T, T) -> bool + Send + Sync + 'static,
    ) -> Column<u32> {
        if let &[first, second] = columns {
            return self.pair(first, second, move |first, second| u32::from(wins(second, first)));
        }
        let output = self.column();
        self.step(Winner { columns: columns.to_vec(), output, wins });
        output
    }

    /// Shares of a row's exponentials, as classifiers of `ai.onnx.ml` give them.
    pub(crate) fn softmax(&mut self, scores: &[Column<f32>]) -> Vec<Column<f32>> {
        let largest = self.fold(scores, f32::NEG_INFINITY, f32::max);
        let powers: Vec<Column<f32>> = scores
            .iter()
            .map(|&score| self.pair(score, largest, |score, largest| exp_of_negative(score - largest)))
            .collect();
        let sum = self.fold(&powers, 0.0, |sum, power| sum + power);
        powers.into_iter().map(|power| self.pair(power, sum, |power, sum| power / sum)).collect()
    }
}

struct Fold<T, F> {
    columns: Vec<Column<T>>,
    output: Column<T>,
    /// What comes before the first; the first itself without one.
    start: Option<T>,
    function: F,
}

struct Folding<'a, T, F> {
    column: &'a [T],
    output: &'a mut [T],
    function: &'a F,
}

impl<T: Copy, F: Fn(T, T) -> T> Work for Folding<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        self.output.iter_mut().zip(self.column).for_each(|(all, &value)| *all = (self.function)(*all, value));
    }
}

impl<T: Cell, F: Fn(T, T) -> T + Send + Sync> Step for Fold<T, F> {
    fn reads(&self) -> Vec<AnyColumn> {
        any(&self.columns)
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |block, output| {
            match self.start {
                Some(start) => output.fill(start),
                None => output.copy_from_slice(block.read(self.columns[0])),
            }
            for &column in &self.columns {
                widely(Folding { column: block.read(column), output, function: &self.function });
            }
        });
        Ok(())
    }
}

struct Winner<T, F> {
    columns: Vec<Column<T>>,
    output: Column<u32>,
    wins: F,
}

struct Contest<'a, T, F> {
    column: &'a [T],
    number: u32,
    best: &'a mut [T],
    output: &'a mut [u32],
    wins: &'a F,
}

impl<T: Copy, F: Fn(T, T) -> bool> Work for Contest<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        for ((&value, best), output) in self.column.iter().zip(self.best).zip(self.output) {
            let wins = (self.wins)(value, *best);
            *best = if wins { value } else { *best };
            *output = if wins { self.number } else { *output };
        }
    }
}

impl<T: Float, F: Fn(T, T) -> bool + Send + Sync> Step for Winner<T, F> {
    fn reads(&self) -> Vec<AnyColumn> {
        any(&self.columns)
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |block, output| {
            output.fill(0);
            let mut best = [T::default(); BLOCK_ROWS];
            let best = &mut best[..output.len()];
            best.copy_from_slice(block.read(self.columns[0]));
            for (number, &column) in self.columns.iter().enumerate() {
                let (column, number) = (block.read(column), number as u32);
                widely(Contest { column, number, best, output, wins: &self.wins });
            }
        });
        Ok(())
    }
}
