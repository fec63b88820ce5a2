//! Steps that look for the largest or smallest of some columns, and for those beside.

use tract_onnx::tract_hir::internal::*;

use super::arithmetic::visit_pairs;
use super::memory::Memory;
use super::program::{Step, Use};
use super::real::Real;
use crate::ops::{Top, Work, widely};

/// Which of some columns is the largest, or the smallest: the first of equal ones, or the last. As in ONNX Runtime, the
/// search begins with the first column, so a NaN there stays, and others are passed over.
#[derive(Debug)]
pub(super) struct Position<T> {
    pub(super) smallest: bool,
    pub(super) last: bool,
    /// Those to look at, and the column for the position.
    pub(super) groups: Vec<(Vec<u32>, u32)>,
    /// For the largest so far, and its position.
    pub(super) room: (u32, u32),
    pub(super) of: std::marker::PhantomData<T>,
}

impl<T: Real> Step for Position<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        for (columns, to) in &self.groups {
            let (mut best, mut at) = (memory.take::<T>(self.room.0), memory.take::<T>(self.room.1));
            let (best_rows, at_rows) = (&mut best[..rows], &mut at[..rows]);
            best_rows.copy_from_slice(&memory.column::<T>(columns[0], rows)[..rows]);
            at_rows.fill(T::from_double(0.0));
            for (position, &slot) in columns.iter().enumerate().skip(1) {
                let column = memory.column::<T>(slot, rows);
                let position = T::from_double(position as f64);
                widely(Better { step: self, position, column, best: best_rows, at: at_rows });
            }
            let mut out = memory.take::<i64>(*to);
            out.iter_mut().zip(&*at_rows).for_each(|(out, at)| *out = at.to_double() as i64);
            memory.put(*to, out);
            memory.put(self.room.0, best);
            memory.put(self.room.1, at);
        }
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit(&mut self.room.0, Use::Write);
        visit(&mut self.room.1, Use::Write);
        for (columns, to) in &mut self.groups {
            columns.iter_mut().for_each(|slot| visit(slot, Use::Read));
            visit(to, Use::Write);
        }
    }
}

struct Better<'a, T> {
    step: &'a Position<T>,
    position: T,
    column: &'a [T],
    best: &'a mut [T],
    at: &'a mut [T],
}

impl<T: Real> Work for Better<'_, T> {
    #[inline(always)]
    fn run(self) {
        match (self.step.smallest, self.step.last) {
            (false, false) => self.each(|value, best| value > best),
            (false, true) => self.each(|value, best| value >= best),
            (true, false) => self.each(|value, best| value < best),
            (true, true) => self.each(|value, best| value <= best),
        }
    }
}

impl<T: Real> Better<'_, T> {
    #[inline(always)]
    fn each(self, better: impl Fn(T, T) -> bool) {
        let found = self.best.iter_mut().zip(self.at.iter_mut());
        for ((best, at), &value) in found.zip(self.column) {
            let is_better = better(value, *best);
            *best = if is_better { value } else { *best };
            *at = if is_better { self.position } else { *at };
        }
    }
}

/// A few of many columns: the largest or the smallest, sorted, with their positions; of equal ones the first. Rows with
/// NaN are left to [`Top`].
#[derive(Debug)]
pub(super) struct Few<T> {
    pub(super) smallest: bool,
    pub(super) from: Vec<u32>,
    pub(super) values: Vec<u32>,
    pub(super) positions: Vec<u32>,
    pub(super) of: std::marker::PhantomData<T>,
}

/// Rows that are dealt with together.
const LANES: usize = 16;

impl<T: Real> Step for Few<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        let mut values: Vec<Vec<T>> = self.values.iter().map(|&slot| memory.take::<T>(slot)).collect();
        let mut positions: Vec<Vec<i64>> = self.positions.iter().map(|&slot| memory.take::<i64>(slot)).collect();
        let columns: Vec<&[T]> = self.from.iter().map(|&slot| memory.column::<T>(slot, rows)).collect();
        let mut refusal = None;
        let (found, at) = (&mut values, &mut positions);
        widely(Search { step: self, columns: &columns, values: found, positions: at, rows, refusal: &mut refusal });
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        self.values.iter().zip(values).for_each(|(&slot, column)| memory.put(slot, column));
        self.positions.iter().zip(positions).for_each(|(&slot, column)| memory.put(slot, column));
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        self.from.iter_mut().for_each(|slot| visit(slot, Use::Read));
        self.values.iter_mut().chain(&mut self.positions).for_each(|slot| visit(slot, Use::Write));
    }
}

struct Search<'a, T> {
    step: &'a Few<T>,
    columns: &'a [&'a [T]],
    values: &'a mut [Vec<T>],
    positions: &'a mut [Vec<i64>],
    rows: usize,
    /// Why there is no answer for some row.
    refusal: &'a mut Option<TractError>,
}

impl<T: Real> Work for Search<'_, T> {
    #[inline(always)]
    fn run(self) {
        if self.step.smallest {
            self.search(|a, b| a < b, T::from_double(f64::INFINITY))
        } else {
            self.search(|a, b| a > b, T::from_double(f64::NEG_INFINITY))
        }
    }
}

impl<T: Real> Search<'_, T> {
    /// Most numbers are no better than the worst of those found: a look at all lanes at once says so.
    #[inline(always)]
    fn search(mut self, better: impl Fn(T, T) -> bool + Copy, worst: T) {
        let few = self.values.len();
        let mut best = vec![[worst; LANES]; few];
        let mut at = vec![[0i64; LANES]; few];
        for start in (0..self.rows).step_by(LANES) {
            best.fill([worst; LANES]);
            let (mut found, mut has_nan) = (0, false);
            for (position, column) in self.columns.iter().enumerate() {
                let Some(lanes) = column[start..].first_chunk::<LANES>() else { continue };
                found = few.min(found + 1);
                has_nan |= lanes.iter().fold(false, |any, value| any | value.is_no_number());
                let bound = best[few - 1];
                let full = position >= few;
                if full && !(0..LANES).fold(false, |any, lane| any | better(lanes[lane], bound[lane])) {
                    continue;
                }
                for lane in 0..LANES {
                    if !full || better(lanes[lane], bound[lane]) {
                        insert(&mut best, &mut at, lane, found, (lanes[lane], position as i64), better);
                    }
                }
            }
            for place in 0..few {
                self.values[place][start..start + LANES].copy_from_slice(&best[place]);
                self.positions[place][start..start + LANES].copy_from_slice(&at[place]);
            }
            if has_nan {
                (start..start + LANES).for_each(|row| self.search_with_nan(row));
            }
        }
    }

    #[cold]
    fn search_with_nan(&mut self, row: usize) {
        let all: Vec<T> = self.columns.iter().filter_map(|column| column.get(row).copied()).collect();
        if all.len() < self.columns.len() || !all.iter().any(|value| value.is_no_number()) {
            return;
        }
        let top = Top { axis: 1, count: self.values.len(), largest: !self.step.smallest };
        match top.places(&all, |value| value.is_no_number()) {
            Ok(places) => {
                for (rank, place) in places.into_iter().enumerate() {
                    (self.values[rank][row], self.positions[rank][row]) = (all[place], place as i64);
                }
            }
            Err(refusal) => *self.refusal = Some(refusal),
        }
    }
}

/// Puts a number before the first that it is better than, of which the last of `found` is given up.
#[inline(always)]
fn insert<T: Copy>(
    best: &mut [[T; LANES]],
    at: &mut [[i64; LANES]],
    lane: usize,
    found: usize,
    (value, position): (T, i64),
    better: impl Fn(T, T) -> bool,
) {
    let mut place = found - 1;
    while place > 0 && better(value, best[place - 1][lane]) {
        best[place][lane] = best[place - 1][lane];
        at[place][lane] = at[place - 1][lane];
        place -= 1;
    }
    best[place][lane] = value;
    at[place][lane] = position;
}

/// The elements of a list at positions.
#[derive(Debug)]
pub(super) struct Lookup<T> {
    pub(super) list: Vec<T>,
    pub(super) columns: Vec<(u32, u32)>,
}

impl<T: super::memory::Element> Step for Lookup<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        let count = self.list.len() as i64;
        for &(from, to) in &self.columns {
            let mut out = memory.take::<T>(to);
            for (out, &at) in out.iter_mut().zip(memory.column::<i64>(from, rows)) {
                let at = if at < 0 { at + count } else { at };
                let element = usize::try_from(at).ok().and_then(|at| self.list.get(at));
                *out = match element {
                    Some(element) => *element,
                    None => return crate::ops::refuse(format!("an index points outside {count} elements")),
                };
            }
            memory.put(to, out);
        }
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit_pairs(&mut self.columns, visit);
    }
}
