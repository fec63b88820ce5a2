//! `FeatureVectorizer`: columns of several inputs side by side.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, filled, ints, refuse, singles};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given};

/// Far more columns than any table has.
const WIDTH_MAX: i64 = 1 << 24;

#[derive(Debug)]
struct FeatureVectorizer {
    /// How many columns each input takes in the output: more are cut off, fewer filled with zeros.
    widths: Vec<usize>,
    /// That of the output.
    width: usize,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let widths = ints(node, "inputdimensions")?;
    let width = widths
        .iter()
        .try_fold(0i64, |sum, &width| sum.checked_add(width).filter(|sum| width >= 0 && *sum <= WIDTH_MAX));
    match width {
        Some(width) if widths.len() == node.input.len() && !widths.is_empty() => {
            let widths = widths.into_iter().map(|width| width as usize).collect();
            kernel(node, 1..=usize::MAX, FeatureVectorizer { widths, width: width as usize })
        }
        _ => node.bail_attr("inputdimensions", "must hold the width of each input"),
    }
}

impl Kernel for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        inputs.iter().try_for_each(ensure_numeric)?;
        Ok(vec![Signature::new(DatumType::F32, [inputs[0].rows(), self.width.to_dim()])])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let mut columns = Vec::new();
        for (input, &taken) in inputs.iter().zip(&self.widths) {
            let singles = input.value()?.cells.singles(build)?;
            let missing = taken.saturating_sub(singles.len());
            columns.extend(singles.into_iter().take(taken));
            columns.extend((0..missing).map(|_| build.constant(0.0)));
        }
        Some(vec![Cells::Singles(columns)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let rows = inputs[0].shape().first().copied().unwrap_or(1);
        let (width, mut start) = (self.width, 0);
        let output = filled::<f32>(&[rows, width], |out| {
            for (input, &taken) in inputs.iter().zip(&self.widths) {
                let columns = input.len().checked_div(rows).unwrap_or(0);
                if columns * rows != input.len() {
                    return refuse("the inputs have different numbers of rows");
                }
                let values = singles(input)?;
                let copied = taken.min(columns);
                let sources = values.chunks_exact(columns.max(1));
                for (out, row) in out.chunks_exact_mut(width.max(1)).zip(sources) {
                    out[start..start + copied].copy_from_slice(&row[..copied]);
                }
                start += taken;
            }
            Ok(())
        })?;
        Ok(vec![output])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ints, ints_in, ml, tensor};

    #[test]
    fn inputs_are_put_side_by_side_as_floats() {
        ml("FeatureVectorizer", vec![ints("inputdimensions", &[1, 2])])
            .with(ints_in(&[2, 2], &[10, 20, 30, 40]))
            .gives(tensor(&[2, 1], &[1.0f32, 2.0]), tensor(&[2, 3], &[1.0f32, 10.0, 20.0, 2.0, 30.0, 40.0]));
    }

    #[test]
    fn a_width_that_no_table_has_is_refused() {
        for widths in [[1 << 40, 1], [i64::MAX, i64::MAX], [-1, 2]] {
            ml("FeatureVectorizer", vec![ints("inputdimensions", &widths)])
                .with(ints_in(&[1, 1], &[10]))
                .refuses(tensor(&[1, 1], &[1.0f32]), "must hold the width of each input");
        }
    }
}
