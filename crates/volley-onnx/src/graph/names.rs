//! Checks that every name a graph uses is there: tract panics on some that are not.

use std::collections::HashSet;

use tract_onnx::pb::GraphProto;

use super::walk::subgraphs;
use crate::error::Error;

/// Every value is produced once, before it is used. That also rules out cycles.
pub(super) fn check(graph: &GraphProto) -> Result<(), Error> {
    check_within(graph, &HashSet::new())
}

fn check_within<'g>(graph: &'g GraphProto, outer: &HashSet<&'g str>) -> Result<(), Error> {
    let mut known = outer.clone();
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    known.extend(inputs);
    known.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
    for node in &graph.node {
        let label = if node.name.is_empty() { &node.op_type } else { &node.name };
        if let Some(missing) = node.input.iter().find(|name| !is_known(&known, name)) {
            return Err(Error::Invalid(format!("node `{label}` reads `{missing}`, which nothing before it makes")));
        }
        for inner in subgraphs(node) {
            check_within(inner, &known)?;
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !known.insert(name) {
                return Err(Error::Invalid(format!("`{name}` is made twice")));
            }
        }
    }
    match graph.output.iter().find(|output| !known.contains(output.name.as_str())) {
        Some(output) => Err(Error::Invalid(format!("nothing makes the output `{}`", output.name))),
        None => Ok(()),
    }
}

/// An empty name stands for an optional input that is not given.
fn is_known(known: &HashSet<&str>, name: &str) -> bool {
    name.is_empty() || known.contains(name)
}
