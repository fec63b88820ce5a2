//! `Gemm` for all float types: tract's own takes its factors for single precision.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;

use super::Built;

/// `alpha * A * B + beta * C`, either matrix transposed.
#[derive(Debug, Clone)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transposed_a: bool,
    transposed_b: bool,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let gemm = Gemm {
        alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        beta: node.get_attr_opt("beta")?.unwrap_or(1.0),
        transposed_a: node.get_attr_opt("transA")?.unwrap_or(false),
        transposed_b: node.get_attr_opt("transB")?.unwrap_or(false),
    };
    Ok((expand(gemm), vec![]))
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!((2..=3).contains(&inputs.len()), "Gemm takes two or three inputs");
        check_output_arity(outputs, 1)?;
        for input in inputs {
            s.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        for matrix in [&inputs[0], &inputs[1], &outputs[0]] {
            s.equals(&matrix.rank, 2)?;
        }
        let (a_rows, a_inner) = if self.transposed_a { (1, 0) } else { (0, 1) };
        let (b_inner, b_columns) = if self.transposed_b { (1, 0) } else { (0, 1) };
        s.equals(&inputs[0].shape[a_inner], &inputs[1].shape[b_inner])?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[a_rows])?;
        s.equals(&outputs[0].shape[1], &inputs[1].shape[b_columns])
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let element = model.outlet_fact(inputs[0])?.datum_type;
        let axes = AxesMapping::for_numpy_matmul(2, self.transposed_a, self.transposed_b, false)?;
        let product = EinSum::new(axes, element);
        let product = model.wire_node(format!("{prefix}.product"), product, &inputs[..2])?[0];
        let product = scaled(model, &format!("{prefix}.alpha"), product, self.alpha)?;
        let Some(&added) = inputs.get(2).filter(|_| self.beta != 0.0) else {
            return Ok(tvec!(product));
        };
        let added = as_matrix(model, prefix, added)?;
        let added = scaled(model, &format!("{prefix}.beta"), added, self.beta)?;
        model.wire_node(format!("{prefix}.sum"), math::add(), &[product, added])
    }
}

/// `outlet * factor`, in the element type of the matrix.
fn scaled(model: &mut TypedModel, name: &str, outlet: OutletId, factor: f32) -> TractResult<OutletId> {
    if factor == 1.0 {
        return Ok(outlet);
    }
    let element = model.outlet_fact(outlet)?.datum_type;
    let factor = tensor2(&[[factor]]).cast_to_dt(element)?.into_owned();
    let factor = model.add_const(format!("{name}.factor"), factor)?;
    Ok(model.wire_node(name, math::mul(), &[outlet, factor])?[0])
}

fn as_matrix(model: &mut TypedModel, prefix: &str, mut outlet: OutletId) -> TractResult<OutletId> {
    for axis in model.outlet_fact(outlet)?.rank()..2 {
        let name = format!("{prefix}.axis_{axis}");
        outlet = model.wire_node(name, AxisOp::Add(0), &[outlet])?[0];
    }
    Ok(outlet)
}

#[cfg(test)]
mod tests {
    use crate::testing::{float, int, standard, tensor};

    #[test]
    fn doubles_are_multiplied_as_doubles() {
        standard("Gemm", vec![float("alpha", 0.5), float("beta", 2.0), int("transB", 1)])
            .with(tensor(&[1, 2], &[1e-9f64, 4.0]))
            .with(tensor(&[1], &[1.0f64]))
            .gives(tensor(&[2, 2], &[2.0f64, 0.0, 0.0, 1.0]), tensor(&[2, 1], &[2.0f64 + 1e-9, 4.0]));
    }

    #[test]
    fn a_bias_may_be_missing() {
        standard("Gemm", vec![])
            .with(tensor(&[2, 1], &[1.0f32, 1.0]))
            .gives(tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]), tensor(&[2, 1], &[3.0f32, 7.0]));
    }
}
