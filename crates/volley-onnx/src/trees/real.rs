//! The two precisions in which trees are walked.

use std::fmt::Debug;
use std::ops::{AddAssign, Mul, Neg, Sub};

/// `f32` or `f64`.
pub(crate) trait Real:
    Copy
    + PartialOrd
    + Debug
    + Default
    + AddAssign
    + Mul<Output = Self>
    + Neg<Output = Self>
    + Sub<Output = Self>
    + Send
    + Sync
    + 'static
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
    /// What brings numbers from `low` to `high` onto `buckets` buckets; 0 where nothing does.
    fn scale(low: Self, high: Self, buckets: usize) -> Self;
    /// The bucket of a number, from 0 to `last`; that of NaN is 0.
    fn bucket(self, last: usize) -> usize;
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

            fn scale(low: Self, high: Self, buckets: usize) -> Self {
                let scale = buckets as $type / (high - low);
                if scale.is_finite() { scale } else { 0.0 }
            }

            #[inline(always)]
            fn bucket(self, last: usize) -> usize {
                // In this order, NaN becomes 0.
                self.max(0.0).min(last as $type) as u32 as usize
            }
        }
    };
}

real!(f32);
real!(f64);
