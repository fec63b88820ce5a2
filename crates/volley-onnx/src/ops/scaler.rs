//! `Scaler`: `(x - offset) * scale`, by column.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, ensure_per_column, filled, floats, per_column, singles, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given};

#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let or = |list: Vec<f32>, neutral: f32| if list.is_empty() { vec![neutral] } else { list };
    let offset = or(floats(node, "offset")?, 0.0);
    let scale = or(floats(node, "scale")?, 1.0);
    kernel(node, 1..=1, Scaler { offset, scale })
}

impl Kernel for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        Ok(vec![Signature { element: DatumType::F32, ..inputs[0].clone() }])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let input = inputs[0].value()?;
        let columns = *input.dims.last()?;
        ensure_per_column("offset", self.offset.len(), columns).ok()?;
        ensure_per_column("scale", self.scale.len(), columns).ok()?;
        let of = |at: usize| (per_column(&self.offset, at % columns), per_column(&self.scale, at % columns));
        if let Cells::Doubles(doubles) = &input.cells {
            let scaled = doubles.iter().enumerate().map(|(at, &column)| {
                let (offset, scale) = of(at);
                build.map(column, move |x| ((x - f64::from(offset)) * f64::from(scale)) as f32)
            });
            return Some(vec![Cells::Singles(scaled.collect())]);
        }
        let singles = input.cells.singles(build)?;
        let scaled = singles.into_iter().enumerate().map(|(at, column)| {
            let (offset, scale) = of(at);
            build.map(column, move |x: f32| (x - offset) * scale)
        });
        Some(vec![Cells::Singles(scaled.collect())])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let columns = input.shape().last().copied().unwrap_or(1);
        ensure_per_column("offset", self.offset.len(), columns)?;
        ensure_per_column("scale", self.scale.len(), columns)?;
        let each = |list: &[f32]| -> Vec<f32> { (0..columns).map(|at| per_column(list, at)).collect() };
        let (offset, scale) = (each(&self.offset), each(&self.scale));
        let output = filled(input.shape(), |out| {
            let out = out.chunks_exact_mut(columns.max(1));
            // Differences of large doubles are small: they are taken before precision is dropped.
            if input.datum_type() == DatumType::F64 {
                for (out, x) in out.zip(values::<f64>(input)?.chunks_exact(columns.max(1))) {
                    for (((out, x), &offset), &scale) in out.iter_mut().zip(x).zip(&offset).zip(&scale) {
                        *out = ((x - f64::from(offset)) * f64::from(scale)) as f32;
                    }
                }
            } else {
                for (out, x) in out.zip(singles(input)?.chunks_exact(columns.max(1))) {
                    for (((out, x), offset), scale) in out.iter_mut().zip(x).zip(&offset).zip(&scale) {
                        *out = (x - offset) * scale;
                    }
                }
            }
            Ok(())
        })?;
        Ok(vec![output])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{floats, ints_in, ml, tensor};

    #[test]
    fn each_column_is_shifted_and_scaled() {
        ml("Scaler", vec![floats("offset", &[1.0, -1.0]), floats("scale", &[2.0, 0.5])])
            .gives(tensor(&[2, 2], &[1.0f32, 3.0, 0.0, 1.0]), tensor(&[2, 2], &[0.0f32, 2.0, -2.0, 1.0]));
    }

    #[test]
    fn one_value_serves_all_columns_and_integers_become_floats() {
        ml("Scaler", vec![floats("offset", &[10.0]), floats("scale", &[0.5])])
            .gives(ints_in(&[2, 2], &[10, 12, 14, 16]), tensor(&[2, 2], &[0.0f32, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn large_doubles_keep_their_difference() {
        ml("Scaler", vec![floats("offset", &[16_777_216.0]), floats("scale", &[1.0])])
            .gives(tensor(&[2, 1], &[16_777_217.0f64, 16_777_219.0]), tensor(&[2, 1], &[1.0f32, 3.0]));
    }

    #[test]
    fn a_wrong_number_of_offsets_is_refused() {
        ml("Scaler", vec![floats("offset", &[1.0, 2.0, 3.0]), floats("scale", &[1.0])])
            .refuses(tensor(&[2, 2], &[1.0f32; 4]), "offset has 3 values for 2 columns");
    }
}
