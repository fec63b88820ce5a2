//! Functions of one single, without branches, so that compilers can do many at once (Moshier, "Cephes"; `tanh` and
//! `erf` as in Eigen).

/// Adding this rounds to an integer, which then stands in the last bits.
const ROUNDER: f32 = 12_582_912.0;
/// The logarithm of two, in a part of few digits and the rest.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// `(e^x - 1 - x) / x^2` near zero, the highest power first.
const POWERS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `e^x`, to the last digit or the one before.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinite.
    const ENDS: [f32; 2] = [-104.0, 89.0];
    let bounded = if x < ENDS[0] { ENDS[0] } else { x };
    let bounded = if bounded > ENDS[1] { ENDS[1] } else { bounded };
    let rounded = bounded.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let power = rounded - ROUNDER;
    let rest = power.mul_add(-LN_2[1], power.mul_add(-LN_2[0], bounded));
    let mut series = POWERS[0];
    for term in &POWERS[1..] {
        series = series.mul_add(rest, *term);
    }
    let mantissa = series.mul_add(rest * rest, rest) + 1.0;
    // In two halves: the whole power may be too small or too large for an exponent.
    let power = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32;
    let half = power >> 1;
    let two_to = |power: i32| f32::from_bits((power.wrapping_add(127) as u32) << 23);
    mantissa * two_to(half) * two_to(power.wrapping_sub(half))
}

/// `e^x` for an `x` that is not positive, to the last digit or the one before. Below the normal numbers it is 0.
///
/// Nothing is fused, which is slow on processors without an instruction for it: this one is in the common road.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54;
    let bounded = if x < LOWEST { LOWEST } else { x };
    let rounded = bounded * std::f32::consts::LOG2_E + ROUNDER;
    let power = rounded - ROUNDER;
    let rest = (bounded - power * LN_2[0]) - power * LN_2[1];
    let mut series = POWERS[0];
    for term in &POWERS[1..] {
        series = series * rest + term;
    }
    let mantissa = series * rest * rest + rest + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127) << 23;
    if x < LOWEST { 0.0 } else { mantissa * f32::from_bits(exponent) }
}

/// The natural logarithm, to the last digit or the one before.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const TINY: f32 = f32::MIN_POSITIVE;
    let (normal, shift) = if x < TINY { (x * 8_388_608.0, 23) } else { (x, 0) };
    let bits = normal.to_bits();
    let exponent = (bits >> 23) as i32 - 126 - shift;
    let mantissa = f32::from_bits(bits & 0x007F_FFFF | 0x3F00_0000);
    let small = mantissa < std::f32::consts::FRAC_1_SQRT_2;
    let exponent = (exponent - i32::from(small)) as f32;
    let m = if small { mantissa + mantissa } else { mantissa } - 1.0;
    let square = m * m;
    let mut series = 7.037_683_6e-2f32;
    for term in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        series = series.mul_add(m, term);
    }
    let tail = (-0.5f32).mul_add(square, exponent.mul_add(LN_2[1], series * m * square));
    let found = exponent.mul_add(LN_2[0], m + tail);
    let found = if x == f32::INFINITY { f32::INFINITY } else { found };
    let found = if x == 0.0 { f32::NEG_INFINITY } else { found };
    if x >= 0.0 { found } else { f32::NAN }
}

/// The hyperbolic tangent, to the last digits (the quotient that Eigen and ONNX Runtime take).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "as the terms are printed where they come from")]
pub(crate) fn tanh(x: f32) -> f32 {
    // Beyond the first of these the quotient is no better, beyond the second the result is one.
    const ENDS: [f32; 2] = [7.905_311, 9.0];
    let bounded = if x < -ENDS[0] { -ENDS[0] } else { x };
    let bounded = if bounded > ENDS[0] { ENDS[0] } else { bounded };
    let square = bounded * bounded;
    let mut above = -2.760_768_5e-16f32;
    for term in [2.000_187_9e-13, -8.604_671_5e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_524_6e-3] {
        above = above.mul_add(square, term);
    }
    let mut below = 1.198_258_4e-6f32;
    for term in [1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3] {
        below = below.mul_add(square, term);
    }
    let quotient = bounded * above / below;
    if x.abs() >= ENDS[1] { 1.0f32.copysign(x) } else { quotient }
}

#[inline(always)]
#[expect(clippy::approx_constant, reason = "a term of the fit, which is not that constant to the last bit")]
pub(crate) fn erf(x: f32) -> f32 {
    // From here on the result is 1.
    const END: f32 = 3.832_507;
    let bounded = if x < -END { -END } else { x };
    let bounded = if bounded > END { END } else { bounded };
    let square = bounded * bounded;
    let mut above = 2.290_506_5e-4f32;
    for term in [3.408_291e-3, 5.095_569_5e-2, 1.852_083_2e-1, 1.128_379_1] {
        above = above.mul_add(square, term);
    }
    let mut below = -1.179_160_3e-7f32;
    for term in [2.354_796_6e-5, 1.017_962_5e-3, 1.407_047e-2, 1.109_850_5e-1, 4.974_692_5e-1, 1.0] {
        below = below.mul_add(square, term);
    }
    bounded * above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(of: impl Fn(f32) -> f32, expected: impl Fn(f64) -> f64, range: std::ops::Range<f32>, tolerance: f64) {
        let steps = 200_000;
        for step in 0..steps {
            let x = range.start + (range.end - range.start) * (step as f32 / steps as f32);
            let (got, expected) = (f64::from(of(x)), expected(f64::from(x)));
            let least = f64::from(f32::MIN_POSITIVE);
            assert!((got - expected).abs() <= tolerance * expected.abs().max(least), "of {x}: {expected}, not {got}");
        }
    }

    #[test]
    fn functions_are_right_to_the_last_digits() {
        check(exp, f64::exp, -87.0..88.7, 2e-7);
        check(ln, f64::ln, 1e-3..0.999, 3e-7);
        check(ln, f64::ln, 1.001..1e6, 3e-7);
        check(tanh, f64::tanh, -10.0..10.0, 4e-7);
    }

    #[test]
    fn the_error_function_is_right_to_the_last_digits() {
        for (x, expected) in [(0.1f32, 0.112_462_916), (0.5, 0.520_499_88), (-1.0, -0.842_700_8), (2.0, 0.995_322_27)] {
            assert!((erf(x) - expected).abs() < 3e-7, "of {x}: {expected}, not {}", erf(x));
        }
        assert!((erf(10.0) - 1.0).abs() < 1e-6 && (erf(-10.0) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn infinities_and_nan_go_where_they_belong() {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!([exp(infinity), exp(-infinity), exp(100.0), exp(-200.0)], [infinity, 0.0, infinity, 0.0]);
        assert_eq!([ln(0.0), ln(infinity), tanh(infinity), tanh(-infinity)], [-infinity, infinity, 1.0, -1.0]);
        assert!(exp(-100.0) > 0.0 && (ln(1e-40) - -92.103_4).abs() < 1e-3);
        assert!(exp(nan).is_nan() && ln(nan).is_nan() && ln(-1.0).is_nan() && tanh(nan).is_nan() && erf(nan).is_nan());
    }

    #[test]
    fn powers_of_negative_numbers_are_right_to_the_last_digits() {
        for step in 0..87_000u32 {
            let x = -(step as f32) / 1000.0;
            let (got, expected) = (f64::from(exp_of_negative(x)), f64::from(x).exp());
            assert!((got - expected).abs() <= 1.5e-7 * expected, "e^{x} is {expected}, not {got}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-0.0), 1.0);
        assert_eq!(exp_of_negative(-1000.0), 0.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
        assert!(exp_of_negative(f32::NAN).is_nan());
    }
}
