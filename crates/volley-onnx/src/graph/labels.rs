//! Finds the classes that an output speaks of, by walking back from it to a classifier.

use std::collections::{BTreeMap, HashMap};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::walk::{is_ml, is_standard};
use crate::port::ClassLabels;

/// Operators that keep the meaning of each column (or of a label) of their first input.
const MEANING_KEPT: [&str; 10] =
    ["Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Normalizer", "Softmax", "Sigmoid", "ZipMap"];

/// Operators that keep the classes of each column, but may make something else of probabilities:
/// a cost, a score.
const ARITHMETIC: [&str; 7] = ["LogSoftmax", "Exp", "Mul", "Div", "Add", "Sub", "Clip"];

/// What is known of the classes of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) classes: ClassLabels,
    /// Whether arithmetic lies between the classifier and the output.
    pub(super) derived: bool,
}

/// The classes of each output that has any, by output name. `zipmaps` are those of the cut
/// `ZipMap` nodes, which come first.
pub(super) fn of_outputs(graph: &GraphProto, zipmaps: &BTreeMap<String, ClassLabels>) -> BTreeMap<String, Found> {
    let trail = Trail::new(graph);
    let mapped = |classes: &ClassLabels| Found { classes: classes.clone(), derived: false };
    let found = |name: &str| zipmaps.get(name).map(mapped).or_else(|| trail.found(name));
    graph.output.iter().filter_map(|output| Some((output.name.clone(), found(&output.name)?))).collect()
}

/// The labels in one of two attributes of `node`, if there are any.
pub(super) fn attribute(node: &NodeProto, ints: &str, strings: &str) -> Option<ClassLabels> {
    let find =
        |name: &str, kind: AttributeType| node.attribute.iter().find(|it| it.name == name && it.r#type == kind as i32);
    if let Some(ints) = find(ints, AttributeType::Ints).filter(|it| !it.ints.is_empty()) {
        return Some(ClassLabels::Ints(ints.ints.clone()));
    }
    let strings = find(strings, AttributeType::Strings).filter(|it| !it.strings.is_empty())?;
    let texts = strings.strings.iter().map(|text| String::from_utf8_lossy(text).into_owned());
    Some(ClassLabels::Strings(texts.collect()))
}

struct Trail<'g> {
    makers: HashMap<&'g str, &'g NodeProto>,
    stored: HashMap<&'g str, &'g TensorProto>,
    /// Where each value that a node makes comes from.
    origins: HashMap<&'g str, Origin<'g>>,
    /// The nodes that look up the position of the largest of some scores, by the scores' origin.
    lookups: HashMap<&'g str, Vec<&'g NodeProto>>,
}

/// The value that another comes from, back over operators that keep its meaning.
#[derive(Clone, Copy)]
struct Origin<'g> {
    name: &'g str,
    derived: bool,
}

impl<'g> Trail<'g> {
    fn new(graph: &'g GraphProto) -> Self {
        let makers =
            graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
        let stored = graph.initializer.iter().map(|it| (it.name.as_str(), it)).collect();
        let mut trail = Trail { makers, stored, origins: HashMap::new(), lookups: HashMap::new() };
        // Nodes stand behind those that they read: each step goes on where an earlier one ended.
        for node in &graph.node {
            for name in &node.output {
                let origin = trail.step(node, name);
                trail.origins.insert(name, origin);
            }
        }
        for node in &graph.node {
            if let Some(scores) = trail.ranked(node) {
                trail.lookups.entry(scores).or_default().push(node);
            }
        }
        trail
    }

    fn step(&self, node: &'g NodeProto, output: &'g str) -> Origin<'g> {
        let op_type = node.op_type.as_str();
        let arithmetic = ARITHMETIC.contains(&op_type);
        let through = arithmetic || MEANING_KEPT.contains(&op_type);
        let input = node.input.iter().find(|input| !self.stored.contains_key(input.as_str())).filter(|_| through);
        let Some(input) = input else {
            return Origin { name: output, derived: false };
        };
        let before = self.origins.get(input.as_str()).copied().unwrap_or(Origin { name: input, derived: false });
        Origin { derived: before.derived || arithmetic, ..before }
    }

    fn found(&self, output: &str) -> Option<Found> {
        let origin = self.origins.get(output)?;
        // A model of models numbers the classes within, and looks their names up at the end.
        let looked_up = self.lookups.get(origin.name).into_iter().flatten().find_map(|node| self.classes_of(node));
        let classes = looked_up.or_else(|| self.makers.get(origin.name).and_then(|node| self.classes_of(node)))?;
        Some(Found { classes, derived: origin.derived })
    }

    /// The classes that `node` declares or looks its labels up in.
    fn classes_of(&self, node: &NodeProto) -> Option<ClassLabels> {
        if is_ml(node, "ArrayFeatureExtractor") || is_standard(node, "Gather") {
            let table = self.table(node.input.first()?)?;
            return is_standard(self.index(node)?, "ArgMax").then_some(table);
        }
        attribute(node, "classlabels_int64s", "classlabels_strings")
            .or_else(|| attribute(node, "classlabels_ints", "classlabels_strings"))
    }

    /// The node that makes the positions with which `node` looks something up.
    fn index(&self, node: &NodeProto) -> Option<&'g NodeProto> {
        let origin = self.origins.get(node.input.get(1)?.as_str())?;
        self.makers.get(origin.name).copied()
    }

    /// The origin of the scores of which `node` looks up the position of the largest.
    fn ranked(&self, node: &NodeProto) -> Option<&'g str> {
        let index = self.index(node).filter(|index| is_standard(index, "ArgMax"))?;
        Some(self.origins.get(index.input.first()?.as_str())?.name)
    }

    /// The labels in a stored tensor.
    fn table(&self, name: &str) -> Option<ClassLabels> {
        let constant = || {
            let node = self.makers.get(name).filter(|node| is_standard(node, "Constant"))?;
            node.attribute.first()?.t.as_ref()
        };
        let tensor = self.stored.get(name).copied().or_else(constant)?;
        if !tensor.string_data.is_empty() {
            let texts = tensor.string_data.iter().map(|it| String::from_utf8_lossy(it).into_owned());
            return Some(ClassLabels::Strings(texts.collect()));
        }
        ints(tensor).filter(|ints| !ints.is_empty()).map(ClassLabels::Ints)
    }
}

pub(super) fn ints(tensor: &TensorProto) -> Option<Vec<i64>> {
    use tract_onnx::pb::tensor_proto::DataType;
    let raw = &tensor.raw_data;
    Some(match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 if raw.is_empty() => tensor.int64_data.clone(),
        DataType::Int64 => raw.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect(),
        DataType::Int32 if raw.is_empty() => tensor.int32_data.iter().map(|&v| i64::from(v)).collect(),
        DataType::Int32 => raw.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect(),
        _ => return None,
    })
}
