//! `StringSplit`: the parts of a text, and how many there are.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::values;
use super::super::{Built, Kernel, Signature, kernel};
use super::{ensure_text, padded};

#[derive(Debug)]
struct Split {
    /// Empty for runs of spaces.
    delimiter: String,
    /// After so many splits the rest is one part.
    splits_max: usize,
    parts: Symbol,
}

pub(in crate::ops) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let splits_max = node.get_attr_opt::<i64>("maxsplit")?;
    let split = Split {
        delimiter: node.get_attr_opt::<String>("delimiter")?.unwrap_or_default(),
        // A negative number is as good as none.
        splits_max: splits_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX),
        parts: ctx.template.symbols.new_with_prefix("parts"),
    };
    kernel(node, 1..=1, split)
}

impl Split {
    fn parts(&self, text: &str) -> Vec<String> {
        let parts_max = self.splits_max.saturating_add(1);
        if text.is_empty() {
            Vec::new()
        } else if self.delimiter.is_empty() {
            by_spaces(text, self.splits_max)
        } else {
            text.splitn(parts_max, &*self.delimiter).map(str::to_owned).collect()
        }
    }
}

/// Parts between runs of spaces, of which there are none at the ends. The specification speaks of all white space;
/// ONNX Runtime takes spaces alone.
fn by_spaces(text: &str, splits_max: usize) -> Vec<String> {
    let mut rest = text.trim_matches(' ');
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(' ').filter(|_| parts.len() < splits_max).unwrap_or(rest.len());
        parts.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches(' ');
    }
    parts
}

impl Kernel for Split {
    fn name(&self) -> &'static str {
        "StringSplit"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_text(&inputs[0])?;
        let shape = &inputs[0].shape;
        Ok(vec![
            Signature::new(DatumType::String, shape.iter().cloned().chain([self.parts.to_dim()])),
            Signature::new(DatumType::I64, shape.iter().cloned()),
        ])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let lists: Vec<Vec<String>> = values::<String>(inputs[0])?.iter().map(|text| self.parts(text)).collect();
        let counts = lists.iter().map(|list| list.len() as i64).collect();
        let shape = inputs[0].shape();
        Ok(vec![padded(shape, lists, ""), crate::tensor_from::<i64>(shape, counts)])
    }
}
