//! The top of a tree, level by level, with AVX-512.
//!
//! A level is one comparison of 32 rows. The entries that it compares are picked out of the columns
//! of all splits of the level by the answers so far, two columns an instruction; the codes by a
//! lookup. A top that ends early on some path is filled up with splits that do not matter.

use super::columns::{BLOCK_ROWS, Column};
use super::scan::Places;

/// Levels at most: the codes of the last one are as many as one lookup takes.
pub(super) const LEVELS_MAX: usize = 6;
const LANES: usize = 32;

/// All splits of the top levels, from left to right in each; columns are below `columns_end`.
#[derive(Debug)]
pub(super) struct Complete {
    levels: usize,
    /// Splits of level `n` begin at `2^n - 1`.
    columns: [u16; 1 << LEVELS_MAX],
    columns_end: usize,
    codes: Box<[[u16; LANES]]>,
}

impl Complete {
    /// `splits` are the column and code of each, level by level, all levels complete.
    pub(super) fn new(splits: &[(u16, u16)]) -> Complete {
        let levels = (splits.len() + 1).trailing_zeros() as usize;
        assert!(levels <= LEVELS_MAX && splits.len() + 1 == 1 << levels, "complete levels");
        let (mut columns, mut codes) = ([0; 1 << LEVELS_MAX], vec![[0; LANES]; levels]);
        for (at, &(column, code)) in splits.iter().enumerate() {
            let level = (at + 1).ilog2() as usize;
            columns[at] = column;
            codes[level][at + 1 - (1 << level)] = code;
        }
        let columns_end = splits.iter().map(|&(column, _)| usize::from(column) + 1).max().unwrap_or(0);
        Complete { levels, columns, columns_end, codes: codes.into() }
    }

    /// Brings rows to the leaves of the top, counted from the left.
    pub(super) fn scan(&self, columns: &[Column], places: &mut Places) {
        for (row, place) in places.iter_mut().enumerate() {
            let mut at = 0;
            for (level, codes) in self.codes.iter().enumerate() {
                let column = self.columns[(1 << level) - 1 + at];
                at = 2 * at + usize::from(columns[usize::from(column)][row] > codes[at]);
            }
            *place = at as u16;
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod wide {
    use std::arch::x86_64::*;

    use super::{BLOCK_ROWS, Column, Complete, LANES, LEVELS_MAX, Places};

    /// [`Complete::scan`], much faster.
    #[target_feature(enable = "avx512bw")]
    pub(in super::super) fn scan(top: &Complete, columns: &[Column], places: &mut Places) {
        assert!(columns.len() >= top.columns_end);
        for (strip, places) in places.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut rows = Rows { top, columns, strip, masks: [0; LEVELS_MAX], place: _mm512_setzero_si512() };
            match top.levels {
                0 => {}
                1 => rows.levels::<1>(),
                2 => rows.levels::<2>(),
                3 => rows.levels::<3>(),
                4 => rows.levels::<4>(),
                5 => rows.levels::<5>(),
                _ => rows.levels::<6>(),
            }
            store(places, rows.place);
        }
    }

    struct Rows<'t> {
        top: &'t Complete,
        columns: &'t [Column],
        strip: usize,
        /// Who went right at each level.
        masks: [__mmask32; LEVELS_MAX],
        place: __m512i,
    }

    impl Rows<'_> {
        #[inline]
        #[target_feature(enable = "avx512bw")]
        fn levels<const LEVELS: usize>(&mut self) {
            if LEVELS > 0 {
                self.level::<0, 1>();
            }
            if LEVELS > 1 {
                self.level::<1, 2>();
            }
            if LEVELS > 2 {
                self.level::<2, 4>();
            }
            if LEVELS > 3 {
                self.level::<3, 8>();
            }
            if LEVELS > 4 {
                self.level::<4, 16>();
            }
            if LEVELS > 5 {
                self.level::<5, 32>();
            }
        }

        #[inline]
        #[target_feature(enable = "avx512bw")]
        fn level<const LEVEL: usize, const SPLITS: usize>(&mut self) {
            let mut picked = [_mm512_setzero_si512(); SPLITS];
            for (at, picked) in picked.iter_mut().enumerate() {
                *picked = self.entries(SPLITS - 1 + at);
            }
            let mut width = SPLITS;
            for level in (0..LEVEL).rev() {
                width /= 2;
                for at in 0..width {
                    picked[at] = _mm512_mask_mov_epi16(picked[2 * at], self.masks[level], picked[2 * at + 1]);
                }
            }
            let codes = _mm512_permutexvar_epi16(self.place, load(&self.top.codes[LEVEL]));
            let right = _mm512_cmpgt_epu16_mask(picked[0], codes);
            let twice = _mm512_add_epi16(self.place, self.place);
            self.masks[LEVEL] = right;
            self.place = _mm512_mask_add_epi16(twice, right, twice, _mm512_set1_epi16(1));
        }

        /// The entries of the column of a split.
        #[inline]
        #[target_feature(enable = "avx512bw")]
        #[expect(unsafe_code, reason = "checking bounds takes as long as all the rest")]
        fn entries(&self, split: usize) -> __m512i {
            let column = usize::from(self.top.columns[split]);
            debug_assert!(column < self.columns.len() && self.strip < BLOCK_ROWS / LANES);
            // SAFETY: `scan` has seen that all columns of the top are there, and its strips are those of a block.
            load(unsafe { self.columns.get_unchecked(column).as_chunks::<LANES>().0.get_unchecked(self.strip) })
        }
    }

    #[inline]
    #[target_feature(enable = "avx512bw")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn load(entries: &[u16; LANES]) -> __m512i {
        // SAFETY: the entries are the 64 bytes that are read, wherever they are aligned.
        unsafe { _mm512_loadu_si512(entries.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512bw")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn store(places: &mut [u16; LANES], place: __m512i) {
        // SAFETY: the places are the 64 bytes that are written, wherever they are aligned.
        unsafe { _mm512_storeu_si512(places.as_mut_ptr().cast(), place) }
    }
}
