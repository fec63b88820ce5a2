//! Takes the declared shapes out of a graph: plans set their own.

use std::collections::HashMap;

use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, TypeProto, ValueInfoProto, type_proto};

use crate::port::{Port, tensor_type};

/// Removes all declared shapes, and gives for each of `inputs` the names of its dimensions.
///
/// tract parses dimension names as expressions and unifies equal names; ours are plain names.
pub(super) fn take_declarations(graph: &mut GraphProto, inputs: &[Port]) -> Vec<Vec<Option<String>>> {
    let declared: HashMap<&str, &ValueInfoProto> = graph.input.iter().map(|info| (info.name.as_str(), info)).collect();
    let names = inputs
        .iter()
        .map(|port| declared.get(port.name.as_str()).map(|info| dimension_names(info)).unwrap_or_default())
        .collect();
    forget_declarations(graph);
    names
}

/// Removes all declared shapes.
pub(super) fn forget_declarations(graph: &mut GraphProto) {
    graph.value_info.clear();
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        forget_shape(info);
    }
}

fn dimension_names(info: &ValueInfoProto) -> Vec<Option<String>> {
    let dims = tensor_type(info).and_then(|tensor| tensor.shape.as_ref()).map(|shape| &shape.dim);
    dims.into_iter()
        .flatten()
        .map(|dim| match &dim.value {
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Some(name.clone()),
            _ => None,
        })
        .collect()
}

fn forget_shape(info: &mut ValueInfoProto) {
    if let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = info.r#type.as_mut() {
        tensor.shape = None;
    }
}
