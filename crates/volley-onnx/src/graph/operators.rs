//! Checks that every operator is there, and names all that are not.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, OperatorSetIdProto, TensorProto};

use super::labels::ints;
use super::walk::{is_standard, nodes, stored};
use crate::error::Error;
use crate::ops::{framework, is_known};

/// The operators of the graph by name, sorted; an error that names all unknown ones, or a domain
/// for which the model names no version.
pub(super) fn check(graph: &GraphProto, versions: &[OperatorSetIdProto]) -> Result<Vec<String>, Error> {
    let onnx = framework();
    let nodes = nodes(graph);
    let mut unknown =
        names(nodes.iter().filter(|node| is_random(node) || !is_known(&onnx, &node.domain, &node.op_type)));
    unknown.extend(nodes.iter().filter_map(|node| unknown_form(node)));
    if has_computed_scale(graph) {
        unknown.push("DequantizeLinear with a computed scale".into());
    }
    if has_negative_pad(graph) {
        unknown.push("Pad with fewer elements than none".into());
    }
    if !unknown.is_empty() {
        return Err(Error::UnsupportedOperator { operators: unknown });
    }
    check_versions(&nodes, versions)?;
    Ok(names(nodes.iter()))
}

/// As [`check`], for a runtime that says itself which operators it has.
pub(super) fn check_foreign(graph: &GraphProto, versions: &[OperatorSetIdProto]) -> Result<Vec<String>, Error> {
    let nodes = nodes(graph);
    let random = names(nodes.iter().filter(|node| is_random(node)));
    if !random.is_empty() {
        return Err(Error::UnsupportedOperator { operators: random });
    }
    check_versions(&nodes, versions)?;
    Ok(names(nodes.iter()))
}

/// Without a version tract would compute as in the first one, which means other things.
fn check_versions(nodes: &[&NodeProto], versions: &[OperatorSetIdProto]) -> Result<(), Error> {
    let versioned: BTreeSet<&str> = versions.iter().map(|it| domain(&it.domain)).collect();
    let unversioned = nodes.iter().map(|node| domain(&node.domain)).find(|used| !versioned.contains(used));
    match unversioned {
        Some(domain) => Err(Error::Invalid(format!("no version of `{domain}` is named"))),
        None => Ok(()),
    }
}

/// The same row must give the same score whenever it is scored, and wherever.
fn is_random(node: &NodeProto) -> bool {
    const RANDOM: [&str; 6] =
        ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];
    RANDOM.contains(&node.op_type.as_str())
}

/// A form of a known operator that tract would silently take for another one.
fn unknown_form(node: &NodeProto) -> Option<String> {
    let attribute = |name: &str| node.attribute.iter().find(|it| it.name == name);
    if is_standard(node, "SpaceToDepth") && attribute("mode").is_some_and(|it| it.s != b"DCR") {
        return Some("SpaceToDepth with columns before rows".into());
    }
    if is_standard(node, "Einsum") && attribute("equation").is_some_and(|it| has_diagonal(&it.s)) {
        return Some("Einsum with an index twice in one term".into());
    }
    None
}

/// Whether a term of the equation of an `Einsum` names an index twice.
fn has_diagonal(equation: &[u8]) -> bool {
    equation.split(|letter| matches!(letter, b',' | b'-' | b'>')).any(|term| {
        let mut seen = HashSet::new();
        term.iter().filter(|letter| letter.is_ascii_alphabetic()).any(|letter| !seen.insert(letter))
    })
}

/// Whether some `Pad` takes away what it should add to, which tract has no way for.
fn has_negative_pad(graph: &GraphProto) -> bool {
    let stored: HashMap<&str, &TensorProto> = stored(graph).collect();
    let mut pads = nodes(graph).into_iter().filter(|node| is_standard(node, "Pad"));
    pads.any(|node| {
        let attribute = node.attribute.iter().find(|it| it.name == "pads").map(|it| it.ints.clone());
        let constant = node.input.get(1).and_then(|name| ints(stored.get(name.as_str())?));
        attribute.or(constant).is_some_and(|counts| counts.iter().any(|&count| count < 0))
    })
}

/// Whether some scale of a `DequantizeLinear` depends on the data, which tract cannot have.
fn has_computed_scale(graph: &GraphProto) -> bool {
    let stored: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let mut computed: HashSet<&str> = inputs.filter(|name| !stored.contains(name)).collect();
    for node in &graph.node {
        let scale = node.input.get(1).filter(|_| is_standard(node, "DequantizeLinear"));
        if scale.is_some_and(|scale| computed.contains(scale.as_str())) {
            return true;
        }
        if node.input.iter().any(|input| computed.contains(input.as_str())) {
            computed.extend(node.output.iter().map(String::as_str));
        }
    }
    false
}

/// The default domain has two names.
fn domain(name: &str) -> &str {
    if name.is_empty() { "ai.onnx" } else { name }
}

fn names<'a>(nodes: impl Iterator<Item = &'a &'a NodeProto>) -> Vec<String> {
    let unique: BTreeSet<String> = nodes.map(|node| qualified(node)).collect();
    unique.into_iter().collect()
}

fn qualified(node: &NodeProto) -> String {
    match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    }
}
