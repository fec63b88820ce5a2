//! The largest and the smallest along an axis, and where they are, as ONNX Runtime finds them: it begins with the
//! first element, and goes on to another only where that is larger. So a NaN at the beginning stays, and others are
//! passed over; tract begins with the least number there is.

use tract_onnx::tract_hir::internal::*;

use super::{Kernel, Signature};

/// What is searched for along some axes, which are kept with a length of one.
#[derive(Debug, Clone)]
pub(crate) struct Searched {
    /// One, if places are told.
    pub(crate) axes: TVec<usize>,
    pub(crate) largest: bool,
    pub(crate) answer: Answer,
}

/// What is told of the element that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Value,
    Place {
        /// Of several equal ones.
        last: bool,
    },
}

impl Kernel for Searched {
    fn name(&self) -> &'static str {
        match (self.answer, self.largest) {
            (Answer::Value, true) => "Largest",
            (Answer::Value, false) => "Smallest",
            (Answer::Place { .. }, true) => "PlaceOfLargest",
            (Answer::Place { .. }, false) => "PlaceOfSmallest",
        }
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let mut output = inputs[0].ones_along(&self.axes);
        if self.answer != Answer::Value {
            output.element = DatumType::I64;
        }
        Ok(vec![output])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        ensure!(self.axes.iter().all(|&axis| input.shape()[axis] > 0), "there is nothing to search");
        Ok(vec![match input.datum_type() {
            DatumType::F16 => self.found::<f16>(input)?,
            DatumType::F32 => self.found::<f32>(input)?,
            DatumType::F64 => self.found::<f64>(input)?,
            other => bail!("floats are needed, not {other:?}"),
        }])
    }
}

impl Searched {
    fn found<T: Datum + Copy + PartialOrd>(&self, input: &Tensor) -> TractResult<Tensor> {
        let mut shape: TVec<usize> = input.shape().into();
        self.axes.iter().for_each(|&axis| shape[axis] = 1);
        // With those axes behind the others, what is searched together lies together.
        let kept = (0..input.rank()).filter(|axis| !self.axes.contains(axis));
        let order: Vec<usize> = kept.chain(self.axes.iter().copied()).collect();
        let length: usize = self.axes.iter().map(|&axis| input.shape()[axis]).product();
        let turned = input.to_plain_array_view::<T>()?.permuted_axes(order);
        let turned = turned.as_standard_layout();
        let groups = turned.as_slice().context("it lies in its order")?.chunks_exact(length);
        let places = groups.map(|group| (group, self.place(group)));
        Ok(match self.answer {
            Answer::Value => crate::tensor_from(&shape, places.map(|(group, place)| group[place]).collect()),
            Answer::Place { .. } => crate::tensor_from(&shape, places.map(|(_, place)| place as i64).collect()),
        })
    }

    fn place<T: Copy + PartialOrd>(&self, group: &[T]) -> usize {
        let last = self.answer == Answer::Place { last: true };
        let mut place = 0;
        for (at, &next) in group.iter().enumerate().skip(1) {
            let best = group[place];
            let better = if self.largest { next > best } else { next < best };
            if better || (last && next == best) {
                place = at;
            }
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{int, ints_in, standard, tensor};

    const NAN: f32 = f32::NAN;

    #[test]
    fn a_nan_wins_where_it_comes_first_and_is_passed_over_elsewhere() {
        let rows = tensor(&[3, 3], &[NAN, 1.0, 2.0, 1.0, NAN, 2.0, NAN, NAN, NAN]);
        let places = |operator, expected: [i64; 3]| {
            standard(operator, vec![int("axis", 1)]).gives(rows.clone(), ints_in(&[3, 1], &expected));
        };
        places("ArgMax", [0, 2, 0]);
        places("ArgMin", [0, 0, 0]);
        for (operator, expected) in [("ReduceMax", [NAN, 2.0, NAN]), ("ReduceMin", [NAN, 1.0, NAN])] {
            standard(operator, vec![]).with(ints_in(&[1], &[1])).gives(rows.clone(), tensor(&[3, 1], &expected));
        }
    }

    #[test]
    fn the_last_of_equals_is_found_where_it_is_asked_for() {
        let rows = tensor(&[1, 4], &[2.0f32, 5.0, 5.0, 1.0]);
        standard("ArgMax", vec![int("axis", 1), int("select_last_index", 1)])
            .gives(rows.clone(), ints_in(&[1, 1], &[2]));
        standard("ArgMax", vec![int("axis", 1), int("keepdims", 0)]).gives(rows, ints_in(&[1], &[1]));
    }

    #[test]
    fn several_axes_are_searched_as_if_they_were_one() {
        let rows = tensor(&[1, 2, 2, 2], &[1.0f32, 8.0, NAN, 0.0, -1.0, NAN, 3.0, 4.0]);
        for (operator, expected) in [("ReduceMax", [8.0f32, NAN]), ("ReduceMin", [-1.0, NAN])] {
            let search = standard(operator, vec![]).with(ints_in(&[2], &[1, 3]));
            search.gives(rows.clone(), tensor(&[1, 1, 2, 1], &expected));
        }
    }

    #[test]
    fn axes_within_are_searched_across() {
        let rows = tensor(&[1, 2, 2], &[1.0f32, 8.0, 3.0, 4.0]);
        standard("ArgMax", vec![int("axis", 1)]).gives(rows, ints_in(&[1, 1, 2], &[1, 0]));
    }
}
