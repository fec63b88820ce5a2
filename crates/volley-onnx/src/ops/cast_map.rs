//! `DictVectorizer` and `CastMap`, over the matrices that maps become when a graph is read.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::cast::long;
use super::node::{refuse, values};
use super::{Built, Kernel, Signature, kernel};

/// The columns are already those of the vocabulary.
pub(super) fn build_dict_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    node.expect(node.input.len() == 1, "one input")?;
    Ok((Box::<tract_onnx::tract_hir::ops::identity::Identity>::default(), vec![]))
}

/// The type of the values that come out.
#[derive(Debug)]
struct CastMap(DatumType);

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let to = match node.get_attr_opt::<&str>("cast_to")?.unwrap_or("TO_FLOAT") {
        "TO_FLOAT" => DatumType::F32,
        "TO_INT64" => DatumType::I64,
        "TO_STRING" => DatumType::String,
        _ => return node.bail_attr("cast_to", "is unknown"),
    };
    kernel(node, 1..=1, CastMap(to))
}

impl Kernel for CastMap {
    fn name(&self) -> &'static str {
        "CastMap"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let input = &inputs[0];
        ensure!(matches!(input.element, DatumType::F32 | DatumType::String), "floats or texts are needed");
        Ok(vec![Signature { element: self.0, ..input.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let texts = input.datum_type() == DatumType::String;
        Ok(vec![match self.0 {
            DatumType::F32 if texts => parsed::<f32>(input)?,
            DatumType::I64 if texts => parsed::<i64>(input)?,
            DatumType::I64 => each(input, |v: &f32| long(f64::from(*v)))?,
            // As C writes a number: six digits behind the point.
            DatumType::String if !texts => each(input, |v: &f32| written(*v))?,
            _ => input.clone(),
        }])
    }
}

fn each<S: Datum, T: Datum>(input: &Tensor, of: impl Fn(&S) -> T) -> TractResult<Tensor> {
    Ok(crate::tensor_from(input.shape(), values::<S>(input)?.iter().map(of).collect()))
}

fn parsed<T: Datum + std::str::FromStr>(input: &Tensor) -> TractResult<Tensor> {
    let numbers: Option<Vec<T>> = values::<String>(input)?.iter().map(|text| text.trim().parse().ok()).collect();
    match numbers {
        Some(numbers) => Ok(crate::tensor_from(input.shape(), numbers)),
        None => refuse("a text is not a number"),
    }
}

fn written(value: f32) -> String {
    if value.is_nan() { "nan".into() } else { format!("{value:.6}") }
}
