//! The two precisions in which native models compute: XGBoost in singles, LightGBM in doubles.

use std::ops::Range;

use crate::direct::{Place, Rows, Values};
use crate::port::Element;
use crate::trees::{Ensemble, Real};

/// `f32` or `f64`, and what links and trees do with them.
pub(super) trait Number: Real {
    const ELEMENT: Element;

    fn exp(self) -> Self;
    /// The logarithm of what is one more.
    fn ln_1p(self) -> Self;
    /// Between 0 and 1, computed as the library does.
    fn sigmoid(self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    /// Calls `each` with the number and the sums of each of `rows` rows, of which `read` gives some values of a feature,
    /// from a row on; whether the trees are of this precision.
    fn walk(
        trees: &Ensemble,
        rows: usize,
        read: impl Fn(usize, usize, &mut [Self]),
        each: impl FnMut(usize, &mut [Self]),
    ) -> bool;
    /// Writes the values of an input of this precision in some rows.
    fn read(rows: &dyn Rows, place: Place, range: Range<usize>, values: &mut [Self]);
    fn values(values: Vec<Self>) -> Values;
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

    fn walk(
        trees: &Ensemble,
        rows: usize,
        read: impl Fn(usize, usize, &mut [Self]),
        mut each: impl FnMut(usize, &mut [Self]),
    ) -> bool {
        trees.score_single_columns(rows, read, |row, sums, _| each(row, sums)).is_some()
    }

    fn read(rows: &dyn Rows, place: Place, range: Range<usize>, values: &mut [Self]) {
        if let Some(lent) = rows.singles(place, range, values) {
            values.copy_from_slice(lent);
        }
    }

    fn values(values: Vec<Self>) -> Values {
        Values::Singles(values)
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

    fn walk(
        trees: &Ensemble,
        rows: usize,
        read: impl Fn(usize, usize, &mut [Self]),
        mut each: impl FnMut(usize, &mut [Self]),
    ) -> bool {
        trees.score_double_columns(rows, read, |row, sums, _| each(row, sums));
        true
    }

    fn read(rows: &dyn Rows, place: Place, range: Range<usize>, values: &mut [Self]) {
        if let Some(lent) = rows.doubles(place, range, values) {
            values.copy_from_slice(lent);
        }
    }

    fn values(values: Vec<Self>) -> Values {
        Values::Doubles(values)
    }
}
