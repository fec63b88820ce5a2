//! Follows sequences through a graph, so that only tensors are left: what is in each of them is known beforehand.
//!
//! A sequence that the graph gives becomes one matrix, its tensors side by side: those of a classifier of several
//! outputs are the probabilities of each.

use std::collections::HashMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::containers::{Container, tensor_of};
use super::labels::ints;
use super::walk::stored;

/// Replaces the operators on sequences whose contents are known. Others are left, and refused later.
///
/// `declared` says of what the outputs are that are declared to be no tensors, `version` is that of the operators.
pub(super) fn unpack(graph: &mut GraphProto, declared: &HashMap<String, Container>, version: i64) {
    let stored = stored(graph).filter_map(|(name, tensor)| Some((name.to_owned(), ints(tensor)?))).collect();
    let lists_as_inputs = version >= 13;
    let mut unpacked = Unpacked { known: HashMap::new(), stored, lists_as_inputs, nodes: vec![], constants: vec![] };
    for node in std::mem::take(&mut graph.node) {
        if !unpacked.take(&node).unwrap_or(false) {
            unpacked.nodes.push(node);
        }
    }
    let Unpacked { known, mut nodes, constants, .. } = unpacked;
    for output in &mut graph.output {
        if let (Some(parts), Some(Container::Sequence(element))) = (known.get(&output.name), declared.get(&output.name))
        {
            nodes.push(concat(parts.clone(), &output.name, 1));
            output.r#type = Some(tensor_of(*element));
        }
    }
    graph.initializer.extend(constants);
    graph.node = nodes;
}

struct Unpacked {
    /// The tensors in each sequence.
    known: HashMap<String, Vec<String>>,
    /// Short stored lists of integers: positions, axes, lengths.
    stored: HashMap<String, Vec<i64>>,
    /// Whether axes and lengths are inputs, as they are since version 13, and not attributes.
    lists_as_inputs: bool,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Unpacked {
    /// Whether `node` was on sequences, and is done with.
    fn take(&mut self, node: &NodeProto) -> Option<bool> {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return None;
        }
        let output = node.output.first()?;
        let parts = match node.op_type.as_str() {
            "SequenceConstruct" => node.input.clone(),
            "SequenceEmpty" => vec![],
            "Identity" => self.sequence(node)?,
            "SequenceInsert" => {
                let mut parts = self.sequence(node)?;
                let at = self.position(node, 2, parts.len(), parts.len() as i64)?;
                parts.insert(at, node.input.get(1)?.clone());
                parts
            }
            "SequenceErase" => {
                let mut parts = self.sequence(node)?;
                let at = self.position(node, 1, parts.len(), -1)?;
                if at >= parts.len() {
                    return None;
                }
                parts.remove(at);
                parts
            }
            "SplitToSequence" => self.split(node)?,
            "SequenceAt" => {
                let parts = self.sequence(node)?;
                let part = parts.get(self.position(node, 1, parts.len(), 0)?)?;
                self.nodes.push(plain("Identity", vec![part.clone()], vec![output.clone()], vec![]));
                return Some(true);
            }
            "SequenceLength" => {
                let length = self.sequence(node)?.len() as i64;
                self.constants.push(integers(output.clone(), vec![], vec![length]));
                return Some(true);
            }
            "ConcatFromSequence" => {
                self.concat(node)?;
                return Some(true);
            }
            _ => return None,
        };
        self.known.insert(output.clone(), parts);
        Some(true)
    }

    fn sequence(&self, node: &NodeProto) -> Option<Vec<String>> {
        self.known.get(node.input.first()?).cloned()
    }

    /// The place that an input says, counted from the end below zero.
    fn position(&self, node: &NodeProto, input: usize, len: usize, default: i64) -> Option<usize> {
        let given = node.input.get(input).filter(|name| !name.is_empty());
        let at = match given {
            Some(name) => *self.stored.get(name)?.first()?,
            None => default,
        };
        let at = if at < 0 { at + len as i64 } else { at };
        usize::try_from(at).ok().filter(|at| *at <= len)
    }

    /// A split into parts of lengths that are stored.
    fn split(&mut self, node: &NodeProto) -> Option<Vec<String>> {
        let lengths = node.input.get(1)?;
        let list = self.stored.get(lengths)?.clone();
        let count = list.len();
        // One number may be the length of each part, of which there are then who knows how many.
        if count < 2 {
            return None;
        }
        let output = node.output.first()?;
        let parts: Vec<String> = (0..count).map(|at| format!("{output}.{at}")).collect();
        let axis = attribute(node, "axis").unwrap_or(0);
        let mut split = plain("Split", vec![node.input.first()?.clone()], parts.clone(), vec![int("axis", axis)]);
        match self.lists_as_inputs {
            true => split.input.push(lengths.clone()),
            false => split.attribute.push(list_attribute("split", list)),
        }
        self.nodes.push(split);
        Some(parts)
    }

    fn concat(&mut self, node: &NodeProto) -> Option<()> {
        let (mut parts, output) = (self.sequence(node)?, node.output.first()?);
        let axis = attribute(node, "axis")?;
        if attribute(node, "new_axis").unwrap_or(0) != 0 {
            let axes = format!("{output}.axes");
            for (at, part) in parts.iter_mut().enumerate() {
                let widened = format!("{output}.{at}");
                let input = vec![std::mem::replace(part, widened.clone())];
                let mut node = plain("Unsqueeze", input, vec![widened], vec![]);
                match self.lists_as_inputs {
                    true => node.input.push(axes.clone()),
                    false => node.attribute.push(list_attribute("axes", vec![axis])),
                }
                self.nodes.push(node);
            }
            self.constants.push(integers(axes, vec![1], vec![axis]));
        }
        if parts.is_empty() {
            return None;
        }
        self.nodes.push(concat(parts, output, axis));
        Some(())
    }
}

fn attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|it| it.name == name).map(|it| it.i)
}

fn concat(parts: Vec<String>, output: &str, axis: i64) -> NodeProto {
    plain("Concat", parts, vec![output.to_owned()], vec![int("axis", axis)])
}

fn plain(op_type: &str, input: Vec<String>, output: Vec<String>, attribute: Vec<AttributeProto>) -> NodeProto {
    let name = format!("{}.{op_type}", output.first().map_or("", String::as_str));
    NodeProto { op_type: op_type.into(), name, input, output, attribute, ..NodeProto::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

fn list_attribute(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Ints as i32, ints, ..AttributeProto::default() }
}

fn integers(name: String, dims: Vec<i64>, int64_data: Vec<i64>) -> TensorProto {
    TensorProto { name, data_type: DataType::Int64 as i32, dims, int64_data, ..TensorProto::default() }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};
    use crate::{Element, Graph, Limits};

    fn check(model: ModelBuilder, expected: [f32; 4]) {
        let model = model
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("last", &ints_in(&[], &[-1]))
            .constant("widths", &ints_in(&[2], &[1, 1]))
            .node("", "Neg", &["x"], &["less"], vec![]);
        let mut model = model;
        // Built last, used first.
        let less = model.graph.node.pop().expect("the node above");
        model.graph.node.insert(0, less);
        let got = model.run(1, vec![tensor(&[1, 2], &[1.0f32, 2.0])]).expect("a sound model");
        assert_close(&got[0], &tensor(&[1, 4], &expected));
    }

    fn pair() -> ModelBuilder {
        ModelBuilder::default().node("", "SequenceConstruct", &["x", "less"], &["both"], vec![])
    }

    #[test]
    fn a_sequence_is_put_together_again() {
        let together =
            |model: ModelBuilder, of: &str| model.node("", "ConcatFromSequence", &[of], &["y"], vec![int("axis", 1)]);
        check(together(pair(), "both"), [1.0, 2.0, -1.0, -2.0]);
        check(
            together(
                pair().node("", "SequenceErase", &["both"], &["one"], vec![]).node(
                    "",
                    "SequenceInsert",
                    &["one", "less", "last"],
                    &["two"],
                    vec![],
                ),
                "two",
            ),
            [-1.0, -2.0, 1.0, 2.0],
        );
    }

    #[test]
    fn parts_of_a_split_are_found_by_their_place() {
        check(
            ModelBuilder::default()
                .node("", "SplitToSequence", &["x", "widths"], &["parts"], vec![int("axis", 1)])
                .node("", "SequenceAt", &["parts", "last"], &["second"], vec![])
                .node("", "Concat", &["second", "x", "second"], &["y"], vec![int("axis", 1)]),
            [2.0, 1.0, 2.0, 2.0],
        );
    }

    #[test]
    fn tensors_on_an_axis_of_their_own_lie_beside_each_other() {
        check(
            pair()
                .node("", "ConcatFromSequence", &["both"], &["stacked"], vec![int("axis", 2), int("new_axis", 1)])
                .node("", "Flatten", &["stacked"], &["y"], vec![]),
            [1.0, -1.0, 2.0, -2.0],
        );
    }

    #[test]
    fn parts_are_found_and_stacked_in_early_versions_too() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("widths", &ints_in(&[2], &[1, 1]))
            .node("", "SplitToSequence", &["x", "widths"], &["parts"], vec![int("axis", 1)])
            .node("", "ConcatFromSequence", &["parts"], &["stacked"], vec![int("axis", 1), int("new_axis", 1)])
            .node("", "Flatten", &["stacked"], &["y"], vec![]);
        let mut model = ModelProto::decode(&*model.bytes()).expect("just encoded");
        model.opset_import[0].version = 11;
        let plan = Graph::parse(&model.encode_to_vec(), &|_| None, &Limits::default()).and_then(|graph| graph.plan());
        let got = plan.and_then(|plan| plan.run(1, vec![tensor(&[1, 2], &[1.0f32, 2.0])])).expect("a sound model");
        assert_close(&got[0], &tensor(&[1, 2], &[1.0f32, 2.0]));
    }

    #[test]
    fn a_sequence_of_unknown_length_is_refused() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .node("", "SplitToSequence", &["x"], &["parts"], vec![int("axis", 0)])
            .node("", "ConcatFromSequence", &["parts"], &["y"], vec![int("axis", 0)]);
        let error = model.parse().expect_err("it has as many parts as rows");
        assert_eq!(error.code(), "unsupported_operator");
    }
}
