//! Finds the inputs whose missing values the graph itself deals with.

use std::collections::HashSet;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::walk::{is_ml, is_standard};

/// Operators through which a NaN passes as it is.
const NAN_KEPT: [&str; 20] = [
    "Identity",
    "Cast",
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

/// Whether every way from `input` through `graph` meets an `Imputer` of NaN, a test for NaN, or
/// trees that say where missing values go.
pub(super) fn tracked(graph: &GraphProto, input: &str) -> bool {
    let mut seen = HashSet::from([input]);
    let mut open = vec![input];
    let mut used = false;
    while let Some(value) = open.pop() {
        if graph.output.iter().any(|output| output.name == value) {
            return false;
        }
        for node in graph.node.iter().filter(|node| node.input.iter().any(|name| name == value)) {
            used = true;
            if handles_missing(graph, node, value) {
                continue;
            }
            if !NAN_KEPT.contains(&node.op_type.as_str()) {
                return false;
            }
            open.extend(node.output.iter().map(String::as_str).filter(|name| seen.insert(name)));
        }
    }
    used
}

fn handles_missing(graph: &GraphProto, node: &NodeProto, value: &str) -> bool {
    if is_ml(node, "Imputer") {
        return node.attribute.iter().any(|it| it.name == "replaced_value_float" && it.f.is_nan());
    }
    if is_standard(node, "Where") {
        return chosen_by_nan_test(graph, node, value);
    }
    is_standard(node, "IsNaN") || tracks_missing(node)
}

fn tracks_missing(node: &NodeProto) -> bool {
    node.op_type.starts_with("TreeEnsemble")
        && node.attribute.iter().any(|it| it.name == "nodes_missing_value_tracks_true" && it.ints.contains(&1))
}

/// `Where(IsNaN(x), replacement, x)`.
fn chosen_by_nan_test(graph: &GraphProto, node: &NodeProto, value: &str) -> bool {
    graph.node.iter().any(|test| {
        is_standard(test, "IsNaN")
            && test.input.first().is_some_and(|tested| tested == value)
            && node.input.first() == test.output.first()
            && node.input.get(2).is_some_and(|kept| kept == value)
    })
}
