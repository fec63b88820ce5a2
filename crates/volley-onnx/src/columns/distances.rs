//! Squared distances of rows from constant others.

use tract_onnx::tract_hir::internal::*;

use super::memory::Memory;
use super::program::{Step, Use};
use super::real::Real;
use crate::ops::{LANES, Squarable, Work, squared, widely};

#[derive(Debug)]
pub(super) struct Distances<T> {
    pub(super) from: Vec<u32>,
    /// One after the other, each with a number for each of `from`.
    pub(super) others: Vec<T>,
    /// One for each of the others.
    pub(super) to: Vec<u32>,
}

impl<T: Real + Squarable> Step for Distances<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        let mut outs: Vec<Vec<T>> = self.to.iter().map(|&slot| memory.take::<T>(slot)).collect();
        let columns: TVec<&[T]> = self.from.iter().map(|&slot| memory.column::<T>(slot, rows)).collect();
        widely(Comparison { columns: &columns, others: &self.others, outs: &mut outs, rows });
        drop(columns);
        self.to.iter().zip(outs).for_each(|(&slot, column)| memory.put(slot, column));
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        self.from.iter_mut().for_each(|slot| visit(slot, Use::Read));
        self.to.iter_mut().for_each(|slot| visit(slot, Use::Write));
    }
}

struct Comparison<'a, T> {
    columns: &'a [&'a [T]],
    others: &'a [T],
    outs: &'a mut [Vec<T>],
    rows: usize,
}

impl<T: Real + Squarable> Work for Comparison<'_, T> {
    #[inline(always)]
    fn run(self) {
        for (other, out) in self.others.chunks_exact(self.columns.len().max(1)).zip(self.outs) {
            for (at, out) in out[..self.rows].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                *out = squared(other, |column| self.columns[column].as_chunks::<LANES>().0[at]);
            }
        }
    }
}
