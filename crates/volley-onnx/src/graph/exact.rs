//! Marks the divisions, the products with zero, the squares and the roots of which tract would make other arithmetic.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::walk::{floats, is_standard, nodes, stored};

/// The names in our register of the operators that take their place; no file may use them.
pub(crate) const QUOTIENT: &str = "volley.Quotient";
pub(crate) const PRODUCT: &str = "volley.Product";
pub(crate) const ROOT: &str = "volley.Root";

pub(super) fn keep(graph: &mut GraphProto) {
    let found: Vec<(usize, &str)> = {
        let view = View::of(graph);
        graph.node.iter().enumerate().filter_map(|(at, node)| Some((at, view.exact(node)?))).collect()
    };
    found.into_iter().for_each(|(at, operator)| graph.node[at].op_type = operator.into());
}

struct View<'g> {
    makers: HashMap<&'g str, &'g NodeProto>,
    /// Constants of zeros alone.
    zeros: HashSet<&'g str>,
    /// What an error function is taken of.
    bent: HashSet<&'g str>,
    /// What is used otherwise than to divide by it.
    used: HashSet<&'g str>,
}

impl<'g> View<'g> {
    fn of(graph: &'g GraphProto) -> View<'g> {
        let makers = graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
        let bends = graph.node.iter().filter(|node| is_standard(node, "Erf"));
        View {
            makers: makers.collect(),
            zeros: stored(graph).filter(|(_, tensor)| is_zero(tensor)).map(|(name, _)| name).collect(),
            bent: bends.flat_map(|node| &node.input).map(String::as_str).collect(),
            used: nodes(graph).into_iter().flat_map(used).collect(),
        }
    }

    fn exact(&self, node: &NodeProto) -> Option<&'static str> {
        if is_standard(node, "Sqrt") {
            // tract has instructions for the reciprocal of a root, and makes them of its own roots only.
            return node.output.iter().any(|root| self.used.contains(root.as_str())).then_some(ROOT);
        }
        let ([a, b], [output]) = (node.input.as_slice(), node.output.as_slice()) else { return None };
        if is_standard(node, "Mul") {
            let with_zero = self.zeros.contains(a.as_str()) || self.zeros.contains(b.as_str());
            return (with_zero || a == b).then_some(PRODUCT);
        }
        // Nothing is cut off or compared in these, and tract has instructions for the whole of them.
        let in_net = self.is_made_by(b, &["Sqrt"])
            || self.is_made_by(a, &["MatMul", "Gemm", "Einsum"])
            || self.bent.contains(output.as_str());
        (is_standard(node, "Div") && !in_net).then_some(QUOTIENT)
    }

    fn is_made_by(&self, name: &str, op_types: &[&str]) -> bool {
        self.makers.get(name).is_some_and(|node| op_types.iter().any(|op_type| is_standard(node, op_type)))
    }
}

/// The inputs of a node but for what it divides by.
fn used(node: &NodeProto) -> impl Iterator<Item = &str> {
    let divisor = if is_standard(node, "Div") { Some(1) } else { is_standard(node, "Reciprocal").then_some(0) };
    node.input.iter().enumerate().filter(move |(at, _)| Some(*at) != divisor).map(|(_, name)| name.as_str())
}

/// Of floats: integers have no NaN.
fn is_zero(tensor: &TensorProto) -> bool {
    floats(tensor).is_some_and(|values| {
        let mut values = values.peekable();
        values.peek().is_some() && values.all(|v| v == 0.0)
    })
}
