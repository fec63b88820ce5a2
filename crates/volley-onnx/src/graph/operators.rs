//! Checks that every operator is there, and names all that are not.

use std::collections::BTreeSet;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::walk::nodes;
use crate::error::Error;
use crate::ops::{framework, is_known};

/// The operators of the graph by name, sorted; an error that names all unknown ones.
pub(super) fn check(graph: &GraphProto) -> Result<Vec<String>, Error> {
    let onnx = framework();
    let nodes = nodes(graph);
    let unknown = names(nodes.iter().filter(|node| !is_known(&onnx, &node.domain, &node.op_type)));
    if !unknown.is_empty() {
        return Err(Error::UnsupportedOperator { operators: unknown });
    }
    Ok(names(nodes.iter()))
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
