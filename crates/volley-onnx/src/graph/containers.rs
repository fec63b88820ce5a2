//! The declarations of inputs and outputs that are no tensors: maps and sequences. The generated types of the file
//! know tensors alone, so these are read beside them.

use std::collections::HashMap;

use prost::Message;
use tract_onnx::pb::{TypeProto, type_proto};

/// What is declared instead of a tensor; elements are numbered as in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// A map to values of this type.
    Map(i32),
    /// A sequence of tensors of this type.
    Sequence(i32),
}

/// Of the inputs and outputs of a model's graph, those that are no tensors, by name.
pub(super) fn declared(model: &[u8]) -> HashMap<String, Container> {
    let graph = wire::Model::decode(model).ok().and_then(|model| model.graph).unwrap_or_default();
    let ports = graph.input.into_iter().chain(graph.output);
    ports.filter_map(|port| Some((port.name, container(port.r#type?)?))).collect()
}

fn container(declared: wire::Type) -> Option<Container> {
    let element = |value: Option<Box<wire::Type>>| Some(value?.tensor?.element);
    match (declared.map, declared.sequence) {
        (Some(map), _) => Some(Container::Map(element(map.value)?)),
        (None, Some(sequence)) => Some(Container::Sequence(element(sequence.element)?)),
        (None, None) => None,
    }
}

/// The type of a tensor whose shape is not known.
pub(super) fn tensor_of(element: i32) -> TypeProto {
    let tensor = type_proto::Tensor { elem_type: element, shape: None };
    TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
}

/// The parts of a file that lead to a declaration.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Model {
        #[prost(message, optional, tag = "7")]
        pub(super) graph: Option<Graph>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Graph {
        #[prost(message, repeated, tag = "11")]
        pub(super) input: Vec<Port>,
        #[prost(message, repeated, tag = "12")]
        pub(super) output: Vec<Port>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Port {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) r#type: Option<Type>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Type {
        #[prost(message, optional, tag = "1")]
        pub(super) tensor: Option<Tensor>,
        #[prost(message, optional, tag = "4")]
        pub(super) sequence: Option<Sequence>,
        #[prost(message, optional, tag = "5")]
        pub(super) map: Option<Map>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Tensor {
        #[prost(int32, tag = "1")]
        pub(super) element: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sequence {
        #[prost(message, optional, boxed, tag = "1")]
        pub(super) element: Option<Box<Type>>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Map {
        #[prost(message, optional, boxed, tag = "2")]
        pub(super) value: Option<Box<Type>>,
    }
}
