//! From columns to the rows of a tensor.

use tract_onnx::tract_hir::internal::*;

use super::memory::{Element, Memory};
use super::value::{Cell, Value};
use crate::ops::{Signature, Work, widely};

/// An output.
#[derive(Debug)]
pub(super) struct Store {
    value: Value,
    rows_at: usize,
    element: DatumType,
    shape: TVec<TDim>,
}

impl Store {
    pub(super) fn new(value: Value, fact: &TypedFact) -> Option<Store> {
        let rows_at = value.rows_at?;
        Some(Store { value, rows_at, element: fact.datum_type, shape: fact.shape.iter().cloned().collect() })
    }

    pub(super) fn signature(&self) -> Signature {
        Signature::new(self.element, self.shape.iter().cloned())
    }

    pub(super) fn slots(&mut self, visit: &mut dyn FnMut(&mut u32)) {
        for cell in &mut self.value.cells {
            if let Cell::Slot(slot) = cell {
                visit(slot);
            }
        }
    }

    /// Room for the output of `rows` rows.
    pub(super) fn tensor(&self, rows: usize) -> TractResult<Tensor> {
        let mut shape: TVec<usize> = self.value.dims.iter().copied().collect();
        shape[self.rows_at] = rows;
        Tensor::zero_dt(self.element, &shape)
    }

    /// Writes `some` rows, the first of which is `start`.
    pub(super) fn run(&self, memory: &Memory, start: usize, some: usize, output: &mut Tensor) -> TractResult<()> {
        match self.element {
            DatumType::F32 => self.columns::<f32, f32>(memory, start, some, output, |v| v, |v| v as f32),
            DatumType::F64 => self.columns::<f64, f64>(memory, start, some, output, |v| v, |v| v),
            DatumType::I64 => self.columns::<i64, i64>(memory, start, some, output, |v| v, |v| v as i64),
            DatumType::I32 => self.columns::<i64, i32>(memory, start, some, output, |v| v as i32, |v| v as i32),
            DatumType::Bool => self.columns::<f32, bool>(memory, start, some, output, |v| v != 0.0, |v| v != 0.0),
            other => bail!("columns of {other:?} are not known"),
        }
    }

    fn columns<S: Element, T: Datum + Copy>(
        &self,
        memory: &Memory,
        start: usize,
        some: usize,
        output: &mut Tensor,
        convert: impl Fn(S) -> T + Copy,
        constant: impl Fn(f64) -> T,
    ) -> TractResult<()> {
        let rows = output.shape()[self.rows_at];
        let inner: usize = self.value.dims[self.rows_at + 1..].iter().product();
        let mut plain = output.try_as_plain_ram_mut()?;
        let values = plain.as_slice_mut::<T>()?;
        for (at, cell) in self.value.cells.iter().enumerate() {
            let first = (at / inner * rows + start) * inner + at % inner;
            let values = &mut values[first..];
            match *cell {
                Cell::Slot(slot) => {
                    widely(Column { column: memory.column::<S>(slot, some), values, width: inner, convert });
                }
                Cell::Real(value) => {
                    let value = constant(value);
                    values.iter_mut().step_by(inner).take(some).for_each(|out| *out = value);
                }
                Cell::Whole(value) => {
                    // Whole numbers are constants of whole columns only.
                    let value = whole::<T>(value)?;
                    values.iter_mut().step_by(inner).take(some).for_each(|out| *out = value);
                }
            }
        }
        Ok(())
    }
}

fn whole<T: Datum + Copy>(value: i64) -> TractResult<T> {
    let tensor = tensor0(value).cast_to::<T>()?.into_owned();
    crate::tensor_values::<T>(&tensor).and_then(|values| values.first().copied()).context("one value")
}

struct Column<'a, S, T, F> {
    column: &'a [S],
    values: &'a mut [T],
    width: usize,
    convert: F,
}

impl<S: Copy, T, F: Fn(S) -> T> Work for Column<'_, S, T, F> {
    #[inline(always)]
    fn run(self) {
        for (out, &value) in self.values.iter_mut().step_by(self.width).zip(self.column) {
            *out = (self.convert)(value);
        }
    }
}
