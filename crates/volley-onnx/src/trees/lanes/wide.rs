//! Lanes of AVX2 and of AVX-512.

#![expect(unsafe_code, reason = "instructions that not every processor has, and those that take pointers")]

use std::arch::x86_64::*;

use super::super::columns::STRIP;
use super::super::cuts::WINDOW;
use super::{Lanes, Work};

/// There is one only where the processor has AVX2.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Avx2(());

/// There is one only where the processor has AVX-512 with BW and VBMI, and with them AVX2.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Avx512(());

impl Avx2 {
    pub(super) fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")).then_some(Avx2(()))
    }

    #[inline]
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "avx2,popcnt")]
        fn run(lanes: Avx2, work: impl Work) {
            work.run(lanes);
        }
        // SAFETY: `self` says that the processor has them.
        unsafe { run(self, work) }
    }
}

impl Avx512 {
    pub(super) fn detect() -> Option<Avx512> {
        let has = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vbmi");
        (has && Avx2::detect().is_some()).then_some(Avx512(()))
    }

    #[inline]
    pub(super) fn run(self, work: impl Work) {
        #[target_feature(enable = "avx2,popcnt,avx512bw,avx512vbmi")]
        fn run(lanes: Avx512, work: impl Work) {
            work.run(lanes);
        }
        // SAFETY: `self` says that the processor has them.
        unsafe { run(self, work) }
    }
}

// SAFETY, of all that follows: `self` says that the processor has the instructions; what is loaded and stored lies
// inside of the array, wherever that is aligned.

impl Lanes for Avx2 {
    type Entries = __m256i;
    /// All bits of those who said yes.
    type Answers = __m256i;

    const WIDTH: usize = 32;
    const PICKS: bool = true;

    #[inline(always)]
    fn load(self, strip: &[i8; STRIP], part: usize) -> __m256i {
        let part = &strip.as_chunks::<32>().0[part];
        unsafe { _mm256_loadu_si256(part.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, entries: __m256i, strip: &mut [i8; STRIP], part: usize) {
        let part = &mut strip.as_chunks_mut::<32>().0[part];
        unsafe { _mm256_storeu_si256(part.as_mut_ptr().cast(), entries) }
    }

    #[inline(always)]
    fn splat(self, value: i8) -> __m256i {
        unsafe { _mm256_set1_epi8(value) }
    }

    #[inline(always)]
    fn none(self) -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn above(self, entries: __m256i, others: __m256i) -> __m256i {
        unsafe { _mm256_cmpgt_epi8(entries, others) }
    }

    #[inline(always)]
    fn equal(self, answers: __m256i, entries: __m256i, others: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(answers, _mm256_cmpeq_epi8(entries, others)) }
    }

    #[inline(always)]
    fn pick(self, answers: __m256i, no: __m256i, yes: __m256i) -> __m256i {
        unsafe { _mm256_blendv_epi8(no, yes, answers) }
    }

    #[inline(always)]
    fn double(self, entries: __m256i, answers: __m256i) -> __m256i {
        unsafe { _mm256_sub_epi8(_mm256_add_epi8(entries, entries), answers) }
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 32], places: __m256i, upper: __m256i) -> __m256i {
        let [low, high] = table.as_chunks::<16>().0 else { unreachable!("two halves") };
        unsafe {
            // The instruction looks at the lowest four bits, and at the highest, which no place has.
            let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(low.as_ptr().cast()));
            let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(high.as_ptr().cast()));
            let (low, high) = (_mm256_shuffle_epi8(low, places), _mm256_shuffle_epi8(high, places));
            _mm256_blendv_epi8(low, high, upper)
        }
    }
    #[inline(always)]
    fn singles_below(self, numbers: &[f32; WINDOW], value: f32) -> u32 {
        unsafe {
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_loadu_ps(numbers.as_ptr()), _mm256_set1_ps(value));
            _mm256_movemask_ps(below).count_ones()
        }
    }

    #[inline(always)]
    fn doubles_below(self, numbers: &[f64; WINDOW], value: f64) -> u32 {
        let [low, high] = numbers.as_chunks::<4>().0 else { unreachable!("two halves") };
        unsafe {
            let value = _mm256_set1_pd(value);
            let low = _mm256_cmp_pd::<_CMP_LT_OQ>(_mm256_loadu_pd(low.as_ptr()), value);
            let high = _mm256_cmp_pd::<_CMP_LT_OQ>(_mm256_loadu_pd(high.as_ptr()), value);
            (_mm256_movemask_pd(low) | _mm256_movemask_pd(high) << 4).count_ones()
        }
    }
}

impl Lanes for Avx512 {
    type Entries = __m512i;
    type Answers = __mmask64;

    const WIDTH: usize = 64;
    const PICKS: bool = true;

    #[inline(always)]
    fn load(self, strip: &[i8; STRIP], _: usize) -> __m512i {
        unsafe { _mm512_loadu_si512(strip.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, entries: __m512i, strip: &mut [i8; STRIP], _: usize) {
        unsafe { _mm512_storeu_si512(strip.as_mut_ptr().cast(), entries) }
    }

    #[inline(always)]
    fn splat(self, value: i8) -> __m512i {
        unsafe { _mm512_set1_epi8(value) }
    }

    #[inline(always)]
    fn none(self) -> __mmask64 {
        0
    }

    #[inline(always)]
    fn above(self, entries: __m512i, others: __m512i) -> __mmask64 {
        unsafe { _mm512_cmpgt_epi8_mask(entries, others) }
    }

    #[inline(always)]
    fn equal(self, answers: __mmask64, entries: __m512i, others: __m512i) -> __mmask64 {
        unsafe { _mm512_mask_cmpeq_epi8_mask(answers, entries, others) }
    }

    #[inline(always)]
    fn pick(self, answers: __mmask64, no: __m512i, yes: __m512i) -> __m512i {
        unsafe { _mm512_mask_blend_epi8(answers, no, yes) }
    }

    #[inline(always)]
    fn double(self, entries: __m512i, answers: __mmask64) -> __m512i {
        unsafe {
            let twice = _mm512_add_epi8(entries, entries);
            _mm512_mask_add_epi8(twice, answers, twice, _mm512_set1_epi8(1))
        }
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 32], places: __m512i, _: __mmask64) -> __m512i {
        unsafe {
            let table = _mm512_castsi256_si512(_mm256_loadu_si256(table.as_ptr().cast()));
            _mm512_permutexvar_epi8(places, table)
        }
    }
    #[inline(always)]
    fn singles_below(self, numbers: &[f32; WINDOW], value: f32) -> u32 {
        Avx2(()).singles_below(numbers, value)
    }

    #[inline(always)]
    fn doubles_below(self, numbers: &[f64; WINDOW], value: f64) -> u32 {
        Avx2(()).doubles_below(numbers, value)
    }
}
