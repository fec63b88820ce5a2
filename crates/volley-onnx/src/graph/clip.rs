//! Gives a `Clip` with one bound the other one too: without it ONNX Runtime bounds by the ends of the type, and an
//! infinity becomes the largest number. A bound that is NaN bounds nothing there; an infinity takes its place.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::walk::{floats, is_standard, stored};

/// Adds what is missing, as an attribute or as a constant, where it can be told which of the two and of what type.
pub(super) fn bound_both_sides(graph: &mut GraphProto) {
    let types = stored_types(graph);
    let clips = graph.node.iter().filter(|node| is_standard(node, "Clip"));
    let bounds: HashSet<&str> = clips.flat_map(|node| node.input.iter().skip(1)).map(String::as_str).collect();
    let is_nan = |bound: &TensorProto| floats(bound).is_some_and(|mut values| values.any(f64::is_nan));
    let no_numbers = stored(graph).filter(|(name, it)| bounds.contains(name) && is_nan(it));
    let no_numbers = no_numbers.map(|(name, _)| name.to_owned()).collect();
    let mut constants = vec![];
    for node in graph.node.iter_mut().filter(|node| is_standard(node, "Clip")) {
        constants.extend(open_nan(node, &types, &no_numbers));
        match node.input.iter().skip(1).find(|name| !name.is_empty()).map(|name| types.get(name).copied()) {
            Some(Some(element)) => constants.extend(add_inputs(node, element)),
            Some(None) => {}
            None => add_attributes(node),
        }
    }
    graph.initializer.extend(constants);
}

fn stored_types(graph: &GraphProto) -> HashMap<String, DataType> {
    stored(graph).filter_map(|(name, it)| Some((name.to_owned(), DataType::try_from(it.data_type).ok()?))).collect()
}

/// Infinities for the bounds of `node` that are NaN.
fn open_nan(node: &mut NodeProto, types: &HashMap<String, DataType>, no_numbers: &HashSet<String>) -> Vec<TensorProto> {
    for bound in &mut node.attribute {
        match bound.name.as_str() {
            "min" if bound.f.is_nan() => bound.f = f32::NEG_INFINITY,
            "max" if bound.f.is_nan() => bound.f = f32::INFINITY,
            _ => {}
        }
    }
    let output = node.output.first().cloned().unwrap_or_default();
    let bounds = node.input.iter_mut().zip([0.0, f64::NEG_INFINITY, f64::INFINITY]).skip(1);
    let infinities = bounds.filter(|(name, _)| no_numbers.contains(*name)).filter_map(|(name, infinity)| {
        let element = *types.get(name.as_str())?;
        let open = constant(format!("{}.{output}.open{infinity}", node.name), element, infinity)?;
        *name = open.name.clone();
        Some(open)
    });
    infinities.collect()
}

/// In the first versions the bounds are attributes. Where there is none, a later version may be meant.
fn add_attributes(node: &mut NodeProto) {
    let has = |name: &str| node.attribute.iter().any(|it| it.name == name);
    let bound = |name: &str, f: f32| {
        let name = name.into();
        AttributeProto { name, r#type: AttributeType::Float as i32, f, ..AttributeProto::default() }
    };
    let missing = match [has("min"), has("max")] {
        [true, false] => bound("max", f32::MAX),
        [false, true] => bound("min", f32::MIN),
        _ => return,
    };
    node.attribute.push(missing);
}

fn add_inputs(node: &mut NodeProto, element: DataType) -> Option<TensorProto> {
    let missing = (1..=2).find(|&at| node.input.get(at).is_none_or(String::is_empty))?;
    let name = format!("{}.{}.bound", node.name, node.output.first()?);
    let end = match element {
        DataType::Float => f64::from(f32::MAX),
        _ => f64::MAX,
    };
    let bound = constant(name, element, if missing == 1 { -end } else { end })?;
    node.input.resize(3, String::new());
    node.input[missing] = bound.name.clone();
    Some(bound)
}

/// A bound; integers have neither NaN nor infinities, and need none.
fn constant(name: String, element: DataType, value: f64) -> Option<TensorProto> {
    let mut bound = TensorProto { name, data_type: element as i32, ..TensorProto::default() };
    match element {
        DataType::Float => bound.float_data = vec![value as f32],
        DataType::Double => bound.double_data = vec![value],
        _ => return None,
    }
    Some(bound)
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, standard, tensor};

    #[test]
    fn an_infinity_on_the_side_without_a_bound_becomes_the_largest_number() {
        let model = |inputs: &[&str]| {
            ModelBuilder::default()
                .input("x", Element::F32, &[-1, 1])
                .output("y", Element::F32)
                .constant("one", &tensor(&[], &[1.0f32]))
                .node("", "Clip", inputs, &["y"], vec![])
        };
        let rows = tensor(&[3, 1], &[f32::NEG_INFINITY, 0.5, f32::INFINITY]);
        for (inputs, expected) in
            [(vec!["x", "", "one"], [f32::MIN, 0.5, 1.0]), (vec!["x", "one"], [1.0, 1.0, f32::MAX])]
        {
            let got = model(&inputs).run(3, vec![rows.clone()]).expect("a sound model");
            assert_close(&got[0], &tensor(&[3, 1], &expected));
        }
    }

    #[test]
    fn a_bound_that_is_nan_bounds_nothing() {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        let row = tensor(&[1, 4], &[-infinity, 0.5, 7.0, nan]);
        let clip = |low: f32, high: f32| standard("Clip", vec![]).with(tensor(&[], &[low])).with(tensor(&[], &[high]));
        clip(nan, 1.0).gives(row.clone(), tensor(&[1, 4], &[-infinity, 0.5, 1.0, nan]));
        clip(1.0, nan).gives(row.clone(), tensor(&[1, 4], &[1.0, 1.0, 7.0, nan]));
        clip(nan, nan).gives(row.clone(), row);
    }
}
