//! Makes one node of exported polynomial features: thousands of picked columns, multiplied and put side by side,
//! over which tract's optimiser takes minutes.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::labels::ints;
use super::walk::{is_ml, is_standard, nodes, subgraphs};

/// The name of the node in our register; no file may use it.
pub(crate) const OPERATOR: &str = "volley.Products";

/// Fewer columns are no trouble.
const COLUMNS_MIN: usize = 3;

/// Replaces every `Concat` of products of columns of one matrix, and removes the nodes that only it used. How many
/// were replaced.
pub(super) fn merge(graph: &mut GraphProto) -> usize {
    let merged: Vec<(usize, NodeProto)> = {
        let view = View::of(graph);
        let products = graph.node.iter().enumerate().filter_map(|(at, node)| Some((at, view.merged(node)?)));
        products.collect()
    };
    let count = merged.len();
    if count == 0 {
        return 0;
    }
    for (at, node) in merged {
        graph.node[at] = node;
    }
    remove_unused(graph);
    count
}

struct View<'g> {
    makers: HashMap<&'g str, &'g NodeProto>,
    stored: HashMap<&'g str, &'g TensorProto>,
}

/// The columns that a value is the product of, and the matrix they are of; a column of ones is of none.
struct Product<'g> {
    matrix: Option<&'g str>,
    columns: Vec<i64>,
}

impl<'g> View<'g> {
    fn of(graph: &'g GraphProto) -> View<'g> {
        let makers = graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
        let stored = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
        View { makers: makers.collect(), stored: stored.collect() }
    }

    fn merged(&self, node: &NodeProto) -> Option<NodeProto> {
        let side_by_side = is_standard(node, "Concat") && int(node, "axis") == Some(1);
        if !side_by_side || node.input.len() < COLUMNS_MIN {
            return None;
        }
        let products: Vec<Product<'g>> = node.input.iter().map(|name| self.product(name)).collect::<Option<_>>()?;
        let matrices: HashSet<&str> = products.iter().filter_map(|product| product.matrix).collect();
        let [matrix] = *matrices.into_iter().collect::<Vec<_>>() else { return None };
        let counts = products.iter().map(|product| product.columns.len() as i64).collect();
        let columns = products.into_iter().flat_map(|product| product.columns).collect();
        Some(NodeProto {
            op_type: OPERATOR.into(),
            name: format!("{}.products", node.name),
            input: vec![matrix.to_owned()],
            output: node.output.clone(),
            attribute: vec![list("counts", counts), list("columns", columns)],
            ..NodeProto::default()
        })
    }

    fn product(&self, name: &str) -> Option<Product<'g>> {
        let node = *self.makers.get(name)?;
        if is_standard(node, "ConstantOfShape") {
            return self.is_column_of_ones(node).then(|| Product { matrix: None, columns: vec![] });
        }
        let sound = is_standard(node, "ReduceProd") && int(node, "keepdims").unwrap_or(1) == 1;
        if !sound || self.axes(node)? != [1] {
            return None;
        }
        self.picked(self.makers.get(node.input.first()?.as_str())?)
    }

    fn picked(&self, node: &'g NodeProto) -> Option<Product<'g>> {
        let [matrix, index] = node.input.as_slice() else { return None };
        let columns = ints(self.stored.get(index.as_str())?)?;
        // A single value would make a vector of it in other operators; here it is a column as well.
        is_ml(node, "ArrayFeatureExtractor").then_some(Product { matrix: Some(matrix), columns })
    }

    fn axes(&self, node: &NodeProto) -> Option<Vec<i64>> {
        match node.input.get(1) {
            Some(name) => ints(self.stored.get(name.as_str())?),
            None => Some(node.attribute.iter().find(|it| it.name == "axes")?.ints.clone()),
        }
    }

    /// Ones in the shape of a product.
    fn is_column_of_ones(&self, node: &NodeProto) -> bool {
        let value = node.attribute.iter().find(|it| it.name == "value").and_then(|it| it.t.as_ref());
        let one = value.is_some_and(|it| it.float_data == [1.0] || it.double_data == [1.0] || it.int64_data == [1]);
        let shape = node.input.first().and_then(|name| self.makers.get(name.as_str()));
        let of = shape.filter(|shape| is_standard(shape, "Shape")).and_then(|shape| shape.input.first());
        let of = of.and_then(|name| self.makers.get(name.as_str()));
        one && of.is_some_and(|of| is_standard(of, "ReduceProd") && self.product(&of.output[0]).is_some())
    }
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|it| it.name == name).map(|it| it.i)
}

fn list(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints, ..AttributeProto::default() }
}

/// Removes picked columns and products that nothing uses any more.
fn remove_unused(graph: &mut GraphProto) {
    let inner: HashSet<String> =
        graph.node.iter().flat_map(subgraphs).flat_map(nodes).flat_map(|it| it.input.clone()).collect();
    let mut used: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).chain(inner).collect();
    // Backwards: who uses a node's outputs is known before the node is met.
    let mut kept = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        let part = ["ArrayFeatureExtractor", "ReduceProd", "ConstantOfShape", "Shape"].contains(&node.op_type.as_str());
        if !part || node.output.iter().any(|name| used.contains(name)) {
            used.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};

    /// Columns 0, 0 * 1 and 1 * 1 of two, as polynomial features are exported.
    fn features() -> ModelBuilder {
        let parts = [("a", &[0i64][..]), ("b", &[0, 1]), ("c", &[1, 1])];
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("axis", &ints_in(&[1], &[1]));
        let model = parts.iter().fold(model, |model, (name, columns)| {
            let (index, picked) = (format!("{name}_index"), format!("{name}_picked"));
            model
                .constant(&index, &ints_in(&[columns.len()], columns))
                .node("ai.onnx.ml", "ArrayFeatureExtractor", &["x", &index], &[&picked], vec![])
                .node("", "ReduceProd", &[&picked, "axis"], &[name], vec![int("keepdims", 1)])
        });
        model.node("", "Concat", &["a", "b", "c"], &["y"], vec![int("axis", 1)])
    }

    #[test]
    fn products_of_columns_are_one_node() {
        let mut graph = features().graph;
        super::merge(&mut graph);
        assert_eq!(graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>(), [super::OPERATOR]);
    }

    #[test]
    fn its_columns_are_the_products() {
        let got = features().run(2, vec![tensor(&[2, 2], &[2.0f32, 3.0, -1.0, 5.0])]).expect("a sound model");
        assert_close(&got[0], &tensor(&[2, 3], &[2.0f32, 6.0, 9.0, -1.0, -5.0, 25.0]));
    }

    #[test]
    fn no_file_may_use_the_operator() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1, 2]).output("y", Element::F32).node(
            "",
            super::OPERATOR,
            &["x"],
            &["y"],
            vec![],
        );
        assert_eq!(model.parse().map(|_| ()).map_err(|error| error.code()), Err("unsupported_operator"));
    }
}
