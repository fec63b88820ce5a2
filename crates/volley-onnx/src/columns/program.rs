//! A list of steps over columns, and how it is run: a block of rows at a time.

use std::sync::{Mutex, PoisonError};

use tract_onnx::tract_hir::internal::*;

use super::load::Load;
use super::memory::{Bank, Memory, Sizes};
use super::store::Store;
use crate::ops::{Kernel, Signature};

/// Rows of a block at most, and how far their number is rounded up: vectors hold that many.
const ROWS_MAX: usize = 512;
const ROWS_ROUND: usize = 32;
/// Bytes of all columns of a block, if there are few enough columns: they stay in the nearest memory.
const BLOCK_BYTES: usize = 40 << 10;
/// With more columns than this for one row there is nothing to win.
const ROW_BYTES_MAX: usize = 1 << 14;

/// What a step does with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

/// One step. A column that is written is none of those that are read.
pub(super) trait Step: std::fmt::Debug + Send + Sync {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()>;

    /// Calls `visit` with each column of the step.
    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use));

    /// Adds `constants` to the columns that it writes, if those are `columns` and it can; whether it does.
    fn add(&mut self, columns: &[u32], constants: &[f64]) -> bool {
        let _ = (columns, constants);
        false
    }
}

/// A part of a graph as steps over columns.
#[derive(Debug)]
pub(super) struct Program {
    loads: Vec<Load>,
    steps: Vec<Box<dyn Step>>,
    stores: Vec<Store>,
    sizes: Sizes,
    block: usize,
    /// Memories of runs that are done.
    idle: Mutex<Vec<Memory>>,
}

impl Program {
    /// Of columns that are written once each, in `banks`; `None` if there are too many.
    pub(super) fn new(
        mut loads: Vec<Load>,
        mut steps: Vec<Box<dyn Step>>,
        mut stores: Vec<Store>,
        banks: &[Bank],
    ) -> Option<Program> {
        let sizes = allocate(&mut loads, &mut steps, &mut stores, banks);
        if sizes.row_bytes() > ROW_BYTES_MAX {
            return None;
        }
        let fitting = BLOCK_BYTES / sizes.row_bytes().max(1);
        let block = (fitting / ROWS_ROUND * ROWS_ROUND).clamp(ROWS_MAX.min(4 * ROWS_ROUND), ROWS_MAX);
        Some(Program { loads, steps, stores, sizes, block, idle: Mutex::default() })
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let rows = inputs.first().and_then(|input| input.shape().first()).copied().unwrap_or(0);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = idle.unwrap_or_else(|| Memory::new(self.sizes, self.block));
        let mut outputs = self.stores.iter().map(|store| store.tensor(rows)).collect::<TractResult<Vec<_>>>()?;
        for start in (0..rows).step_by(self.block) {
            let some = self.block.min(rows - start);
            let whole = some.next_multiple_of(ROWS_ROUND);
            for load in &self.loads {
                load.run(inputs, start, some, whole, &mut memory)?;
            }
            for step in &self.steps {
                step.run(&mut memory, whole)?;
            }
            for (store, output) in self.stores.iter().zip(&mut outputs) {
                store.run(&memory, start, some, output)?;
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(outputs)
    }
}

impl Kernel for Program {
    fn name(&self) -> &'static str {
        "Columns"
    }

    fn outputs(&self, _: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(self.stores.iter().map(Store::signature).collect())
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        self.run(inputs)
    }
}

/// Gives each column a place of its bank, which another takes over when nothing reads it any more.
fn allocate(loads: &mut [Load], steps: &mut [Box<dyn Step>], stores: &mut [Store], banks: &[Bank]) -> Sizes {
    let mut last = vec![None; banks.len()];
    for (at, step) in steps.iter_mut().enumerate() {
        step.slots(&mut |slot, used| {
            if used == Use::Read {
                last[*slot as usize] = Some(at);
            }
        });
    }
    stores.iter_mut().for_each(|store| store.slots(&mut |slot| last[*slot as usize] = Some(usize::MAX)));
    let mut places =
        Places { banks, sizes: Sizes::default(), free: [vec![], vec![], vec![]], of: vec![None; banks.len()] };
    loads.iter_mut().for_each(|load| load.keep(|slot| last[slot as usize].is_some().then(|| places.take(slot))));
    for (at, step) in steps.iter_mut().enumerate() {
        let mut done = Vec::new();
        step.slots(&mut |slot, used| {
            let id = *slot;
            *slot = match used {
                Use::Read => places.of(id),
                Use::Write => places.take(id),
            };
            let ends = last[id as usize].is_none_or(|last| last == at);
            if ends && !done.contains(&id) {
                done.push(id);
            }
        });
        done.into_iter().for_each(|id| places.leave(id));
    }
    stores.iter_mut().for_each(|store| store.slots(&mut |slot| *slot = places.of(*slot)));
    places.sizes
}

struct Places<'a> {
    banks: &'a [Bank],
    sizes: Sizes,
    free: [Vec<u32>; 3],
    of: Vec<Option<u32>>,
}

impl Places<'_> {
    fn take(&mut self, id: u32) -> u32 {
        let bank = self.banks[id as usize];
        let size = self.sizes.of(bank);
        let place = self.free[bank as usize].pop().unwrap_or_else(|| {
            *size += 1;
            (*size - 1) as u32
        });
        self.of[id as usize] = Some(place);
        place
    }

    fn of(&self, id: u32) -> u32 {
        self.of[id as usize].expect("a column is written before it is read")
    }

    fn leave(&mut self, id: u32) {
        let place = self.of(id);
        self.free[self.banks[id as usize] as usize].push(place);
    }
}
