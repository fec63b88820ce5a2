//! `TopK` of floats, as ONNX Runtime chooses among NaN: no number of a row of NaN is nearer than another, so its first
//! ones are taken, in the order in which a heap gives them back. tract sorts the whole row, which has no order then.

use std::cmp::Ordering;

use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Kernel, Signature};

/// The largest or the smallest along an axis, in order, and their places.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) axis: usize,
    pub(crate) count: usize,
    pub(crate) largest: bool,
}

impl Kernel for Top {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let mut found = inputs[0].clone();
        found.shape[self.axis] = self.count.to_dim();
        let places = Signature { element: DatumType::I64, ..found.clone() };
        Ok(vec![found, places])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        match inputs[0].datum_type() {
            DatumType::F16 => self.found::<f16>(inputs[0], |v| v.is_nan()),
            DatumType::F32 => self.found::<f32>(inputs[0], |v| v.is_nan()),
            DatumType::F64 => self.found::<f64>(inputs[0], |v| v.is_nan()),
            other => bail!("floats are needed, not {other:?}"),
        }
    }
}

impl Top {
    fn found<T: Datum + Copy + PartialOrd>(
        &self,
        input: &Tensor,
        is_nan: impl Fn(T) -> bool,
    ) -> TractResult<Vec<Tensor>> {
        let length = input.shape()[self.axis];
        let inner: usize = input.shape()[self.axis + 1..].iter().product();
        ensure!(self.count <= length, "there are {length}, and {} are asked for", self.count);
        let mut shape: TVec<usize> = input.shape().into();
        shape[self.axis] = self.count;
        let all = values::<T>(input)?;
        let size: usize = shape.iter().product();
        let (mut found, mut places) = (all.get(..1).map_or(vec![], |any| vec![any[0]; size]), vec![0i64; size]);
        let mut row = Vec::with_capacity(length);
        for lane in 0..all.len() / length.max(1) {
            let (block, at) = (lane / inner, lane % inner);
            row.clear();
            row.extend((0..length).map(|step| all[(block * length + step) * inner + at]));
            for (rank, place) in self.places(&row, &is_nan).into_iter().enumerate() {
                let to = (block * self.count + rank) * inner + at;
                (found[to], places[to]) = (row[place], place as i64);
            }
        }
        Ok(vec![crate::tensor_from(&shape, found), crate::tensor_from(&shape, places)])
    }

    /// The places of the answers in a row, best first.
    pub(crate) fn places<T: Copy + PartialOrd>(&self, row: &[T], is_nan: impl Fn(T) -> bool) -> Vec<usize> {
        if self.count == 0 {
            return vec![];
        }
        if row.iter().all(|&v| is_nan(v)) {
            return (0..self.count - 1).rev().chain([self.count - 1]).collect();
        }
        let better = |a: &usize, b: &usize| {
            let (x, y) = (row[*a], row[*b]);
            let order = x.partial_cmp(&y).map(|order| if self.largest { order.reverse() } else { order });
            // A number is better than none; of equals the first is.
            let order = order.unwrap_or_else(|| is_nan(x).cmp(&is_nan(y)));
            if order == Ordering::Equal { a.cmp(b) } else { order }
        };
        let mut places: Vec<usize> = (0..row.len()).collect();
        if self.count < row.len() {
            places.select_nth_unstable_by(self.count - 1, better);
            places.truncate(self.count);
        }
        places.sort_unstable_by(better);
        places
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{int, ints_in, standard, tensor};

    const NAN: f32 = f32::NAN;

    #[test]
    fn of_a_row_of_nan_the_first_are_taken_as_a_heap_gives_them_back() {
        let rows = tensor(&[1, 9], &[NAN; 9]);
        standard("TopK", vec![int("largest", 0)])
            .with(ints_in(&[1], &[4]))
            .gives_all(rows, vec![tensor(&[1, 4], &[NAN; 4]), ints_in(&[1, 4], &[2, 1, 0, 3])]);
    }

    #[test]
    fn numbers_come_before_nan_and_of_equals_the_first() {
        let rows = tensor(&[1, 5], &[NAN, 2.0, 1.0, 2.0, NAN]);
        let top = |largest, count: i64| standard("TopK", vec![int("largest", largest)]).with(ints_in(&[1], &[count]));
        top(0, 3).gives_all(rows.clone(), vec![tensor(&[1, 3], &[1.0f32, 2.0, 2.0]), ints_in(&[1, 3], &[2, 1, 3])]);
        top(1, 4).gives_all(rows, vec![tensor(&[1, 4], &[2.0, 2.0, 1.0, NAN]), ints_in(&[1, 4], &[1, 3, 2, 0])]);
    }

    #[test]
    fn axes_within_are_searched_across() {
        let rows = tensor(&[1, 3, 2], &[1.0f32, 6.0, 3.0, 4.0, 2.0, 5.0]);
        standard("TopK", vec![int("axis", 1)])
            .with(ints_in(&[1], &[2]))
            .gives_all(rows, vec![tensor(&[1, 2, 2], &[3.0f32, 6.0, 2.0, 5.0]), ints_in(&[1, 2, 2], &[1, 0, 2, 2])]);
    }
}
