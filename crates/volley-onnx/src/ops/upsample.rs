//! `Upsample`, which later versions call `Resize`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::of_tract::{as_type, of_tract};

/// The first version of `Resize` is the last one of `Upsample`.
const RESIZE: i64 = 10;

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let ctx = ParsingContext { onnx_operator_set_version: RESIZE, ..ctx.clone() };
    of_tract(&ctx, &as_type("Resize", node))
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
