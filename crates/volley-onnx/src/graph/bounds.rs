//! Bounds on the file and its nodes, and attributes on which tract would panic or run out of memory.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::walk::{is_standard, nodes};
use crate::error::Error;
use crate::limits::Limits;

pub(super) fn check_file(bytes: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.file_bytes_max;
    if bytes > max {
        return Err(Error::TooLarge { what: "file size in bytes", size: bytes, max });
    }
    Ok(())
}

pub(super) fn check_nodes(graph: &GraphProto, limits: &Limits) -> Result<(), Error> {
    let (size, max) = (nodes(graph).len(), limits.nodes_max);
    if size > max {
        return Err(Error::TooLarge { what: "number of nodes", size, max });
    }
    Ok(())
}

pub(super) fn check_attributes(graph: &GraphProto) -> Result<(), Error> {
    if !graph.sparse_initializer.is_empty() {
        return Err(Error::Invalid("sparse initializers are not supported".into()));
    }
    nodes(graph).into_iter().try_for_each(check_attributes_of)
}

fn check_attributes_of(node: &NodeProto) -> Result<(), Error> {
    let sound = if is_standard(node, "Transpose") {
        list(node, "perm").is_none_or(is_permutation)
    } else if node.op_type.contains("Conv") || node.op_type.contains("Pool") {
        ["strides", "dilations", "kernel_shape"]
            .iter()
            .all(|name| list(node, name).is_none_or(|list| list.iter().all(|&v| v > 0)))
    } else {
        true
    };
    if sound {
        return Ok(());
    }
    Err(Error::Invalid(format!("the attributes of {} `{}` make no sense", node.op_type, node.name)))
}

fn list<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [i64]> {
    node.attribute.iter().find(|it| it.name == name).map(|it| it.ints.as_slice())
}

/// Each axis once. With one twice, tract asks for memory for a shape that never was.
fn is_permutation(axes: &[i64]) -> bool {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    sorted.iter().enumerate().all(|(at, &axis)| axis == at as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_names_each_axis_once() {
        assert!(is_permutation(&[1, 0, 2]));
        assert!(is_permutation(&[]));
        assert!(!is_permutation(&[0, 0]));
        assert!(!is_permutation(&[0, 2]));
        assert!(!is_permutation(&[-1, 0]));
    }
}
