//! `LSTM`, `GRU` and `RNN` in the forms that tract does not know, or takes for others: from the end to the beginning,
//! with other activations than the usual ones, with a length for each row, with bounds. Both directions at once tract
//! does a row at a time.

mod activation;
mod layer;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{floats, strings};
use super::of_tract::of_tract;
use super::{Built, Kernel, RowAxes, Signature, kernel_of_given};
use activation::Activation;
use layer::{Kind, Layer, Steps};

/// Builds the operator where tract's own is right, and ours otherwise.
pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if is_plain(node)? {
        return of_tract(ctx, node);
    }
    kernel_of_given(node, Recurrent::new(node)?)
}

/// Where the lengths of the rows and their first states are among the inputs.
const LENGTHS: usize = 4;
const FIRST_HIDDEN: usize = 5;
const FIRST_CELL: usize = 6;
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
        given.enumerate().for_each(|(place, (at, _))| slots[at] = Some(place));
        node.expect(slots[..3].iter().all(Option::is_some), "an input, its weights and those of the state")?;
        Ok(Recurrent {
            kind,
            hidden: node.get_attr::<usize>("hidden_size")?,
            rows_first: node.get_attr_opt::<i64>("layout")?.unwrap_or(0) != 0,
            directions,
            layers: activations.chunks(each).map(layer).collect::<TractResult<_>>()?,
            slots,
        })
    }
}

impl Kernel for Recurrent {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure!(inputs[0].element == DatumType::F32, "single precision is needed, not {:?}", inputs[0].element);
        let [first, second, _] = &*inputs[0].shape else { bail!("three axes are needed") };
        let (steps, rows) = if self.rows_first { (second, first) } else { (first, second) };
        let (steps, rows) = (steps.clone(), rows.clone());
        let (directions, hidden) = (self.directions.len().to_dim(), self.hidden.to_dim());
        let (all, last): (TVec<TDim>, TVec<TDim>) = match self.rows_first {
            true => (tvec![rows.clone(), steps, directions.clone(), hidden.clone()], tvec![rows, directions, hidden]),
            false => (tvec![steps, directions.clone(), rows.clone(), hidden.clone()], tvec![directions, rows, hidden]),
        };
        let last = std::iter::repeat_n(last, self.kind.last_values());
        Ok(std::iter::once(all).chain(last).map(|shape| Signature::new(DatumType::F32, shape)).collect())
    }

    fn row_axes(&self) -> Option<RowAxes> {
        let axis = |otherwise: usize| Some(if self.rows_first { 0 } else { otherwise });
        let of_input = |at: usize| match at {
            0 | FIRST_HIDDEN | FIRST_CELL => axis(1),
            LENGTHS => Some(0),
            _ => None,
        };
        let given = (0..INPUTS_MAX).filter(|&at| self.slots[at].is_some());
        Some(RowAxes { inputs: given.map(of_input).collect(), outputs: tvec![axis(2), axis(1), axis(1)] })
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let given = |at: usize| self.slots[at].map(|place| inputs[place]);
        Steps::new(self, &given)?.run()
    }
}

#[cfg(test)]
mod tests;
