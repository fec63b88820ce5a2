//! The steps of a recurrent layer, one direction after the other.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::tract_ndarray::linalg::general_mat_mul;
use tract_onnx::tract_hir::internal::tract_ndarray::{Array2, ArrayView2};
use tract_onnx::tract_hir::internal::*;

use super::super::node::{refuse, values};
use super::{Activation, FIRST_CELL, FIRST_HIDDEN, LENGTHS, Recurrent};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lstm,
    Gru,
    Rnn,
}

impl Kind {
    pub(super) fn of(node: &NodeProto) -> TractResult<Kind> {
        Ok(match node.op_type.as_str() {
            "LSTM" => Kind::Lstm,
            "GRU" => Kind::Gru,
            "RNN" => Kind::Rnn,
            other => bail!("{other} is not recurrent"),
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Lstm => "LSTM",
            Kind::Gru => "GRU",
            Kind::Rnn => "RNN",
        }
    }

    /// Sums for each hidden value.
    fn gates(self) -> usize {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            Kind::Rnn => 1,
        }
    }

    /// Outputs of what is there at the end.
    pub(super) fn last_values(self) -> usize {
        if self == Kind::Lstm { 2 } else { 1 }
    }

    /// Activations of each direction.
    pub(super) fn activations(self) -> usize {
        match self {
            Kind::Lstm => 3,
            Kind::Gru => 2,
            Kind::Rnn => 1,
        }
    }
}

/// What one direction does with its sums.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) activations: Vec<Activation>,
    /// The sums are kept between this and its opposite.
    pub(super) clip: Option<f32>,
    /// What the input gate lets in, the forget gate lets out.
    pub(super) coupled: bool,
    pub(super) linear_before_reset: bool,
}

/// One row at one step: its own sums, those of its state, and the weights beside them.
struct Moment<'a> {
    /// Of the input, with the biases of input and state, except where a GRU needs them apart.
    sums: &'a [f32],
    /// Of the state.
    of_state: &'a [f32],
    /// From cell to gates: input, output, forget.
    peepholes: Option<&'a [f32]>,
}

impl Layer {
    fn bounded(&self, sum: f32) -> f32 {
        match self.clip {
            Some(clip) if sum > clip => clip,
            Some(clip) if sum < -clip => -clip,
            _ => sum,
        }
    }

    fn lstm(&self, at: &Moment, hidden: &mut [f32], cell: &mut [f32]) {
        let size = hidden.len();
        let [gate, input, output] = [self.activations[0], self.activations[1], self.activations[2]];
        for unit in 0..size {
            let sum = |gate: usize| at.sums[gate * size + unit] + at.of_state[gate * size + unit];
            let peep = |gate: usize, cell: f32| at.peepholes.map_or(0.0, |it| it[gate * size + unit] * cell);
            let let_in = gate.of(self.bounded(sum(0) + peep(0, cell[unit])));
            let kept = match self.coupled {
                true => 1.0 - let_in,
                false => gate.of(self.bounded(sum(2) + peep(2, cell[unit]))),
            };
            cell[unit] = kept * cell[unit] + let_in * input.of(self.bounded(sum(3)));
            let let_out = gate.of(self.bounded(sum(1) + peep(1, cell[unit])));
            hidden[unit] = let_out * output.of(cell[unit]);
        }
    }

    fn rnn(&self, at: &Moment, hidden: &mut [f32]) {
        for (unit, hidden) in hidden.iter_mut().enumerate() {
            *hidden = self.activations[0].of(self.bounded(at.sums[unit] + at.of_state[unit]));
        }
    }

    /// The gate that keeps the state, and the one that resets it.
    fn gru_gates(&self, at: &Moment, size: usize) -> (Vec<f32>, Vec<f32>) {
        let gate = |unit: usize| self.activations[0].of(self.bounded(at.sums[unit] + at.of_state[unit]));
        ((0..size).map(gate).collect(), (size..2 * size).map(gate).collect())
    }
}

/// All steps of an input. What follows the first axis of `shape` lies as the operator says.
pub(super) struct Steps<'a> {
    op: &'a Recurrent,
    input: &'a [f32],
    steps: usize,
    rows: usize,
    width: usize,
    weights: &'a [f32],
    state_weights: &'a [f32],
    bias: Option<&'a [f32]>,
    lengths: Vec<usize>,
    first_hidden: Option<&'a [f32]>,
    first_cell: Option<&'a [f32]>,
    peepholes: Option<&'a [f32]>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(op: &'a Recurrent, given: &dyn Fn(usize) -> Option<&'a Tensor>) -> TractResult<Steps<'a>> {
        let needed = |at: usize| given(at).context("a recurrent layer has an input and weights");
        let &[first, second, width] = needed(0)?.shape() else { bail!("three axes are needed") };
        let (steps, rows) = if op.rows_first { (second, first) } else { (first, second) };
        let (directions, gates, hidden) = (op.directions.len(), op.kind.gates(), op.hidden);
        let sized = |at: usize, size: usize| -> TractResult<Option<&'a [f32]>> {
            let Some(tensor) = given(at) else { return Ok(None) };
            ensure!(tensor.len() == size, "input {at} of a recurrent layer has another size");
            values::<f32>(tensor).map(Some)
        };
        let required = |at: usize, size: usize| sized(at, size)?.context("weights are there");
        let (first_cell, peepholes) = match op.kind {
            Kind::Lstm => (sized(FIRST_CELL, directions * rows * hidden)?, sized(7, directions * 3 * hidden)?),
            _ => (None, None),
        };
        Ok(Steps {
            op,
            input: values::<f32>(needed(0)?)?,
            steps,
            rows,
            width,
            weights: required(1, directions * gates * hidden * width)?,
            state_weights: required(2, directions * gates * hidden * hidden)?,
            bias: sized(3, directions * 2 * gates * hidden)?,
            lengths: lengths(given(LENGTHS), rows, steps)?,
            first_hidden: sized(FIRST_HIDDEN, directions * rows * hidden)?,
            first_cell,
            peepholes,
        })
    }

    /// All states, the last ones, and the last cells.
    pub(super) fn run(&self) -> TractResult<Vec<Tensor>> {
        let (directions, hidden) = (self.op.directions.len(), self.op.hidden);
        let mut all = vec![0.0; self.steps * directions * self.rows * hidden];
        let mut last = [vec![0.0; directions * self.rows * hidden], vec![0.0; directions * self.rows * hidden]];
        for direction in 0..directions {
            let (states, cells) = self.direction(direction, &mut all)?;
            for row in 0..self.rows {
                let to = self.last_place(direction, row) * hidden..;
                last[0][to.clone()][..hidden].copy_from_slice(&states[row * hidden..][..hidden]);
                last[1][to][..hidden].copy_from_slice(&cells[row * hidden..][..hidden]);
            }
        }
        let (steps, rows) = (self.steps, self.rows);
        let (all_shape, shape) = match self.op.rows_first {
            true => ([rows, steps, directions, hidden], [rows, directions, hidden]),
            false => ([steps, directions, rows, hidden], [directions, rows, hidden]),
        };
        let [states, cells] = last.map(|values| crate::tensor_from(&shape, values));
        Ok(vec![crate::tensor_from(&all_shape, all), states, cells])
    }

    /// The last states and cells of one direction, whose states are written to `all`.
    fn direction(&self, direction: usize, all: &mut [f32]) -> TractResult<(Vec<f32>, Vec<f32>)> {
        let (hidden, gates, rows) = (self.op.hidden, self.op.kind.gates(), self.rows);
        let wide = gates * hidden;
        let of_direction = |values: &'a [f32], size: usize| &values[direction * size..][..size];
        let weights = matrix(wide, self.width, of_direction(self.weights, wide * self.width))?;
        let state_weights = matrix(wide, hidden, of_direction(self.state_weights, wide * hidden))?;
        let sums = self.input_sums(weights, self.bias.map(|bias| of_direction(bias, 2 * wide)))?;
        let state_bias = self.bias.map(|bias| &of_direction(bias, 2 * wide)[wide..]);
        let peepholes = self.peepholes.map(|it| of_direction(it, 3 * hidden));
        let mut states = self.first(self.first_hidden, direction);
        let mut cells = self.first(self.first_cell, direction);
        let layer = &self.op.layers[direction];
        for step in 0..self.steps {
            let of_state = product(&states, rows, state_weights)?;
            for row in (0..rows).filter(|&row| step < self.lengths[row]) {
                let time = if self.op.directions[direction] { self.lengths[row] - 1 - step } else { step };
                let at = Moment {
                    sums: &sums[self.input_place(time, row) * wide..][..wide],
                    of_state: &of_state[row * wide..][..wide],
                    peepholes,
                };
                let state = &mut states[row * hidden..][..hidden];
                match self.op.kind {
                    Kind::Lstm => layer.lstm(&at, state, &mut cells[row * hidden..][..hidden]),
                    Kind::Rnn => layer.rnn(&at, state),
                    Kind::Gru => gru(layer, &at, state, state_weights, state_bias),
                }
                let to = self.state_place(time, direction, row) * hidden;
                all[to..][..hidden].copy_from_slice(state);
            }
        }
        Ok((states, cells))
    }

    /// The weighted sums of the whole input, with its bias and that of the state; a GRU keeps the last part of the
    /// latter for itself.
    fn input_sums(&self, weights: ArrayView2<f32>, bias: Option<&[f32]>) -> TractResult<Vec<f32>> {
        let wide = weights.nrows();
        let mut sums = product(self.input, self.steps * self.rows, weights)?;
        if let Some(bias) = bias {
            let (own, of_state) = bias.split_at(wide);
            let apart = if self.op.kind == Kind::Gru { 2 * self.op.hidden } else { wide };
            let both: Vec<f32> =
                own.iter().enumerate().map(|(at, own)| if at < apart { own + of_state[at] } else { *own }).collect();
            for row in sums.chunks_exact_mut(wide) {
                row.iter_mut().zip(&both).for_each(|(sum, bias)| *sum += bias);
            }
        }
        Ok(sums)
    }

    fn first(&self, given: Option<&[f32]>, direction: usize) -> Vec<f32> {
        let (hidden, rows) = (self.op.hidden, self.rows);
        let Some(given) = given else { return vec![0.0; rows * hidden] };
        (0..rows).flat_map(|row| &given[self.last_place(direction, row) * hidden..][..hidden]).copied().collect()
    }

    fn input_place(&self, time: usize, row: usize) -> usize {
        if self.op.rows_first { row * self.steps + time } else { time * self.rows + row }
    }

    fn state_place(&self, time: usize, direction: usize, row: usize) -> usize {
        let directions = self.op.directions.len();
        match self.op.rows_first {
            true => (row * self.steps + time) * directions + direction,
            false => (time * directions + direction) * self.rows + row,
        }
    }

    fn last_place(&self, direction: usize, row: usize) -> usize {
        if self.op.rows_first { row * self.op.directions.len() + direction } else { direction * self.rows + row }
    }
}

/// How many steps each row has.
fn lengths(given: Option<&Tensor>, rows: usize, steps: usize) -> TractResult<Vec<usize>> {
    let Some(given) = given else { return Ok(vec![steps; rows]) };
    let given = given.cast_to::<i64>()?;
    let given = values::<i64>(&given)?;
    ensure!(given.len() == rows, "a length for each row");
    let length = |&length: &i64| usize::try_from(length).ok().filter(|length| *length <= steps);
    match given.iter().map(length).collect() {
        Some(lengths) => Ok(lengths),
        None => refuse("a row has a length that its steps do not have"),
    }
}

/// A GRU's next state. With the reset before the product, the state must be reset first.
fn gru(layer: &Layer, at: &Moment, state: &mut [f32], weights: ArrayView2<f32>, bias: Option<&[f32]>) {
    let size = state.len();
    let (keep, reset) = layer.gru_gates(at, size);
    let bias = |unit: usize| bias.map_or(0.0, |bias| bias[2 * size + unit]);
    let next: Vec<f32> = (0..size)
        .map(|unit| {
            let of_state = match layer.linear_before_reset {
                true => reset[unit] * (at.of_state[2 * size + unit] + bias(unit)),
                false => {
                    let weights = weights.row(2 * size + unit);
                    let products = weights.iter().zip(&reset).zip(state.iter());
                    products.map(|((weight, reset), state)| weight * (reset * state)).sum::<f32>() + bias(unit)
                }
            };
            layer.activations[1].of(layer.bounded(at.sums[2 * size + unit] + of_state))
        })
        .collect();
    for (unit, state) in state.iter_mut().enumerate() {
        *state = (1.0 - keep[unit]) * next[unit] + keep[unit] * *state;
    }
}

fn matrix(rows: usize, columns: usize, values: &[f32]) -> TractResult<ArrayView2<'_, f32>> {
    ArrayView2::from_shape((rows, columns), values).context("a matrix of its size")
}

/// `rows` of `values`, each multiplied by each row of `weights`.
fn product(values: &[f32], rows: usize, weights: ArrayView2<f32>) -> TractResult<Vec<f32>> {
    let values = matrix(rows, weights.ncols(), values)?;
    let mut sums = Array2::<f32>::zeros((rows, weights.nrows()));
    general_mat_mul(1.0, &values, &weights.t(), 0.0, &mut sums);
    Ok(sums.into_raw_vec_and_offset().0)
}
