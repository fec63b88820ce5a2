//! Models for a runtime that reads ONNX itself: the same bounds and checks, and none of what tract is asked.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use super::walk::{is_standard, nodes, subgraphs};
use super::{
    Graph, Read, Road, check, fits, fixed_batch, inputs, labels, missing, operators, preparation, read, zipmap,
};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::limits::Limits;
use crate::port::Port;

impl Graph {
    /// Reads an ONNX model for a runtime that runs the file itself, and checks it within `limits`, as
    /// [`Graph::parse`] does. Operators are named and not looked up, except that random ones are refused. Outputs
    /// have the shapes that the file declares, and nobody has looked whether rows meet.
    ///
    /// [`Graph::into_model`] is what that runtime takes: what was checked is what it gets, with each `ZipMap` cut, and
    /// with the tensor data that lay beside the file.
    pub fn foreign<'a>(
        model: &[u8],
        external: &dyn Fn(&str) -> Option<&'a [u8]>,
        limits: &Limits,
    ) -> Result<Graph, Error> {
        let deadline = Deadline::after(limits.load_time_max);
        let read = read(model, external, limits)?;
        let limits = *limits;
        deadline.within(move || Graph::prepare_foreign(read, limits))
    }

    fn prepare_foreign(read: Read, limits: Limits) -> Result<Graph, Error> {
        let Read { mut proto, unfolded, keys } = read;
        if let Some(input) = keys.keys().next() {
            let why = "is a map, which only our own operators read: leave the model to tract";
            return Err(Error::Invalid(format!("the input `{input}` {why}")));
        }
        check_whole(&proto)?;
        let versions = proto.opset_import.clone();
        let graph = proto.graph.get_or_insert_default();
        let operators = operators::check_foreign(graph, &versions)?;
        check(graph, &limits)?;
        end_training(graph);
        let zipmaps = zipmap::cut(graph)?;
        let mut found = labels::of_outputs(graph, &zipmaps);
        let inputs = inputs(graph)?;
        let outputs: Vec<Port> = graph.output.iter().map(Port::declared).collect::<Result<_, _>>()?;
        check_shapes(&outputs)?;
        let mut fitting = |port: &Port| found.remove(&port.name).filter(|found| fits(port, found.classes.len()));
        Ok(Graph {
            classes: outputs.iter().filter_map(|port| Some((port.name.clone(), fitting(port)?))).collect(),
            tracked: missing::tracked(graph),
            fixed_batch: fixed_batch(&inputs)?,
            inputs,
            outputs,
            preparation: preparation::common(&unfolded, &zipmaps),
            zipmaps: zipmaps.into_keys().collect(),
            keys: BTreeMap::new(),
            operators,
            asides: BTreeSet::new(),
            road: Road::Foreign(proto.encode_to_vec()),
            limits,
        })
    }

    /// The prepared file of a model for another runtime; `None` of any other.
    pub fn into_model(self) -> Option<Vec<u8>> {
        match self.road {
            Road::Foreign(model) => Some(model),
            Road::Tract { .. } | Road::Native(_) => None,
        }
    }
}

/// The checks go through the graph and its subgraphs: a model keeps nothing where they do not look.
fn check_whole(proto: &ModelProto) -> Result<(), Error> {
    if !proto.training_info.is_empty() {
        return Err(Error::Invalid("it holds a training graph: export it for inference".into()));
    }
    if proto.graph.as_ref().is_some_and(has_sparse_tensor) {
        return Err(Error::Invalid("sparse tensors are not supported".into()));
    }
    Ok(())
}

fn has_sparse_tensor(graph: &GraphProto) -> bool {
    let inner = graph.node.iter().flat_map(subgraphs).any(has_sparse_tensor);
    let sparse = |node: &&tract_onnx::pb::NodeProto| {
        node.attribute.iter().any(|it| it.sparse_tensor.is_some() || !it.sparse_tensors.is_empty())
    };
    inner || !graph.sparse_initializer.is_empty() || nodes(graph).iter().any(sparse)
}

/// A `Dropout` that is told to train draws random numbers; tract never listens to that.
fn end_training(graph: &mut GraphProto) {
    for node in &mut graph.node {
        if is_standard(node, "Dropout") {
            node.input.truncate(2);
        }
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(end_training);
        }
    }
}

/// Nothing but the declaration says how wide a row of scores is, and a statement has to know.
fn check_shapes(outputs: &[Port]) -> Result<(), Error> {
    match outputs.iter().find(|port| port.shape.is_none()) {
        Some(port) => Err(Error::Invalid(format!("the output `{}` declares no shape: export it with one", port.name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    use crate::testing::{ModelBuilder, strings, tensor};
    use crate::{Dim, Element, Graph, Limits};

    fn foreign(model: &ModelBuilder) -> Result<Graph, String> {
        Graph::foreign(&model.bytes(), &|_| None, &Limits::default()).map_err(|error| error.to_string())
    }

    /// Probabilities of two classes by an operator that nobody has, as a map per row.
    fn classifier() -> ModelBuilder {
        ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("p", Element::F32)
            .node("", "Guess", &["x"], &["matrix"], vec![])
            .node("ai.onnx.ml", "ZipMap", &["matrix"], &["p"], vec![strings("classlabels_strings", &["no", "yes"])])
    }

    #[test]
    fn operators_are_named_and_left_to_the_runtime() {
        let graph = foreign(&classifier()).expect("a sound model");
        assert_eq!(graph.operators(), ["Guess", "ai.onnx.ml.ZipMap"]);
        assert_eq!(graph.rows_max(), None);
        assert!(graph.plan().is_err());
    }

    #[test]
    fn the_runtime_gets_the_matrix_under_the_map() {
        let graph = foreign(&classifier()).expect("a sound model");
        assert_eq!(graph.outputs()[0].shape, Some(vec![Dim::Free, Dim::Fixed(2)]));
        assert!(graph.is_zipmap("p") && graph.class_labels("p").is_some());
        let model = graph.into_model().expect("a model for another runtime");
        let again = Graph::foreign(&model, &|_| None, &Limits::default()).expect("a model again");
        assert_eq!(again.operators(), ["Guess", "Identity"]);
    }

    #[test]
    fn no_dropout_is_told_to_train() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("p", Element::F32)
            .constant("ratio", &tensor(&[], &[0.5f32]))
            .constant("zero", &tensor(&[], &[0.0f32]))
            .node("", "Greater", &["ratio", "zero"], &["training"], vec![])
            .node("", "Dropout", &["x", "ratio", "training"], &["matrix"], vec![])
            .node("ai.onnx.ml", "ZipMap", &["matrix"], &["p"], vec![strings("classlabels_strings", &["no", "yes"])]);
        let model = foreign(&model).expect("a sound model").into_model().expect("a model for another runtime");
        let graph = ModelProto::decode(&*model).expect("a model").graph.expect("a graph");
        assert_eq!(graph.node[1].input, ["x", "ratio"]);
    }

    #[test]
    fn random_operators_are_refused_for_every_runtime() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1, 2]).output("y", Element::F32).node(
            "",
            "RandomNormalLike",
            &["x"],
            &["y"],
            vec![],
        );
        assert!(foreign(&model).is_err_and(|said| said.contains("RandomNormalLike")));
    }
}
