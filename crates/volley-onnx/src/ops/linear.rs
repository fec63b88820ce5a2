//! `LinearClassifier` and `LinearRegressor`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, floats, labels, refuse, row_dim, rows_and_columns, singles};
use super::post_transform::{PostTransform, logistic};
use super::wide::{Work, widely};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given, RowColumn};
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

    /// The sums of all rows, `targets` each.
    fn sums(&self, input: &Tensor) -> TractResult<Vec<f32>> {
        let (rows, columns) = rows_and_columns(input)?;
        let expected = self.coefficients.len() / self.targets;
        if columns != expected {
            return refuse(format!("{columns} columns where the model has {expected} coefficients"));
        }
        let mut sums = vec![0.0; rows * self.targets];
        let input = singles(input)?;
        if self.targets <= FEW {
            widely(Few { linear: self, rows: &input, columns, sums: &mut sums });
        } else {
            widely(Many { linear: self, rows: &input, columns, sums: &mut sums });
        }
        Ok(sums)
    }

    /// The same by columns, a column for each target.
    fn columns(&self, input: &Given, build: &mut Builder) -> Option<Vec<RowColumn<f32>>> {
        let input = input.value()?;
        let columns = self.coefficients.len() / self.targets;
        if input.matrix_columns() != Some(columns) {
            return None;
        }
        let singles = input.cells.singles(build)?;
        let weights = self.coefficients.chunks_exact(columns).enumerate();
        let sums = weights.map(|(target, weights)| build.weighted_sum(&singles, weights, self.intercept(target)));
        Some(sums.collect())
    }

    fn intercept(&self, target: usize) -> f32 {
        self.intercepts.get(target).copied().unwrap_or(0.0)
    }
}

/// Columns or targets that are dealt with together, which compilers turn into vector instructions.
const LANES: usize = 8;
/// Up to so many targets, a vector holds columns; for more, it holds targets.
const FEW: usize = 2;

struct Few<'a> {
    linear: &'a Linear,
    rows: &'a [f32],
    columns: usize,
    sums: &'a mut [f32],
}

impl Work for Few<'_> {
    #[inline(always)]
    fn run(self) {
        for target in 0..self.linear.targets {
            let weights = &self.linear.coefficients[target * self.columns..][..self.columns];
            let intercept = self.linear.intercept(target);
            let sums = self.sums[target..].iter_mut().step_by(self.linear.targets);
            for (sum, row) in sums.zip(self.rows.chunks_exact(self.columns)) {
                *sum = dot(row, weights) + intercept;
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a_lanes, a), (b_lanes, b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut halves: [f32; 4] = std::array::from_fn(|lane| sums[lane] + sums[lane + 4]);
    let ((a_lanes, a), (b_lanes, b)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..4 {
            halves[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    (halves[0] + halves[2]) + (halves[1] + halves[3]) + rest
}

struct Many<'a> {
    linear: &'a Linear,
    rows: &'a [f32],
    columns: usize,
    sums: &'a mut [f32],
}

impl Work for Many<'_> {
    #[inline(always)]
    fn run(self) {
        let targets = self.linear.targets;
        for first in (0..targets).step_by(LANES) {
            let lanes = LANES.min(targets - first);
            let coefficient = |target: usize, column| self.linear.coefficients[target * self.columns + column];
            let weight =
                |column: usize, lane: usize| if lane < lanes { coefficient(first + lane, column) } else { 0.0 };
            let weights: Vec<[f32; LANES]> =
                (0..self.columns).map(|column| std::array::from_fn(|lane| weight(column, lane))).collect();
            let intercepts: [f32; LANES] = std::array::from_fn(|lane| self.linear.intercept(first + lane));
            for (sums, row) in self.sums.chunks_exact_mut(targets).zip(self.rows.chunks_exact(self.columns)) {
                let mut lane_sums = [0.0f32; LANES];
                for (&value, weights) in row.iter().zip(&weights) {
                    for lane in 0..LANES {
                        lane_sums[lane] += value * weights[lane];
                    }
                }
                for lane in 0..lanes {
                    sums[first + lane] = lane_sums[lane] + intercepts[lane];
                }
            }
        }
    }
}

/// A matrix of singles multiplied by one whose columns lie behind each other in `coefficients`.
pub(crate) fn product(coefficients: Vec<f32>, targets: usize) -> impl Kernel {
    let linear = Linear { coefficients, intercepts: vec![], targets };
    LinearRegressor { linear, transform: PostTransform::None }
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

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let sums = self.linear.columns(&inputs[0], build)?;
        Some(vec![Cells::Singles(self.transform.by_columns(sums, build))])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let targets = self.linear.targets;
        let mut sums = self.linear.sums(inputs[0])?;
        self.transform.apply_to_rows(&mut sums, targets);
        Ok(vec![crate::tensor_from(&[sums.len() / targets, targets], sums)])
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

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let sums = self.linear.columns(&inputs[0], build)?;
        let (winners, scores) = match (sums.as_slice(), self.classes.len()) {
            (&[sum], 2) => {
                let winners = build.map(sum, |sum| u32::from(sum > 0.0));
                (winners, self.both_columns(sum, build))
            }
            _ => {
                let winners = build.winner(&sums, |sum, best| sum > best);
                (winners, self.transform.by_columns(sums, build))
            }
        };
        Some(vec![self.classes.columns(winners, build), Cells::Singles(scores)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (targets, classes) = (self.linear.targets, self.classes.len());
        let mut sums = self.linear.sums(inputs[0])?;
        let winners: Vec<u32> = match targets {
            2 => sums.as_chunks::<2>().0.iter().map(|[first, second]| u32::from(second > first)).collect(),
            _ => sums.chunks_exact(targets).map(|sums| self.winner(sums)).collect(),
        };
        let scores = match (targets, classes) {
            // One score for two classes: it speaks for the second.
            (1, 2) => sums.iter().flat_map(|&sum| self.both(sum)).collect(),
            _ => {
                self.transform.apply_to_rows(&mut sums, targets);
                sums
            }
        };
        Ok(vec![self.classes.tensor(&winners), crate::tensor_from(&[winners.len(), classes], scores)])
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

    fn both_columns(&self, sum: RowColumn<f32>, build: &mut Builder) -> Vec<RowColumn<f32>> {
        if self.transform == PostTransform::Logistic {
            return vec![build.map(sum, |sum: f32| logistic(-sum)), build.map(sum, logistic)];
        }
        let first = build.map(sum, |sum: f32| 1.0 - sum);
        match self.transform {
            PostTransform::Probit => self.transform.by_columns(vec![first, sum], build),
            _ => vec![first, sum],
        }
    }

    /// What one score says of two classes, as in ONNX Runtime.
    fn both(&self, sum: f32) -> [f32; 2] {
        match self.transform {
            PostTransform::Logistic => [logistic(-sum), logistic(sum)],
            PostTransform::Probit => {
                let mut pair = [1.0 - sum, sum];
                self.transform.apply(&mut pair);
                pair
            }
            _ => [1.0 - sum, sum],
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
