//! `QuantizeLinear`, divided by its scale: tract multiplies with the reciprocal, which rounds to another step now and
//! then, counts beyond the largest step around to the smallest, and makes the zero point of NaN.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, singles, values};
use super::{Built, Kernel, Signature, kernel};
use crate::port::Element;

#[derive(Debug)]
struct Quantize {
    /// Along which the scales lie, where there is more than one.
    axis: i64,
    /// Of the output, without a zero point that says it.
    element: DatumType,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    if node.get_attr_opt::<i64>("block_size")?.unwrap_or(0) != 0 {
        return node.bail_attr("block_size", "is not supported: a scale for all, or one for each channel");
    }
    let element = match node.get_attr_opt::<i32>("output_dtype")?.filter(|&named| named != 0) {
        None => DatumType::U8,
        Some(named) => match Element::from_onnx(named).map(Element::datum_type) {
            Some(element) if is_step(element) => element,
            _ => return node.bail_attr("output_dtype", "is none of integers of 8 or 16 bits"),
        },
    };
    kernel(node, 2..=3, Quantize { axis: node.get_attr_opt("axis")?.unwrap_or(1), element })
}

fn is_step(element: DatumType) -> bool {
    matches!(element, DatumType::I8 | DatumType::U8 | DatumType::I16 | DatumType::U16)
}

/// What is counted in steps.
trait Step: Datum + Copy {
    const ENDS: (f32, f32);
    fn of(whole: f32) -> Self;
    fn number(self) -> f32;
}

macro_rules! step {
    ($($type:ty)*) => {$(
        impl Step for $type {
            const ENDS: (f32, f32) = (<$type>::MIN as f32, <$type>::MAX as f32);

            fn of(whole: f32) -> Self {
                whole as $type
            }

            fn number(self) -> f32 {
                f32::from(self)
            }
        }
    )*};
}

step!(i8 u8 i16 u16);

impl Quantize {
    /// How many scales there are, and how many elements lie side by side with one of them.
    fn lanes(&self, shape: &[TDim], scales: usize) -> TractResult<TDim> {
        if scales == 1 {
            return Ok(1.to_dim());
        }
        let axis = if self.axis < 0 { self.axis + shape.len() as i64 } else { self.axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < shape.len());
        let axis = axis.with_context(|| format!("there is no axis {} of {}", self.axis, shape.len()))?;
        ensure!(shape[axis] == scales.to_dim(), "{scales} scales are not one for each of {}", shape[axis]);
        Ok(shape[axis + 1..].iter().product())
    }

    fn quantized<T: Step>(&self, inputs: &[&Tensor]) -> TractResult<Tensor> {
        let (numbers, scales) = (singles(inputs[0])?, singles(inputs[1])?);
        let zeros: Vec<f32> = match inputs.get(2) {
            Some(zeros) => values::<T>(zeros)?.iter().map(|zero| zero.number()).collect(),
            None => vec![0.0; scales.len()],
        };
        let shape: TVec<TDim> = inputs[0].shape().iter().map(|dim| dim.to_dim()).collect();
        let inner = self.lanes(&shape, scales.len())?.to_usize()?;
        let (lowest, highest) = T::ENDS;
        let step = |number: f32, (scale, zero): (f32, f32)| {
            // In Rust the larger of NaN and a number is the number: NaN is the lowest step, as in ONNX Runtime.
            let whole = (number / scale).max(lowest - zero).min(highest - zero);
            T::of(whole.round_ties_even() + zero)
        };
        let lanes = scales.iter().copied().zip(zeros).collect::<Vec<_>>();
        let steps = match &*lanes {
            [all] => numbers.iter().map(|&number| step(number, *all)).collect(),
            _ => {
                let lane = |at: usize| lanes[at / inner.max(1) % lanes.len()];
                numbers.iter().enumerate().map(|(at, &number)| step(number, lane(at))).collect()
            }
        };
        Ok(crate::tensor_from(inputs[0].shape(), steps))
    }
}

impl Kernel for Quantize {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let (numbers, scales) = (&inputs[0], &inputs[1]);
        let takes = [DatumType::F16, DatumType::F32, DatumType::I32].contains(&numbers.element);
        ensure!(takes, "singles are needed, not {:?}", numbers.element);
        ensure!(scales.element.is_float(), "scales are floats, not {:?}", scales.element);
        let zeros = inputs.get(2).unwrap_or(scales);
        ensure!(zeros.shape == scales.shape, "each scale has a zero point");
        let count = scales.shape.iter().product::<TDim>().to_usize()?;
        self.lanes(&numbers.shape, count)?;
        let element = inputs.get(2).map_or(self.element, |zeros| zeros.element);
        ensure!(is_step(element), "integers of 8 or 16 bits are made, not {element:?}");
        Ok(vec![Signature { element, ..numbers.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs.get(2).map_or(self.element, |zeros| zeros.datum_type()) {
            DatumType::I8 => self.quantized::<i8>(inputs)?,
            DatumType::U8 => self.quantized::<u8>(inputs)?,
            DatumType::I16 => self.quantized::<i16>(inputs)?,
            DatumType::U16 => self.quantized::<u16>(inputs)?,
            other => return refuse(format!("integers of 8 or 16 bits are made, not {other:?}")),
        }])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, assert_close, int, tensor};
    use crate::{Element, Tensor};

    fn check(scale: Tensor, zero: Tensor, row: [f32; 4], expected: [i64; 4]) {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 4])
            .output("y", Element::I64)
            .constant("scale", &scale)
            .constant("zero", &zero)
            .node("", "QuantizeLinear", &["x", "scale", "zero"], &["bytes"], vec![])
            .node("", "Cast", &["bytes"], &["y"], vec![int("to", 7)]);
        for rows in [1, 200] {
            let got = model.run(rows, vec![tensor(&[rows, 4], &row.repeat(rows))]).expect("a sound model");
            assert_close(&got[0], &tensor(&[rows, 4], &expected.repeat(rows)));
        }
    }

    #[test]
    fn what_no_step_holds_is_the_last_one_and_nan_the_lowest() {
        let scale = || tensor(&[], &[0.05f32]);
        let row = [f32::NAN, 1e20, f32::NEG_INFINITY, 3e9];
        check(scale(), tensor(&[], &[128u8]), row, [0, 255, 0, 255]);
        check(scale(), tensor(&[], &[3i8]), row, [-128, 127, -128, 127]);
        check(scale(), tensor(&[], &[128u8]), [0.125, 0.375, 0.025, -6.4], [130, 136, 128, 0]);
    }

    #[test]
    fn numbers_are_divided_by_the_scale() {
        // Times the reciprocal of the scale the first is more than halfway to the next step.
        check(tensor(&[], &[0.06f32]), tensor(&[], &[0u8]), [1.35, 0.06, 0.0, 6.0], [22, 1, 0, 100]);
    }

    #[test]
    fn each_channel_has_its_own_scale_and_zero_point() {
        let (scales, zeros) = (tensor(&[4], &[1.0f32, 0.5, 0.25, 0.06]), tensor(&[4], &[0u8, 1, 2, 3]));
        check(scales, zeros, [1.5, 1.5, f32::NAN, 1.35], [2, 4, 0, 25]);
    }
}
