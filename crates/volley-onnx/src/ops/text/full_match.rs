//! `RegexFullMatch`: whether a text is what a pattern says, as a whole.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::values;
use super::super::{Built, Kernel, Signature, kernel};
use super::ensure_text;
use super::pattern::Pattern;

#[derive(Debug)]
struct FullMatch(Pattern);

pub(in crate::ops) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let pattern = node.get_attr_opt::<&str>("pattern")?.unwrap_or_default();
    kernel(node, 1..=1, FullMatch(Pattern::new(pattern)?))
}

impl Kernel for FullMatch {
    fn name(&self) -> &'static str {
        "RegexFullMatch"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_text(&inputs[0])?;
        Ok(vec![Signature { element: DatumType::Bool, ..inputs[0].clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let answers = values::<String>(inputs[0])?.iter().map(|text| self.0.matches(text)).collect();
        Ok(vec![crate::tensor_from::<bool>(inputs[0].shape(), answers)])
    }
}
