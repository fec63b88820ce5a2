//! `Binarizer`: one where a value is above the threshold, zero elsewhere.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, filled, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given};

#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let threshold = node.get_attr_opt("threshold")?.unwrap_or(0.0);
    kernel(node, 1..=1, Binarizer { threshold })
}

impl Kernel for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let threshold = f64::from(self.threshold);
        Some(vec![match &inputs[0].value()?.cells {
            Cells::Singles(list) => {
                let one = move |v: f32| if f64::from(v) > threshold { 1.0 } else { 0.0 };
                Cells::Singles(list.iter().map(|&it| build.map(it, one)).collect())
            }
            Cells::Doubles(list) => {
                let one = move |v: f64| if v > threshold { 1.0 } else { 0.0 };
                Cells::Doubles(list.iter().map(|&it| build.map(it, one)).collect())
            }
            Cells::Longs(list) => {
                let one = move |v: i64| i64::from(v as f64 > threshold);
                Cells::Longs(list.iter().map(|&it| build.map(it, one)).collect())
            }
            Cells::Texts(_) => return None,
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (input, threshold) = (inputs[0], f64::from(self.threshold));
        let output = match input.datum_type() {
            DatumType::F32 => above(input, |v: f32| f64::from(v) > threshold),
            DatumType::F64 => above(input, |v: f64| v > threshold),
            DatumType::I32 => above(input, |v: i32| f64::from(v) > threshold),
            _ => above(input, |v: i64| v as f64 > threshold),
        };
        Ok(vec![output?])
    }
}

fn above<T>(input: &Tensor, above: impl Fn(T) -> bool) -> TractResult<Tensor>
where
    T: Datum + Copy + tract_num_traits::Zero + tract_num_traits::One,
{
    let input_values = values::<T>(input)?;
    filled(input.shape(), |out| {
        for (out, &v) in out.iter_mut().zip(input_values) {
            *out = if above(v) { T::one() } else { T::zero() };
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{float, ints_in, ml, tensor};

    #[test]
    fn only_values_above_the_threshold_are_one() {
        let operator = ml("Binarizer", vec![float("threshold", 1.0)]);
        operator.gives(tensor(&[1, 3], &[0.5f32, 1.0, 1.5]), tensor(&[1, 3], &[0.0f32, 0.0, 1.0]));
        operator.gives(ints_in(&[1, 2], &[1, 2]), ints_in(&[1, 2], &[0, 1]));
    }
}
