//! Makes of a `Compress` whose condition is stored a `Gather` of what it keeps: tract has no shape for it otherwise.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

use super::walk::{is_standard, stored};

pub(super) fn choose(graph: &mut GraphProto) {
    let conditions = conditions(graph);
    let mut constants = vec![];
    for node in graph.node.iter_mut().filter(|node| is_standard(node, "Compress")) {
        let has_axis = node.attribute.iter().any(|it| it.name == "axis");
        let (Some(condition), Some(kept), true) = (node.input.get(1), node.output.first(), has_axis) else { continue };
        let Some(condition) = conditions.get(condition) else { continue };
        let places: Vec<i64> = (0..).zip(condition).filter(|(_, keep)| **keep).map(|(at, _)| at).collect();
        let name = format!("{kept}.places");
        constants.push(TensorProto {
            name: name.clone(),
            data_type: DataType::Int64 as i32,
            dims: vec![places.len() as i64],
            int64_data: places,
            ..TensorProto::default()
        });
        node.op_type = "Gather".into();
        node.input[1] = name;
    }
    graph.initializer.extend(constants);
}

fn conditions(graph: &GraphProto) -> HashMap<String, Vec<bool>> {
    stored(graph).filter_map(|(name, tensor)| Some((name.to_owned(), truths(tensor)?))).collect()
}

fn truths(tensor: &TensorProto) -> Option<Vec<bool>> {
    let is_bool = tensor.data_type == DataType::Bool as i32;
    let bytes = tensor.raw_data.iter().map(|&byte| byte != 0);
    is_bool.then(|| bytes.chain(tensor.int32_data.iter().map(|&v| v != 0)).collect())
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::TensorProto;
    use tract_onnx::pb::tensor_proto::DataType;

    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, tensor};

    #[test]
    fn columns_are_kept_where_a_stored_condition_says_so() {
        let mut model = ModelBuilder::default().input("x", Element::F32, &[-1, 3]).output("y", Element::F32).node(
            "",
            "Compress",
            &["x", "kept"],
            &["y"],
            vec![int("axis", 1)],
        );
        model.graph.initializer.push(TensorProto {
            name: "kept".into(),
            data_type: DataType::Bool as i32,
            dims: vec![3],
            int32_data: vec![1, 0, 1],
            ..TensorProto::default()
        });
        let got = model.run(2, vec![tensor(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])]).expect("a sound model");
        assert_close(&got[0], &tensor(&[2, 2], &[1.0f32, 3.0, 4.0, 6.0]));
    }
}
