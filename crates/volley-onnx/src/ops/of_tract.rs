//! What tract makes of a node by itself, for operators that are its own but for some inputs.

use std::collections::HashMap;
use std::sync::LazyLock;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use super::{Builder, Built};

static REGISTER: LazyLock<HashMap<String, Builder>> = LazyLock::new(|| tract_onnx::onnx().op_register.0);

/// What tract makes of `node` by itself.
pub(super) fn of_tract(context: &ParsingContext, node: &NodeProto) -> Built {
    REGISTER.get(&node.op_type).with_context(|| format!("tract has no {}", node.op_type))?(context, node)
}

/// The same node, of another type of operator.
pub(super) fn as_type(op_type: &str, node: &NodeProto) -> NodeProto {
    NodeProto { op_type: op_type.into(), ..node.clone() }
}

/// The same node, with an integer for an attribute that it has or has not.
pub(super) fn with_int(node: &NodeProto, name: &str, i: i64) -> NodeProto {
    let mut node = node.clone();
    node.attribute.retain(|attribute| attribute.name != name);
    let kind = AttributeType::Int as i32;
    node.attribute.push(AttributeProto { name: name.into(), r#type: kind, i, ..AttributeProto::default() });
    node
}

/// The form in which tract keeps what it builds.
pub(super) fn expansion(op: &dyn InferenceOp) -> TractResult<&dyn Expansion> {
    op.as_op().downcast_ref::<Box<dyn Expansion>>().map(|op| op.as_ref()).context("what tract builds is an expansion")
}

/// Wires an operator in another way than tract does, whose own is given; `None` if that is right.
type Wire = fn(&dyn Expansion, &str, &mut TypedModel, &[OutletId]) -> TractResult<Option<TVec<OutletId>>>;

/// An operator of tract's, but for some types or values.
#[derive(Debug, Clone)]
struct Completed {
    tract: Box<dyn InferenceOp>,
    wire: Wire,
}

pub(super) fn completed(context: &ParsingContext, node: &NodeProto, wire: Wire) -> Built {
    let (tract, closed_over) = of_tract(context, node)?;
    Ok((expand(Completed { tract, wire }), closed_over))
}

impl Expansion for Completed {
    fn name(&self) -> StaticName {
        self.tract.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        expansion(self.tract.as_ref())?.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let tract = expansion(self.tract.as_ref())?;
        match (self.wire)(tract, prefix, model, inputs)? {
            Some(wired) => Ok(wired),
            None => tract.wire(prefix, model, inputs),
        }
    }
}
