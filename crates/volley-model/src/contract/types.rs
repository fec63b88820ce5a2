//! The types that a signature declares and that a graph reads.

use std::fmt;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

/// The type a column is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the types they name")]
pub enum InputType {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    String,
    Binary,
    /// Goes in as nanoseconds since 1970-01-01, as a naive `datetime64[ns]` of NumPy.
    Datetime,
    /// `len` values a row; `None` where neither signature nor graph fixes it.
    List {
        element: Box<InputType>,
        len: Option<usize>,
    },
}

impl InputType {
    /// The type of one value: the element of a list, else the type itself.
    pub fn scalar(&self) -> &InputType {
        match self {
            InputType::List { element, .. } => element.scalar(),
            scalar => scalar,
        }
    }
}

impl fmt::Display for InputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            InputType::Boolean => "bool",
            InputType::Int8 => "int8",
            InputType::Int16 => "int16",
            InputType::Int32 => "int32",
            InputType::Int64 => "int64",
            InputType::UInt8 => "uint8",
            InputType::UInt16 => "uint16",
            InputType::UInt32 => "uint32",
            InputType::UInt64 => "uint64",
            InputType::Float16 => "float16",
            InputType::Float32 => "float",
            InputType::Float64 => "double",
            InputType::String => "string",
            InputType::Binary => "binary",
            InputType::Datetime => "datetime",
            InputType::List { element, len: Some(len) } => return write!(f, "list<{element}>[{len}]"),
            InputType::List { element, len: None } => return write!(f, "list<{element}>"),
        };
        f.write_str(name)
    }
}

/// The type of a value in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the types they name")]
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
    /// Whether it can hold NaN.
    pub fn is_float(self) -> bool {
        matches!(self, Element::F16 | Element::F32 | Element::F64)
    }

    /// The input type that this element is, for graphs without a signature.
    pub fn input_type(self) -> InputType {
        match self {
            Element::Bool => InputType::Boolean,
            Element::I8 => InputType::Int8,
            Element::I16 => InputType::Int16,
            Element::I32 => InputType::Int32,
            Element::I64 => InputType::Int64,
            Element::U8 => InputType::UInt8,
            Element::U16 => InputType::UInt16,
            Element::U32 => InputType::UInt32,
            Element::U64 => InputType::UInt64,
            Element::F16 => InputType::Float16,
            Element::F32 => InputType::Float32,
            Element::F64 => InputType::Float64,
            Element::String => InputType::String,
        }
    }

    /// The Arrow type of a score of this element. Half floats come out as floats: SQL has no half.
    pub fn arrow_type(self) -> DataType {
        match self {
            Element::Bool => DataType::Boolean,
            Element::I8 => DataType::Int8,
            Element::I16 => DataType::Int16,
            Element::I32 => DataType::Int32,
            Element::I64 => DataType::Int64,
            Element::U8 => DataType::UInt8,
            Element::U16 => DataType::UInt16,
            Element::U32 => DataType::UInt32,
            Element::U64 => DataType::UInt64,
            Element::F16 | Element::F32 => DataType::Float32,
            Element::F64 => DataType::Float64,
            Element::String => DataType::Utf8,
        }
    }
}

impl From<volley_onnx::Element> for Element {
    fn from(element: volley_onnx::Element) -> Self {
        match element {
            volley_onnx::Element::Bool => Element::Bool,
            volley_onnx::Element::I8 => Element::I8,
            volley_onnx::Element::I16 => Element::I16,
            volley_onnx::Element::I32 => Element::I32,
            volley_onnx::Element::I64 => Element::I64,
            volley_onnx::Element::U8 => Element::U8,
            volley_onnx::Element::U16 => Element::U16,
            volley_onnx::Element::U32 => Element::U32,
            volley_onnx::Element::U64 => Element::U64,
            volley_onnx::Element::F16 => Element::F16,
            volley_onnx::Element::F32 => Element::F32,
            volley_onnx::Element::F64 => Element::F64,
            volley_onnx::Element::String => Element::String,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.input_type().fmt(f)
    }
}
