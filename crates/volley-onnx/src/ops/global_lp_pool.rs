//! `GlobalLpPool`: the norm of each channel. tract takes it for a mean.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Built, Kernel, Signature, kernel};

#[derive(Debug)]
struct GlobalLpPool {
    power: f64,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 1..=1, GlobalLpPool { power: node.get_attr_opt::<i64>("p")?.unwrap_or(2) as f64 })
}

impl Kernel for GlobalLpPool {
    fn name(&self) -> &'static str {
        "GlobalLpPool"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let input = &inputs[0];
        ensure!(input.element == DatumType::F32 && input.shape.len() > 2, "images of singles are needed");
        let shape = input.shape.iter().enumerate().map(|(axis, dim)| if axis < 2 { dim.clone() } else { 1.to_dim() });
        Ok(vec![Signature::new(DatumType::F32, shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let size: usize = shape[2..].iter().product();
        shape[2..].fill(1);
        let norm = |channel: &[f32]| {
            let sum: f64 = channel.iter().map(|&v| f64::from(v).abs().powf(self.power)).sum();
            sum.powf(1.0 / self.power) as f32
        };
        let norms = values::<f32>(inputs[0])?.chunks_exact(size.max(1)).map(norm).collect();
        Ok(vec![crate::tensor_from(&shape, norms)])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{int, standard, tensor};

    #[test]
    fn the_norm_of_each_channel_is_not_divided_by_its_size() {
        let image = tensor(&[1, 2, 2, 1], &[3.0f32, -4.0, 1.0, 2.0]);
        standard("GlobalLpPool", vec![int("p", 1)]).gives(image.clone(), tensor(&[1, 2, 1, 1], &[7.0f32, 3.0]));
        standard("GlobalLpPool", vec![]).gives(image, tensor(&[1, 2, 1, 1], &[5.0f32, 5f32.sqrt()]));
    }
}
