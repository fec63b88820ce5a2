//! `StringConcat`: two texts, one behind the other.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::internal::*;

use super::super::{Built, Kernel, Signature, kernel};
use super::ensure_text;

#[derive(Debug)]
struct StringConcat;

pub(in crate::ops) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 2..=2, StringConcat)
}

impl Kernel for StringConcat {
    fn name(&self) -> &'static str {
        "StringConcat"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let [one, other] = inputs else { bail!("two inputs are needed") };
        ensure_text(one)?;
        ensure_text(other)?;
        Ok(vec![Signature::new(DatumType::String, multi_broadcast(&[&*one.shape, &*other.shape])?)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (one, other) = (inputs[0].to_plain_array_view::<String>()?, inputs[1].to_plain_array_view::<String>()?);
        let shape = multi_broadcast(&[one.shape(), other.shape()])?;
        let (Some(one), Some(other)) = (one.broadcast(&*shape), other.broadcast(&*shape)) else {
            bail!("the shapes do not fit together");
        };
        let texts = one.iter().zip(other.iter()).map(|(one, other)| format!("{one}{other}"));
        Ok(vec![crate::tensor_from(&shape, texts.collect())])
    }
}
