//! `ConstantOfShape` without a value: zeros of single precision. tract makes them doubles.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::Built;
use super::of_tract::of_tract;

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mut node = node.clone();
    if node.attribute.iter().all(|attribute| attribute.name != "value") {
        let zero = TensorProto {
            data_type: DataType::Float as i32,
            dims: vec![1],
            float_data: vec![0.0],
            ..TensorProto::default()
        };
        node.attribute.push(AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor as i32,
            t: Some(zero),
            ..AttributeProto::default()
        });
    }
    of_tract(ctx, &node)
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, tensor};

    #[test]
    fn zeros_are_singles_where_no_value_says_otherwise() {
        let got = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .node("", "Shape", &["x"], &["shape"], vec![])
            .node("", "ConstantOfShape", &["shape"], &["zeros"], vec![])
            .node("", "Add", &["x", "zeros"], &["y"], vec![])
            .run(1, vec![tensor(&[1, 2], &[1.0f32, 2.0])])
            .expect("a sound model");
        assert_close(&got[0], &tensor(&[1, 2], &[1.0f32, 2.0]));
    }
}
