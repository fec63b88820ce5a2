//! `TopK` of floats, as ONNX Runtime chooses among NaN: none is better or worse than a number, so that it depends on the
//! way through the row which are found. For few of many that way is a heap, followed here. For others it is a sort of
//! its language's library: such a row is refused. tract sorts the whole row, which has no order then.

use std::cmp::Ordering;

use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Kernel, Signature};

/// Up to this share of the logarithm of the length of a row, and always for fewer than [`HEAPED`], ONNX Runtime uses a
/// heap.
const HEAPED_SHARE: f64 = 0.725;
const HEAPED: usize = 4;

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
            for (rank, place) in self.places(&row, &is_nan)?.into_iter().enumerate() {
                let to = (block * self.count + rank) * inner + at;
                (found[to], places[to]) = (row[place], place as i64);
            }
        }
        Ok(vec![crate::tensor_from(&shape, found), crate::tensor_from(&shape, places)])
    }

    /// The places of the answers in a row, best first.
    pub(crate) fn places<T: Copy + PartialOrd>(
        &self,
        row: &[T],
        is_nan: impl Fn(T) -> bool,
    ) -> TractResult<Vec<usize>> {
        if self.count == 0 {
            return Ok(vec![]);
        }
        if row.iter().any(|&v| is_nan(v)) {
            return self.places_among_nan(row);
        }
        let better =
            |a: &usize, b: &usize| if self.is_better(row, *a, *b) { Ordering::Less } else { Ordering::Greater };
        let mut places: Vec<usize> = (0..row.len()).collect();
        if self.count < row.len() {
            places.select_nth_unstable_by(self.count - 1, better);
            places.truncate(self.count);
        }
        places.sort_unstable_by(better);
        Ok(places)
    }

    fn wins<T: PartialOrd>(&self, a: T, b: T) -> bool {
        if self.largest { a > b } else { a < b }
    }

    /// Of equals the first is better.
    fn is_better<T: Copy + PartialOrd>(&self, row: &[T], a: usize, b: usize) -> bool {
        self.wins(row[a], row[b]) || (row[a] == row[b] && a < b)
    }

    #[cold]
    fn places_among_nan<T: Copy + PartialOrd>(&self, row: &[T]) -> TractResult<Vec<usize>> {
        let count = self.count;
        if count == 1 {
            let best = (0..row.len()).reduce(|best, next| if self.wins(row[next], row[best]) { next } else { best });
            return Ok(best.into_iter().collect());
        }
        if count >= HEAPED && (count as f64).log2() / (row.len() as f64).log2() >= HEAPED_SHARE {
            return refuse(format!("the best {count} of {} have no order where one of them is NaN", row.len()));
        }
        // The worst is at the top.
        let mut heap = vec![0; count];
        for place in 0..count {
            heap[count - 1 - place] = place;
            self.sink(row, &mut heap, count - 1 - place);
        }
        for place in count..row.len() {
            if self.wins(row[place], row[heap[0]]) {
                heap[0] = place;
                self.sink(row, &mut heap, 0);
            }
        }
        let mut worst_first = Vec::with_capacity(count);
        while let Some(&worst) = heap.first() {
            worst_first.push(worst);
            heap.swap_remove(0);
            self.sink(row, &mut heap, 0);
        }
        Ok(worst_first.into_iter().rev().collect())
    }

    /// Lets the element at `at` of the heap down to where none below is worse.
    fn sink<T: Copy + PartialOrd>(&self, row: &[T], heap: &mut [usize], mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let beats = |heap: &[usize], a: usize, b: usize| b < heap.len() && self.is_better(row, heap[a], heap[b]);
            let beats_left = beats(heap, at, left);
            let down = match right < heap.len() {
                false if beats_left => left,
                false => return,
                true if beats_left && beats(heap, right, left) => left,
                true if beats_left || beats(heap, at, right) => right,
                true => return,
            };
            heap.swap(at, down);
            at = down;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, standard, tensor};

    const NAN: f32 = f32::NAN;

    #[test]
    fn of_a_row_of_nan_the_first_are_taken_as_a_heap_gives_them_back() {
        let rows = tensor(&[1, 9], &[NAN; 9]);
        standard("TopK", vec![int("largest", 0)])
            .with(ints_in(&[1], &[4]))
            .gives_all(rows, vec![tensor(&[1, 4], &[NAN; 4]), ints_in(&[1, 4], &[2, 1, 0, 3])]);
    }

    #[test]
    fn a_nan_among_the_first_stays_and_later_ones_are_passed_over() {
        let top = |largest, count: i64| standard("TopK", vec![int("largest", largest)]).with(ints_in(&[1], &[count]));
        let first = tensor(&[1, 5], &[NAN, 2.0, 1.0, 2.0, NAN]);
        top(0, 3).gives_all(first.clone(), vec![tensor(&[1, 3], &[1.0, 2.0, NAN]), ints_in(&[1, 3], &[2, 1, 0])]);
        top(0, 1).gives_all(first, vec![tensor(&[1, 1], &[NAN]), ints_in(&[1, 1], &[0])]);
        let later = tensor(&[1, 5], &[3.0, 2.0, 1.0, 2.0, NAN]);
        top(1, 3).gives_all(later, vec![tensor(&[1, 3], &[3.0f32, 2.0, 2.0]), ints_in(&[1, 3], &[0, 1, 3])]);
    }

    #[test]
    fn many_of_a_row_with_nan_are_refused() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 5])
            .output("y", Element::F32)
            .constant("count", &ints_in(&[1], &[4]))
            .node("", "TopK", &["x", "count"], &["y", "places"], vec![]);
        for rows in [1, 200] {
            let all = |last: f32| vec![tensor(&[rows, 5], &[5.0, 4.0, 3.0, 2.0, last].repeat(rows))];
            let error = model.run(rows, all(NAN)).expect_err("no order");
            assert!(error.to_string().contains("have no order"), "{error}");
            let got = model.run(rows, all(1.0)).expect("an order");
            assert_close(&got[0], &tensor(&[rows, 4], &[5.0f32, 4.0, 3.0, 2.0].repeat(rows)));
        }
    }

    #[test]
    fn of_equals_the_first_is_found() {
        let rows = tensor(&[1, 4], &[1.0f32, 2.0, 2.0, 2.0]);
        let top = standard("TopK", vec![]).with(ints_in(&[1], &[2]));
        top.gives_all(rows, vec![tensor(&[1, 2], &[2.0f32, 2.0]), ints_in(&[1, 2], &[1, 2])]);
    }

    #[test]
    fn axes_within_are_searched_across() {
        let rows = tensor(&[1, 3, 2], &[1.0f32, 6.0, 3.0, 4.0, 2.0, 5.0]);
        standard("TopK", vec![int("axis", 1)])
            .with(ints_in(&[1], &[2]))
            .gives_all(rows, vec![tensor(&[1, 2, 2], &[3.0f32, 6.0, 2.0, 5.0]), ints_in(&[1, 2, 2], &[1, 0, 2, 2])]);
    }
}
