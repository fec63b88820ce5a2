//! `ReverseSequence`: the first steps of each row, as many as it has, in the opposite order.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Built, Kernel, RowAxes, Signature, kernel};

#[derive(Debug)]
struct ReverseSequence {
    rows: usize,
    steps: usize,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let axis = |name: &str, usual: usize| -> TractResult<usize> { Ok(node.get_attr_opt(name)?.unwrap_or(usual)) };
    let op = ReverseSequence { rows: axis("batch_axis", 1)?, steps: axis("time_axis", 0)? };
    node.expect(op.rows + op.steps == 1, "rows and steps on the first two axes")?;
    kernel(node, 2..=2, op)
}

impl Kernel for ReverseSequence {
    fn name(&self) -> &'static str {
        "ReverseSequence"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure!(inputs[0].shape.len() >= 2, "two axes are needed");
        Ok(vec![inputs[0].clone()])
    }

    fn row_axes(&self) -> Option<RowAxes> {
        Some(RowAxes { inputs: tvec![Some(self.rows), Some(0)], outputs: tvec![Some(self.rows)] })
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let lengths = inputs[1].cast_to::<i64>()?;
        let lengths = values::<i64>(&lengths)?;
        ensure!(lengths.len() == input.shape()[self.rows], "a length for each row");
        let steps = input.shape()[self.steps] as i64;
        if lengths.iter().any(|length| !(0..=steps).contains(length)) {
            return refuse("a row has a length that its steps do not have");
        }
        Ok(vec![match input.datum_type() {
            DatumType::F16 => self.reversed::<f16>(input, lengths)?,
            DatumType::F32 => self.reversed::<f32>(input, lengths)?,
            DatumType::F64 => self.reversed::<f64>(input, lengths)?,
            DatumType::I32 => self.reversed::<i32>(input, lengths)?,
            DatumType::I64 => self.reversed::<i64>(input, lengths)?,
            DatumType::Bool => self.reversed::<bool>(input, lengths)?,
            DatumType::String => self.reversed::<String>(input, lengths)?,
            other => return refuse(format!("{other:?} is not supported")),
        }])
    }
}

impl ReverseSequence {
    fn reversed<T: Datum>(&self, input: &Tensor, lengths: &[i64]) -> TractResult<Tensor> {
        let values = values::<T>(input)?;
        let shape = input.shape();
        let (size, second): (usize, usize) = (shape[2..].iter().product(), shape[1]);
        let mut output = Vec::with_capacity(values.len());
        for place in 0..shape[0] * second {
            let at = [place / second, place % second];
            let (row, step, length) = (at[self.rows], at[self.steps], lengths[at[self.rows]] as usize);
            let step = if step < length { length - 1 - step } else { step };
            let from = if self.rows == 0 { row * second + step } else { step * second + row };
            output.extend_from_slice(&values[from * size..][..size]);
        }
        Ok(crate::tensor_from(shape, output))
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};

    #[test]
    fn each_row_is_turned_as_far_as_it_reaches() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 3, 1])
            .input("lengths", Element::I64, &[-1])
            .output("y", Element::F32)
            .node("", "ReverseSequence", &["x", "lengths"], &["y"], vec![int("batch_axis", 0), int("time_axis", 1)]);
        let rows = tensor(&[2, 3, 1], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let got = model.run(2, vec![rows.clone(), ints_in(&[2], &[3, 2])]).expect("a sound model");
        assert_close(&got[0], &tensor(&[2, 3, 1], &[3.0f32, 2.0, 1.0, 5.0, 4.0, 6.0]));
        let error = model.run(2, vec![rows, ints_in(&[2], &[3, 4])]).expect_err("a row of three steps");
        assert!(error.to_string().contains("a length that its steps do not have"), "{error}");
    }
}
