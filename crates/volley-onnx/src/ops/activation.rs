//! `Celu` and `Swish` with factors of their own: tract takes its `Celu` for single precision and has `Swish` without
//! a factor. `Asinh` and `Acosh` of numbers whose square is more than a float holds.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Built, Kernel, Signature, kernel};

#[derive(Debug, Clone, Copy)]
enum Activation {
    Acosh,
    Asinh,
    Celu(f64),
    Swish(f64),
}

pub(super) fn build_celu(_: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0);
    kernel(node, 1..=1, Activation::Celu(f64::from(alpha)))
}

pub(super) fn build_swish(_: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0);
    kernel(node, 1..=1, Activation::Swish(f64::from(alpha)))
}

pub(super) fn build_acosh(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 1..=1, Activation::Acosh)
}

pub(super) fn build_asinh(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 1..=1, Activation::Asinh)
}

impl Activation {
    fn of(self, x: f64) -> f64 {
        match self {
            Activation::Acosh => x.acosh(),
            Activation::Asinh => x.asinh(),
            // Neither the larger nor the smaller of two numbers is NaN in Rust.
            Activation::Celu(_) if x.is_nan() => x,
            Activation::Celu(alpha) => x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0),
            Activation::Swish(alpha) => x / (1.0 + (-alpha * x).exp()),
        }
    }
}

impl Kernel for Activation {
    fn name(&self) -> &'static str {
        match self {
            Activation::Acosh => "Acosh",
            Activation::Asinh => "Asinh",
            Activation::Celu(_) => "Celu",
            Activation::Swish(_) => "Swish",
        }
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure!(inputs[0].element.is_float(), "floats are needed, not {:?}", inputs[0].element);
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        fn each<T: Datum>(input: &Tensor, of: impl Fn(&T) -> T) -> TractResult<Vec<Tensor>> {
            Ok(vec![crate::tensor_from(input.shape(), values::<T>(input)?.iter().map(of).collect())])
        }
        match inputs[0].datum_type() {
            DatumType::F16 => each::<f16>(inputs[0], |&x| f16::from_f64(self.of(x.to_f64()))),
            DatumType::F32 => each::<f32>(inputs[0], |&x| self.of(f64::from(x)) as f32),
            DatumType::F64 => each::<f64>(inputs[0], |&x| self.of(x)),
            other => refuse(format!("floats are needed, not {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{float, standard, tensor};

    #[test]
    fn the_factor_bends_both_sides_of_celu() {
        let expected = [2.0 * (-0.5f32).exp_m1(), 0.0, 1.5];
        standard("Celu", vec![float("alpha", 2.0)]).gives(tensor(&[3], &[-1.0f32, 0.0, 1.5]), tensor(&[3], &expected));
    }

    #[test]
    fn celu_of_nan_is_nan() {
        standard("Celu", vec![]).gives(tensor(&[1], &[f32::NAN]), tensor(&[1], &[f32::NAN]));
    }

    #[test]
    fn hyperbolic_areas_of_large_numbers_are_finite() {
        let expected = [f64::from(f32::MAX).ln() as f32 + 2f32.ln()];
        for operator in ["Asinh", "Acosh"] {
            standard(operator, vec![]).gives(tensor(&[1], &[f32::MAX]), tensor(&[1], &expected));
        }
    }

    #[test]
    fn the_factor_of_swish_is_in_its_sigmoid() {
        let expected = [1.0 / (1.0 + (-0.5f64).exp()), -2.0 / (1.0 + 1.0f64.exp())];
        standard("Swish", vec![float("alpha", 0.5)]).gives(tensor(&[2], &[1.0f64, -2.0]), tensor(&[2], &expected));
    }
}
