//! Gives a `Clip` with one bound the other one too: without it ONNX Runtime bounds by the ends of the type, and an
//! infinity becomes the largest number.

use std::collections::HashMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::walk::{is_standard, stored};

/// Adds what is missing, as an attribute or as a constant, where it can be told which of the two and of what type.
pub(super) fn bound_both_sides(graph: &mut GraphProto) {
    let types = stored_types(graph);
    let mut constants = vec![];
    for node in graph.node.iter_mut().filter(|node| is_standard(node, "Clip")) {
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
    let mut bound = TensorProto { name: name.clone(), data_type: element as i32, ..TensorProto::default() };
    let lowest = missing == 1;
    match element {
        DataType::Float => bound.float_data = vec![if lowest { f32::MIN } else { f32::MAX }],
        DataType::Double => bound.double_data = vec![if lowest { f64::MIN } else { f64::MAX }],
        // Integers have no infinities.
        _ => return None,
    }
    node.input.resize(3, String::new());
    node.input[missing] = name;
    Some(bound)
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, tensor};

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
}
