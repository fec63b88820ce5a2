//! Makes matrices of the maps that a graph takes: a column for each key that its `DictVectorizer` or `CastMap` knows.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, NodeProto, TensorShapeProto, TypeProto, type_proto};

use super::containers::{Container, tensor_of};
use super::labels;
use super::walk::is_ml;
use crate::error::Error;
use crate::port::ClassLabels;

/// The columns that a map becomes: one for each of these keys, or any number, in the order of the keys.
type Columns = Option<Vec<String>>;

/// Declares each input that is a map as the matrix it becomes, and gives its keys, if they are known, by input.
pub(super) fn spread(
    graph: &mut GraphProto,
    declared: &HashMap<String, Container>,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut keys = BTreeMap::new();
    let GraphProto { input, node, .. } = graph;
    for port in input {
        let Some(Container::Map(element)) = declared.get(&port.name) else { continue };
        let columns = columns(&port.name, node)?;
        port.r#type = Some(matrix(*element, columns.as_ref().map(Vec::len)));
        if let Some(columns) = columns {
            keys.insert(port.name.clone(), columns);
        }
    }
    let is_map = |name: &String| matches!(declared.get(name), Some(Container::Map(_)));
    let lost = node.iter().find(|node| takes_map(node) && !node.input.iter().all(is_map));
    match lost {
        Some(node) => {
            Err(Error::Invalid(format!("{} `{}` takes a map, and only inputs are maps", node.op_type, node.name)))
        }
        None => Ok(keys),
    }
}

fn takes_map(node: &NodeProto) -> bool {
    is_ml(node, "DictVectorizer") || is_ml(node, "CastMap")
}

/// What all nodes that read the map make of it.
fn columns(name: &str, nodes: &[NodeProto]) -> Result<Columns, Error> {
    let readers = nodes.iter().filter(|node| node.input.iter().any(|input| input == name));
    let found: Vec<Columns> = readers.map(|node| columns_of(name, node)).collect::<Result<_, _>>()?;
    match found.as_slice() {
        [first, others @ ..] if others.iter().all(|it| it == first) => Ok(first.clone()),
        [] => Err(Error::Invalid(format!("nothing reads the map `{name}`"))),
        _ => Err(Error::Invalid(format!("the nodes that read the map `{name}` differ in its keys"))),
    }
}

fn columns_of(name: &str, node: &NodeProto) -> Result<Columns, Error> {
    if is_ml(node, "DictVectorizer") {
        let vocabulary = labels::attribute(node, "int64_vocabulary", "string_vocabulary");
        let unnamed = || Error::Invalid(format!("DictVectorizer `{}` has no vocabulary", node.name));
        return Ok(Some(match vocabulary.ok_or_else(unnamed)? {
            ClassLabels::Ints(keys) => keys.iter().map(i64::to_string).collect(),
            ClassLabels::Strings(keys) => keys,
        }));
    }
    if !is_ml(node, "CastMap") {
        return Err(Error::Invalid(format!("the map `{name}` feeds {}, which takes tensors", node.op_type)));
    }
    let attribute = |name: &str| node.attribute.iter().find(|it| it.name == name);
    if attribute("map_form").is_none_or(|form| form.s != b"SPARSE") {
        return Ok(None);
    }
    let count = attribute("max_map").map_or(1, |it| it.i);
    // What a row does not have is a text of its own there, which no number stands for.
    if attribute("cast_to").is_some_and(|to| to.s == b"TO_STRING") {
        return Err(Error::UnsupportedOperator { operators: vec!["CastMap from a sparse map to text".into()] });
    }
    match usize::try_from(count) {
        Ok(count) if count <= KEYS_MAX => Ok(Some((0..count).map(|key| key.to_string()).collect())),
        _ => Err(Error::Invalid(format!("CastMap `{}` asks for {count} columns", node.name))),
    }
}

/// More columns than any table has.
const KEYS_MAX: usize = 1 << 20;

fn matrix(element: i32, columns: Option<usize>) -> TypeProto {
    let mut declared = tensor_of(element);
    let dim = |value| Dimension { value, ..Dimension::default() };
    let columns = columns.map(|columns| dimension::Value::DimValue(columns as i64));
    if let Some(type_proto::Value::TensorType(tensor)) = &mut declared.value {
        tensor.shape = Some(TensorShapeProto { dim: vec![dim(None), dim(columns)] });
    }
    declared
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::AttributeProto;
    use tract_onnx::pb::tensor_proto::DataType;

    use super::*;
    use crate::testing::{ModelBuilder, assert_close, int, ints, ints_in, string, strings, strings_in, tensor};
    use crate::{Dim, Element, Graph, Limits, Tensor};

    /// A graph of one operator, whose input is a map to elements of this type.
    fn over_map(value: DataType, op_type: &str, attributes: Vec<AttributeProto>) -> Result<Graph, Error> {
        let text = attributes.iter().any(|it| it.s == b"TO_STRING");
        let whole = attributes.iter().any(|it| it.s == b"TO_INT64");
        let element = if text {
            Element::String
        } else if whole {
            Element::I64
        } else {
            Element::F32
        };
        let model =
            ModelBuilder::default().output("y", element).node("ai.onnx.ml", op_type, &["x"], &["y"], attributes);
        let mut bytes = model.bytes();
        // The graph again, with the one field that the generated types do not have: files may say a message in parts.
        let tensor = [0x0a, 2, 0x08, value as u8];
        let map = [&[0x08, DataType::String as u8, 0x12, tensor.len() as u8][..], &tensor].concat();
        let declared = [&[0x2a, map.len() as u8][..], &map].concat();
        let port = [&[0x0a, 1, b'x', 0x12, declared.len() as u8][..], &declared].concat();
        let graph = [&[0x5a, port.len() as u8][..], &port].concat();
        bytes.extend([&[0x3a, graph.len() as u8][..], &graph].concat());
        Graph::parse(&bytes, &|_| None, &Limits::default())
    }

    fn check(graph: &Graph, input: Tensor, expected: &Tensor) {
        let rows = input.shape()[0];
        let got = graph.plan().and_then(|plan| plan.run(rows, vec![input])).expect("a sound model");
        assert_close(&got[0], expected);
    }

    #[test]
    fn a_map_with_a_vocabulary_is_a_column_for_each_key() {
        let graph = over_map(DataType::Float, "DictVectorizer", vec![strings("string_vocabulary", &["b", "a"])]);
        let graph = graph.expect("a sound model");
        assert_eq!(graph.keys("x"), Some(&["b".to_string(), "a".to_string()][..]));
        assert_eq!(graph.inputs()[0].shape.as_deref(), Some(&[Dim::Free, Dim::Fixed(2)][..]));
        let rows = tensor(&[2, 2], &[1.0f32, 2.0, 0.0, 4.0]);
        check(&graph, rows.clone(), &rows);
        let graph = over_map(DataType::Float, "DictVectorizer", vec![ints("int64_vocabulary", &[7, -1])]);
        assert_eq!(graph.expect("a sound model").keys("x"), Some(&["7".to_string(), "-1".to_string()][..]));
    }

    #[test]
    fn a_sparse_map_has_as_many_columns_as_it_says() {
        let attributes = vec![string("map_form", "SPARSE"), int("max_map", 3), string("cast_to", "TO_INT64")];
        let graph = over_map(DataType::Float, "CastMap", attributes).expect("a sound model");
        assert_eq!(graph.keys("x").map(<[String]>::len), Some(3));
        check(&graph, tensor(&[1, 3], &[0.0f32, -2.7, 1.5]), &ints_in(&[1, 3], &[0, -2, 1]));
    }

    #[test]
    fn a_dense_map_has_any_number_of_columns() {
        let graph = over_map(DataType::Float, "CastMap", vec![string("cast_to", "TO_STRING")]).expect("a sound model");
        assert_eq!(graph.keys("x"), None);
        check(&graph, tensor(&[1, 2], &[-2.7f32, 1e10]), &strings_in(&[1, 2], &["-2.700000", "10000000000.000000"]));
        let graph = over_map(DataType::String, "CastMap", vec![]).expect("a sound model");
        check(&graph, strings_in(&[1, 2], &["1.5", "-2"]), &tensor(&[1, 2], &[1.5f32, -2.0]));
    }

    #[test]
    fn a_map_for_another_operator_is_refused() {
        let error = over_map(DataType::Float, "Scaler", vec![]).expect_err("it takes tensors");
        assert!(error.to_string().contains("takes tensors"), "{error}");
    }

    #[test]
    fn a_tensor_in_the_place_of_a_map_is_refused() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1, 1]).output("y", Element::F32);
        let error = model.node("ai.onnx.ml", "CastMap", &["x"], &["y"], vec![]).parse().expect_err("a tensor");
        assert!(error.to_string().contains("takes a map"), "{error}");
    }

    #[test]
    fn a_sparse_map_to_text_is_refused() {
        let attributes = vec![string("map_form", "SPARSE"), string("cast_to", "TO_STRING")];
        let error = over_map(DataType::Float, "CastMap", attributes).expect_err("no text for what is not there");
        assert_eq!(error.code(), "unsupported_operator");
    }
}
