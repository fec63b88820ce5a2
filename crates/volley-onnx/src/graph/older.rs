//! Writes operators of early versions as later ones are written, where tract reads them so alone.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

use super::walk::is_standard;

/// `TopK` had the number of what it looks for as an attribute.
pub(super) fn renew(graph: &mut GraphProto) {
    let mut constants = vec![];
    for node in graph.node.iter_mut().filter(|node| is_standard(node, "TopK") && node.input.len() == 1) {
        let count = node.attribute.iter().find(|it| it.name == "k").map(|it| it.i);
        let (Some(count), Some(found)) = (count, node.output.iter().find(|name| !name.is_empty())) else { continue };
        let name = format!("{found}.count");
        constants.push(TensorProto {
            name: name.clone(),
            data_type: DataType::Int64 as i32,
            dims: vec![1],
            int64_data: vec![count],
            ..TensorProto::default()
        });
        node.input.push(name);
        node.attribute.retain(|it| it.name != "k");
    }
    graph.initializer.extend(constants);
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};

    #[test]
    fn the_number_of_what_is_looked_for_may_be_an_attribute() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 3])
            .output("found", Element::F32)
            .output("places", Element::I64)
            .node("", "TopK", &["x"], &["found", "places"], vec![int("k", 2), int("axis", 1)]);
        let got = model.run(1, vec![tensor(&[1, 3], &[1.0f32, 3.0, 2.0])]).expect("a sound model");
        assert_close(&got[0], &tensor(&[1, 2], &[3.0f32, 2.0]));
        assert_close(&got[1], &ints_in(&[1, 2], &[1, 2]));
    }
}
