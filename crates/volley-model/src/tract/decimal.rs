//! Decimals as the nearest float: rounded once, as the coercion table promises.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::compute::unary;
use arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};

/// A decimal column as doubles; `None` if it is no decimal.
pub(super) fn doubles(column: &ArrayRef) -> Option<ArrayRef> {
    let array: Float64Array = match column.data_type() {
        DataType::Decimal32(_, scale) => unary(column.as_primitive::<Decimal32Type>(), |v| double(v.into(), *scale)),
        DataType::Decimal64(_, scale) => unary(column.as_primitive::<Decimal64Type>(), |v| double(v.into(), *scale)),
        DataType::Decimal128(_, scale) => unary(column.as_primitive::<Decimal128Type>(), |v| double(v, *scale)),
        DataType::Decimal256(_, scale) => {
            unary(column.as_primitive::<Decimal256Type>(), |v| nearest::<f64>(&v.to_string(), *scale))
        }
        _ => return None,
    };
    Some(Arc::new(array))
}

/// A decimal column as floats; `None` if it is no decimal.
pub(super) fn floats(column: &ArrayRef) -> Option<ArrayRef> {
    let array: Float32Array = match column.data_type() {
        DataType::Decimal32(_, scale) => unary(column.as_primitive::<Decimal32Type>(), |v| float(v.into(), *scale)),
        DataType::Decimal64(_, scale) => unary(column.as_primitive::<Decimal64Type>(), |v| float(v.into(), *scale)),
        DataType::Decimal128(_, scale) => unary(column.as_primitive::<Decimal128Type>(), |v| float(v, *scale)),
        DataType::Decimal256(_, scale) => {
            unary(column.as_primitive::<Decimal256Type>(), |v| nearest::<f32>(&v.to_string(), *scale))
        }
        _ => return None,
    };
    Some(Arc::new(array))
}

/// Exact operands make a division round once: integers to 2^53, powers of ten to 10^22.
fn double(value: i128, scale: i8) -> f64 {
    match exact_double(value, scale) {
        Some((numerator, power)) => numerator / power,
        None => nearest(&value.to_string(), scale),
    }
}

/// By way of the nearest double, unless that lies half way between two floats: it could have been rounded to there,
/// and rounding it again would then go the wrong way.
fn float(value: i128, scale: i8) -> f32 {
    const BELOW_A_FLOAT: u64 = (1 << 29) - 1;
    const HALF_WAY: u64 = 1 << 28;
    match exact_double(value, scale).map(|(numerator, power)| numerator / power) {
        Some(double) if double.to_bits() & BELOW_A_FLOAT != HALF_WAY => double as f32,
        _ => nearest(&value.to_string(), scale),
    }
}

fn exact_double(value: i128, scale: i8) -> Option<(f64, f64)> {
    let exact = value.unsigned_abs() <= 1 << 53 && (0..=22).contains(&scale);
    exact.then(|| (value as f64, 10_f64.powi(scale.into())))
}

/// The standard library reads text to the nearest float, whatever its length.
fn nearest<F: std::str::FromStr<Err = std::num::ParseFloatError>>(digits: &str, scale: i8) -> F {
    let exponent = -i16::from(scale);
    format!("{digits}e{exponent}").parse().expect("an integer with an exponent is a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_becomes_the_double_that_its_text_becomes() {
        for (value, scale, text) in [
            (12_345, 2, "123.45"),
            (-1, 1, "-0.1"),
            (99_999_999_999_999_999_999, 4, "9999999999999999.9999"),
            (7, 30, "7e-30"),
            (7, -3, "7000"),
        ] {
            assert_eq!(double(value, scale), text.parse::<f64>().expect("number"), "{text}");
            assert_eq!(float(value, scale), text.parse::<f32>().expect("number"), "{text}");
        }
    }

    #[test]
    fn a_decimal_just_above_the_middle_of_two_floats_goes_up() {
        // 1 + 2^-24 is half way between 1 and the next float; a digit far behind it is lost in a double.
        let value = 1_000_000_059_604_644_775_390_626_i128;
        assert_eq!(value as f64 / 1e24, 1.0 + 2f64.powi(-24));
        assert_eq!(float(value, 24), 1.0 + f32::EPSILON);
        let exact = 59_604_644_775_390_625_i128 + 1_000_000_000_000_000_000_000_000;
        assert_eq!(float(exact, 24), 1.0);
    }
}
