//! Finds the classes that an output speaks of, by walking back from it to a classifier.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::walk::{is_ml, is_standard};
use crate::port::ClassLabels;

/// Operators that keep the meaning of each column (or of a label) of their first input.
const MEANING_KEPT: [&str; 17] = [
    "Identity",
    "Cast",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Normalizer",
    "Softmax",
    "LogSoftmax",
    "Sigmoid",
    "Exp",
    "Mul",
    "Div",
    "Add",
    "Sub",
    "Clip",
    "ZipMap",
];

/// The classes of each output that has any, by output name. `zipmaps` are those of the cut
/// `ZipMap` nodes, which come first.
pub(super) fn of_outputs(graph: &GraphProto, zipmaps: &BTreeMap<String, ClassLabels>) -> BTreeMap<String, ClassLabels> {
    let trail = Trail::new(graph);
    let mut found = zipmaps.clone();
    for output in &graph.output {
        if !found.contains_key(&output.name)
            && let Some(classes) = trail.classes(&output.name)
        {
            found.insert(output.name.clone(), classes);
        }
    }
    found
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
    graph: &'g GraphProto,
    makers: HashMap<&'g str, &'g NodeProto>,
    stored: HashMap<&'g str, &'g TensorProto>,
}

impl<'g> Trail<'g> {
    fn new(graph: &'g GraphProto) -> Self {
        let makers =
            graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
        let stored = graph.initializer.iter().map(|it| (it.name.as_str(), it)).collect();
        Trail { graph, makers, stored }
    }

    fn classes(&self, output: &str) -> Option<ClassLabels> {
        let origin = self.origin_in(output);
        // A model of models numbers the classes within, and looks their names up at the end.
        self.looked_up_with(origin).or_else(|| self.makers.get(origin).and_then(|node| self.classes_of(node)))
    }

    /// The value that `name` comes from, back over operators that keep its meaning.
    fn origin(&self, name: &'g str) -> &'g str {
        let mut at = name;
        let mut seen = HashSet::new();
        while seen.insert(at)
            && let Some(node) = self.makers.get(at)
            && MEANING_KEPT.contains(&node.op_type.as_str())
            && let Some(input) = node.input.iter().find(|input| !self.stored.contains_key(input.as_str()))
        {
            at = input;
        }
        at
    }

    /// The classes that `node` declares or looks its labels up in.
    fn classes_of(&self, node: &NodeProto) -> Option<ClassLabels> {
        if is_ml(node, "ArrayFeatureExtractor") || is_standard(node, "Gather") {
            let table = self.table(node.input.first()?)?;
            let index = self.makers.get(self.origin_in(node.input.get(1)?))?;
            return is_standard(index, "ArgMax").then_some(table);
        }
        attribute(node, "classlabels_int64s", "classlabels_strings")
            .or_else(|| attribute(node, "classlabels_ints", "classlabels_strings"))
    }

    /// The classes of the table in which the position of the largest of `scores` is looked up.
    fn looked_up_with(&self, scores: &str) -> Option<ClassLabels> {
        self.graph.node.iter().find_map(|node| {
            let index = self.makers.get(self.origin_in(node.input.get(1)?))?;
            let ranked = is_standard(index, "ArgMax") && self.origin_in(index.input.first()?) == scores;
            ranked.then(|| self.classes_of(node))?
        })
    }

    fn origin_in(&self, name: &str) -> &'g str {
        match self.makers.get_key_value(name) {
            Some((name, _)) => self.origin(name),
            None => "",
        }
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

fn ints(tensor: &TensorProto) -> Option<Vec<i64>> {
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
