//! Follows the rows through a graph: whether each comes out alone, or meets others on the way.

use std::collections::{HashMap, HashSet};

use tract_onnx::tract_core::ops::array::{GatherElements, ScatterElements, StridedSlice, Tile, Topk, Trilu};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::{Reduce, RmsNorm, Softmax};
use tract_onnx::tract_core::ops::scan::{InputMapping, Scan};
use tract_onnx::tract_hir::internal::*;

use crate::ops::is_kernel_over_rows;

/// Why rows cannot be scored together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mixed {
    /// Rows meet at this node.
    At(String),
    /// What this node does with rows is not known.
    Unknown(String),
}

/// Follows rows from the first axis of each input to the first axis of each output.
///
/// `rows` is the length of the inputs' first axis, of which there must be more than one: a row
/// alone meets nobody.
pub(super) fn check(model: &TypedModel, rows: &TDim) -> TractResult<Result<(), Mixed>> {
    let axes = match follow(model, rows, inputs(model)?)? {
        Ok(axes) => axes,
        Err(mixed) => return Ok(Err(mixed)),
    };
    let misplaced = model.output_outlets()?.iter().find(|outlet| axes.get(outlet).is_some_and(|axis| *axis != 0));
    Ok(misplaced.map_or(Ok(()), |outlet| Err(Mixed::At(place(model.node(outlet.node))))))
}

/// Where rows meet, or may, wherever their outputs lie.
pub(super) fn meet(model: &TypedModel, rows: &TDim) -> TractResult<Option<Mixed>> {
    Ok(follow(model, rows, inputs(model)?)?.err())
}

fn inputs(model: &TypedModel) -> TractResult<RowAxes> {
    Ok(model.input_outlets()?.iter().map(|input| (*input, 0)).collect())
}

/// Where the number of rows, `rows`, is computed with: arithmetic or a choice that has it beside what depends on rows.
pub(super) fn counted(model: &TypedModel, rows: &TDim) -> TractResult<Option<String>> {
    let names_rows = |fact: &TypedFact| {
        let constant = fact.konst.as_ref().and_then(|constant| crate::tensor_values::<TDim>(constant));
        constant.is_some_and(|dims| dims.iter().any(|dim| dim.symbols().iter().any(|it| rows.symbols().contains(it))))
    };
    let mut fed: HashSet<OutletId> = model.input_outlets()?.iter().copied().collect();
    let mut counts: HashSet<OutletId> = HashSet::new();
    for id in model.eval_order()? {
        let node = model.node(id);
        let computes = node.op_is::<TypedBinOp>() || node.op_is::<Iff>() || node.op_is::<EinSum>();
        let has = |of: &HashSet<OutletId>| node.inputs.iter().any(|input| of.contains(input));
        if computes && has(&fed) && has(&counts) {
            return Ok(Some(place(node)));
        }
        for (slot, output) in node.outputs.iter().enumerate() {
            let outlet = OutletId::new(id, slot);
            if has(&fed) {
                fed.insert(outlet);
            }
            if has(&counts) || names_rows(&output.fact) {
                counts.insert(outlet);
            }
        }
    }
    Ok(None)
}

/// The tensors that depend on the rows, each with the axis along which they lie. That axis is as
/// long as there are rows, or a multiple: then the rows are its outer part.
type RowAxes = HashMap<OutletId, usize>;

fn follow(model: &TypedModel, rows: &TDim, mut axes: RowAxes) -> TractResult<Result<RowAxes, Mixed>> {
    for id in model.eval_order()? {
        let step = Step { model, node: model.node(id), axes: &axes, rows };
        match step.outputs()? {
            Ok(found) => axes.extend(found),
            Err(mixed) => return Ok(Err(mixed)),
        }
    }
    Ok(Ok(axes))
}

fn place(node: &TypedNode) -> String {
    format!("`{}` ({})", node.name, node.op.name())
}

/// One node on the way.
struct Step<'m> {
    model: &'m TypedModel,
    node: &'m TypedNode,
    axes: &'m RowAxes,
    rows: &'m TDim,
}

/// What becomes of the rows' axis of one input in one output.
enum Way {
    To(usize),
    Meets,
    Unknown,
}

impl Step<'_> {
    fn outputs(&self) -> TractResult<Result<Vec<(OutletId, usize)>, Mixed>> {
        if let Some(scan) = self.node.op.downcast_ref::<Scan>() {
            return self.through_scan(scan);
        }
        let mut found = Vec::new();
        for output in 0..self.node.outputs.len() {
            let mut at = None;
            for (slot, axis) in self.fed() {
                match self.way(slot, axis, output)? {
                    Way::To(axis) if at.is_none_or(|at| at == axis) => at = Some(axis),
                    Way::Unknown => return Ok(Err(Mixed::Unknown(place(self.node)))),
                    Way::To(_) | Way::Meets => return Ok(Err(Mixed::At(place(self.node)))),
                }
            }
            let Some(axis) = at else { continue };
            if self.treats_rows_by_number(axis, output)? {
                return Ok(Err(Mixed::At(place(self.node))));
            }
            found.push((OutletId::new(self.node.id, output), axis));
        }
        Ok(Ok(found))
    }

    /// The inputs that depend on the rows, with the axis along which they lie.
    fn fed(&self) -> impl Iterator<Item = (usize, usize)> {
        self.node.inputs.iter().enumerate().filter_map(|(slot, it)| Some((slot, *self.axes.get(it)?)))
    }

    fn way(&self, slot: usize, axis: usize, output: usize) -> TractResult<Way> {
        let op: &dyn TypedOp = self.node.op.as_ref();
        let kept = |apart: bool| if apart { Way::To(axis) } else { Way::Meets };
        if let Some(op) = op.downcast_ref::<AxisOp>() {
            return Ok(self.reshaped(op, axis));
        }
        if let Some(apart) = is_kernel_over_rows(op) {
            return Ok(if apart(self.shape(slot)?.len()) {
                self.through_kernel(slot, axis, output)?
            } else {
                Way::Meets
            });
        }
        if let Some(op) = op.downcast_ref::<Softmax>() {
            return Ok(kept(!op.axes.contains(&axis)));
        }
        if let Some(op) = op.downcast_ref::<Reduce>() {
            return Ok(kept(!op.axes.contains(&axis)));
        }
        if let Some(op) = op.downcast_ref::<RmsNorm>() {
            return Ok(kept(op.axis != axis));
        }
        if let Some(op) = op.downcast_ref::<Topk>() {
            return Ok(kept(op.axis != axis));
        }
        if let Some(op) = op.downcast_ref::<GatherElements>() {
            return Ok(kept(op.axis != axis));
        }
        if let Some(op) = op.downcast_ref::<ScatterElements>() {
            return Ok(kept(op.axis != axis));
        }
        if let Some(op) = op.downcast_ref::<Tile>() {
            return Ok(kept(op.multipliers[axis] == 1.to_dim()));
        }
        if op.is::<MaxPool>() || op.is::<SumPool>() {
            return Ok(kept(axis == 0));
        }
        if op.is::<Trilu>() {
            return Ok(kept(axis + 2 < self.shape(slot)?.len()));
        }
        if let Some(op) = op.downcast_ref::<StridedSlice>() {
            return self.sliced(op, axis);
        }
        match op.name().as_ref() {
            "Dropout" | "GruEpilogue" | "LstmEpilogue" => Ok(Way::To(axis)),
            // One scale for all rows; that of a row alone is what a service that scores single rows gives.
            "DynamicQuantizeLinearU8" => Ok(Way::Unknown),
            _ => self.mapped(slot, axis, output),
        }
    }

    /// A slice takes rows apart if it is not a slice of rows.
    fn sliced(&self, op: &StridedSlice, axis: usize) -> TractResult<Way> {
        let Some(slot) = op.optional_axes_input else {
            return Ok(Way::Unknown);
        };
        let Some(sliced) = &self.model.outlet_fact(self.node.inputs[slot])?.konst else {
            return Ok(Way::Unknown);
        };
        let rank = self.shape(0)?.len() as i64;
        let sliced = sliced.cast_to::<i64>()?;
        let of_rows = crate::tensor_values::<i64>(&sliced)
            .is_none_or(|axes| axes.iter().any(|it| it.rem_euclid(rank) == axis as i64));
        Ok(if of_rows { Way::Meets } else { Way::To(axis) })
    }

    /// A loop takes rows apart if it does not run over them, and its body takes them apart each time.
    fn through_scan(&self, scan: &Scan) -> TractResult<Result<Vec<(OutletId, usize)>, Mixed>> {
        let meets = || Ok(Err(Mixed::At(place(self.node))));
        let (inputs, outputs) = (scan.body.input_outlets()?, scan.body.output_outlets()?);
        let runs_over = |slot: usize, axis: usize| matches!(&scan.input_mapping[slot], InputMapping::Scan(info) if info.axis == axis);
        if self.fed().any(|(slot, axis)| runs_over(slot, axis)) {
            return meets();
        }
        let mut seeds: RowAxes = self.fed().map(|(slot, axis)| (inputs[slot], axis)).collect();
        let into = || (0..inputs.len()).filter(|&slot| scan.input_mapping[slot].is_state());
        let out_of = || (0..outputs.len()).filter(|&slot| scan.output_mapping[slot].state);
        let axes = loop {
            let axes = match follow(&scan.body, self.rows, seeds.clone())? {
                Ok(axes) => axes,
                Err(mixed) => return Ok(Err(mixed)),
            };
            // What is carried along depends on the rows from the second time on.
            let carried: Vec<_> = into()
                .zip(out_of())
                .filter_map(|(input, output)| Some((inputs[input], *axes.get(&outputs[output])?)))
                .filter(|(input, axis)| seeds.get(input) != Some(axis))
                .collect();
            if carried.is_empty() {
                break axes;
            }
            if carried.iter().any(|(input, _)| seeds.contains_key(input)) {
                return meets();
            }
            seeds.extend(carried);
        };
        let mut found = Vec::new();
        for (mapping, outlet) in scan.output_mapping.iter().zip(outputs) {
            let Some(&axis) = axes.get(outlet) else { continue };
            if mapping.scan.as_ref().is_some_and(|(_, info)| info.axis == axis) {
                return meets();
            }
            let slots = mapping.scan.iter().map(|(slot, _)| *slot).chain(mapping.last_value_slot);
            found.extend(slots.map(|slot| (OutletId::new(self.node.id, slot), axis)));
        }
        Ok(Ok(found))
    }

    /// As tract says.
    fn mapped(&self, slot: usize, axis: usize, output: usize) -> TractResult<Way> {
        let (inputs, outputs) = self.model.node_facts(self.node.id)?;
        let Ok(mapping) = self.node.op.axes_mapping(&inputs, &outputs) else {
            return Ok(Way::Unknown);
        };
        let says_nothing = mapping
            .iter_all_axes()
            .all(|axis| axis.inputs.iter().all(|at| at.is_empty()) || axis.outputs.iter().all(|at| at.is_empty()));
        if says_nothing {
            return Ok(Way::Unknown);
        }
        let Ok(followed) = mapping.axis((InOut::In(slot), axis)) else {
            return Ok(Way::Unknown);
        };
        Ok(match followed.outputs.get(output).map(|axes| axes.as_slice()) {
            Some([axis]) => Way::To(*axis),
            _ => Way::Meets,
        })
    }

    /// Reshaping leaves the rows in their order if what lies outside of them is as before.
    fn reshaped(&self, op: &AxisOp, axis: usize) -> Way {
        let AxisOp::Reshape(at, from, to) = op else {
            return op.transform_axis(axis).map_or(Way::Unknown, Way::To);
        };
        if axis < *at {
            return Way::To(axis);
        }
        if axis >= at + from.len() {
            return Way::To(axis - from.len() + to.len());
        }
        let outside: TDim = from[..axis - at].iter().product();
        let mut outer = 1.to_dim();
        for (offset, dim) in to.iter().enumerate() {
            if outer == outside && self.holds_rows(dim) {
                return Way::To(at + offset);
            }
            outer *= dim;
        }
        Way::Unknown
    }

    fn holds_rows(&self, dim: &TDim) -> bool {
        dim.maybe_div(self.rows).is_ok_and(|(_, rest)| rest == 1)
    }

    /// Our own operators keep the axis; one that looks things up puts what it finds, in order, on its last axis.
    fn through_kernel(&self, slot: usize, axis: usize, output: usize) -> TractResult<Way> {
        let before = &self.shape(slot)?[axis];
        let after = &self.node.outputs[output].fact.shape;
        if slot == 1 {
            let last = after.len().saturating_sub(1);
            let in_order = axis == 0 && after.get(last).is_some_and(|dim| self.holds_rows(dim));
            return Ok(if in_order { Way::To(last) } else { Way::Unknown });
        }
        Ok(if after.get(axis) == Some(before) { Way::To(axis) } else { Way::Unknown })
    }

    fn shape(&self, slot: usize) -> TractResult<&ShapeFact> {
        Ok(&self.model.outlet_fact(self.node.inputs[slot])?.shape)
    }

    /// Whether a constant beside the rows has another value for each of them.
    fn treats_rows_by_number(&self, axis: usize, output: usize) -> TractResult<bool> {
        let constants = || self.node.inputs.iter().enumerate().filter(|(_, it)| !self.axes.contains_key(it));
        if constants().next().is_none() || is_kernel_over_rows(self.node.op.as_ref()).is_some() {
            return Ok(false);
        }
        let (inputs, outputs) = self.model.node_facts(self.node.id)?;
        let Ok(mapping) = self.node.op.axes_mapping(&inputs, &outputs) else {
            return Ok(false);
        };
        let Ok(beside) = mapping.axis((InOut::Out(output), axis)) else {
            return Ok(false);
        };
        for (slot, _) in constants() {
            if let (Some(constant), [axis]) = (&inputs[slot].konst, &*beside.inputs[slot])
                && !is_uniform(constant, *axis)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether all places of `axis` hold the same.
pub(crate) fn is_uniform(tensor: &Tensor, axis: usize) -> TractResult<bool> {
    let first = tensor.slice(axis, 0, tensor.shape()[axis].min(1))?;
    for at in 1..tensor.shape()[axis] {
        if tensor.slice(axis, at, at + 1)? != first {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, int, ints, ints_in, tensor};
    use crate::{Element, Tensor};

    /// A graph over `rows` rows of two columns, any number for -1.
    fn over(rows: i64) -> ModelBuilder {
        ModelBuilder::default()
            .input("x", Element::F32, &[rows, 2])
            .output("y", Element::F32)
            .constant("first", &ints_in(&[1], &[0]))
            .constant("axis", &ints_in(&[], &[0]))
            .constant("ends", &ints_in(&[1], &[i64::MAX]))
    }

    fn check_mixed(model: ModelBuilder) {
        let error = model.parse().expect_err("rows that meet");
        assert_eq!(error.code(), "rows_mixed", "{error}");
    }

    /// The largest of all rows taken from each.
    fn centred(rows: i64) -> ModelBuilder {
        over(rows).node("", "ReduceMean", &["x"], &["m"], vec![ints("axes", &[0])]).node(
            "",
            "Sub",
            &["x", "m"],
            &["y"],
            vec![],
        )
    }

    #[test]
    fn rows_that_meet_are_refused_with_and_without_a_fixed_batch() {
        for rows in [-1, 2] {
            check_mixed(centred(rows));
            check_mixed(over(rows).node("", "Softmax", &["x"], &["y"], vec![int("axis", 0)]));
            check_mixed(over(rows).node("", "CumSum", &["x", "axis"], &["y"], vec![]));
            check_mixed(over(rows).node("", "LpNormalization", &["x"], &["y"], vec![int("axis", 0)]));
            check_mixed(
                over(rows)
                    .node("", "Transpose", &["x"], &["t"], vec![ints("perm", &[1, 0])])
                    .node("", "MatMul", &["t", "x"], &["square"], vec![])
                    .node("", "MatMul", &["x", "square"], &["y"], vec![]),
            );
            check_mixed(over(rows).node("", "Gather", &["x", "first"], &["one"], vec![int("axis", 0)]).node(
                "",
                "Add",
                &["x", "one"],
                &["y"],
                vec![],
            ));
            check_mixed(
                over(rows)
                    .node("", "Slice", &["x", "first", "ends", "first"], &["all"], vec![])
                    .node("", "ArgMax", &["all"], &["best"], vec![int("axis", 0)])
                    .node("", "Cast", &["best"], &["real"], vec![int("to", 1)])
                    .node("", "Add", &["x", "real"], &["y"], vec![]),
            );
        }
        centred(1).parse().expect("a row alone meets nobody");
    }

    #[test]
    fn a_constant_that_numbers_the_rows_is_refused() {
        let plus = |constant: Tensor| over(2).constant("c", &constant).node("", "Add", &["x", "c"], &["y"], vec![]);
        check_mixed(plus(tensor(&[2, 1], &[0.0f32, 1.0])));
        plus(tensor(&[2, 1], &[1.0f32, 1.0])).parse().expect("the same for each row");
        plus(tensor(&[1, 2], &[0.0f32, 1.0])).parse().expect("the same for each row");
    }

    #[test]
    fn a_score_that_depends_on_the_number_of_rows_is_refused() {
        let by_count = |rows| {
            over(rows)
                .node("", "Shape", &["x"], &["shape"], vec![])
                .node("", "Gather", &["shape", "axis"], &["count"], vec![])
                .node("", "Cast", &["count"], &["number"], vec![int("to", 1)])
                .node("", "Div", &["x", "number"], &["y"], vec![])
        };
        check_mixed(by_count(-1));
        by_count(2).parse().expect("the same for all batches");
        let shaped =
            over(-1).node("", "Shape", &["x"], &["shape"], vec![]).node("", "Reshape", &["x", "shape"], &["y"], vec![]);
        shaped.parse().expect("rows in their shape");
    }

    #[test]
    fn what_is_made_of_all_rows_is_not_taken_for_the_score_of_one() {
        check_mixed(over(-1).node("", "ReduceMean", &["x"], &["y"], vec![ints("axes", &[0])]));
    }

    fn check_apart(model: ModelBuilder, expected: [f32; 4]) {
        let rows = 300;
        let values: Vec<f32> = (0..rows).flat_map(|_| [1.0f32, 2.0, 3.0, 0.0]).collect();
        let got = model.run(2 * rows, vec![tensor(&[2 * rows, 2], &values)]).expect("rows that do not meet");
        let expected: Vec<f32> = (0..rows).flat_map(|_| expected).collect();
        crate::testing::assert_close(&got[0], &tensor(&[2 * rows, 2], &expected));
    }

    #[test]
    fn rows_may_be_moved_and_merged_with_other_axes_on_their_way() {
        let shapes = |model: ModelBuilder| {
            model.constant("column", &ints_in(&[2], &[-1, 1])).constant("pairs", &ints_in(&[2], &[-1, 2]))
        };
        check_apart(
            shapes(over(-1))
                .node("", "Reshape", &["x", "column"], &["long"], vec![])
                .node("", "Neg", &["long"], &["less"], vec![])
                .node("", "Reshape", &["less", "pairs"], &["y"], vec![]),
            [-1.0, -2.0, -3.0, 0.0],
        );
        check_apart(
            over(-1)
                .node("", "Transpose", &["x"], &["t"], vec![ints("perm", &[1, 0])])
                .node("", "CumSum", &["t", "axis"], &["sums"], vec![])
                .node("", "Transpose", &["sums"], &["y"], vec![ints("perm", &[1, 0])]),
            [1.0, 3.0, 3.0, 3.0],
        );
    }
}
