//! The two precisions in which trees are walked.

use std::fmt::Debug;
use std::ops::{AddAssign, Neg, Sub};

/// `f32` or `f64`.
pub(crate) trait Real:
    Copy + PartialOrd + Debug + Default + AddAssign + Neg<Output = Self> + Sub<Output = Self> + Send + Sync + 'static
{
    const INFINITY: Self;
    const ONE: Self;
    const HALF: Self;

    /// Rounds to this precision.
    fn of(value: f64) -> Self;
    /// Rounds to single precision.
    fn single(self) -> f32;
    fn double(self) -> f64;
    /// The largest number below; NaN below negative infinity, which nothing is.
    fn below(self) -> Self;
    fn is_nan(self) -> bool;
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            const INFINITY: Self = <$type>::INFINITY;
            const ONE: Self = 1.0;
            const HALF: Self = 0.5;

            fn of(value: f64) -> Self {
                value as $type
            }

            fn single(self) -> f32 {
                self as f32
            }

            #[inline(always)]
            fn double(self) -> f64 {
                f64::from(self)
            }

            fn below(self) -> Self {
                if self == <$type>::NEG_INFINITY { <$type>::NAN } else { self.next_down() }
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                self != self
            }
        }
    };
}

real!(f32);
real!(f64);
