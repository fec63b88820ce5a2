//! Cuts `ZipMap` nodes out: they wrap a matrix of probabilities into a map per row.

use std::collections::BTreeMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, NodeProto, TensorShapeProto, TypeProto, type_proto};

use super::labels;
use super::walk::is_ml;
use crate::error::Error;
use crate::port::ClassLabels;

/// Turns every `ZipMap` into an `Identity`, so that its output is the `[N, C]` float tensor under
/// the same name, and gives the labels it would have put on the columns, by output name.
pub(super) fn cut(graph: &mut GraphProto) -> Result<BTreeMap<String, ClassLabels>, Error> {
    let mut cuts = BTreeMap::new();
    for node in graph.node.iter_mut().filter(|node| is_ml(node, "ZipMap")) {
        let (name, classes) = keys(node)?;
        *node = NodeProto {
            op_type: "Identity".into(),
            name: format!("{name}.zipmap"),
            input: node.input.clone(),
            output: node.output.clone(),
            ..NodeProto::default()
        };
        cuts.insert(name, classes);
    }
    if let Some(name) = graph.node.iter().flat_map(|node| &node.input).find(|name| cuts.contains_key(*name)) {
        return Err(Error::Invalid(format!("the map `{name}` feeds another node; only tensors can")));
    }
    for output in &mut graph.output {
        if let Some(classes) = cuts.get(&output.name) {
            output.r#type = Some(matrix_of(classes.len()));
        }
    }
    Ok(cuts)
}

fn keys(node: &NodeProto) -> Result<(String, ClassLabels), Error> {
    let [input, name] = [&node.input, &node.output].map(|names| match names.as_slice() {
        [name] => Some(name.clone()),
        _ => None,
    });
    let classes = labels::attribute(node, "classlabels_int64s", "classlabels_strings");
    match (input, name, classes) {
        (Some(_), Some(name), Some(classes)) => Ok((name, classes)),
        _ => Err(Error::Invalid(format!("ZipMap `{}` is not complete", node.name))),
    }
}

fn matrix_of(columns: usize) -> TypeProto {
    let rows = Dimension::default();
    let columns = dimension::Value::DimValue(columns as i64);
    let columns = Dimension { value: Some(columns), ..Dimension::default() };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: vec![rows, columns] }),
    };
    TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
}
