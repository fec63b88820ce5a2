//! Conversions between the numbers of columns and those of tensors, each rounded at most once.

use crate::coercion::Fill;

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
