//! `Upsample`, which later versions call `Resize`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Built;

/// The first version of `Resize` is the last one of `Upsample`.
const RESIZE: i64 = 10;

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let tract = tract_onnx::onnx().op_register.0;
    let resize = tract.get("Resize").context("tract has Resize")?;
    let ctx = ParsingContext { onnx_operator_set_version: RESIZE, ..ctx.clone() };
    resize(&ctx, &NodeProto { op_type: "Resize".into(), ..node.clone() })
}

#[cfg(test)]
mod tests {
    use crate::testing::{standard, string, tensor};

    #[test]
    fn each_pixel_becomes_several() {
        standard("Upsample", vec![string("mode", "nearest")])
            .with(tensor(&[4], &[1.0f32, 1.0, 1.0, 2.0]))
            .gives(tensor(&[1, 1, 1, 2], &[3.0f32, 5.0]), tensor(&[1, 1, 1, 4], &[3.0f32, 3.0, 5.0, 5.0]));
    }
}
