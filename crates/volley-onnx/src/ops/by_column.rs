//! Arithmetic of a matrix with one number for each column, which tract does an element at a time.

use tract_onnx::tract_hir::internal::*;

use super::node::{filled, rows_and_columns, values};
use super::{Kernel, Signature};

/// What is done with an element and the number of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Debug)]
pub(crate) struct ByColumn {
    pub(crate) arithmetic: Arithmetic,
    /// One for each column.
    pub(crate) numbers: Vec<f32>,
}

impl Kernel for ByColumn {
    fn name(&self) -> &'static str {
        "ByColumn"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (_, columns) = rows_and_columns(inputs[0])?;
        ensure!(columns == self.numbers.len(), "a number for each column");
        let rows = values::<f32>(inputs[0])?.chunks_exact(columns);
        let output = filled(inputs[0].shape(), |out| {
            for (out, row) in out.chunks_exact_mut(columns).zip(rows) {
                self.row(out, row);
            }
            Ok(())
        })?;
        Ok(vec![output])
    }
}

impl ByColumn {
    fn row(&self, out: &mut [f32], row: &[f32]) {
        let each = out.iter_mut().zip(row).zip(&self.numbers);
        match self.arithmetic {
            Arithmetic::Add => each.for_each(|((out, value), number)| *out = value + number),
            Arithmetic::Subtract => each.for_each(|((out, value), number)| *out = value - number),
            Arithmetic::Multiply => each.for_each(|((out, value), number)| *out = value * number),
            Arithmetic::Divide => each.for_each(|((out, value), number)| *out = value / number),
        }
    }
}
