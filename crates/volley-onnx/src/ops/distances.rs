//! Squared distances between the rows of two matrices: what the graph rewrite makes of exported neighbours.

use std::ops::{Add, Mul, Sub};

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, rows_and_columns, values};
use super::wide::{Work, widely};
use super::{Built, Kernel, Signature, kernel};

#[derive(Debug)]
struct SquaredDistances;

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 2..=2, SquaredDistances)
}

impl Kernel for SquaredDistances {
    fn name(&self) -> &'static str {
        "SquaredDistances"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        of_rows(inputs)
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs[0].datum_type() {
            DatumType::F32 => between::<f32>(inputs[0], inputs[1])?,
            DatumType::F64 => between::<f64>(inputs[0], inputs[1])?,
            other => return refuse(format!("floats are needed, not {other:?}")),
        }])
    }
}

/// A distance for each row of one matrix and each of another.
pub(super) fn of_rows(inputs: &[Signature]) -> TractResult<Vec<Signature>> {
    let [one, other] = inputs else { bail!("two matrices are needed") };
    ensure!(matches!(one.element, DatumType::F32 | DatumType::F64), "floats are needed, not {:?}", one.element);
    ensure!(one.element == other.element, "both matrices must be of one type");
    let ([rows, columns], [others, other_columns]) = (&*one.shape, &*other.shape) else {
        bail!("two matrices are needed")
    };
    ensure!(columns == other_columns, "both matrices must have as many columns");
    Ok(vec![Signature::new(one.element, [rows.clone(), others.clone()])])
}

/// Rows that are compared at once.
pub(crate) const LANES: usize = 8;

/// Numbers that can be squared and summed up.
pub(crate) trait Squarable:
    Copy + Default + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
}

impl<T: Copy + Default + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Squarable for T {}

/// The squared distances of [`LANES`] rows from another; `lanes` gives their numbers in a column.
///
/// Summed up in order, each square rounded first, as ONNX Runtime does: among very large distances, another order
/// finds other neighbours.
#[inline(always)]
pub(crate) fn squared<T: Squarable>(other: &[T], lanes: impl Fn(usize) -> [T; LANES]) -> [T; LANES] {
    let mut sums = [T::default(); LANES];
    for (column, &other) in other.iter().enumerate() {
        let numbers = lanes(column);
        for lane in 0..LANES {
            let apart = numbers[lane] - other;
            sums[lane] = sums[lane] + apart * apart;
        }
    }
    sums
}

fn between<T: Datum + Squarable>(one: &Tensor, other: &Tensor) -> TractResult<Tensor> {
    let ((rows, columns), (others, other_columns)) = (rows_and_columns(one)?, rows_and_columns(other)?);
    if columns != other_columns {
        return refuse(format!("rows of {columns} columns are not compared with rows of {other_columns}"));
    }
    let other = values::<T>(other)?;
    // The last is repeated; what comes of it is not written.
    let number = |row: usize, column: usize| other[row.min(others - 1) * columns + column];
    let lanes = |first: usize, column: usize| std::array::from_fn(|lane| number(first + lane, column));
    let firsts = (0..others).step_by(LANES);
    let side_by_side: Vec<[T; LANES]> =
        firsts.flat_map(|first| (0..columns).map(move |column| lanes(first, column))).collect();
    let mut sums = vec![T::default(); rows * others];
    if others > 0 && columns > 0 {
        let each = sums.chunks_exact_mut(others).zip(values::<T>(one)?.chunks_exact(columns));
        each.for_each(|(sums, row)| widely(Row { row, others: &side_by_side, sums }));
    }
    Ok(crate::tensor_from(&[rows, others], sums))
}

struct Row<'a, T> {
    row: &'a [T],
    /// The columns of [`LANES`] of them, then those of the next.
    others: &'a [[T; LANES]],
    sums: &'a mut [T],
}

impl<T: Squarable> Work for Row<'_, T> {
    #[inline(always)]
    fn run(self) {
        for (sums, others) in self.sums.chunks_mut(LANES).zip(self.others.chunks_exact(self.row.len())) {
            let found = squared(self.row, |column| others[column]);
            sums.copy_from_slice(&found[..sums.len()]);
        }
    }
}
