//! Puts columns side by side that are exported one above the other and then turned: rows would meet on the way.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use super::labels::ints;
use super::walk::is_standard;

/// Replaces `Transpose(Reshape(Concat(columns, axis 0), [columns, -1]))` by `Concat(columns, axis 1)`.
pub(super) fn put_side_by_side(graph: &mut GraphProto) {
    let found: Vec<(usize, NodeProto)> = {
        let makers: HashMap<&str, &NodeProto> =
            graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
        let view = View { graph, makers };
        let turned = graph.node.iter().enumerate();
        turned.filter_map(|(at, node)| Some((at, view.side_by_side(node)?))).collect()
    };
    for (at, node) in found {
        graph.node[at] = node;
    }
}

struct View<'g> {
    graph: &'g GraphProto,
    makers: HashMap<&'g str, &'g NodeProto>,
}

impl View<'_> {
    fn side_by_side(&self, node: &NodeProto) -> Option<NodeProto> {
        let perm = node.attribute.iter().find(|it| it.name == "perm")?;
        let reshape = self.maker(node, 0).filter(|it| is_standard(it, "Reshape"))?;
        let concat = self.maker(reshape, 0).filter(|it| is_standard(it, "Concat"))?;
        let axis = concat.attribute.iter().find(|it| it.name == "axis")?;
        let shape = self.list(reshape.input.get(1)?)?;
        let columns = concat.input.len() as i64;
        let stacked = is_standard(node, "Transpose") && perm.ints == [1, 0] && axis.i == 0 && shape == [columns, -1];
        if !stacked || !(0..concat.input.len()).all(|at| self.is_column(concat, at)) {
            return None;
        }
        let mut beside = NodeProto { name: node.name.clone(), output: node.output.clone(), ..concat.clone() };
        beside.attribute.iter_mut().filter(|it| it.name == "axis").for_each(|axis| axis.i = 1);
        Some(beside)
    }

    fn maker(&self, node: &NodeProto, input: usize) -> Option<&NodeProto> {
        self.makers.get(node.input.get(input)?.as_str()).copied()
    }

    fn list(&self, name: &str) -> Option<Vec<i64>> {
        self.graph.initializer.iter().find(|it| it.name == name).and_then(ints)
    }

    /// Whether an input of `node` is one number a row: the sums of a matrix product's rows.
    fn is_column(&self, node: &NodeProto, input: usize) -> bool {
        let sums = ["ReduceSum", "ReduceSumSquare"];
        let Some(sum) = self.maker(node, input) else { return false };
        let axes = match sum.input.get(1) {
            Some(name) => self.list(name),
            None => sum.attribute.iter().find(|it| it.name == "axes").map(|it| it.ints.clone()),
        };
        let keeps = sum.attribute.iter().find(|it| it.name == "keepdims").is_none_or(|it| it.i == 1);
        sums.iter().any(|name| is_standard(sum, name)) && keeps && axes.as_deref() == Some(&[1]) && self.is_product(sum)
    }

    /// Whether the first input of `node` is a matrix product, perhaps to a power.
    fn is_product(&self, node: &NodeProto) -> bool {
        let before = self.maker(node, 0);
        let before = before.and_then(|it| if is_standard(it, "Pow") { self.maker(it, 0) } else { Some(it) });
        // Two matrices, of which the second is stored or computed, make a matrix.
        before.is_some_and(|it| is_standard(it, "MatMul") || is_standard(it, "Gemm"))
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints, ints_in, tensor};

    /// The squared lengths of two products of each row, as quadratic discriminants are exported.
    fn lengths() -> ModelBuilder {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("axis", &ints_in(&[1], &[1]))
            .constant("shape", &ints_in(&[2], &[2, -1]))
            .constant("one", &tensor(&[2, 2], &[1.0f32, 0.0, 0.0, 1.0]))
            .constant("other", &tensor(&[2, 2], &[2.0f32, 0.0, 0.0, 3.0]));
        let of = |model: ModelBuilder, matrix: &str| {
            let product = format!("{matrix}_product");
            let length = format!("{matrix}_length");
            model.node("", "MatMul", &["x", matrix], &[&product], vec![]).node(
                "",
                "ReduceSumSquare",
                &[&product, "axis"],
                &[&length],
                vec![int("keepdims", 1)],
            )
        };
        of(of(model, "one"), "other")
            .node("", "Concat", &["one_length", "other_length"], &["above"], vec![int("axis", 0)])
            .node("", "Reshape", &["above", "shape"], &["rows"], vec![])
            .node("", "Transpose", &["rows"], &["y"], vec![ints("perm", &[1, 0])])
    }

    #[test]
    fn columns_one_above_the_other_lie_side_by_side() {
        let mut graph = lengths().graph;
        super::put_side_by_side(&mut graph);
        assert_eq!(graph.node.last().map(|node| node.op_type.as_str()), Some("Concat"));
        for rows in [1, 300] {
            let values = [1.0f32, 2.0].repeat(rows);
            let got = lengths().run(rows, vec![tensor(&[rows, 2], &values)]).expect("a sound model");
            assert_close(&got[0], &tensor(&[rows, 2], &[5.0f32, 40.0].repeat(rows)));
        }
    }
}
