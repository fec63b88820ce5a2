//! Gives recurrent layers the state of zeros that they start from when none is named: tract needs to know the number
//! of rows for one of its own.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::walk::is_standard;

/// Where the initial states are among the inputs of a layer.
fn states(node: &NodeProto) -> &'static [usize] {
    if is_standard(node, "LSTM") {
        &[5, 6]
    } else if is_standard(node, "GRU") || is_standard(node, "RNN") {
        &[5]
    } else {
        &[]
    }
}

/// Names initial states of zeros, made as long as the rows are many, for the layers that name none: how many layers.
pub(super) fn name_states(graph: &mut GraphProto) -> usize {
    let mut layers = 0;
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let missing = |&&slot: &&usize| node.input.get(slot).is_none_or(String::is_empty);
        let missing: Vec<usize> = states(&node).iter().filter(missing).copied().collect();
        if let (false, false, Some(size)) = (missing.is_empty(), is_bidirectional(&node), hidden_size(&node)) {
            let zeros = Zeros::new(&node, nodes.len(), size);
            node.input.resize(node.input.len().max(missing[missing.len() - 1] + 1), String::new());
            missing.iter().for_each(|&slot| node.input[slot] = zeros.name("zeros"));
            graph.initializer.extend(zeros.constants());
            nodes.extend(zeros.nodes());
            layers += 1;
        }
        nodes.push(node);
    }
    graph.node = nodes;
    layers
}

fn hidden_size(node: &NodeProto) -> Option<i64> {
    node.attribute.iter().find(|it| it.name == "hidden_size").map(|it| it.i)
}

/// tract gives each direction the states of both, if there are any.
fn is_bidirectional(node: &NodeProto) -> bool {
    node.attribute.iter().any(|it| it.name == "direction" && it.s == b"bidirectional")
}

/// The nodes that make one state of zeros.
struct Zeros {
    prefix: String,
    input: String,
    size: i64,
    rows_first: bool,
}

impl Zeros {
    fn new(node: &NodeProto, at: usize, size: i64) -> Zeros {
        let layout = node.attribute.iter().find(|it| it.name == "layout");
        Zeros {
            prefix: format!("{}.{}.{at}", node.name, node.output.join(".")),
            input: node.input.first().cloned().unwrap_or_default(),
            size,
            rows_first: layout.is_some_and(|it| it.i == 1),
        }
    }

    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }

    fn constants(&self) -> Vec<TensorProto> {
        let axis = i64::from(!self.rows_first);
        let long = |part: &str, value: i64| TensorProto {
            name: self.name(part),
            data_type: DataType::Int64 as i32,
            dims: vec![1],
            int64_data: vec![value],
            ..TensorProto::default()
        };
        let zero = TensorProto {
            name: self.name("zero"),
            data_type: DataType::Float as i32,
            dims: vec![1, 1, 1],
            float_data: vec![0.0],
            ..TensorProto::default()
        };
        vec![long("axis", axis), long("directions", 1), long("size", self.size), zero]
    }

    /// The zero, expanded to the directions, the rows of the input, and the hidden size.
    fn nodes(&self) -> Vec<NodeProto> {
        let lengths = if self.rows_first { ["rows", "directions", "size"] } else { ["directions", "rows", "size"] };
        let lengths = lengths.map(|part| self.name(part));
        vec![
            self.node("Shape", vec![self.input.clone()], "shape", vec![]),
            self.node("Gather", vec![self.name("shape"), self.name("axis")], "rows", vec![]),
            self.node("Concat", lengths.to_vec(), "lengths", vec![axis_attribute()]),
            self.node("Expand", vec![self.name("zero"), self.name("lengths")], "zeros", vec![]),
        ]
    }

    fn node(&self, op_type: &str, input: Vec<String>, part: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        let output = vec![self.name(part)];
        NodeProto { op_type: op_type.into(), name: output[0].clone(), input, output, attribute, ..NodeProto::default() }
    }
}

fn axis_attribute() -> AttributeProto {
    AttributeProto { name: "axis".into(), r#type: AttributeType::Int as i32, i: 0, ..AttributeProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ModelBuilder, assert_close, int, ints, ints_in, tensor};
    use crate::{Element, Tensor};

    /// One step of a recurrent layer of two inputs and three hidden values, whose last state is the score.
    fn layer(op_type: &str, gates: usize) -> ModelBuilder {
        let weights = |columns: usize, scale: f32| -> Tensor {
            let values: Vec<f32> = (0..gates * 3 * columns).map(|at| (at as f32 * scale).sin()).collect();
            tensor(&[1, gates * 3, columns], &values)
        };
        ModelBuilder::default()
            .input("x", Element::F32, &[-1, 4, 2])
            .output("y", Element::F32)
            .constant("W", &weights(2, 0.7))
            .constant("R", &weights(3, 0.3))
            .constant("first", &ints_in(&[1], &[0]))
            .node("", "Transpose", &["x"], &["steps"], vec![ints("perm", &[1, 0, 2])])
            .node("", op_type, &["steps", "W", "R"], &["", "state"], vec![int("hidden_size", 3)])
            .node("", "Squeeze", &["state", "first"], &["y"], vec![])
    }

    fn check_rows_alone(op_type: &str, gates: usize) {
        let plan = layer(op_type, gates).parse().and_then(|graph| graph.plan()).expect("a sound model");
        let rows: Vec<f32> = (0..5 * 8).map(|at| (at as f32).cos()).collect();
        let together = plan.run(5, vec![tensor(&[5, 4, 2], &rows)]).expect("five rows");
        for (at, row) in rows.chunks_exact(8).enumerate() {
            let alone = plan.run(1, vec![tensor(&[1, 4, 2], row)]).expect("one row");
            assert_close(&together[0].slice(0, at, at + 1).expect("a row"), &alone[0]);
        }
    }

    #[test]
    fn layers_without_an_initial_state_score_any_number_of_rows() {
        check_rows_alone("LSTM", 4);
        check_rows_alone("GRU", 3);
        check_rows_alone("RNN", 1);
    }

    #[test]
    fn a_state_that_is_named_stays() {
        let mut graph = layer("LSTM", 4).graph;
        graph.node[1].input = ["steps", "W", "R", "", "", "mine", ""].map(String::from).to_vec();
        name_states(&mut graph);
        let layer = graph.node.iter().find(|node| node.op_type == "LSTM").expect("the layer");
        assert_eq!(layer.input[5], "mine");
        assert!(layer.input[6].ends_with(".zeros"), "{}", layer.input[6]);
    }
}
