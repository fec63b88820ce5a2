//! Builds small models in memory, for tests beside the code.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};
use tract_onnx::prelude::Datum;

use crate::{DatumType, Element, Error, Graph, Limits, Tensor, tensor_from, tensor_values};

/// A graph under construction.
#[derive(Clone, Default)]
pub(crate) struct ModelBuilder {
    pub(crate) graph: GraphProto,
}

impl ModelBuilder {
    pub(crate) fn input(mut self, name: &str, element: Element, dims: &[i64]) -> Self {
        self.graph.input.push(port(name, element, Some(dims)));
        self
    }

    pub(crate) fn output(mut self, name: &str, element: Element) -> Self {
        self.graph.output.push(port(name, element, None));
        self
    }

    pub(crate) fn constant(mut self, name: &str, tensor: &Tensor) -> Self {
        self.graph.initializer.push(TensorProto { name: name.into(), ..proto(tensor) });
        self
    }

    pub(crate) fn node(
        mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        self.graph.node.push(NodeProto {
            domain: domain.into(),
            op_type: op_type.into(),
            name: format!("{op_type}_{}", self.graph.node.len()),
            input: names(inputs),
            output: names(outputs),
            attribute,
            ..NodeProto::default()
        });
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
        ModelProto {
            ir_version: 9,
            opset_import: vec![opset("", 18), opset("ai.onnx.ml", 3), opset("com.microsoft", 1)],
            graph: Some(self.graph.clone()),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    pub(crate) fn parse(&self) -> Result<Graph, Error> {
        Graph::parse(&self.bytes(), &|_| None, &Limits::default())
    }

    pub(crate) fn run(&self, rows: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.parse()?.plan()?.run(rows, inputs)
    }

    /// What tensors give, which must be what the road gives that the plan would take.
    fn run_on_both_roads(&self, rows: usize, input: Tensor) -> Result<Vec<Tensor>, Error> {
        let graph = self.parse()?;
        let (best, tensors) = (graph.plan()?, graph.plan_on_tensors()?);
        let (best, tensors) = (best.run(rows, vec![input.clone()]), tensors.run(rows, vec![input]));
        match (&best, &tensors) {
            (Ok(best), Ok(tensors)) => best.iter().zip(tensors).for_each(|(best, tensor)| assert_close(best, tensor)),
            (Err(best), Err(tensors)) => assert_eq!(best.to_string(), tensors.to_string()),
            _ => panic!("{best:?} on one road, {tensors:?} on the other"),
        }
        tensors
    }
}

fn port(name: &str, element: Element, dims: Option<&[i64]>) -> ValueInfoProto {
    let dim =
        |&dim: &i64| Dimension { value: (dim >= 0).then_some(dimension::Value::DimValue(dim)), ..Dimension::default() };
    let shape = dims.map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: onnx_type(element.datum_type()) as i32, shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

fn onnx_type(element: DatumType) -> DataType {
    match element {
        DatumType::F32 => DataType::Float,
        DatumType::F64 => DataType::Double,
        DatumType::I64 => DataType::Int64,
        DatumType::I32 => DataType::Int32,
        DatumType::String => DataType::String,
        DatumType::Bool => DataType::Bool,
        DatumType::I8 => DataType::Int8,
        DatumType::U8 => DataType::Uint8,
        other => panic!("no test needs {other:?}"),
    }
}

fn element(of: DatumType) -> Element {
    Element::from_onnx(onnx_type(of) as i32).expect("a type of the list above")
}

fn proto(tensor: &Tensor) -> TensorProto {
    let mut proto = TensorProto {
        dims: tensor.shape().iter().map(|&dim| dim as i64).collect(),
        data_type: onnx_type(tensor.datum_type()) as i32,
        ..TensorProto::default()
    };
    match tensor.datum_type() {
        DatumType::F32 => proto.float_data = list(tensor),
        DatumType::F64 => proto.double_data = list(tensor),
        DatumType::I64 => proto.int64_data = list(tensor),
        DatumType::I32 => proto.int32_data = list(tensor),
        DatumType::I8 => proto.int32_data = list::<i8>(tensor).into_iter().map(i32::from).collect(),
        DatumType::U8 => proto.int32_data = list::<u8>(tensor).into_iter().map(i32::from).collect(),
        DatumType::String => {
            proto.string_data = list::<String>(tensor).into_iter().map(String::into_bytes).collect();
        }
        other => panic!("no test stores {other:?}"),
    }
    proto
}

fn list<T: Datum>(tensor: &Tensor) -> Vec<T> {
    tensor_values::<T>(tensor).expect("elements of the asked type").to_vec()
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind as i32, ..AttributeProto::default() }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

pub(crate) fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { floats: values.to_vec(), ..attribute(name, AttributeType::Floats) }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.into(), ..attribute(name, AttributeType::String) }
}

pub(crate) fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::Strings) }
}

/// A tensor as an attribute.
pub(crate) fn stored(name: &str, value: Tensor) -> AttributeProto {
    AttributeProto { t: Some(proto(&value)), ..attribute(name, AttributeType::Tensor) }
}

/// A graph as an attribute.
pub(crate) fn subgraph(name: &str, body: ModelBuilder) -> AttributeProto {
    AttributeProto { g: Some(body.graph), ..attribute(name, AttributeType::Graph) }
}

pub(crate) fn tensor<T: Datum>(shape: &[usize], values: &[T]) -> Tensor {
    tensor_from(shape, values.to_vec())
}

pub(crate) fn ints_in(shape: &[usize], values: &[i64]) -> Tensor {
    tensor(shape, values)
}

pub(crate) fn strings_in(shape: &[usize], values: &[&str]) -> Tensor {
    tensor_from(shape, values.iter().map(|value| value.to_string()).collect())
}

/// One operator under test, whose first input is the data and whose others are constants.
pub(crate) struct OperatorCase {
    domain: &'static str,
    op_type: &'static str,
    attributes: Vec<AttributeProto>,
    constants: Vec<Tensor>,
}

/// An operator of the machine learning domain.
pub(crate) fn ml(op_type: &'static str, attributes: Vec<AttributeProto>) -> OperatorCase {
    OperatorCase { domain: "ai.onnx.ml", op_type, attributes, constants: vec![] }
}

/// An operator of the default domain.
pub(crate) fn standard(op_type: &'static str, attributes: Vec<AttributeProto>) -> OperatorCase {
    OperatorCase { domain: "", ..ml(op_type, attributes) }
}

impl OperatorCase {
    /// Adds a constant as the next input.
    pub(crate) fn with(mut self, constant: Tensor) -> Self {
        self.constants.push(constant);
        self
    }

    /// Asserts that the operator gives `expected` for `input`: exactly, or within 1e-6 for floats.
    pub(crate) fn gives(&self, input: Tensor, expected: Tensor) {
        self.gives_all(input, vec![expected]);
    }

    /// The same for an operator with several outputs.
    pub(crate) fn gives_all(&self, input: Tensor, expected: Vec<Tensor>) {
        let elements: Vec<Element> = expected.iter().map(|it| element(it.datum_type())).collect();
        let got = self.run(input, &elements).expect(self.op_type);
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert_close(got, expected);
        }
    }

    /// Asserts that the operator fails on `input` with a message that contains `reason`.
    pub(crate) fn refuses(&self, input: Tensor, reason: &str) {
        // The operators that are tested for refusals have one of these as their first output.
        let messages = [Element::F32, Element::I64]
            .map(|output| self.run(input.clone(), &[output]).expect_err(self.op_type).to_string());
        let said = messages.iter().any(|message| message.contains(reason));
        assert!(said, "{} does not say `{reason}` but {messages:?}", self.op_type);
    }

    fn run(&self, input: Tensor, outputs: &[Element]) -> Result<Vec<Tensor>, Error> {
        let rows = input.shape()[0];
        // With the number of rows fixed, constants of as many rows can stand beside the data.
        let dims: Vec<i64> = input.shape().iter().map(|&dim| dim as i64).collect();
        let mut model = ModelBuilder::default().input("x", element(input.datum_type()), &dims);
        let mut inputs = vec!["x".to_string()];
        for (at, constant) in self.constants.iter().enumerate() {
            inputs.push(format!("c{at}"));
            model = model.constant(&format!("c{at}"), constant);
        }
        let names: Vec<String> = (0..outputs.len()).map(|at| format!("y{at}")).collect();
        for (name, element) in names.iter().zip(outputs) {
            model = model.output(name, *element);
        }
        let borrowed =
            |names: &[String]| -> Vec<&'static str> { names.iter().map(|name| &*name.clone().leak()).collect() };
        let (inputs, names) = (borrowed(&inputs), borrowed(&names));
        model.node(self.domain, self.op_type, &inputs, &names, self.attributes.clone()).run_on_both_roads(rows, input)
    }
}

/// Asserts that types, shapes and elements agree, floats within 1e-6.
pub(crate) fn assert_close(got: &Tensor, expected: &Tensor) {
    assert_eq!(got.datum_type(), expected.datum_type());
    assert_eq!(got.shape(), expected.shape());
    match expected.datum_type() {
        DatumType::F32 => assert_each_close(&list::<f32>(got), &list::<f32>(expected)),
        DatumType::F64 => assert_each_close(&list::<f64>(got), &list::<f64>(expected)),
        DatumType::I64 => assert_eq!(list::<i64>(got), list::<i64>(expected)),
        DatumType::I32 => assert_eq!(list::<i32>(got), list::<i32>(expected)),
        DatumType::String => assert_eq!(list::<String>(got), list::<String>(expected)),
        other => panic!("no test compares {other:?}"),
    }
}

fn assert_each_close<T: Copy + Into<f64>>(got: &[T], expected: &[T]) {
    for (at, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected): (f64, f64) = (got.into(), expected.into());
        let equal = got == expected || (got.is_nan() && expected.is_nan());
        assert!(equal || (got - expected).abs() <= 1e-6, "at {at}: {got} is not {expected}");
    }
}
