//! What is done to raw scores at the end of a linear or tree model.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::wide::{Work, widely};
use crate::direct::{Builder, RowColumn};
use crate::elementary::exp_of_negative;

/// The `post_transform` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostTransform {
    None,
    Softmax,
    /// Softmax over the scores that are not zero; those stay zero.
    SoftmaxZero,
    Logistic,
    Probit,
}

impl PostTransform {
    pub(crate) fn read(node: &NodeProto) -> TractResult<PostTransform> {
        Ok(match node.get_attr_opt::<&str>("post_transform")?.unwrap_or("NONE") {
            "NONE" => PostTransform::None,
            "SOFTMAX" => PostTransform::Softmax,
            "SOFTMAX_ZERO" => PostTransform::SoftmaxZero,
            "LOGISTIC" => PostTransform::Logistic,
            "PROBIT" => PostTransform::Probit,
            _ => return node.bail_attr("post_transform", "is unknown"),
        })
    }

    /// [`PostTransform::apply`] to rows of `targets` scores each.
    pub(crate) fn apply_to_rows(self, scores: &mut [f32], targets: usize) {
        match self {
            PostTransform::None => {}
            PostTransform::Softmax if targets > 1 => widely(Softmax { scores, targets }),
            PostTransform::Logistic if targets > 1 => widely(Logistic(scores)),
            _ => scores.chunks_exact_mut(targets).for_each(|row| self.apply(row)),
        }
    }

    /// [`PostTransform::apply`] by columns.
    pub(crate) fn by_columns(self, scores: Vec<RowColumn<f32>>, build: &mut Builder) -> Vec<RowColumn<f32>> {
        match self {
            _ if scores.len() == 1 && self != PostTransform::Probit => scores,
            PostTransform::None => scores,
            PostTransform::Softmax => build.softmax(&scores),
            PostTransform::SoftmaxZero => build.by_row(&scores, softmax_zero),
            PostTransform::Logistic => scores.into_iter().map(|score| build.map(score, logistic)).collect(),
            PostTransform::Probit => scores.into_iter().map(|score| build.map(score, probit)).collect(),
        }
    }

    /// Transforms the scores of one row. A score that stands alone is left as it is, except by
    /// PROBIT: exporters rely on ONNX Runtime, which does so.
    pub(crate) fn apply(self, scores: &mut [f32]) {
        match self {
            _ if scores.len() == 1 && self != PostTransform::Probit => {}
            PostTransform::None => {}
            PostTransform::Softmax => softmax(scores),
            PostTransform::SoftmaxZero => softmax_zero(scores),
            PostTransform::Logistic => widely(Logistic(scores)),
            PostTransform::Probit => scores.iter_mut().for_each(|v| *v = probit(*v)),
        }
    }
}

/// `1 / (1 + e^-x)`, without overflow.
#[inline(always)]
pub(crate) fn logistic(x: f32) -> f32 {
    let upper = 1.0 / (1.0 + exp_of_negative(-x.abs()));
    if x < 0.0 { 1.0 - upper } else { upper }
}

struct Logistic<'s>(&'s mut [f32]);

impl Work for Logistic<'_> {
    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|v| *v = logistic(*v));
    }
}

fn softmax(scores: &mut [f32]) {
    let targets = scores.len();
    widely(Softmax { scores, targets });
}

struct Softmax<'s> {
    scores: &'s mut [f32],
    targets: usize,
}

impl Work for Softmax<'_> {
    #[inline(always)]
    fn run(self) {
        for row in self.scores.chunks_exact_mut(self.targets) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|v| *v -= largest);
        }
        self.scores.iter_mut().for_each(|v| *v = exp_of_negative(*v));
        for row in self.scores.chunks_exact_mut(self.targets) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|v| *v /= sum);
        }
    }
}

fn softmax_zero(scores: &mut [f32]) {
    // What ONNX Runtime takes for zero.
    const ZERO: f32 = 1e-7;
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for v in &mut *scores {
        if v.abs() > ZERO {
            *v = (*v - largest).exp();
            sum += *v;
        } else {
            *v *= (-largest).exp();
        }
    }
    if sum > 0.0 {
        scores.iter_mut().for_each(|v| *v /= sum);
    }
}

/// The quantile of the normal distribution, with the approximation of the inverse error function
/// (Winitzki 2008, a = 0.147) that ONNX Runtime uses, so that scores agree.
fn probit(p: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f32::consts::PI * A) + 0.5 * log;
    let magnitude = (-half + (half * half - log / A).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * if x < 0.0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(transform: PostTransform, scores: &[f32], expected: &[f32]) {
        let mut scores = scores.to_vec();
        transform.apply(&mut scores);
        for (got, expected) in scores.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
        }
    }

    #[test]
    fn scores_are_transformed_by_row() {
        let e = std::f32::consts::E;
        check(PostTransform::None, &[3.0, -1.0], &[3.0, -1.0]);
        check(PostTransform::Logistic, &[0.0, 1.0], &[0.5, e / (1.0 + e)]);
        check(PostTransform::Softmax, &[1.0, 2.0], &[1.0 / (1.0 + e), e / (1.0 + e)]);
        check(PostTransform::SoftmaxZero, &[0.0, 1.0, 2.0], &[0.0, 1.0 / (1.0 + e), e / (1.0 + e)]);
    }

    #[test]
    fn large_scores_do_not_overflow() {
        check(PostTransform::Logistic, &[-1000.0, 1000.0], &[0.0, 1.0]);
        check(PostTransform::Softmax, &[-1000.0, 1000.0], &[0.0, 1.0]);
    }

    #[test]
    fn probit_is_the_normal_quantile() {
        let mut scores = [0.5, 0.841_344_7, 0.158_655_3];
        PostTransform::Probit.apply(&mut scores);
        for (got, expected) in scores.iter().zip([0.0, 1.0, -1.0]) {
            assert!((got - expected).abs() < 3e-3, "{got} is not {expected}");
        }
    }
}
