//! Puts the nodes of a model's own functions in the place of their calls: exporters write a layer as a function.

use std::collections::HashMap;

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};

use crate::error::Error;
use crate::limits::Limits;

/// Calls within calls; a function that calls itself has no end.
const DEPTH_MAX: usize = 16;

/// Replaces every call of a function of the model, in subgraphs too. No more nodes or bytes may come of it than `limits`
/// allow for a file. How many calls there were. `file` is what the model was read from.
pub(super) fn inline(model: &mut ModelProto, file: &[u8], limits: &Limits) -> Result<usize, Error> {
    let functions = std::mem::take(&mut model.functions);
    let Some(graph) = model.graph.as_mut().filter(|_| !functions.is_empty()) else { return Ok(0) };
    let defaults = wire::Model::decode(file).map(|model| model.functions).unwrap_or_default();
    let mut known = HashMap::new();
    for (function, defaults) in functions.iter().zip(&defaults) {
        let bytes = FunctionProto::encoded_len(function) + defaults.encoded_len();
        known.insert((function.domain(), function.name()), Called { function, defaults: &defaults.attribute, bytes });
    }
    for function in &functions {
        import(&mut model.opset_import, function)?;
    }
    let mut inliner = Inliner { known, calls: 0, nodes: 0, bytes: 0, limits };
    inliner.graph(graph, 0)?;
    Ok(inliner.calls)
}

/// Takes over the operator sets of a function. One version of a set has other meanings than another.
fn import(sets: &mut Vec<OperatorSetIdProto>, function: &FunctionProto) -> Result<(), Error> {
    for set in &function.opset_import {
        match sets.iter().find(|it| it.domain == set.domain) {
            Some(of_model) if of_model.version != set.version => {
                let (name, domain) = (function.name(), &set.domain);
                return Err(Error::Invalid(format!(
                    "the function `{name}` is written in another version of `{domain}` than the model"
                )));
            }
            Some(_) => {}
            None => sets.push(set.clone()),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Called<'f> {
    function: &'f FunctionProto,
    /// Of attributes that a call need not have.
    defaults: &'f [AttributeProto],
    bytes: usize,
}

/// What a file says of functions that the generated types do not know.
mod wire {
    use tract_onnx::pb::AttributeProto;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Model {
        #[prost(message, repeated, tag = "25")]
        pub(super) functions: Vec<Function>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Function {
        #[prost(message, repeated, tag = "11")]
        pub(super) attribute: Vec<AttributeProto>,
    }
}

struct Inliner<'f> {
    known: HashMap<(&'f str, &'f str), Called<'f>>,
    /// So far: it makes the names of each call's values its own.
    calls: usize,
    /// What came of all calls so far.
    nodes: usize,
    bytes: usize,
    limits: &'f Limits,
}

impl<'f> Inliner<'f> {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), Error> {
        graph.node = self.nodes(std::mem::take(&mut graph.node), depth)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, Error> {
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for attribute in &mut node.attribute {
                for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                    self.graph(inner, depth)?;
                }
            }
            match self.known.get(&(node.domain.as_str(), node.op_type.as_str())).copied() {
                Some(function) => inlined.extend(self.call(function, &node, depth)?),
                None => inlined.push(node),
            }
        }
        Ok(inlined)
    }

    fn call(&mut self, called: Called<'f>, node: &NodeProto, depth: usize) -> Result<Vec<NodeProto>, Error> {
        let function = called.function;
        if depth >= DEPTH_MAX {
            return Err(Error::Invalid(format!("the function `{}` calls too deep", function.name())));
        }
        self.nodes += function.node.len();
        self.bytes += called.bytes;
        within("number of nodes", self.nodes, self.limits.nodes_max)?;
        within("functions in bytes", self.bytes, self.limits.file_bytes_max)?;
        let names = Names::new(called, node, self.calls);
        self.calls += 1;
        let body = function.node.iter().map(|inner| names.node(inner, node)).collect();
        self.nodes(body, depth + 1)
    }
}

fn within(what: &'static str, size: usize, max: usize) -> Result<(), Error> {
    if size > max { Err(Error::TooLarge { what, size, max }) } else { Ok(()) }
}

/// What the names within a function become in the place of a call.
struct Names<'n> {
    given: HashMap<&'n str, &'n str>,
    defaults: &'n [AttributeProto],
    prefix: String,
}

impl<'n> Names<'n> {
    fn new(called: Called<'n>, node: &'n NodeProto, call: usize) -> Names<'n> {
        let Called { function, defaults, .. } = called;
        let missing = std::iter::repeat("");
        let inputs = function.input.iter().zip(node.input.iter().map(String::as_str).chain(missing));
        // An output that the caller does not name stays a name of the function.
        let outputs = function.output.iter().zip(node.output.iter().map(String::as_str));
        let outputs = outputs.filter(|(_, to)| !to.is_empty());
        let given = inputs.chain(outputs).map(|(from, to)| (from.as_str(), to)).collect();
        Names { given, defaults, prefix: format!("{}.{call}", function.name()) }
    }

    fn of(&self, name: &str) -> String {
        match self.given.get(name) {
            _ if name.is_empty() => String::new(),
            Some(given) => (*given).to_owned(),
            None => format!("{}.{name}", self.prefix),
        }
    }

    fn node(&self, inner: &NodeProto, call: &NodeProto) -> NodeProto {
        let names = |names: &[String]| names.iter().map(|name| self.of(name)).collect();
        NodeProto {
            // tract names a node without a name by its output.
            name: if inner.name.is_empty() { String::new() } else { format!("{}.{}", self.prefix, inner.name) },
            input: names(&inner.input),
            output: names(&inner.output),
            attribute: inner.attribute.iter().filter_map(|it| self.attribute(it, call)).collect(),
            ..inner.clone()
        }
    }

    /// An attribute may be one of the call's, or its default; one that has neither is left out.
    fn attribute(&self, attribute: &AttributeProto, call: &NodeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name.is_empty() {
            let mut known = call.attribute.iter().chain(self.defaults);
            let given = known.find(|it| it.name == attribute.ref_attr_name)?;
            return Some(AttributeProto { name: attribute.name.clone(), ..given.clone() });
        }
        Some(AttributeProto {
            g: attribute.g.as_ref().map(|graph| self.graph(graph, call)),
            graphs: attribute.graphs.iter().map(|graph| self.graph(graph, call)).collect(),
            ..attribute.clone()
        })
    }

    fn graph(&self, graph: &GraphProto, call: &NodeProto) -> GraphProto {
        let ports = |ports: &[ValueInfoProto]| {
            ports.iter().map(|port| ValueInfoProto { name: self.of(&port.name), ..port.clone() }).collect()
        };
        let tensor = |tensor: &TensorProto| TensorProto { name: self.of(&tensor.name), ..tensor.clone() };
        GraphProto {
            node: graph.node.iter().map(|node| self.node(node, call)).collect(),
            input: ports(&graph.input),
            output: ports(&graph.output),
            value_info: vec![],
            initializer: graph.initializer.iter().map(tensor).collect(),
            ..graph.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::attribute_proto::AttributeType;

    use super::*;
    use crate::testing::{ModelBuilder, assert_close, float, tensor};
    use crate::{Element, Graph};

    /// `twice(x)` calls `bent(x)`, which is `LeakyRelu` with the slope of its call.
    fn model() -> ModelProto {
        let call = |name: &str, inputs: &[&str], outputs: &[&str], attribute| {
            ModelBuilder::default().node("mine", name, inputs, outputs, attribute).graph.node[0].clone()
        };
        let slope = AttributeProto {
            name: "alpha".into(),
            ref_attr_name: "slope".into(),
            r#type: AttributeType::Float as i32,
            ..AttributeProto::default()
        };
        let bent = NodeProto { domain: String::new(), ..call("LeakyRelu", &["a"], &["b"], vec![slope]) };
        let sum = NodeProto { domain: String::new(), ..call("Add", &["inner", "a"], &["b"], vec![]) };
        let within = call("bent", &["a"], &["inner"], vec![float("slope", 0.5)]);
        let function = |name: &str, node| FunctionProto {
            name: Some(name.into()),
            domain: Some("mine".into()),
            input: vec!["a".into()],
            output: vec!["b".into()],
            node,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
            ..FunctionProto::default()
        };
        let graph = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 1])
            .output("y", Element::F32)
            .node("mine", "twice", &["x"], &["once"], vec![])
            .node("mine", "twice", &["once"], &["y"], vec![])
            .bytes();
        let mut model = ModelProto::decode(&*graph).expect("a model");
        model.opset_import.push(OperatorSetIdProto { domain: "mine".into(), version: 1 });
        model.functions = vec![function("twice", vec![within, sum]), function("bent", vec![bent])];
        model
    }

    fn parse(model: &ModelProto) -> Result<Graph, Error> {
        Graph::parse(&model.encode_to_vec(), &|_| None, &Limits::default())
    }

    #[test]
    fn calls_within_calls_become_their_nodes() {
        let graph = parse(&model()).expect("a sound model");
        assert_eq!(graph.operators(), ["Add", "LeakyRelu"]);
        let plan = graph.plan().expect("a sound model");
        let got = plan.run(2, vec![tensor(&[2, 1], &[-4.0f32, 3.0])]).expect("two rows");
        assert_close(&got[0], &tensor(&[2, 1], &[-9.0f32, 12.0]));
    }

    /// Functions as the bytes that they are in a file.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Functions {
        #[prost(bytes = "vec", repeated, tag = "25")]
        functions: Vec<Vec<u8>>,
    }

    #[test]
    fn an_attribute_that_a_call_does_not_have_is_the_default_of_the_function() {
        let mut model = model();
        model.functions[0].node[0].attribute.clear();
        let functions = std::mem::take(&mut model.functions);
        let defaults = [vec![], vec![float("slope", 0.5)]].map(|attribute| wire::Function { attribute });
        let written = functions.iter().zip(&defaults).map(|(it, of)| [it.encode_to_vec(), of.encode_to_vec()].concat());
        let file = [model.encode_to_vec(), Functions { functions: written.collect() }.encode_to_vec()].concat();
        let plan = Graph::parse(&file, &|_| None, &Limits::default()).and_then(|graph| graph.plan());
        let got = plan.and_then(|plan| plan.run(1, vec![tensor(&[1, 1], &[-4.0f32])])).expect("a sound model");
        assert_close(&got[0], &tensor(&[1, 1], &[-9.0f32]));
    }

    #[test]
    fn a_function_that_calls_itself_is_refused() {
        let mut model = model();
        model.functions[1].node[0] = model.functions[0].node[0].clone();
        let error = parse(&model).expect_err("no end");
        assert!(error.to_string().contains("calls too deep"), "{error}");
    }

    #[test]
    fn a_function_in_another_version_than_the_model_is_refused() {
        let mut model = model();
        model.functions[0].opset_import[0].version = 12;
        let error = parse(&model).expect_err("two versions");
        assert!(error.to_string().contains("another version"), "{error}");
    }
}
