//! The two precisions in which trees are walked.

use std::fmt::Debug;
use std::ops::{AddAssign, Mul, Neg, Sub};

use super::cuts::WINDOW;
use super::lanes::Lanes;

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
    fn bucket(self, last: u16) -> u32;
    /// How many of some numbers are below this one.
    fn count_below<L: Lanes>(self, lanes: L, numbers: &[Self; WINDOW]) -> u32;
}

macro_rules! real {
    ($type:ty, $count:ident) => {
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
            #[expect(unsafe_code, reason = "a conversion that looks at bounds is not done for many numbers at once")]
            fn bucket(self, last: u16) -> u32 {
                // NaN is not above zero.
                let value = if self > 0.0 { self } else { 0.0 };
                let last = <$type>::from(last);
                let value = if value < last { value } else { last };
                // SAFETY: it is a number from 0 to what a `u16` holds.
                unsafe { value.to_int_unchecked::<i32>() as u32 }
            }

            #[inline(always)]
            fn count_below<L: Lanes>(self, lanes: L, numbers: &[Self; WINDOW]) -> u32 {
                lanes.$count(numbers, self)
            }
        }
    };
}

real!(f32, singles_below);
real!(f64, doubles_below);
