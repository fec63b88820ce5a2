//! `SVMRegressor`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::{ensure_numeric, filled, floats, row_dim, rows_and_columns};
use super::super::{Built, Kernel, Signature, kernel};
use super::lanes::{LANES, Lanes, Sums};
use super::{Similarity, Vectors};

#[derive(Debug)]
struct SvmRegressor {
    vectors: Vectors,
    /// One for each vector.
    weights: Vec<f32>,
    offset: f32,
    one_class: bool,
}

// ONNX Runtime reads a post_transform and does nothing with it, which is what exporters have seen.
pub(in crate::ops) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let supports = node.get_attr_opt::<usize>("n_supports")?.unwrap_or(0);
    let coefficients = floats(node, "coefficients")?;
    let &[offset, ..] = &*floats(node, "rho")? else { return node.bail("rho is missing") };
    let (vectors, weights) = if supports > 0 {
        (Vectors::new(Similarity::read(node)?, floats(node, "support_vectors")?, supports)?, coefficients)
    } else {
        // Without support vectors the coefficients are those of the columns.
        (Vectors::new(Similarity::Linear, coefficients, 1)?, vec![1.0])
    };
    node.expect(weights.len() == vectors.count, "a coefficient for each support vector")?;
    let one_class = node.get_attr_opt::<i64>("one_class")?.unwrap_or(0) != 0;
    kernel(node, 1..=1, SvmRegressor { vectors, weights, offset, one_class })
}

/// The similarities by their weights, summed up.
struct Weighted<'a> {
    weights: &'a [f32],
    sums: Lanes,
}

impl Sums for Weighted<'_> {
    #[inline(always)]
    fn take(&mut self, at: usize, similarities: &Lanes) {
        let weight = self.weights[at];
        for (sum, similarity) in self.sums.iter_mut().zip(similarities) {
            *sum = similarity.mul_add(weight, *sum);
        }
    }
}

impl SvmRegressor {
    fn finish(&self, sum: f32) -> f32 {
        let score = sum + self.offset;
        match self.one_class {
            true if score > 0.0 => 1.0,
            true => -1.0,
            false => score,
        }
    }
}

impl Kernel for SvmRegressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        Ok(vec![Signature::new(DatumType::F32, [row_dim(&inputs[0])?, 1.to_dim()])])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let output = filled::<f32>(&[rows, 1], |out| {
            let sums = || Weighted { weights: &self.weights, sums: [0.0; LANES] };
            self.vectors.compare(inputs[0], sums, |first, count, Weighted { sums, .. }| {
                out[first..][..count].iter_mut().zip(sums).for_each(|(out, sum)| *out = self.finish(sum));
            })
        })?;
        Ok(vec![output])
    }
}
