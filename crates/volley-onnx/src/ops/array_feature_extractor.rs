//! `ArrayFeatureExtractor`: picks columns by index.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{self, Builder, Cells, Given};

#[derive(Debug)]
struct ArrayFeatureExtractor;

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    kernel(node, 2..=2, ArrayFeatureExtractor)
}

impl Kernel for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let [input, index] = inputs else { bail!("two inputs are needed") };
        ensure!(!input.shape.is_empty(), "a single value has no columns");
        ensure!(matches!(index.element, DatumType::I64 | DatumType::TDim), "the index must be of 64-bit integers");
        let picked: TDim = index.shape.iter().product();
        // A vector is one row, and the result keeps that row.
        let outer =
            if input.shape.len() == 1 { tvec!(1.to_dim()) } else { input.shape[..input.shape.len() - 1].into() };
        Ok(vec![Signature::new(input.element, outer.into_iter().chain([picked]))])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let cells = match inputs {
            [Given::Value(input), Given::Constant(index)] => {
                let columns = *input.dims.last()?;
                let index =
                    direct::longs(index)?.into_iter().map(|at| usize::try_from(at).ok().filter(|&at| at < columns));
                let index = index.collect::<Option<Vec<usize>>>()?;
                let rows = (0..input.cells.len()).step_by(columns.max(1));
                input.cells.at(&rows.flat_map(|row| index.iter().map(move |at| row + at)).collect::<Vec<_>>())
            }
            [Given::Constant(list), Given::Value(index)] if list.len() == *list.shape().last()? => {
                direct::looked_up(&list.as_ref().clone().into_shape(&[list.len()]).ok()?, index, build)?
            }
            _ => return None,
        };
        Some(vec![cells])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let index = inputs[1].cast_to::<i64>()?;
        let index = values::<i64>(&index)?;
        let output = match inputs[0].datum_type() {
            DatumType::F32 => picked::<f32>(inputs[0], index),
            DatumType::F64 => picked::<f64>(inputs[0], index),
            DatumType::I64 => picked::<i64>(inputs[0], index),
            DatumType::I32 => picked::<i32>(inputs[0], index),
            DatumType::String => picked::<String>(inputs[0], index),
            other => refuse(format!("columns of type {other:?} are not supported")),
        };
        Ok(vec![output?])
    }
}

fn picked<T: Datum>(input: &Tensor, index: &[i64]) -> TractResult<Tensor> {
    let columns = input.shape().last().copied().unwrap_or(0);
    if index.iter().any(|&at| usize::try_from(at).ok().is_none_or(|at| at >= columns)) {
        return refuse(format!("an index points outside {columns} columns"));
    }
    let rows = values::<T>(input)?.chunks_exact(columns.max(1));
    let out: Vec<T> = rows.flat_map(|row| index.iter().map(|&at| row[at as usize].clone())).collect();
    let outer = if input.rank() == 1 { &[1] } else { &input.shape()[..input.rank() - 1] };
    let shape: TVec<usize> = outer.iter().copied().chain([index.len()]).collect();
    Ok(crate::tensor_from(&shape, out))
}

#[cfg(test)]
mod tests {
    use crate::testing::{ints_in, ml, strings_in, tensor};

    #[test]
    fn columns_come_in_the_order_of_the_index() {
        ml("ArrayFeatureExtractor", vec![])
            .with(ints_in(&[2], &[2, 0]))
            .gives(tensor(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]), tensor(&[2, 2], &[3.0f32, 1.0, 6.0, 4.0]));
    }

    #[test]
    fn a_single_index_still_gives_a_matrix() {
        ml("ArrayFeatureExtractor", vec![])
            .with(ints_in(&[], &[1]))
            .gives(strings_in(&[2, 2], &["a", "b", "c", "d"]), strings_in(&[2, 1], &["b", "d"]));
    }

    #[test]
    fn an_index_outside_is_refused() {
        ml("ArrayFeatureExtractor", vec![])
            .with(ints_in(&[1], &[2]))
            .refuses(tensor(&[1, 2], &[1.0f32, 2.0]), "points outside 2 columns");
    }
}
