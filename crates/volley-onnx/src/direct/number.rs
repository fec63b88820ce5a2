//! The two precisions in which columns are computed with.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::block::{Cell, Column};
use super::value::Cells;
use crate::elementary;
use crate::ops::logistic;

/// `f32` or `f64`.
pub(crate) trait Float:
    Cell
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    const LEAST: Self;

    /// The columns, if they are of this precision.
    fn columns(cells: &Cells) -> Option<&[Column<Self>]>;
    fn cells(columns: Vec<Column<Self>>) -> Cells;
    fn exp(self) -> Self;
    /// The same, where it is known to be at most one.
    fn exp_of_negative(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn tanh(self) -> Self;
    fn abs(self) -> Self;
    fn power(self, exponent: Self) -> Self;
    /// `1 / (1 + e^-x)`
    fn logistic(self) -> Self;
    /// -1, 0 or 1.
    fn sign(self) -> Self;
    fn is_nan(self) -> bool;
    fn of(value: f64) -> Self;
    fn double(self) -> f64;
    fn single(self) -> f32;
}

macro_rules! float {
    ($type:ty, $cells:path, $exp:expr, $exp_of_negative:expr, $logistic:expr, $ln:expr, $tanh:expr) => {
        impl Float for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LEAST: Self = <$type>::MIN;

            fn columns(cells: &Cells) -> Option<&[Column<Self>]> {
                match cells {
                    $cells(columns) => Some(columns),
                    _ => None,
                }
            }

            fn cells(columns: Vec<Column<Self>>) -> Cells {
                $cells(columns)
            }

            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }

            #[inline(always)]
            fn exp_of_negative(self) -> Self {
                $exp_of_negative(self)
            }

            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }

            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }

            fn power(self, exponent: Self) -> Self {
                self.powf(exponent)
            }

            #[inline(always)]
            fn logistic(self) -> Self {
                $logistic(self)
            }

            fn sign(self) -> Self {
                if self == 0.0 { 0.0 } else { self.signum() }
            }

            fn of(value: f64) -> Self {
                value as $type
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                self != self
            }

            #[inline(always)]
            fn double(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn single(self) -> f32 {
                self as f32
            }
        }
    };
}

float!(f32, Cells::Singles, elementary::exp, elementary::exp_of_negative, logistic, elementary::ln, elementary::tanh);
float!(f64, Cells::Doubles, f64::exp, f64::exp, |x: f64| 1.0 / (1.0 + (-x).exp()), f64::ln, f64::tanh);
