//! Checks that every name a graph uses is there: tract panics on some that are not.

use std::collections::HashSet;

use tract_onnx::pb::GraphProto;

use super::walk::subgraphs;
use crate::error::Error;

/// Every value is produced once, before it is used. That also rules out cycles.
pub(super) fn check(graph: &GraphProto) -> Result<(), Error> {
    check_within(graph, None)
}

/// The names of a graph so far, and of those around it.
struct Scope<'g, 'o> {
    names: HashSet<&'g str>,
    outer: Option<&'o Scope<'g, 'o>>,
}

impl Scope<'_, '_> {
    fn knows(&self, name: &str) -> bool {
        self.names.contains(name) || self.outer.is_some_and(|outer| outer.knows(name))
    }
}

fn check_within<'g>(graph: &'g GraphProto, outer: Option<&Scope<'g, '_>>) -> Result<(), Error> {
    let inputs = graph.input.iter().map(|input| input.name.as_str());
    let stored = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let mut known = Scope { names: inputs.chain(stored).collect(), outer };
    for node in &graph.node {
        let label = if node.name.is_empty() { &node.op_type } else { &node.name };
        // An empty name stands for an optional input that is not given.
        if let Some(missing) = node.input.iter().find(|name| !name.is_empty() && !known.knows(name)) {
            return Err(Error::Invalid(format!("node `{label}` reads `{missing}`, which nothing before it makes")));
        }
        for inner in subgraphs(node) {
            check_within(inner, Some(&known))?;
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if known.knows(name) {
                return Err(Error::Invalid(format!("`{name}` is made twice")));
            }
            known.names.insert(name);
        }
    }
    match graph.output.iter().find(|output| !known.knows(&output.name)) {
        Some(output) => Err(Error::Invalid(format!("nothing makes the output `{}`", output.name))),
        None => Ok(()),
    }
}
