//! Plain loops, compiled a second time for wider instructions.
//!
//! Nothing is added in another order for it, and nothing fused but by `mul_add`: results have the same bits on every
//! processor.

/// A loop over slices.
pub(crate) trait Work {
    /// Must be `#[inline(always)]`, or it is compiled once only.
    fn run(self);
}

/// Does the work with the widest instructions of this processor.
pub(crate) fn widely(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
    {
        #[expect(unsafe_code, reason = "only what was detected may be called")]
        // SAFETY: the processor has these parts of AVX-512, and with them AVX2 and FMA.
        return unsafe { with_avx512(work) };
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "only what was detected may be called")]
        // SAFETY: the processor has AVX2 and FMA.
        return unsafe { with_avx2(work) };
    }
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
fn with_avx512(work: impl Work) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(work: impl Work) {
    work.run();
}

/// `e^x` for an `x` that is not positive, to the last digit or the one before (Moshier, "Cephes",
/// `expf`). Below the normal numbers it is 0.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54;
    // Adding this rounds to an integer, which then stands in the last bits.
    const ROUNDER: f32 = 12_582_912.0;
    let bounded = if x < LOWEST { LOWEST } else { x };
    let rounded = bounded * std::f32::consts::LOG2_E + ROUNDER;
    let power = rounded - ROUNDER;
    let rest = (bounded - power * 0.693_359_4) - power * -2.121_944_4e-4;
    let mut series = 1.987_569_1e-4;
    for term in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        series = series * rest + term;
    }
    let mantissa = series * rest * rest + rest + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127) << 23;
    if x < LOWEST { 0.0 } else { mantissa * f32::from_bits(exponent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_right_to_the_last_digits() {
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
