//! `LinearClassifier` and `LinearRegressor`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, filled, floats, labels, refuse, row_dim, rows_and_columns, singles};
use super::post_transform::{PostTransform, logistic};
use super::{Built, Kernel, Signature, kernel};
use crate::port::ClassLabels;

/// One weighted sum for each target.
#[derive(Debug)]
struct Linear {
    /// `[targets, columns]`.
    coefficients: Vec<f32>,
    /// One for each target, or none.
    intercepts: Vec<f32>,
    targets: usize,
}

impl Linear {
    fn new(node: &NodeProto, targets: usize) -> TractResult<Linear> {
        let (coefficients, intercepts) = (floats(node, "coefficients")?, floats(node, "intercepts")?);
        node.expect(targets > 0, "at least one target")?;
        node.expect(!coefficients.is_empty(), "coefficients")?;
        node.expect(coefficients.len().is_multiple_of(targets), "as many coefficients for each target")?;
        node.expect(intercepts.is_empty() || intercepts.len() == targets, "an intercept for each target")?;
        Ok(Linear { coefficients, intercepts, targets })
    }

    /// Calls `each` with every row's number and sums.
    fn sums(&self, input: &Tensor, mut each: impl FnMut(usize, &mut [f32])) -> TractResult<()> {
        let (_, columns) = rows_and_columns(input)?;
        let expected = self.coefficients.len() / self.targets;
        if columns != expected {
            return refuse(format!("{columns} columns where the model has {expected} coefficients"));
        }
        let input = singles(input)?;
        let mut sums = vec![0.0; self.targets];
        for (at, row) in input.chunks_exact(columns).enumerate() {
            let weights = self.coefficients.chunks_exact(columns);
            for (target, (sum, weights)) in sums.iter_mut().zip(weights).enumerate() {
                *sum = dot(row, weights) + self.intercepts.get(target).copied().unwrap_or(0.0);
            }
            each(at, &mut sums);
        }
        Ok(())
    }
}

/// In eight lanes, which compilers turn into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f32; 8];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[derive(Debug)]
struct LinearRegressor {
    linear: Linear,
    transform: PostTransform,
}

pub(super) fn build_regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let targets = node.get_attr_opt::<usize>("targets")?.unwrap_or(1);
    let linear = Linear::new(node, targets)?;
    kernel(node, 1..=1, LinearRegressor { linear, transform: PostTransform::read(node)? })
}

impl Kernel for LinearRegressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        let shape = [row_dim(&inputs[0])?, self.linear.targets.to_dim()];
        Ok(vec![Signature::new(DatumType::F32, shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let targets = self.linear.targets;
        let output = filled::<f32>(&[rows, targets], |out| {
            self.linear.sums(inputs[0], |at, sums| {
                self.transform.apply(sums);
                out[at * targets..][..targets].copy_from_slice(sums);
            })
        })?;
        Ok(vec![output])
    }
}

#[derive(Debug)]
struct LinearClassifier {
    linear: Linear,
    classes: ClassLabels,
    transform: PostTransform,
}

pub(super) fn build_classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let Some(classes) = labels(node, "classlabels_ints", "classlabels_strings")? else {
        return node.bail("no class labels are given");
    };
    let intercepts = floats(node, "intercepts")?.len();
    let targets = if intercepts == 0 { classes.len() } else { intercepts };
    let linear = Linear::new(node, targets)?;
    if targets != classes.len() && (targets, classes.len()) != (1, 2) {
        return node.bail(&format!("{targets} scores cannot tell {} classes", classes.len()));
    }
    kernel(node, 1..=1, LinearClassifier { linear, classes, transform: PostTransform::read(node)? })
}

impl Kernel for LinearClassifier {
    fn name(&self) -> &'static str {
        "LinearClassifier"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        let rows = row_dim(&inputs[0])?;
        Ok(vec![
            Signature::new(self.classes.element(), [rows.clone()]),
            Signature::new(DatumType::F32, [rows, self.classes.len().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let classes = self.classes.len();
        let mut winners = vec![0u32; rows];
        let scores = filled::<f32>(&[rows, classes], |out| {
            self.linear.sums(inputs[0], |at, sums| {
                winners[at] = self.winner(sums);
                self.finish(sums, &mut out[at * classes..][..classes]);
            })
        })?;
        Ok(vec![self.classes.tensor(&winners), scores])
    }
}

impl LinearClassifier {
    /// The position of the winning class, by raw scores; the first of equal ones.
    fn winner(&self, sums: &[f32]) -> u32 {
        if let ([sum], 2) = (sums, self.classes.len()) {
            return u32::from(*sum > 0.0);
        }
        let mut best = 0;
        for (at, sum) in sums.iter().enumerate() {
            if *sum > sums[best] {
                best = at;
            }
        }
        best as u32
    }

    fn finish(&self, sums: &mut [f32], out: &mut [f32]) {
        match (&*sums, &mut *out) {
            // One score for two classes: it speaks for the second.
            ([sum], [first, second]) => (*first, *second) = self.both(*sum),
            _ => {
                self.transform.apply(sums);
                out.copy_from_slice(sums);
            }
        }
    }

    /// What one score says of two classes, as in ONNX Runtime.
    fn both(&self, sum: f32) -> (f32, f32) {
        match self.transform {
            PostTransform::Logistic => (logistic(-sum), logistic(sum)),
            PostTransform::Probit => {
                let mut pair = [1.0 - sum, sum];
                self.transform.apply(&mut pair);
                (pair[0], pair[1])
            }
            _ => (1.0 - sum, sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{floats, int, ints, ints_in, ml, string, strings, strings_in, tensor};

    #[test]
    fn a_regressor_gives_a_weighted_sum_for_each_target() {
        ml(
            "LinearRegressor",
            vec![int("targets", 2), floats("coefficients", &[1.0, 2.0, 0.0, -1.0]), floats("intercepts", &[0.5, 0.0])],
        )
        .gives(tensor(&[2, 2], &[1.0f32, 1.0, 3.0, 0.0]), tensor(&[2, 2], &[3.5f32, -1.0, 3.5, 0.0]));
    }

    #[test]
    fn the_largest_score_wins() {
        ml(
            "LinearClassifier",
            vec![
                floats("coefficients", &[1.0, 0.0, -1.0]),
                floats("intercepts", &[0.0, 0.5, 0.0]),
                strings("classlabels_strings", &["up", "still", "down"]),
            ],
        )
        .gives_all(
            tensor(&[3, 1], &[2.0f32, 0.0, -2.0]),
            vec![
                strings_in(&[3], &["up", "still", "down"]),
                tensor(&[3, 3], &[2.0f32, 0.5, -2.0, 0.0, 0.5, 0.0, -2.0, 0.5, 2.0]),
            ],
        );
    }

    #[test]
    fn one_score_speaks_for_the_second_of_two_classes() {
        let third = 1.0f32 / 3.0;
        ml(
            "LinearClassifier",
            vec![
                floats("coefficients", &[1.0]),
                floats("intercepts", &[0.0]),
                ints("classlabels_ints", &[5, 6]),
                string("post_transform", "LOGISTIC"),
            ],
        )
        .gives_all(
            tensor(&[2, 1], &[2.0f32.ln(), -(2.0f32.ln())]),
            vec![ints_in(&[2], &[6, 5]), tensor(&[2, 2], &[third, 2.0 * third, 2.0 * third, third])],
        );
    }

    #[test]
    fn columns_and_coefficients_must_agree() {
        ml("LinearRegressor", vec![floats("coefficients", &[1.0, 2.0])])
            .refuses(tensor(&[1, 3], &[1.0f32; 3]), "3 columns where the model has 2 coefficients");
    }
}
