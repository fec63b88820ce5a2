//! Operators that make one element of several of a row.

use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

use super::block::Column;
use super::builder::Builder;
use super::number::Float;
use super::value::{Cells, Given, Value, flat, places};
use crate::tensor::tensor_values;

/// Sums of a product at most: for wider ones, kernels that keep a tile of the matrix in registers are faster.
pub(super) const SUMS_MAX: usize = 16;

/// The output, and what its integers are below.
pub(super) fn reduced(
    op: &Reduce,
    value: &Value,
    dims: &[usize],
    build: &mut Builder,
) -> Option<(Cells, Option<usize>)> {
    let groups = groups(&op.axes, &value.dims, dims);
    match &value.cells {
        Cells::Singles(columns) => of_floats(op.reducer, columns, &groups, build),
        Cells::Doubles(columns) => of_floats(op.reducer, columns, &groups, build),
        _ => None,
    }
}

/// Makes one column of a group of them.
type Fold<'a, T> = dyn Fn(&[Column<T>], &mut Builder) -> Column<T> + 'a;

fn of_floats<T: Float>(
    reducer: Reducer,
    columns: &[Column<T>],
    groups: &[Vec<usize>],
    build: &mut Builder,
) -> Option<(Cells, Option<usize>)> {
    let chosen = |group: &Vec<usize>| -> Vec<Column<T>> { group.iter().map(|&at| columns[at]).collect() };
    let mut each = |of: &Fold<T>| T::cells(groups.iter().map(|group| of(&chosen(group), build)).collect());
    let cells = match reducer {
        Reducer::Sum => each(&|group, build| build.fold(group, T::ZERO, |sum, v| sum + v)),
        Reducer::Prod => each(&|group, build| build.fold(group, T::ONE, |product, v| product * v)),
        Reducer::Max => each(&|group, build| build.best(group, |v, best| v > best)),
        Reducer::Min => each(&|group, build| build.best(group, |v, best| v < best)),
        Reducer::ArgMax(false) => return places_of(columns, groups, |v, best| v > best, build),
        Reducer::ArgMin(false) => return places_of(columns, groups, |v, best| v < best, build),
        _ => return None,
    };
    Some((cells, None))
}

fn places_of<T: Float>(
    columns: &[Column<T>],
    groups: &[Vec<usize>],
    wins: impl Fn(T, T) -> bool + Copy + Send + Sync + 'static,
    build: &mut Builder,
) -> Option<(Cells, Option<usize>)> {
    let winners = groups.iter().map(|group| {
        let group: Vec<_> = group.iter().map(|&at| columns[at]).collect();
        let winner = build.winner(&group, wins);
        build.map(winner, i64::from)
    });
    Some((Cells::Longs(winners.collect()), groups.first().map(Vec::len)))
}

/// For each element of the output, the places of those that it is made of.
fn groups(axes: &[usize], from: &[usize], to: &[usize]) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); to.iter().product()];
    let owner = |index: &[usize]| {
        let kept: Vec<usize> =
            index.iter().enumerate().map(|(axis, &at)| if axes.contains(&axis) { 0 } else { at }).collect();
        flat(&kept, to)
    };
    places(from, owner).into_iter().enumerate().for_each(|(place, owner)| groups[owner].push(place));
    groups
}

/// Shares of exponentials.
pub(super) fn softmax(op: &Softmax, value: &Value, build: &mut Builder) -> Option<Cells> {
    if op.quant_output_dt.is_some() || op.kind != SoftmaxKind::Softmax {
        return None;
    }
    let kept: Vec<usize> =
        value.dims.iter().enumerate().map(|(axis, &len)| if op.axes.contains(&axis) { 1 } else { len }).collect();
    let groups = groups(&op.axes, &value.dims, &kept);
    match &value.cells {
        Cells::Singles(columns) => Some(shares(columns, &groups, build)),
        Cells::Doubles(columns) => Some(shares(columns, &groups, build)),
        _ => None,
    }
}

fn shares<T: Float>(columns: &[Column<T>], groups: &[Vec<usize>], build: &mut Builder) -> Cells {
    let mut shares = columns.to_vec();
    for group in groups {
        let scores: Vec<Column<T>> = group.iter().map(|&at| columns[at]).collect();
        let largest = build.fold(&scores, T::LEAST, |most, v| if most > v { most } else { v });
        let powers: Vec<Column<T>> =
            scores.iter().map(|&score| build.pair(score, largest, |v, most| (v - most).exp_of_negative())).collect();
        let sum = build.fold(&powers, T::ZERO, |sum, v| sum + v);
        for (&at, power) in group.iter().zip(powers) {
            shares[at] = build.pair(power, sum, |power, sum| power / sum);
        }
    }
    T::cells(shares)
}

/// A product with a constant, summed over some axes.
pub(super) fn product(op: &EinSum, inputs: &[Given], dims: &[usize], build: &mut Builder) -> Option<Cells> {
    let (of_rows, value, constant) = match inputs {
        [Given::Value(value), Given::Constant(constant)] => (0, value, constant),
        [Given::Constant(constant), Given::Value(value)] => (1, value, constant),
        _ => return None,
    };
    if op.q_params.is_some() || dims.iter().product::<usize>() > SUMS_MAX {
        return None;
    }
    let terms = Terms { op, of_rows, value: &value.dims, constant: constant.shape() };
    match &value.cells {
        Cells::Singles(columns) => terms.sums(columns, tensor_values::<f32>(constant)?, dims, build),
        Cells::Doubles(columns) => terms.sums(columns, tensor_values::<f64>(constant)?, dims, build),
        _ => None,
    }
}

/// Which elements are multiplied for which sum.
struct Terms<'a> {
    op: &'a EinSum,
    /// The slot of the input that depends on the row.
    of_rows: usize,
    value: &'a [usize],
    constant: &'a [usize],
}

impl Terms<'_> {
    fn sums<T: Float>(
        &self,
        columns: &[Column<T>],
        weights: &[T],
        dims: &[usize],
        build: &mut Builder,
    ) -> Option<Cells> {
        let summed = self.summed()?;
        let lens: Vec<usize> = summed.iter().map(|axis| axis.1).collect();
        let mut sums = Vec::new();
        for place in 0..dims.iter().product() {
            let at = unflat(place, dims);
            let of = |slot: usize, shape: &[usize]| {
                places(&lens, |inner| flat(&self.index(slot, shape, &at, &summed, inner), shape))
            };
            let values: Vec<Column<T>> = of(self.of_rows, self.value).into_iter().map(|it| columns[it]).collect();
            let weights: Vec<T> = of(1 - self.of_rows, self.constant).into_iter().map(|it| weights[it]).collect();
            sums.push(build.weighted_sum(&values, &weights, T::ZERO));
        }
        Some(T::cells(sums))
    }

    /// The names of the axes that are summed over, and their lengths; none if one is of another form.
    fn summed(&self) -> Option<Vec<(char, usize)>> {
        let mut summed = Vec::new();
        for axis in self.op.axes.iter_all_axes() {
            let plain = axis.inputs.iter().chain(&axis.outputs).all(|at| at.len() <= 1);
            if !plain {
                return None;
            }
            if axis.outputs[0].is_empty() {
                let shapes = [(self.of_rows, self.value), (1 - self.of_rows, self.constant)];
                let lens = shapes.iter().filter_map(|(slot, shape)| Some(shape[*axis.inputs[*slot].first()?]));
                summed.push((axis.repr, lens.max()?));
            }
        }
        Some(summed)
    }

    /// The index into an input of the element for an element of the output and one of the sum.
    fn index(
        &self,
        slot: usize,
        shape: &[usize],
        output: &[usize],
        summed: &[(char, usize)],
        inner: &[usize],
    ) -> Vec<usize> {
        let mut index = vec![0; shape.len()];
        for axis in self.op.axes.iter_all_axes() {
            let Some(&own) = axis.inputs[slot].first() else { continue };
            let at = match axis.outputs[0].first() {
                Some(&outer) => output[outer],
                None => summed.iter().position(|it| it.0 == axis.repr).map_or(0, |at| inner[at]),
            };
            index[own] = if shape[own] == 1 { 0 } else { at };
        }
        index
    }
}

/// The index of the element at `place` in a tensor of shape `dims`.
fn unflat(mut place: usize, dims: &[usize]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for (at, &len) in index.iter_mut().zip(dims).rev() {
        *at = place % len;
        place /= len;
    }
    index
}
