//! `Slice` in steps, as a list of the places that it picks. tract leaves out elements first and computes what is left:
//! of a softmax that is another one.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Gather, Slice, StridedSlice};
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::node::values;
use super::of_tract::of_tract;

/// Since this version what is picked is an input, and may have steps.
const STEPS_SINCE: i64 = 10;

#[derive(Debug, Clone)]
struct Steps {
    tract: StridedSlice,
}

pub(super) fn build(context: &ParsingContext, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version < STEPS_SINCE {
        return of_tract(context, node);
    }
    let mut optional = optional_inputs(node).skip(3);
    let (axes, steps) = (optional.next().flatten(), optional.next().flatten());
    let tract = StridedSlice {
        optional_axes_input: axes,
        optional_steps_input: steps,
        begin_mask: 0,
        end_mask: 0,
        shrink_axis_mask: 0,
    };
    if steps.is_none() {
        return Ok((Box::new(tract), vec![]));
    }
    Ok((expand(Steps { tract }), vec![]))
}

impl Expansion for Steps {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        InferenceRulesOp::rules(&self.tract, s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let Some(picks) = self.picks(model, inputs)? else {
            return model.wire_node(prefix, self.tract.clone(), inputs);
        };
        let mut picked: TVec<OutletId> = inputs[..1].into();
        for (axis, pick) in picks {
            let name = format!("{prefix}.axis_{axis}");
            picked = match pick {
                Pick::Range(start, end) => model.wire_node(name, Slice::new(axis, start, end), &picked)?,
                Pick::Places(places) => {
                    let places = model.add_const(format!("{name}.places"), tensor1(&places))?;
                    model.wire_node(name, Gather::new(axis), &[picked[0], places])?
                }
            };
        }
        model.rename_node(picked[0].node, prefix)?;
        Ok(picked)
    }
}

/// What of an axis is picked.
enum Pick {
    Range(TDim, TDim),
    Places(Vec<i64>),
}

impl Steps {
    /// For each axis that is sliced; `None` if all steps are one, or something depends on the data.
    fn picks(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<Vec<(usize, Pick)>>> {
        let constant = |slot: usize| Ok::<_, TractError>(model.outlet_fact(inputs[slot])?.konst.clone());
        let steps = self.tract.optional_steps_input.map(constant).transpose()?.flatten();
        let (Some(start), Some(end), Some(steps)) = (constant(1)?, constant(2)?, steps) else { return Ok(None) };
        let steps = steps.cast_to::<i32>()?;
        let steps = values::<i32>(&steps)?;
        if steps.iter().all(|&step| step == 1) {
            return Ok(None);
        }
        let shape = &model.outlet_fact(inputs[0])?.shape;
        let axes: Vec<i64> = match self.tract.optional_axes_input {
            None => (0..steps.len() as i64).collect(),
            Some(slot) => match constant(slot)? {
                Some(axes) => values::<i64>(axes.cast_to::<i64>()?.as_ref())?.to_vec(),
                None => return Ok(None),
            },
        };
        let mut picks = Vec::with_capacity(axes.len());
        for (nth, axis) in axes.into_iter().enumerate() {
            let axis = if axis < 0 { axis + shape.rank() as i64 } else { axis };
            let axis = usize::try_from(axis).ok().filter(|&axis| axis < shape.rank());
            let axis = axis.with_context(|| format!("there is no such axis of {}", shape.rank()))?;
            let range = self.tract.prepare_one_dim(nth, &shape[axis], &start, &end, steps)?;
            let pick = match (range.stride, range.begin.to_i64(), range.end.to_i64()) {
                (0, ..) => bail!("a step of zero goes nowhere"),
                (1, ..) => Pick::Range(range.begin, range.end),
                (step, Ok(begin), Ok(end)) => Pick::Places(places(begin, end, step.into())),
                _ => return Ok(None),
            };
            picks.push((axis, pick));
        }
        Ok(Some(picks))
    }
}

/// From `begin` in steps up to, or down to, `end`, which is not among them.
fn places(begin: i64, end: i64, step: i64) -> Vec<i64> {
    let all = std::iter::successors(Some(begin), |place| place.checked_add(step));
    all.take_while(|&place| if step > 0 { place < end } else { place > end }).collect()
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};

    fn check(start: i64, end: i64, step: i64, expected: &[f32]) {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 4])
            .output("y", Element::F32)
            .constant("start", &ints_in(&[1], &[start]))
            .constant("end", &ints_in(&[1], &[end]))
            .constant("axis", &ints_in(&[1], &[-1]))
            .constant("step", &ints_in(&[1], &[step]))
            .node("", "Softmax", &["x"], &["shares"], vec![int("axis", 1)])
            .node("", "Abs", &["shares"], &["same"], vec![])
            .node("", "Slice", &["same", "start", "end", "axis", "step"], &["y"], vec![]);
        for rows in [1, 3, 200] {
            let row = [1.0f32, 2.0, 3.0, 4.0].map(f32::ln);
            let got = model.run(rows, vec![tensor(&[rows, 4], &row.repeat(rows))]).expect("a sound model");
            assert_close(&got[0], &tensor(&[rows, expected.len()], &expected.repeat(rows)));
        }
    }

    #[test]
    fn shares_of_all_are_picked_in_steps() {
        check(0, i64::MAX, 2, &[0.1, 0.3]);
        check(-3, 4, 2, &[0.2, 0.4]);
        check(-1, i64::MIN, -1, &[0.4, 0.3, 0.2, 0.1]);
        check(2, 0, -1, &[0.3, 0.2]);
        check(1, 1 << 60, 3, &[0.2]);
    }
}
