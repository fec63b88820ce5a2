//! Means of the squares of doubles, and doubles divided by the root of theirs: tract makes these of layers that
//! normalize, and computes them in singles.

use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Kernel, Signature};

/// Along some axes, which are kept with a length of one.
#[derive(Debug)]
pub(crate) struct MeanOfSquares {
    pub(crate) axes: TVec<usize>,
}

/// Along one axis, with a small number added to the mean.
#[derive(Debug)]
pub(crate) struct ByRootOfMean {
    pub(crate) axis: usize,
    pub(crate) epsilon: f64,
}

impl Kernel for MeanOfSquares {
    fn name(&self) -> &'static str {
        "MeanOfSquares"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![inputs[0].ones_along(&self.axes)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![mean(inputs[0], &self.axes)?])
    }
}

impl Kernel for ByRootOfMean {
    fn name(&self) -> &'static str {
        "RmsNorm"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(inputs.to_vec())
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let roots: Vec<f64> =
            values::<f64>(&mean(input, &[self.axis])?)?.iter().map(|mean| (mean + self.epsilon).sqrt()).collect();
        let inner: usize = input.shape()[self.axis + 1..].iter().product();
        let lane = input.shape()[self.axis] * inner;
        let root = |at: usize| roots[at / lane * inner + at % inner];
        let divided = values::<f64>(input)?.iter().enumerate().map(|(at, v)| v / root(at)).collect();
        Ok(vec![crate::tensor_from(input.shape(), divided)])
    }
}

fn mean(input: &Tensor, axes: &[usize]) -> TractResult<Tensor> {
    let mut shape: TVec<usize> = input.shape().into();
    axes.iter().for_each(|&axis| shape[axis] = 1);
    // With those axes behind the others, what is summed up lies together.
    let kept = (0..input.rank()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let length: usize = axes.iter().map(|&axis| input.shape()[axis]).product();
    let turned = input.to_plain_array_view::<f64>()?.permuted_axes(order);
    let turned = turned.as_standard_layout();
    let groups = turned.as_slice().context("it lies in its order")?.chunks_exact(length.max(1));
    let means = groups.map(|group| group.iter().map(|v| v * v).sum::<f64>() / length as f64);
    Ok(crate::tensor_from(&shape, means.collect()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, ints_in, tensor};
    use crate::{Element, tensor_values};

    /// Of rows of 0.1 and 0.7, the mean of whose squares is 0.25.
    fn check(model: ModelBuilder, expected: [f64; 2]) {
        let model = model.constant("axes", &ints_in(&[1], &[1])).constant("two", &tensor(&[], &[2.0f64]));
        let model = model.input("x", Element::F64, &[-1, 2]).output("y", Element::F64);
        for rows in [1, 200] {
            let got = model.run(rows, vec![tensor(&[rows, 2], &[0.1f64, 0.7].repeat(rows))]).expect("a sound model");
            let got = tensor_values::<f64>(&got[0]).expect("doubles");
            for (got, expected) in got.chunks(got.len() / rows).flatten().zip(expected.iter().cycle()) {
                assert!((got - expected).abs() < 1e-13, "{got} is not {expected}");
            }
        }
    }

    fn squares() -> ModelBuilder {
        ModelBuilder::default().node("", "Pow", &["x", "two"], &["squares"], vec![]).node(
            "",
            "ReduceMean",
            &["squares", "axes"],
            &["mean"],
            vec![],
        )
    }

    #[test]
    fn the_mean_of_the_squares_of_doubles_is_a_double() {
        let mean = squares().node("", "Add", &["mean", "x"], &["y"], vec![]);
        check(mean, [0.25 + 0.1, 0.25 + 0.7]);
    }

    #[test]
    fn doubles_are_divided_by_the_root_of_that_mean_in_doubles() {
        let normalized = squares()
            .constant("epsilon", &tensor(&[], &[1e-6f64]))
            .node("", "Add", &["mean", "epsilon"], &["more"], vec![])
            .node("", "Sqrt", &["more"], &["root"], vec![])
            .node("", "Div", &["x", "root"], &["y"], vec![]);
        let root = (0.25f64 + 1e-6).sqrt();
        check(normalized, [0.1 / root, 0.7 / root]);
    }
}
