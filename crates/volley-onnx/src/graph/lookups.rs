//! Makes a column of labels that are looked up for each row: exporters leave them as one long row, which is a row for
//! each row only if rows are scored one by one.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::walk::{is_ml, is_standard};

/// Turns every output that is looked up in a list.
pub(super) fn turn(graph: &mut GraphProto) {
    let found: Vec<usize> = (0..graph.node.len()).filter(|&at| is_lookup(graph, &graph.node[at])).collect();
    for at in found.into_iter().rev() {
        let output = graph.node[at].output[0].clone();
        let (row, shape) = (format!("{output}.row"), format!("{output}.column"));
        graph.node[at].output[0].clone_from(&row);
        graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|it| **it == output).for_each(|it| {
            it.clone_from(&row);
        });
        let turned = NodeProto {
            op_type: "Reshape".into(),
            name: format!("{output}.turned"),
            input: vec![row, shape.clone()],
            output: vec![output],
            ..NodeProto::default()
        };
        graph.node.insert(at + 1, turned);
        graph.initializer.push(TensorProto {
            name: shape,
            dims: vec![2],
            data_type: DataType::Int64 as i32,
            int64_data: vec![-1, 1],
            ..TensorProto::default()
        });
    }
}

/// Whether an output of the graph is taken from a list at the positions of the extremes of all rows.
fn is_lookup(graph: &GraphProto, node: &NodeProto) -> bool {
    let ([list, position], [output]) = (node.input.as_slice(), node.output.as_slice()) else { return false };
    let is_list = graph.initializer.iter().any(|it| it.name == *list && it.dims.len() == 1);
    let maker = graph.node.iter().find(|it| it.output.contains(position));
    let by_row = maker.is_some_and(|it| {
        let axis = it.attribute.iter().find(|it| it.name == "axis").map(|it| it.i);
        (is_standard(it, "ArgMax") || is_standard(it, "ArgMin")) && axis == Some(1)
    });
    is_ml(node, "ArrayFeatureExtractor") && is_list && by_row && graph.output.iter().any(|it| it.name == *output)
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::tensor_values;
    use crate::testing::{ModelBuilder, int, ints_in, tensor};

    #[test]
    fn labels_looked_up_at_the_end_are_a_column() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::I64)
            .constant("labels", &ints_in(&[2], &[7, 9]))
            .node("", "ArgMax", &["x"], &["largest"], vec![int("axis", 1), int("keepdims", 1)])
            .node("ai.onnx.ml", "ArrayFeatureExtractor", &["labels", "largest"], &["y"], vec![]);
        let mut graph = model.clone().graph;
        super::turn(&mut graph);
        assert_eq!(graph.node.last().map(|node| node.op_type.as_str()), Some("Reshape"));
        for rows in [1, 300] {
            let values = [[1.0f32, 2.0].repeat(rows), vec![3.0, 2.0]].concat();
            let got = model.clone().run(rows + 1, vec![tensor(&[rows + 1, 2], &values)]).expect("a sound model");
            assert_eq!(got[0].shape(), [rows + 1, 1]);
            let expected = [vec![9; rows], vec![7]].concat();
            assert_eq!(tensor_values::<i64>(&got[0]), Some(&*expected));
        }
    }
}
