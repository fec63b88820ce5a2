//! What goes into a graph and what comes out of it: names, element types, shapes, class labels.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto;
use tract_onnx::pb::{TypeProto, ValueInfoProto};
use tract_onnx::prelude::DatumType;

use crate::error::Error;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Element {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
    String,
}

impl Element {
    /// The element of an ONNX `TensorProto.DataType`; `None` for those that cannot be computed with
    /// (bfloat16, complex, float8, 4-bit integers).
    pub(crate) fn from_onnx(code: i32) -> Option<Element> {
        Some(match DataType::try_from(code).ok()? {
            DataType::Bool => Element::Bool,
            DataType::Int8 => Element::I8,
            DataType::Int16 => Element::I16,
            DataType::Int32 => Element::I32,
            DataType::Int64 => Element::I64,
            DataType::Uint8 => Element::U8,
            DataType::Uint16 => Element::U16,
            DataType::Uint32 => Element::U32,
            DataType::Uint64 => Element::U64,
            DataType::Float16 => Element::F16,
            DataType::Float => Element::F32,
            DataType::Double => Element::F64,
            DataType::String => Element::String,
            _ => return None,
        })
    }

    /// The type of a [`crate::Tensor`] with these elements.
    pub fn datum_type(self) -> DatumType {
        match self {
            Element::Bool => DatumType::Bool,
            Element::I8 => DatumType::I8,
            Element::I16 => DatumType::I16,
            Element::I32 => DatumType::I32,
            Element::I64 => DatumType::I64,
            Element::U8 => DatumType::U8,
            Element::U16 => DatumType::U16,
            Element::U32 => DatumType::U32,
            Element::U64 => DatumType::U64,
            Element::F16 => DatumType::F16,
            Element::F32 => DatumType::F32,
            Element::F64 => DatumType::F64,
            Element::String => DatumType::String,
        }
    }

    /// Bytes of one element in a file; `None` for strings, which have no fixed size.
    pub(crate) fn bytes(self) -> Option<usize> {
        match self {
            Element::String => None,
            _ => Some(self.datum_type().size_of()),
        }
    }

    /// Half, single or double precision.
    pub fn is_float(self) -> bool {
        matches!(self, Element::F16 | Element::F32 | Element::F64)
    }
}

/// One dimension of a port. The first one counts rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this many.
    Fixed(usize),
    /// Any number.
    Free,
}

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// Its dimensions, rows first; `None` where the graph does not say how many there are.
    pub shape: Option<Vec<Dim>>,
}

impl Port {
    /// Reads the declaration of an input or output. Sequences, maps and optionals are refused.
    pub(crate) fn declared(info: &ValueInfoProto) -> Result<Port, Error> {
        let name = info.name.clone();
        let tensor = tensor_type(info)
            .ok_or_else(|| Error::Invalid(format!("`{name}` is not a tensor: sequences and maps cannot be scored")))?;
        let element = Element::from_onnx(tensor.elem_type)
            .ok_or_else(|| Error::Invalid(format!("`{name}` has an element type that cannot be computed with")))?;
        Ok(Port { name, element, shape: declared_shape(tensor) })
    }
}

pub(crate) fn tensor_type(info: &ValueInfoProto) -> Option<&type_proto::Tensor> {
    match info.r#type.as_ref() {
        Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) => Some(tensor),
        _ => None,
    }
}

fn declared_shape(tensor: &type_proto::Tensor) -> Option<Vec<Dim>> {
    let dims = &tensor.shape.as_ref()?.dim;
    Some(
        dims.iter()
            .map(|dim| match dim.value {
                Some(dimension::Value::DimValue(n)) if n >= 0 => Dim::Fixed(n as usize),
                _ => Dim::Free,
            })
            .collect(),
    )
}

/// The classes of a classifier, in the order of its probabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub enum ClassLabels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl ClassLabels {
    /// How many classes there are.
    pub fn len(&self) -> usize {
        match self {
            ClassLabels::Ints(labels) => labels.len(),
            ClassLabels::Strings(labels) => labels.len(),
        }
    }

    /// Whether there is no class at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
