//! `OneHot`: a number becomes a place among zeros; one that is no place leaves them all. tract would write beyond
//! them.

use tract_onnx::tract_core::ops::array::OneHot;
use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Kernel, Signature};

/// tract's operator, with bounds.
#[derive(Debug)]
pub(crate) struct Places {
    axis: usize,
    count: usize,
    off: Arc<Tensor>,
    on: Arc<Tensor>,
}

impl From<&OneHot> for Places {
    fn from(op: &OneHot) -> Places {
        Places { axis: op.axis, count: op.dim, off: op.off.clone(), on: op.on.clone() }
    }
}

impl Kernel for Places {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let mut shape = inputs[0].shape.clone();
        ensure!(self.axis <= shape.len(), "there is no axis {}", self.axis);
        shape.insert(self.axis, self.count.to_dim());
        Ok(vec![Signature::new(self.off.datum_type(), shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        shape.insert(self.axis, self.count);
        let inner: usize = shape[self.axis + 1..].iter().product();
        // A float stands for the integer it is when its fraction is cut off; NaN and what is too large for none.
        let places = inputs[0].cast_to::<f64>()?;
        let places: Vec<Option<usize>> = values::<f64>(&places)?.iter().map(|&at| self.place(at)).collect();
        Ok(vec![match self.off.datum_type() {
            DatumType::F16 => self.written::<f16>(&shape, inner, &places)?,
            DatumType::F32 => self.written::<f32>(&shape, inner, &places)?,
            DatumType::F64 => self.written::<f64>(&shape, inner, &places)?,
            DatumType::I64 => self.written::<i64>(&shape, inner, &places)?,
            DatumType::I32 => self.written::<i32>(&shape, inner, &places)?,
            DatumType::I8 => self.written::<i8>(&shape, inner, &places)?,
            DatumType::U8 => self.written::<u8>(&shape, inner, &places)?,
            DatumType::Bool => self.written::<bool>(&shape, inner, &places)?,
            DatumType::String => self.written::<String>(&shape, inner, &places)?,
            other => bail!("{other:?} is not supported"),
        }])
    }
}

impl Places {
    /// Places are counted from the end below zero.
    fn place(&self, at: f64) -> Option<usize> {
        let count = self.count as f64;
        let at = if at.trunc() < 0.0 { at.trunc() + count } else { at.trunc() };
        (0.0..count).contains(&at).then_some(at as usize)
    }

    fn written<T: Datum>(&self, shape: &[usize], inner: usize, places: &[Option<usize>]) -> TractResult<Tensor> {
        let (off, on) = (&values::<T>(&self.off)?[0], &values::<T>(&self.on)?[0]);
        let mut output = vec![off.clone(); shape.iter().product()];
        for (from, place) in places.iter().enumerate() {
            if let Some(place) = place {
                output[(from / inner * self.count + place) * inner + from % inner] = on.clone();
            }
        }
        Ok(crate::tensor_from(shape, output))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{int, ints_in, standard, tensor};

    #[test]
    fn a_number_that_is_no_place_leaves_its_row_empty() {
        standard("OneHot", vec![]).with(ints_in(&[], &[3])).with(tensor(&[2], &[0.0f32, 1.0])).gives(
            ints_in(&[5], &[0, -1, 3, -4, 2]),
            tensor(&[5, 3], &[1.0f32, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        );
    }

    #[test]
    fn places_may_lie_along_an_axis_within() {
        standard("OneHot", vec![int("axis", 1)])
            .with(ints_in(&[1], &[2]))
            .with(tensor(&[2], &[-1.0f32, 5.0]))
            .gives(ints_in(&[1, 2], &[1, 0]), tensor(&[1, 2, 2], &[-1.0f32, 5.0, 5.0, -1.0]));
    }
}
