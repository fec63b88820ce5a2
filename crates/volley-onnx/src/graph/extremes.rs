//! Puts the infinities back that tract loses in `ReduceMax` and `ReduceMin`.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::walk::is_standard;

/// The name in our register of the operator that does so; no file may use it.
pub(crate) const OPERATOR: &str = "volley.Unbounded";

/// Lets the result of every search for an extreme pass through the operator. How many there are.
pub(super) fn unbind(graph: &mut GraphProto) -> usize {
    let before = graph.node.len();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let searches = is_standard(&node, "ReduceMax") || is_standard(&node, "ReduceMin");
        let ([output], true) = (node.output.as_mut_slice(), searches) else {
            nodes.push(node);
            continue;
        };
        let found = format!("{output}.found");
        let unbounded = NodeProto {
            op_type: OPERATOR.into(),
            name: format!("{output}.unbounded"),
            input: vec![found.clone()],
            output: vec![std::mem::replace(output, found)],
            ..NodeProto::default()
        };
        nodes.extend([node, unbounded]);
    }
    graph.node = nodes;
    graph.node.len() - before
}
