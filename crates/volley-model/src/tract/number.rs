//! Conversions between the numbers of columns and those of tensors, each rounded at most once.

use half::f16;

use crate::fill::Fill;

/// A number of a tensor.
pub(super) trait Number: Copy + Default {
    /// What NULL becomes. Binding has made sure that the value fits.
    fn of_fill(fill: &Fill) -> Self;
    /// 0 or 1.
    fn of_bool(value: bool) -> Self;
}

/// A number of a tensor from a number of a column. Binding has made sure that integers fit.
pub(super) trait Of<S> {
    fn of(value: S) -> Self;
}

macro_rules! numbers {
    ($($to:ty),*) => {$(
        impl Number for $to {
            fn of_fill(fill: &Fill) -> Self {
                match fill {
                    Fill::Boolean(value) => Self::of_bool(*value),
                    Fill::Integer(value) => *value as $to,
                    Fill::Float(value) => *value as $to,
                    Fill::Text(_) => Self::default(),
                }
            }

            fn of_bool(value: bool) -> Self {
                u8::from(value) as $to
            }
        }
        of!($to; i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);
    )*};
}

macro_rules! of {
    ($to:ty; $($from:ty),*) => {$(
        impl Of<$from> for $to {
            fn of(value: $from) -> Self {
                value as $to
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// The nearest half float, rounded once.
pub(crate) fn half(value: f64) -> f16 {
    let nearest = value as f32;
    let exact = value.is_nan() || f64::from(nearest) == value;
    f16::from_f32(if exact { nearest } else { odd(nearest, value) })
}

/// Of the two singles around `value` the one whose last digit is odd: it lies on the same side of every half float,
/// and of every middle between two, as `value` does. `nearest` is one of the two.
fn odd(nearest: f32, value: f64) -> f32 {
    let beyond = f64::from(nearest).abs() > value.abs();
    let towards_zero = nearest.to_bits() - u32::from(beyond);
    f32::from_bits(towards_zero | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_float_is_rounded_once() {
        for (value, nearest) in [
            (2049.0, 2048.0),
            (2_049.000_000_000_01, 2_050.0),
            (-2_049.000_000_000_01, -2_050.0),
            (2_050.999_999_999_99, 2_050.0),
            (0.1, 0.099_975_586),
            (65_519.999_999, 65_504.0),
            (1e300, f32::INFINITY),
            (5e-324, 0.0),
        ] {
            assert_eq!(half(value).to_f32(), nearest, "{value}");
        }
        assert!(half(f64::NAN).is_nan());
    }
}
