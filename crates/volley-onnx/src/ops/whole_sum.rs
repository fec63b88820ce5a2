//! Sums of integers of 32 bits as ONNX Runtime gives them: what is too large is the largest there is. In tract it goes
//! around.

use tract_onnx::tract_hir::internal::tract_ndarray::Axis;
use tract_onnx::tract_hir::internal::*;

use super::{Kernel, Signature};

/// Along some axes, which are kept with a length of one.
#[derive(Debug)]
pub(crate) struct WholeSum {
    pub(crate) axes: TVec<usize>,
}

impl Kernel for WholeSum {
    fn name(&self) -> &'static str {
        "WholeSum"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![inputs[0].ones_along(&self.axes)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let mut sums = inputs[0].to_plain_array_view::<i32>()?.mapv(i64::from);
        for &axis in &self.axes {
            sums = sums.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
        let within = |sum: i64| sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        Ok(vec![sums.mapv(within).into()])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ints_in, standard, tensor};

    #[test]
    fn a_sum_that_is_too_large_is_the_largest() {
        let rows = tensor(&[3, 2], &[i32::MAX, 1, i32::MIN, -1, 7, -2]);
        let sum = standard("ReduceSum", vec![]).with(ints_in(&[1], &[1]));
        sum.gives(rows, tensor(&[3, 1], &[i32::MAX, i32::MIN, 5]));
    }
}
