//! Finds the inputs whose missing values the graph itself deals with.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

use super::walk::{is_ml, is_standard, nodes, subgraphs};
use crate::port::Element;

/// Operators through which a NaN passes as it is.
const NAN_KEPT: [&str; 19] = [
    "Identity",
    "Concat",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Transpose",
    "Slice",
    "Split",
    "Gather",
    "ArrayFeatureExtractor",
    "FeatureVectorizer",
    "Scaler",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Expand",
];

/// The inputs of `graph` from which every way meets an `Imputer` of NaN, a test for NaN, or trees
/// that say where missing values go.
pub(super) fn tracked(graph: &GraphProto) -> BTreeSet<String> {
    let tests = nan_tests(graph);
    let mut used: HashSet<&str> = HashSet::new();
    // Values from which some NaN would get to where nothing deals with it.
    let mut open: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    // Backwards: what becomes of a node's outputs is known before the node is met.
    for node in graph.node.iter().rev() {
        let lets_through = !keeps_nan(node) || node.output.iter().any(|name| open.contains(name.as_str()));
        for value in node.input.iter().filter(|name| !name.is_empty()) {
            used.insert(value);
            if lets_through && !handles_missing(&tests, node, value) {
                open.insert(value);
            }
        }
        let captured = subgraphs(node).flat_map(nodes).flat_map(|inner| &inner.input);
        open.extend(captured.map(String::as_str));
    }
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    inputs.filter(|name| used.contains(name) && !open.contains(name)).map(str::to_owned).collect()
}

fn keeps_nan(node: &NodeProto) -> bool {
    match node.op_type.as_str() {
        "Cast" => casts_to_float(node),
        op_type => NAN_KEPT.contains(&op_type),
    }
}

/// A cast to an integer, a text or a bool makes an ordinary value of NaN.
fn casts_to_float(node: &NodeProto) -> bool {
    let to = node.attribute.iter().find(|it| it.name == "to").and_then(|it| Element::from_onnx(it.i as i32));
    to.is_some_and(Element::is_float)
}

fn handles_missing(tests: &HashMap<&str, &str>, node: &NodeProto, value: &str) -> bool {
    if is_ml(node, "Imputer") {
        return node.attribute.iter().any(|it| it.name == "replaced_value_float" && it.f.is_nan());
    }
    if is_standard(node, "Where") {
        return chosen_by_nan_test(tests, node, value);
    }
    is_standard(node, "IsNaN") || tracks_missing(node)
}

fn tracks_missing(node: &NodeProto) -> bool {
    node.op_type.starts_with("TreeEnsemble")
        && node.attribute.iter().any(|it| it.name == "nodes_missing_value_tracks_true" && it.ints.contains(&1))
}

/// The value that each `IsNaN` tests, by the name of its result.
fn nan_tests(graph: &GraphProto) -> HashMap<&str, &str> {
    let tests = graph.node.iter().filter(|node| is_standard(node, "IsNaN"));
    tests.filter_map(|node| Some((node.output.first()?.as_str(), node.input.first()?.as_str()))).collect()
}

/// `Where(IsNaN(x), replacement, x)`.
fn chosen_by_nan_test(tests: &HashMap<&str, &str>, node: &NodeProto, value: &str) -> bool {
    let tested = node.input.first().and_then(|test| tests.get(test.as_str()));
    tested == Some(&value) && node.input.get(2).is_some_and(|kept| kept == value)
}
