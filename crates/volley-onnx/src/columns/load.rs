//! From the rows of a tensor to columns.

use tract_onnx::tract_hir::internal::*;

use super::memory::{Element, Memory};
use crate::ops::{Work, widely};

/// An input whose rows lie along its first axis.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) input: usize,
    pub(super) element: DatumType,
    /// Numbers of a row.
    pub(super) width: usize,
    /// The places of a row that are needed, each with its column.
    pub(super) columns: Vec<(usize, u32)>,
}

impl Load {
    /// Keeps the columns for which there is a place.
    pub(super) fn keep(&mut self, mut place: impl FnMut(u32) -> Option<u32>) {
        let columns = std::mem::take(&mut self.columns).into_iter();
        self.columns = columns.filter_map(|(at, slot)| Some((at, place(slot)?))).collect();
    }

    /// Loads `some` rows, and repeats the last of them up to `whole`.
    pub(super) fn run(
        &self,
        inputs: &[&Tensor],
        start: usize,
        some: usize,
        whole: usize,
        memory: &mut Memory,
    ) -> TractResult<()> {
        let input = inputs[self.input];
        let rows = Rows { start, some, whole };
        match self.element {
            DatumType::F32 => self.columns::<f32, f32>(input, rows, memory, |v| v),
            DatumType::F64 => self.columns::<f64, f64>(input, rows, memory, |v| v),
            DatumType::I64 => self.columns::<i64, i64>(input, rows, memory, |v| v),
            DatumType::I32 => self.columns::<i32, i64>(input, rows, memory, i64::from),
            DatumType::Bool => self.columns::<bool, f32>(input, rows, memory, |v| f32::from(u8::from(v))),
            other => bail!("columns of {other:?} are not known"),
        }
    }

    fn columns<S: Datum + Copy, T: Element>(
        &self,
        input: &Tensor,
        rows: Rows,
        memory: &mut Memory,
        convert: impl Fn(S) -> T + Copy,
    ) -> TractResult<()> {
        let values = input.try_as_plain_ram()?.as_slice::<S>()?;
        let values = &values[rows.start * self.width..(rows.start + rows.some) * self.width];
        for &(at, slot) in &self.columns {
            let mut column = memory.take::<T>(slot);
            widely(Column { values, at, width: self.width, column: &mut column[..rows.whole], convert });
            memory.put(slot, column);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Rows {
    start: usize,
    some: usize,
    whole: usize,
}

struct Column<'a, S, T, F> {
    values: &'a [S],
    at: usize,
    width: usize,
    column: &'a mut [T],
    convert: F,
}

impl<S: Copy, T: Copy, F: Fn(S) -> T> Work for Column<'_, S, T, F> {
    #[inline(always)]
    fn run(self) {
        let rows = self.values.chunks_exact(self.width);
        let some = rows.len();
        for (out, row) in self.column.iter_mut().zip(rows) {
            *out = (self.convert)(row[self.at]);
        }
        if let Some(&last) = some.checked_sub(1).map(|last| &self.column[last]) {
            self.column[some..].fill(last);
        }
    }
}
