//! Logarithms of sums of exponentials that neither overflow nor vanish: tract takes them as they are written, and
//! `exp(89)` is more than a float holds.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

use super::of_tract::{as_type, expansion, of_tract, with_int};
use super::{Built, one_of_the_same_shape};

/// `max(x, 0) + ln(1 + exp(-|x|))`
#[derive(Debug, Clone)]
struct Softplus;

pub(super) fn build_softplus(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Softplus), vec![]))
}

/// `x - largest - ln(sum(exp(x - largest)))` along an axis, or from an axis on.
#[derive(Debug, Clone)]
struct LogSoftmax {
    axis: i64,
    and_all_behind: bool,
}

pub(super) fn build_log_softmax(context: &ParsingContext, node: &NodeProto) -> Built {
    let and_all_behind = context.onnx_operator_set_version < 13;
    let axis = node.get_attr_opt("axis")?.unwrap_or(if and_all_behind { 1 } else { -1 });
    Ok((expand(LogSoftmax { axis, and_all_behind }), vec![]))
}

/// `largest + ln(sum(exp(x - largest)))`
#[derive(Debug, Clone)]
struct ReduceLogSumExp {
    /// As wide as the input, to be subtracted from it.
    largest: Box<dyn InferenceOp>,
    /// As wide as the output.
    reduced: Box<dyn InferenceOp>,
    /// Of what has no sign.
    sum: Box<dyn InferenceOp>,
}

/// The axes are written in another way in each version of the operator, but in the same way in all of its kind: so
/// tract's own largest and sum are taken.
pub(super) fn build_reduce(context: &ParsingContext, node: &NodeProto) -> Built {
    let built = |op_type: &str, node: &NodeProto| Ok::<_, TractError>(of_tract(context, &as_type(op_type, node))?.0);
    let (largest, reduced) = (built("ReduceMax", &with_int(node, "keepdims", 1))?, built("ReduceMax", node)?);
    Ok((expand(ReduceLogSumExp { largest, reduced, sum: built("ReduceL1", node)? }), vec![]))
}

impl Expansion for Softplus {
    fn name(&self) -> StaticName {
        "Softplus".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        as_it_is(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let x = inputs[0];
        let (zero, one) = (constant(model, prefix, x, 0.0)?, constant(model, prefix, x, 1.0)?);
        let mut wire = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| -> TractResult<OutletId> {
            Ok(model.wire_node(format!("{prefix}.{name}"), op, inputs)?[0])
        };
        let size = wire("size", Box::new(math::abs()), &[x])?;
        let below = wire("below", Box::new(math::sub()), &[zero, size])?;
        let small = wire("exp", Box::new(math::exp()), &[below])?;
        let sum = wire("sum", Box::new(math::add()), &[small, one])?;
        let log = wire("ln", Box::new(math::ln()), &[sum])?;
        let positive = wire("positive", Box::new(math::max()), &[x, zero])?;
        Ok(tvec!(wire("softplus", Box::new(math::add()), &[positive, log])?))
    }
}

impl Expansion for LogSoftmax {
    fn name(&self) -> StaticName {
        "LogSoftmax".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        as_it_is(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = model.outlet_fact(inputs[0])?.rank();
        let axis = if self.axis < 0 { self.axis + rank as i64 } else { self.axis };
        let axis = usize::try_from(axis).ok().filter(|axis| *axis <= rank).context("LogSoftmax has no such axis")?;
        let axes: TVec<usize> = (axis..if self.and_all_behind { rank } else { rank.min(axis + 1) }).collect();
        let largest = Reduce::new(axes.clone(), Reducer::Max);
        let largest = model.wire_node(format!("{prefix}.largest"), largest, inputs)?[0];
        let (shifted, exp) = shifted(model, prefix, inputs[0], largest)?;
        let sum = model.wire_node(format!("{prefix}.sum"), Reduce::new(axes, Reducer::Sum), &[exp])?[0];
        let log = model.wire_node(format!("{prefix}.ln"), math::ln(), &[sum])?[0];
        model.wire_node(format!("{prefix}.difference"), math::sub(), &[shifted, log])
    }
}

impl Expansion for ReduceLogSumExp {
    fn name(&self) -> StaticName {
        "ReduceLogSumExp".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        expansion(self.reduced.as_ref())?.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let largest = expansion(self.largest.as_ref())?.wire(&format!("{prefix}.largest"), model, inputs)?[0];
        let (_, exp) = shifted(model, prefix, inputs[0], largest)?;
        let mut summed: TVec<OutletId> = inputs.into();
        summed[0] = exp;
        let sum = expansion(self.sum.as_ref())?.wire(&format!("{prefix}.sum"), model, &summed)?[0];
        let log = model.wire_node(format!("{prefix}.ln"), math::ln(), &[sum])?[0];
        let reduced = expansion(self.reduced.as_ref())?.wire(&format!("{prefix}.reduced"), model, inputs)?[0];
        let reduced = finite(model, &format!("{prefix}.reduced"), reduced)?;
        model.wire_node(format!("{prefix}.total"), math::add(), &[log, reduced])
    }
}

/// `x - largest` and its exponential, which is at most one.
fn shifted(model: &mut TypedModel, prefix: &str, x: OutletId, largest: OutletId) -> TractResult<(OutletId, OutletId)> {
    let largest = finite(model, &format!("{prefix}.largest"), largest)?;
    let shifted = model.wire_node(format!("{prefix}.shifted"), math::sub(), &[x, largest])?[0];
    let exp = model.wire_node(format!("{prefix}.exp"), math::exp(), &[shifted])?[0];
    Ok((shifted, exp))
}

/// An infinity as the number next to it, because infinities have no difference.
fn finite(model: &mut TypedModel, prefix: &str, outlet: OutletId) -> TractResult<OutletId> {
    let most = match model.outlet_fact(outlet)?.datum_type {
        DatumType::F16 => f64::from(f16::MAX),
        DatumType::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    };
    let (most, least) = (constant(model, prefix, outlet, most)?, constant(model, prefix, outlet, -most)?);
    let bounded = model.wire_node(format!("{prefix}.at_most"), math::min(), &[outlet, most])?[0];
    Ok(model.wire_node(format!("{prefix}.at_least"), math::max(), &[bounded, least])?[0])
}

/// One value of the type and rank of `like`.
fn constant(model: &mut TypedModel, prefix: &str, like: OutletId, value: f64) -> TractResult<OutletId> {
    let fact = model.outlet_fact(like)?;
    let value = tensor0(value).cast_to_dt(fact.datum_type)?.into_owned().broadcast_into_rank(fact.rank())?;
    let name = format!("{prefix}.constant_{}", model.nodes().len());
    model.add_const(name, value)
}

fn as_it_is<'r, 'p: 'r>(s: &mut Solver<'r>, inputs: &'p [TensorProxy], outputs: &'p [TensorProxy]) -> InferenceResult {
    one_of_the_same_shape(s, inputs, outputs)?;
    s.equals(&outputs[0].datum_type, &inputs[0].datum_type)
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, standard, tensor};

    #[test]
    fn softplus_of_what_is_large_is_that() {
        let input = tensor(&[4], &[-200.0f32, 0.0, 100.0, 1e30]);
        standard("Softplus", vec![]).gives(input, tensor(&[4], &[0.0f32, 2f32.ln(), 100.0, 1e30]));
        let input = tensor(&[2], &[1000.0f64, -1000.0]);
        standard("Softplus", vec![]).gives(input, tensor(&[2], &[1000.0f64, 0.0]));
    }

    #[test]
    fn an_unlikely_class_has_a_log_of_its_probability() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1, 2]).output("y", Element::F32).node(
            "",
            "LogSoftmax",
            &["x"],
            &["y"],
            vec![int("axis", 1)],
        );
        let got = model.run(2, vec![tensor(&[2, 2], &[0.0f32, 500.0, 1.0, 1.0])]).expect("a sound model");
        let half = -(2f32.ln());
        assert_close(&got[0], &tensor(&[2, 2], &[-500.0f32, 0.0, half, half]));
    }

    fn check_reduced(keepdims: i64, shape: &[usize]) {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("axes", &ints_in(&[1], &[1]))
            .node("", "ReduceLogSumExp", &["x", "axes"], &["y"], vec![int("keepdims", keepdims)]);
        let rows = [-1000.0, -1000.0, 1000.0, 0.0, f32::INFINITY, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
        let got = model.run(4, vec![tensor(&[4, 2], &rows)]).expect("a sound model");
        let expected = [-1000.0 + 2f32.ln(), 1000.0, f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(crate::tensor_values::<f32>(&got[0]), Some(&expected[..]));
        assert_eq!(got[0].shape(), shape);
    }

    #[test]
    fn a_sum_of_very_small_or_large_exponentials_has_a_logarithm() {
        check_reduced(0, &[4]);
        check_reduced(1, &[4, 1]);
    }
}
