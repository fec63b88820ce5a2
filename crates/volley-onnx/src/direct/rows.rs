//! The rows of a batch, wherever they lie: in tensors, or in the columns of a table.

use std::ops::Range;

use tract_onnx::prelude::{DatumType, Tensor};

use super::words::Words;
use crate::tensor::tensor_values;

/// One value of a row: which input of the graph it goes to, and where in a row of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Index into [`crate::Graph::inputs`].
    pub input: usize,
    /// Index into the values of one row of the input, in row-major order.
    pub at: usize,
}

/// Rows to be scored by [`crate::Plan::score`], column by column.
///
/// A column is asked for by the type of its input: singles of F32, doubles of F64, codes of strings, longs of booleans
/// and of all integers but unsigned ones of 64 bits. Of rows within `rows` the values are either lent, as many as
/// there are rows, or written to `values`, which are as many; then `None` is returned.
pub trait Rows {
    /// How many rows there are.
    fn count(&self) -> usize;

    /// Values of an input of singles.
    fn singles(&self, place: Place, rows: Range<usize>, values: &mut [f32]) -> Option<&[f32]>;

    /// Values of an input of doubles.
    fn doubles(&self, place: Place, rows: Range<usize>, values: &mut [f64]) -> Option<&[f64]>;

    /// Values of an input of integers, or of booleans as 0 and 1.
    fn longs(&self, place: Place, rows: Range<usize>, values: &mut [i64]) -> Option<&[i64]>;

    /// What `words` says of the texts of all rows.
    fn codes(&self, place: Place, words: &Words) -> Vec<u32>;

    /// All values of an input of singles, row by row, where they lie so: they are taken from there at once.
    fn matrix(&self, input: usize) -> Option<&[f32]> {
        let _ = input;
        None
    }
}

/// Rows in tensors, which are those that a plan takes.
pub(crate) struct TensorRows<'t> {
    tensors: &'t [Tensor],
    count: usize,
}

impl<'t> TensorRows<'t> {
    pub(crate) fn new(tensors: &'t [Tensor], count: usize) -> TensorRows<'t> {
        TensorRows { tensors, count }
    }

    /// The values of a place in some rows; none if the tensor is of another type.
    fn column<T: tract_onnx::prelude::Datum>(&self, place: Place, rows: Range<usize>) -> impl Iterator<Item = &T> {
        let values = tensor_values::<T>(&self.tensors[place.input]).unwrap_or_default();
        let width = values.len().checked_div(self.count).unwrap_or(0).max(1);
        let values = values.get(rows.start * width + place.at..).unwrap_or_default();
        values.iter().step_by(width).take(rows.len())
    }
}

fn copy<'v, T: 'v, U>(from: impl Iterator<Item = &'v T>, to: &mut [U], convert: impl Fn(&T) -> U) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = convert(from));
}

impl Rows for TensorRows<'_> {
    fn count(&self) -> usize {
        self.count
    }

    fn singles(&self, place: Place, rows: Range<usize>, values: &mut [f32]) -> Option<&[f32]> {
        copy(self.column::<f32>(place, rows), values, |v| *v);
        None
    }

    fn doubles(&self, place: Place, rows: Range<usize>, values: &mut [f64]) -> Option<&[f64]> {
        copy(self.column::<f64>(place, rows), values, |v| *v);
        None
    }

    fn longs(&self, place: Place, rows: Range<usize>, values: &mut [i64]) -> Option<&[i64]> {
        match self.tensors[place.input].datum_type() {
            DatumType::Bool => copy(self.column::<bool>(place, rows), values, |v| i64::from(*v)),
            DatumType::I8 => copy(self.column::<i8>(place, rows), values, |v| i64::from(*v)),
            DatumType::I16 => copy(self.column::<i16>(place, rows), values, |v| i64::from(*v)),
            DatumType::I32 => copy(self.column::<i32>(place, rows), values, |v| i64::from(*v)),
            DatumType::U8 => copy(self.column::<u8>(place, rows), values, |v| i64::from(*v)),
            DatumType::U16 => copy(self.column::<u16>(place, rows), values, |v| i64::from(*v)),
            DatumType::U32 => copy(self.column::<u32>(place, rows), values, |v| i64::from(*v)),
            _ => copy(self.column::<i64>(place, rows), values, |v| *v),
        }
        None
    }

    fn codes(&self, place: Place, words: &Words) -> Vec<u32> {
        self.column::<String>(place, 0..self.count).map(|text| words.code(text)).collect()
    }

    fn matrix(&self, input: usize) -> Option<&[f32]> {
        tensor_values::<f32>(&self.tensors[input])
    }
}
