//! What arithmetic is done in.

use super::memory::Element;
use crate::elementary::{erf, exp, ln, tanh};

/// A real number.
pub(super) trait Real: Element + PartialOrd {
    fn add(self, other: Self) -> Self;
    fn subtract(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
    fn divide(self, other: Self) -> Self;
    /// `self * by + plus`, rounded once.
    fn times_plus(self, by: Self, plus: Self) -> Self;
    fn power(self, exponent: Self) -> Self;
    fn is_no_number(self) -> bool;
    fn absolute(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn root(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_even(self) -> Self;
    fn from_double(value: f64) -> Self;
    fn to_double(self) -> f64;
}

macro_rules! real {
    ($type:ty, $exp:expr, $ln:expr, $tanh:expr, $erf:expr) => {
        impl Real for $type {
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn subtract(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn multiply(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn divide(self, other: Self) -> Self {
                self / other
            }
            #[inline(always)]
            fn times_plus(self, by: Self, plus: Self) -> Self {
                self.mul_add(by, plus)
            }
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                self.powf(exponent)
            }
            #[inline(always)]
            fn is_no_number(self) -> bool {
                self.is_nan()
            }
            #[inline(always)]
            fn absolute(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn floor(self) -> Self {
                <$type>::floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                <$type>::ceil(self)
            }
            #[inline(always)]
            fn round_even(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn from_double(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn to_double(self) -> f64 {
                f64::from(self)
            }
        }
    };
}

real!(f32, exp, ln, tanh, erf);
real!(f64, f64::exp, f64::ln, f64::tanh, erf_of_double);

/// To single precision; nothing asks for more.
#[inline(always)]
fn erf_of_double(x: f64) -> f64 {
    f64::from(erf(x as f32))
}
