//! Bounds and checks on what is constant in a graph: stored tensors, and those that tract would
//! make from constants while loading.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::walk::{floats, for_each_tensor, is_standard, nodes};
use crate::error::Error;
use crate::port::Element;

/// The largest tensor that is read as a shape or as the bounds of a range.
const SHAPE_LEN_MAX: usize = 64;

/// Checks every stored tensor against its own shape, and the bytes of all constants together
/// against `bytes_max`.
pub(super) fn check(graph: &mut GraphProto, bytes_max: usize) -> Result<(), Error> {
    let mut budget = Budget { spent: 0, max: bytes_max };
    for_each_tensor(graph, &mut |tensor| {
        budget.spend(checked_bytes(tensor)?)?;
        widen_unsigned(tensor);
        Ok(())
    })?;
    let known = small_constants(graph);
    nodes(graph).into_iter().try_for_each(|node| budget.spend(folded_bytes(node, &known)))?;
    let mut shapes = stored_shapes(graph);
    for node in &graph.node {
        if let (Some(shape), [output]) = (product_shape(node, &shapes), node.output.as_slice()) {
            let len = shape.iter().fold(WIDEST_BYTES, |len, &dim| len.saturating_mul(dim));
            budget.spend(len)?;
            shapes.insert(output, shape);
        }
    }
    Ok(())
}

/// The widest plain element; a half or a quarter of it is the usual case.
const WIDEST_BYTES: usize = 8;

fn stored_shapes(graph: &GraphProto) -> HashMap<&str, Vec<usize>> {
    let shape = |tensor: &TensorProto| -> Option<Vec<usize>> {
        tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect()
    };
    graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_str(), shape(tensor)?))).collect()
}

/// The shape of what `node` makes of two constants, where it may be larger than both.
fn product_shape(node: &NodeProto, shapes: &HashMap<&str, Vec<usize>>) -> Option<Vec<usize>> {
    const BROADCASTING: [&str; 8] = ["Add", "Sub", "Mul", "Div", "Pow", "Equal", "Greater", "Less"];
    let [a, b] = node.input.as_slice() else { return None };
    let (a, b) = (shapes.get(a.as_str())?, shapes.get(b.as_str())?);
    if is_standard(node, "MatMul") {
        let ([outer_a @ .., rows, _], [outer_b @ .., _, columns]) = (&**a, &**b) else { return None };
        return Some([broadcast(outer_a, outer_b), vec![*rows, *columns]].concat());
    }
    BROADCASTING.iter().any(|op_type| is_standard(node, op_type)).then(|| broadcast(a, b))
}

/// Aligned at the end; the longer of each two.
fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let dim = |of: &[usize], at: usize| (at + of.len()).checked_sub(rank).map_or(1, |at| of[at]);
    (0..rank).map(|at| dim(a, at).max(dim(b, at))).collect()
}

struct Budget {
    spent: usize,
    max: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.max {
            return Err(Error::TooLarge { what: "memory for constants in bytes", size: self.spent, max: self.max });
        }
        Ok(())
    }
}

/// The bytes of a stored tensor, if its data is as long as its shape says.
fn checked_bytes(tensor: &TensorProto) -> Result<usize, Error> {
    let invalid = |what: &str| Error::Invalid(format!("tensor `{}` {what}", tensor.name));
    let element = Element::from_onnx(tensor.data_type)
        .ok_or_else(|| invalid("has an element type that cannot be computed with"))?;
    let len = element_count(&tensor.dims).ok_or_else(|| invalid("has an impossible shape"))?;
    let Some(width) = element.bytes() else {
        if tensor.string_data.len() != len {
            return Err(invalid("holds another number of strings than its shape"));
        }
        return Ok(tensor.string_data.iter().map(|text| text.len() + 24).sum());
    };
    let bytes = len.checked_mul(width).ok_or_else(|| invalid("has an impossible shape"))?;
    let fits =
        if tensor.raw_data.is_empty() { typed_len(tensor, element) == len } else { tensor.raw_data.len() == bytes };
    if fits { Ok(bytes) } else { Err(invalid("holds another number of elements than its shape")) }
}

fn element_count(dims: &[i64]) -> Option<usize> {
    dims.iter().try_fold(1usize, |len, &dim| len.checked_mul(usize::try_from(dim).ok()?))
}

/// How many elements are stored in the field of the element's type.
fn typed_len(tensor: &TensorProto, element: Element) -> usize {
    match element {
        Element::F32 => tensor.float_data.len(),
        Element::F64 => tensor.double_data.len(),
        Element::I64 => tensor.int64_data.len(),
        Element::U32 | Element::U64 => tensor.uint64_data.len(),
        _ => tensor.int32_data.len(),
    }
}

/// tract looks for unsigned integers in the wrong field; as raw bytes it finds them.
fn widen_unsigned(tensor: &mut TensorProto) {
    let values = std::mem::take(&mut tensor.uint64_data);
    match Element::from_onnx(tensor.data_type) {
        Some(Element::U32) if !values.is_empty() => {
            tensor.raw_data = values.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect();
        }
        Some(Element::U64) if !values.is_empty() => {
            tensor.raw_data = values.iter().flat_map(|&v| v.to_le_bytes()).collect();
        }
        _ => {}
    }
}

/// Short numeric constants by name: what shapes and ranges are made of.
fn small_constants(graph: &GraphProto) -> HashMap<&str, Vec<f64>> {
    let stored = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), numbers(tensor)));
    let made = nodes(graph)
        .into_iter()
        .filter(|node| is_standard(node, "Constant") && node.output.len() == 1)
        .map(|node| (node.output[0].as_str(), constant_numbers(node)));
    stored.chain(made).filter_map(|(name, values)| Some((name, values?))).collect()
}

fn constant_numbers(node: &NodeProto) -> Option<Vec<f64>> {
    let value = node.attribute.first()?;
    match value.name.as_str() {
        "value" => numbers(value.t.as_ref()?),
        "value_int" => Some(vec![value.i as f64]),
        "value_float" => Some(vec![f64::from(value.f)]),
        "value_ints" => Some(value.ints.iter().map(|&v| v as f64).collect()),
        "value_floats" => Some(value.floats.iter().map(|&v| f64::from(v)).collect()),
        _ => None,
    }
}

fn numbers(tensor: &TensorProto) -> Option<Vec<f64>> {
    if element_count(&tensor.dims)? > SHAPE_LEN_MAX {
        return None;
    }
    let raw = &tensor.raw_data;
    Some(match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 if raw.is_empty() => tensor.int64_data.iter().map(|&v| v as f64).collect(),
        DataType::Int64 => raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
        DataType::Int32 if raw.is_empty() => tensor.int32_data.iter().map(|&v| f64::from(v)).collect(),
        DataType::Int32 => raw.as_chunks().0.iter().map(|&b| f64::from(i32::from_le_bytes(b))).collect(),
        _ => floats(tensor)?.collect(),
    })
}

/// The bytes that tract would make of `node` while loading, where they follow from constants.
fn folded_bytes(node: &NodeProto, known: &HashMap<&str, Vec<f64>>) -> usize {
    let input = |at: usize| known.get(node.input.get(at)?.as_str());
    let product = |values: &Vec<f64>| values.iter().map(|v| v.max(1.0)).product::<f64>();
    let elements = match node.op_type.as_str() {
        _ if !matches!(node.domain.as_str(), "" | "ai.onnx") => None,
        "ConstantOfShape" => input(0).map(product),
        "Expand" | "Tile" => input(1).map(product),
        "OneHot" => input(1).map(product),
        "Range" => range_len(input(0), input(1), input(2)),
        _ => None,
    };
    // Saturating: a float too large for usize becomes the largest.
    (elements.unwrap_or(0.0) * WIDEST_BYTES as f64) as usize
}

fn range_len(start: Option<&Vec<f64>>, limit: Option<&Vec<f64>>, delta: Option<&Vec<f64>>) -> Option<f64> {
    let (start, limit, delta) = (start?.first()?, limit?.first()?, delta?.first()?);
    // A step of zero would never arrive: infinite, and so over any budget.
    Some(((limit - start) / delta).max(0.0))
}
