//! Makes one node of exported distances: a loop over the rows of one matrix that compares each with those of another.

use std::collections::HashMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto};

use super::labels::ints;
use super::walk::is_standard;

/// The name of the node in our register; no file may use it.
pub(crate) const OPERATOR: &str = "volley.SquaredDistances";

/// Replaces every loop that only compares.
pub(super) fn merge(graph: &mut GraphProto) -> usize {
    if !graph.node.iter().any(|node| is_standard(node, "Scan")) {
        return 0;
    }
    let used: Vec<String> = graph
        .node
        .iter()
        .flat_map(|node| node.input.iter().cloned())
        .chain(graph.output.iter().map(|output| output.name.clone()))
        .collect();
    let mut nodes = Vec::with_capacity(graph.node.len());
    let mut loops = 0;
    for node in std::mem::take(&mut graph.node) {
        match compared(&node, &used) {
            Some(merged) => {
                loops += 1;
                nodes.extend(merged);
            }
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
    loops
}

/// The distances by row, and then by those that the rows were compared with, as the loop gives them.
fn compared(node: &NodeProto, used: &[String]) -> Option<[NodeProto; 2]> {
    let ([rows, others], [carried, distances]) = (node.input.as_slice(), node.output.as_slice()) else { return None };
    let body = node.attribute.iter().find(|it| it.name == "body")?.g.as_ref()?;
    let forwards = |it: &AttributeProto| match it.name.as_str() {
        "body" => true,
        "num_scan_inputs" => it.i == 1,
        _ => it.ints.iter().all(|&number| number == 0),
    };
    let sound = is_standard(node, "Scan") && node.attribute.iter().all(forwards) && !used.contains(carried);
    if !sound || !is_comparison(body) {
        return None;
    }
    let by_row = format!("{distances}.by_row");
    let comparison = NodeProto {
        op_type: OPERATOR.into(),
        name: format!("{distances}.distances"),
        input: vec![rows.clone(), others.clone()],
        output: vec![by_row.clone()],
        ..NodeProto::default()
    };
    let turned = AttributeProto {
        name: "perm".into(),
        r#type: AttributeType::Ints as i32,
        ints: vec![1, 0],
        ..AttributeProto::default()
    };
    let turned = NodeProto {
        op_type: "Transpose".into(),
        name: format!("{distances}.turned"),
        input: vec![by_row],
        output: vec![distances.clone()],
        attribute: vec![turned],
        ..NodeProto::default()
    };
    Some([comparison, turned])
}

/// Whether the body gives back what it carries, and beside it the sums of the squared differences along each row.
fn is_comparison(body: &GraphProto) -> bool {
    let makers = body.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
    let makers: Makers = makers.collect();
    let ([carried, next], [carried_on, distances]) = (body.input.as_slice(), body.output.as_slice()) else {
        return false;
    };
    let Some(sum) = makers.get(origin(&makers, &distances.name)) else { return false };
    let axes = match sum.input.get(1) {
        Some(name) => body.initializer.iter().find(|it| it.name == *name).and_then(ints),
        None => sum.attribute.iter().find(|it| it.name == "axes").map(|it| it.ints.clone()),
    };
    let keeps = sum.attribute.iter().find(|it| it.name == "keepdims").is_none_or(|it| it.i != 0);
    if !is_standard(sum, "ReduceSumSquare") || keeps || axes.as_deref() != Some(&[1]) {
        return false;
    }
    let difference = sum.input.first().and_then(|name| makers.get(origin(&makers, name)));
    let Some(difference) = difference.filter(|it| is_standard(it, "Sub")) else { return false };
    let compared: Vec<&str> = difference.input.iter().map(|name| origin(&makers, name)).collect();
    let (carried, next) = (carried.name.as_str(), next.name.as_str());
    (compared == [carried, next] || compared == [next, carried]) && origin(&makers, &carried_on.name) == carried
}

type Makers<'g> = HashMap<&'g str, &'g NodeProto>;

/// What a value is a copy of.
fn origin<'g>(makers: &Makers<'g>, mut name: &'g str) -> &'g str {
    // As many steps as there are nodes: a name that leads to itself ends there.
    for _ in 0..makers.len() {
        match makers.get(name) {
            Some(node) if is_standard(node, "Identity") && node.input.len() == 1 => name = &node.input[0],
            _ => break,
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints, ints_in, subgraph, tensor};

    /// The squared distances of rows of two columns from three others, by row.
    fn distances(carried: &str) -> ModelBuilder {
        let body = ModelBuilder::default()
            .input("rows", Element::F32, &[-1, 2])
            .input("other", Element::F32, &[2])
            .output("rows_on", Element::F32)
            .output("far", Element::F32)
            .constant("axis", &ints_in(&[1], &[1]))
            .node("", carried, &["rows"], &["rows_on"], vec![])
            .node("", "Sub", &["rows", "other"], &["apart"], vec![])
            .node("", "ReduceSumSquare", &["apart", "axis"], &["far"], vec![int("keepdims", 0)]);
        ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("others", &tensor(&[3, 2], &[0.0f32, 0.0, 1.0, 1.0, 3.0, -4.0]))
            .node(
                "",
                "Scan",
                &["x", "others"],
                &["same", "far"],
                vec![subgraph("body", body), int("num_scan_inputs", 1)],
            )
            .node("", "Transpose", &["far"], &["y"], vec![ints("perm", &[1, 0])])
    }

    #[test]
    fn a_loop_of_comparisons_is_one_node_and_one_that_does_more_is_not() {
        for (carried, expected) in [("Identity", super::OPERATOR), ("Neg", "Scan")] {
            let mut graph = distances(carried).graph;
            super::merge(&mut graph);
            assert_eq!(graph.node[0].op_type, expected);
        }
    }

    #[test]
    fn rows_are_compared_with_each_of_the_others() {
        for rows in [1, 40, 1500] {
            let values = [3.0f32, 4.0, 0.0, -1.0].repeat(rows);
            let expected = [25.0f32, 13.0, 64.0, 1.0, 5.0, 18.0].repeat(rows);
            let got = distances("Identity").run(2 * rows, vec![tensor(&[2 * rows, 2], &values)]);
            assert_close(&got.expect("a sound model")[0], &tensor(&[2 * rows, 3], &expected));
        }
    }
}
