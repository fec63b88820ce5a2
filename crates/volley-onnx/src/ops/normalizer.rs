//! `Normalizer`: each row divided by its largest value, its sum or its length.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, filled, singles};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given};

#[derive(Debug, Clone, Copy)]
enum Norm {
    Max,
    L1,
    L2,
}

#[derive(Debug)]
struct Normalizer(Norm);

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let norm = match node.get_attr_opt::<&str>("norm")?.unwrap_or("MAX") {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        _ => return node.bail_attr("norm", "is none of MAX, L1, L2"),
    };
    kernel(node, 1..=1, Normalizer(norm))
}

impl Kernel for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        Ok(vec![Signature { element: DatumType::F32, ..inputs[0].clone() }])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let input = inputs[0].value()?;
        let singles = input.cells.singles(build)?;
        let mut columns = Vec::new();
        for row in singles.chunks((*input.dims.last()?).max(1)) {
            let norm = match self.0 {
                Norm::Max => build.fold(row, f32::MIN, f32::max),
                Norm::L1 => build.fold(row, 0.0, |sum, v| sum + v.abs()),
                Norm::L2 => build.fold(row, 0.0, |sum: f32, v| sum + v * v),
            };
            let is_length = matches!(self.0, Norm::L2);
            let part = move |v, norm| if is_length { of_length(v, norm) } else { of(v, norm) };
            columns.extend(row.iter().map(|&v| build.pair(v, norm, part)));
        }
        Some(vec![Cells::Singles(columns)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = singles(inputs[0])?;
        let columns = inputs[0].shape().last().copied().unwrap_or(1).max(1);
        let output = filled(inputs[0].shape(), |out| {
            for (out, row) in out.chunks_exact_mut(columns).zip(input.chunks_exact(columns)) {
                self.0.divide(row, out);
            }
            Ok(())
        })?;
        Ok(vec![output])
    }
}

impl Norm {
    fn divide(self, row: &[f32], out: &mut [f32]) {
        let each = out.iter_mut().zip(row);
        match self {
            Norm::Max => {
                let most = row.iter().copied().fold(f32::MIN, f32::max);
                each.for_each(|(out, &v)| *out = of(v, most));
            }
            Norm::L1 => {
                let sum = row.iter().map(|v| v.abs()).sum();
                each.for_each(|(out, &v)| *out = of(v, sum));
            }
            Norm::L2 => {
                let sum = row.iter().map(|v| v * v).sum();
                each.for_each(|(out, &v)| *out = of_length(v, sum));
            }
        }
    }
}

/// A row of norm zero stays as it is.
#[inline(always)]
fn of(v: f32, norm: f32) -> f32 {
    if norm == 0.0 { v } else { v / norm }
}

/// Of the length whose square is `sum`, as ONNX Runtime has it: where squares are more than a float holds, it is NaN.
#[inline(always)]
fn of_length(v: f32, sum: f32) -> f32 {
    if sum == 0.0 { v } else { (v * v / sum).sqrt().copysign(v) }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ml, string, tensor};

    fn check(norm: &str, row: [f32; 2], expected: [f32; 2]) {
        ml("Normalizer", vec![string("norm", norm)]).gives(tensor(&[1, 2], &row), tensor(&[1, 2], &expected));
    }

    #[test]
    fn a_row_is_divided_by_its_norm() {
        check("MAX", [2.0, 4.0], [0.5, 1.0]);
        check("L1", [-1.0, 3.0], [-0.25, 0.75]);
        check("L2", [-3.0, 4.0], [-0.6, 0.8]);
    }

    #[test]
    fn a_row_of_zeros_stays() {
        check("MAX", [0.0, 0.0], [0.0, 0.0]);
        check("L1", [0.0, 0.0], [0.0, 0.0]);
        check("L2", [0.0, 0.0], [0.0, 0.0]);
    }

    #[test]
    fn infinities_and_squares_that_are_too_large_are_divided_as_onnx_runtime_does() {
        check("MAX", [f32::NEG_INFINITY; 2], [f32::INFINITY; 2]);
        check("L2", [1e30, 1e30], [f32::NAN; 2]);
    }
}
