//! What tract makes of the largest of infinities: it begins its search at the least finite number, and ends there if
//! all are negative infinity.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Built, Kernel, Signature, kernel};

/// The finite ends of a type become its infinities; other values stay.
#[derive(Debug)]
struct Unbounded;

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 1..=1, Unbounded)
}

impl Kernel for Unbounded {
    fn name(&self) -> &'static str {
        "Unbounded"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        fn each<T: Datum + Copy + PartialEq>(input: &Tensor, ends: [(T, T); 2]) -> TractResult<Tensor> {
            let unbounded = |v: &T| ends.iter().find(|(end, _)| end == v).map_or(*v, |(_, infinity)| *infinity);
            Ok(crate::tensor_from(input.shape(), values::<T>(input)?.iter().map(unbounded).collect()))
        }
        let input = inputs[0];
        Ok(vec![match input.datum_type() {
            DatumType::F16 => each(input, [(f16::MIN, f16::NEG_INFINITY), (f16::MAX, f16::INFINITY)])?,
            DatumType::F32 => each(input, [(f32::MIN, f32::NEG_INFINITY), (f32::MAX, f32::INFINITY)])?,
            DatumType::F64 => each(input, [(f64::MIN, f64::NEG_INFINITY), (f64::MAX, f64::INFINITY)])?,
            _ => input.clone(),
        }])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ints_in, standard, tensor};

    #[test]
    fn the_largest_of_negative_infinities_is_one() {
        let lowest = f32::NEG_INFINITY;
        let rows = tensor(&[2, 2], &[lowest, lowest, lowest, 3.0]);
        standard("ReduceMax", vec![]).with(ints_in(&[1], &[1])).gives(rows, tensor(&[2, 1], &[lowest, 3.0]));
    }

    #[test]
    fn the_least_of_infinities_is_one() {
        let rows = tensor(&[1, 2], &[f64::INFINITY, f64::INFINITY]);
        standard("ReduceMin", vec![]).with(ints_in(&[1], &[1])).gives(rows, tensor(&[1, 1], &[f64::INFINITY]));
    }
}
