//! `DynamicQuantizeLinear` of numbers alone. Its scale is taken from the least and the largest of all, among which NaN
//! and infinities have no place: ONNX Runtime finds another scale for each place of a NaN in its row, and tract gives
//! the row a score as if there were a zero.

use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Kernel, Signature};

/// Steps from the least to the largest.
const STEPS: f32 = 255.0;

#[derive(Debug)]
pub(crate) struct DynamicQuantize;

impl Kernel for DynamicQuantize {
    fn name(&self) -> &'static str {
        "DynamicQuantizeLinear"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let bytes = Signature { element: DatumType::U8, ..inputs[0].clone() };
        Ok(vec![bytes, Signature::new(DatumType::F32, []), Signature::new(DatumType::U8, [])])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let numbers = values::<f32>(inputs[0])?;
        if !numbers.iter().all(|number| number.is_finite()) {
            return refuse("finite numbers are needed where their range is the scale");
        }
        let least = numbers.iter().fold(0f32, |least, &number| least.min(number));
        let most = numbers.iter().fold(0f32, |most, &number| most.max(number));
        let scale = if most == least { 1.0 } else { (most - least) / STEPS };
        let zero = (-least / scale).round_ties_even().clamp(0.0, STEPS);
        let step = |number: &f32| ((number / scale).round_ties_even() + zero).clamp(0.0, STEPS) as u8;
        let bytes = crate::tensor_from(inputs[0].shape(), numbers.iter().map(step).collect());
        Ok(vec![bytes, tensor0(scale), tensor0(zero as u8)])
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};

    fn bytes() -> ModelBuilder {
        ModelBuilder::default()
            .input("x", Element::F32, &[-1, 3])
            .output("y", Element::I64)
            .node("", "DynamicQuantizeLinear", &["x"], &["bytes", "scale", "zero"], vec![])
            .node("", "Cast", &["bytes"], &["y"], vec![int("to", 7)])
    }

    #[test]
    fn each_row_is_cut_into_steps_of_its_own_range() {
        let rows = tensor(&[3, 3], &[0.0f32, 2.0, -3.0, 1.0, 2.0, 4.0, 0.0, 0.0, 0.0]);
        let expected = [153, 255, 0, 64, 127, 255, 0, 0, 0];
        let got = bytes().run(3, vec![rows]).expect("a sound model");
        assert_close(&got[0], &ints_in(&[3, 3], &expected));
    }

    #[test]
    fn a_row_with_what_is_no_number_is_refused() {
        for number in [f32::NAN, f32::INFINITY] {
            let error = bytes().run(1, vec![tensor(&[1, 3], &[1.0, number, 2.0])]).expect_err("no range");
            assert!(error.to_string().contains("finite numbers are needed"), "{error}");
        }
    }
}
