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
