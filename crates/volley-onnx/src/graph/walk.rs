//! Ways through a graph and the subgraphs that its nodes carry.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use crate::error::Error;

/// All nodes of `graph`, those of subgraphs too.
pub(super) fn nodes(graph: &GraphProto) -> Vec<&NodeProto> {
    let mut found = Vec::with_capacity(graph.node.len());
    collect(graph, &mut found);
    found
}

fn collect<'g>(graph: &'g GraphProto, found: &mut Vec<&'g NodeProto>) {
    for node in &graph.node {
        found.push(node);
        for inner in subgraphs(node) {
            collect(inner, found);
        }
    }
}

/// The subgraphs of one node: the branches of an `If`, the body of a `Scan`.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Calls `visit` on every stored tensor: initializers and attributes, those of subgraphs too.
pub(super) fn for_each_tensor(
    graph: &mut GraphProto,
    visit: &mut dyn FnMut(&mut TensorProto) -> Result<(), Error>,
) -> Result<(), Error> {
    for tensor in &mut graph.initializer {
        visit(tensor)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            visit(tensor)?;
        }
        for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            for_each_tensor(inner, visit)?;
        }
    }
    Ok(())
}

/// Whether `node` is the operator `op_type` of the default domain.
pub(super) fn is_standard(node: &NodeProto, op_type: &str) -> bool {
    node.op_type == op_type && (node.domain.is_empty() || node.domain == "ai.onnx")
}

/// Whether `node` is the operator `op_type` of the machine learning domain.
pub(super) fn is_ml(node: &NodeProto, op_type: &str) -> bool {
    node.op_type == op_type && node.domain == "ai.onnx.ml"
}

/// The elements of a tensor of singles or doubles; none of another one.
pub(super) fn floats(tensor: &TensorProto) -> Option<Box<dyn Iterator<Item = f64> + '_>> {
    let raw = &tensor.raw_data;
    Some(match DataType::try_from(tensor.data_type).ok()? {
        DataType::Float if raw.is_empty() => Box::new(tensor.float_data.iter().map(|&v| f64::from(v))),
        DataType::Float => Box::new(raw.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b)))),
        DataType::Double if raw.is_empty() => Box::new(tensor.double_data.iter().copied()),
        DataType::Double => Box::new(raw.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b))),
        _ => return None,
    })
}

/// The stored tensors of a graph by name, and those of its `Constant` nodes.
pub(super) fn stored(graph: &GraphProto) -> impl Iterator<Item = (&str, &TensorProto)> {
    let made = graph.node.iter().filter(|node| is_standard(node, "Constant"));
    let made = made.filter_map(|node| Some((node.output.first()?.as_str(), node.attribute.first()?.t.as_ref()?)));
    graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(made)
}
