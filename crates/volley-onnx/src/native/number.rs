//! The two precisions in which native models compute: XGBoost in singles, LightGBM in doubles.

use tract_onnx::prelude::Datum;

use crate::port::Element;
use crate::trees::{Ensemble, Real};

/// `f32` or `f64`, and what links and trees do with them.
pub(super) trait Number: Real + Datum {
    const ELEMENT: Element;

    fn exp(self) -> Self;
    /// The logarithm of what is one more.
    fn ln_1p(self) -> Self;
    /// Between 0 and 1, computed as the library does.
    fn sigmoid(self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    /// Calls `each` with the number and the sums of each row; whether the trees are of this precision.
    fn walk(trees: &Ensemble, rows: &[Self], columns: usize, each: impl FnMut(usize, &mut [Self])) -> bool;
}

impl Number for f32 {
    const ELEMENT: Element = Element::F32;

    fn exp(self) -> Self {
        f32::exp(self)
    }

    fn ln_1p(self) -> Self {
        f32::ln_1p(self)
    }

    fn sigmoid(self) -> Self {
        // XGBoost's bound, beyond which the exponential of a single is infinite.
        1.0 / ((-self).min(88.7).exp() + 1.0)
    }

    fn times(self, other: Self) -> Self {
        self * other
    }

    fn over(self, other: Self) -> Self {
        self / other
    }

    fn walk(trees: &Ensemble, rows: &[Self], columns: usize, mut each: impl FnMut(usize, &mut [Self])) -> bool {
        trees.score_singles(rows, columns, |row, sums, _| each(row, sums)).is_some()
    }
}

impl Number for f64 {
    const ELEMENT: Element = Element::F64;

    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }

    fn sigmoid(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }

    fn times(self, other: Self) -> Self {
        self * other
    }

    fn over(self, other: Self) -> Self {
        self / other
    }

    fn walk(trees: &Ensemble, rows: &[Self], columns: usize, mut each: impl FnMut(usize, &mut [Self])) -> bool {
        trees.score_doubles(rows, columns, |row, sums, _| each(row, sums));
        true
    }
}
