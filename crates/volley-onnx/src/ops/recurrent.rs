//! `LSTM`, `GRU` and `RNN` in the forms that tract does not know, or takes for others: from the end to the beginning,
//! with other activations than the usual ones, with a length for each row, with bounds. Both directions at once tract
//! does a row at a time.

mod activation;
mod layer;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::node::{floats, strings};
use activation::Activation;
use layer::{Kind, Layer, Steps};

/// Builds the operator where tract's own is right, and ours otherwise.
pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if is_plain(node)? {
        let tract = tract_onnx::onnx().op_register.0;
        let build = tract.get(&node.op_type).with_context(|| format!("tract has no {}", node.op_type))?;
        return build(ctx, node);
    }
    Ok((expand(Recurrent::new(node)?), vec![]))
}

/// Where the lengths of the rows are among the inputs.
const LENGTHS: usize = 4;
const INPUTS_MAX: usize = 8;

fn is_plain(node: &NodeProto) -> TractResult<bool> {
    let direction = node.get_attr_opt::<&str>("direction")?.unwrap_or("forward");
    let bounded = node.attribute.iter().any(|it| it.name == "clip");
    let coupled = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    let lengths = node.input.get(LENGTHS).is_some_and(|name| !name.is_empty());
    let kind = Kind::of(node)?;
    let usual = Activation::usual(kind, directions(direction)?.len());
    let activations = strings(node, "activations")?;
    let as_usual = activations.is_empty() || activation::read(node, &activations)? == usual;
    Ok(direction == "forward" && !bounded && !coupled && !lengths && as_usual)
}

/// Whether each direction goes from the end to the beginning.
fn directions(direction: &str) -> TractResult<&'static [bool]> {
    Ok(match direction {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => bail!("{other} is no direction"),
    })
}

#[derive(Debug, Clone)]
struct Recurrent {
    kind: Kind,
    hidden: usize,
    /// `[rows, steps, …]` instead of `[steps, rows, …]`.
    rows_first: bool,
    directions: &'static [bool],
    layers: Vec<Layer>,
    /// Where each of the operator's inputs is among those that are given.
    slots: [Option<usize>; INPUTS_MAX],
    inputs: usize,
    /// The outputs that are named: all states, the last ones, the last cells.
    kept: TVec<usize>,
}

impl Recurrent {
    fn new(node: &NodeProto) -> TractResult<Recurrent> {
        let kind = Kind::of(node)?;
        let directions = directions(node.get_attr_opt::<&str>("direction")?.unwrap_or("forward"))?;
        let given = strings(node, "activations")?;
        let activations = match given.as_slice() {
            [] => Activation::usual(kind, directions.len()),
            given => activation::read(node, given)?,
        };
        let each = kind.activations();
        node.expect(activations.len() == each * directions.len(), "activations for each direction")?;
        let clip = node.get_attr_opt::<f32>("clip")?;
        node.expect(clip.is_none_or(|clip| clip >= 0.0), "a bound that is not negative")?;
        let layer = |activations: &[Activation]| -> TractResult<Layer> {
            Ok(Layer {
                activations: activations.to_vec(),
                clip,
                coupled: node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0,
                linear_before_reset: node.get_attr_opt::<i64>("linear_before_reset")?.unwrap_or(0) != 0,
            })
        };
        let mut slots = [None; INPUTS_MAX];
        node.expect(node.input.len() <= INPUTS_MAX, "at most eight inputs")?;
        let given = node.input.iter().enumerate().filter(|(_, name)| !name.is_empty());
        let given: Vec<usize> = given.map(|(at, _)| at).collect();
        given.iter().enumerate().for_each(|(place, &at)| slots[at] = Some(place));
        node.expect(slots[..3].iter().all(Option::is_some), "an input, its weights and those of the state")?;
        Ok(Recurrent {
            kind,
            hidden: node.get_attr::<usize>("hidden_size")?,
            rows_first: node.get_attr_opt::<i64>("layout")?.unwrap_or(0) != 0,
            directions,
            layers: activations.chunks(each).map(layer).collect::<TractResult<_>>()?,
            slots,
            inputs: given.len(),
            kept: (0..node.output.len()).filter(|&at| !node.output[at].is_empty()).collect(),
        })
    }

    /// The axis of rows in the input, and in an output.
    fn row_axis_in(&self) -> usize {
        usize::from(!self.rows_first)
    }

    fn row_axis_out(&self, output: usize) -> usize {
        match (self.rows_first, output) {
            (true, _) => 0,
            (false, 0) => 2,
            (false, _) => 1,
        }
    }

    fn output_shapes(&self, input: &[TDim]) -> TractResult<TVec<TVec<TDim>>> {
        let [first, second, _] = input else { bail!("three axes are needed, there are {}", input.len()) };
        let (steps, rows) = if self.rows_first { (second, first) } else { (first, second) };
        let (directions, hidden) = (self.directions.len().to_dim(), self.hidden.to_dim());
        let shape = |output: &usize| -> TractResult<TVec<TDim>> {
            Ok(match (*output, self.rows_first) {
                (0, false) => tvec![steps.clone(), directions.clone(), rows.clone(), hidden.clone()],
                (0, true) => tvec![rows.clone(), steps.clone(), directions.clone(), hidden.clone()],
                (_, false) => tvec![directions.clone(), rows.clone(), hidden.clone()],
                (_, true) => tvec![rows.clone(), directions.clone(), hidden.clone()],
            })
        };
        let last = if self.kind == Kind::Lstm { 2 } else { 1 };
        ensure!(self.kept.iter().all(|&output| output <= last), "there are no more than {last} outputs");
        self.kept.iter().map(shape).collect()
    }
}

impl Expansion for Recurrent {
    fn name(&self) -> StaticName {
        self.kind.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.kept.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs)?;
        check_output_arity(outputs, self.kept.len())?;
        for output in outputs {
            s.equals(&inputs[0].datum_type, &output.datum_type)?;
        }
        s.given(&inputs[0].shape, move |s, shape| {
            for (output, expected) in outputs.iter().zip(self.output_shapes(&shape)?) {
                s.equals(&output.shape, expected)?;
            }
            Ok(())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl PartialEq for Recurrent {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Recurrent {}

impl Op for Recurrent {
    fn name(&self) -> StaticName {
        self.kind.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for Recurrent {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let given = |at: usize| self.slots[at].map(|place| &*inputs[place]);
        let steps = Steps::new(self, &given)?;
        let all = steps.run()?;
        Ok(self.kept.iter().map(|&at| all[at].clone().into_tvalue()).collect())
    }
}

impl TypedOp for Recurrent {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == DatumType::F32, "single precision is needed, not {:?}", inputs[0].datum_type);
        let shapes = self.output_shapes(&inputs[0].shape)?;
        Ok(shapes.into_iter().map(|shape| DatumType::F32.fact(&*shape)).collect())
    }

    /// Rows stay apart; all else meets.
    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        let mut names = ('a'..'z').chain('A'..='Z');
        let mut axis = || -> TractResult<Axis> {
            let name = names.next().context("fewer axes than letters")?;
            Ok(Axis::new(name, inputs.len(), outputs.len()))
        };
        let row_axes: Vec<(usize, usize)> = [(0, self.row_axis_in()), (LENGTHS, 0), (5, 1), (6, 1)]
            .into_iter()
            .filter_map(|(at, axis)| Some((self.slots[at]?, if at > LENGTHS && self.rows_first { 0 } else { axis })))
            .collect();
        let mut rows = axis()?;
        for &(slot, at) in &row_axes {
            rows = rows.input(slot, at);
        }
        for (slot, &output) in self.kept.iter().enumerate() {
            rows = rows.output(slot, self.row_axis_out(output));
        }
        let mut axes = vec![rows];
        for (slot, fact) in inputs.iter().enumerate() {
            for at in (0..fact.rank()).filter(|&at| !row_axes.contains(&(slot, at))) {
                axes.push(axis()?.input(slot, at));
            }
        }
        for (slot, (fact, &output)) in outputs.iter().zip(&self.kept).enumerate() {
            for at in (0..fact.rank()).filter(|&at| at != self.row_axis_out(output)) {
                axes.push(axis()?.output(slot, at));
            }
        }
        AxesMapping::new(inputs.len(), outputs.len(), axes)
    }
}

#[cfg(test)]
mod tests;
