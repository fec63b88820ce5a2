//! The top of a tree, for a whole block of rows at once and without a jump.
//!
//! A row's place is the number of a leaf, counted from the left: at first the leftmost one. Each
//! split, parents before children and left ones before right ones, moves the rows that are there
//! and go right on to the leftmost leaf of its right child. That is a comparison of one column
//! with one number, and another of places, for 32 rows an instruction; that most splits do not
//! concern a row costs less than a jump that is guessed wrong (Lucchese et al., "QuickScorer",
//! SIGIR 2015, whose order this is).

use super::columns::{BLOCK_ROWS, Column};
use super::complete::{self, Complete};

/// One split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) column: u16,
    /// Greater entries go right.
    pub(super) code: u16,
    /// The leftmost leaf below, from which rows come.
    pub(super) from: u16,
    /// The leftmost leaf below the right child.
    pub(super) to: u16,
}

/// The top of a tree, in the form that is scanned fastest.
#[derive(Debug)]
pub(super) enum Top {
    /// In the order that is told above.
    Moves(Box<[Move]>),
    /// All paths ask the same questions: one move for each level, whose places are of no meaning.
    Oblivious(Box<[Move]>),
    /// All splits of some levels.
    Complete(Complete),
}

/// Places of a block's rows among the leaves of a tree.
pub(super) type Places = Column;

/// The instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lanes {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Lanes {
    /// The widest ones.
    pub(super) fn detect() -> Lanes {
        Lanes::all().pop().unwrap_or(Lanes::Plain)
    }

    /// Those that this processor has, from narrow to wide.
    pub(super) fn all() -> Vec<Lanes> {
        let mut all = vec![Lanes::Plain];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            all.push(Lanes::Avx2);
            if is_x86_feature_detected!("avx512bw") {
                all.push(Lanes::Avx512);
            }
        }
        all
    }

    /// Whether [`Top::Complete`] is fast.
    pub(super) fn picks_levels(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => true,
            _ => false,
        }
    }

    /// Brings the rows of a block to the leaves of a top. What lies beyond the rows gets the place of some leaf.
    #[inline(always)]
    pub(super) fn scan(self, top: &Top, columns: &[Column], places: &mut Places) {
        match self {
            Lanes::Plain => scan(top, columns, places),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "only what `all` has seen may be called")]
            // SAFETY: `all` has seen that the processor has AVX2.
            Lanes::Avx2 => unsafe { scan_avx2(top, columns, places) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "only what `all` has seen may be called")]
            // SAFETY: `all` has seen that the processor has AVX-512 BW, and with it AVX2.
            Lanes::Avx512 => unsafe {
                match top {
                    Top::Complete(top) => complete::wide::scan(top, columns, places),
                    _ => scan_avx512(top, columns, places),
                }
            },
        }
    }
}

#[inline(always)]
fn scan(top: &Top, columns: &[Column], places: &mut Places) {
    match top {
        Top::Moves(moves) => scan_moves(moves, columns, places),
        Top::Oblivious(moves) => scan_oblivious(moves, columns, places),
        Top::Complete(top) => top.scan(columns, places),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn scan_avx2(top: &Top, columns: &[Column], places: &mut Places) {
    scan(top, columns, places);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw")]
fn scan_avx512(top: &Top, columns: &[Column], places: &mut Places) {
    match top {
        Top::Moves(moves) => wide::scan(moves, columns, places),
        _ => scan(top, columns, places),
    }
}

/// Rows that are kept in registers while all moves pass.
const STRIP: usize = 64;

#[inline(always)]
fn scan_moves(moves: &[Move], columns: &[Column], places: &mut Places) {
    for first in (0..BLOCK_ROWS).step_by(STRIP) {
        let mut strip = [0u16; STRIP];
        for it in moves {
            let entries = &columns[usize::from(it.column)][first..first + STRIP];
            for (place, &entry) in strip.iter_mut().zip(entries) {
                let goes = u16::from(entry > it.code) & u16::from(*place == it.from);
                *place ^= (it.from ^ it.to) & goes.wrapping_neg();
            }
        }
        places[first..first + STRIP].copy_from_slice(&strip);
    }
}

#[inline(always)]
fn scan_oblivious(moves: &[Move], columns: &[Column], places: &mut Places) {
    places.fill(0);
    for it in moves {
        for (place, &entry) in places.iter_mut().zip(&columns[usize::from(it.column)]) {
            *place = 2 * *place + u16::from(entry > it.code);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    //! With masks, which compilers do not make of the plain form.

    use std::arch::x86_64::*;

    use super::{BLOCK_ROWS, Column, Move, Places};

    const LANES: usize = 32;
    /// A block in so many registers: a move of one of them waits for the one before.
    const VECTORS: usize = BLOCK_ROWS / LANES;

    #[target_feature(enable = "avx512bw")]
    pub(super) fn scan(moves: &[Move], columns: &[Column], places: &mut Places) {
        let mut found = [_mm512_setzero_si512(); VECTORS];
        for it in moves {
            let column = columns[usize::from(it.column)].as_chunks::<LANES>().0;
            let (code, from, to) = (splat(it.code), splat(it.from), splat(it.to));
            for (place, entries) in found.iter_mut().zip(column) {
                let right = _mm512_cmpgt_epu16_mask(load(entries), code);
                let goes = _mm512_mask_cmpeq_epu16_mask(right, *place, from);
                *place = _mm512_mask_mov_epi16(*place, goes, to);
            }
        }
        for (places, found) in places.as_chunks_mut::<LANES>().0.iter_mut().zip(found) {
            store(places, found);
        }
    }

    #[target_feature(enable = "avx512bw")]
    fn splat(value: u16) -> __m512i {
        _mm512_set1_epi16(value as i16)
    }

    #[target_feature(enable = "avx512bw")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn load(entries: &[u16; LANES]) -> __m512i {
        // SAFETY: the entries are the 64 bytes that are read, wherever they are aligned.
        unsafe { _mm512_loadu_si512(entries.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512bw")]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn store(places: &mut [u16; LANES], found: __m512i) {
        // SAFETY: the places are the 64 bytes that are written, wherever they are aligned.
        unsafe { _mm512_storeu_si512(places.as_mut_ptr().cast(), found) }
    }
}
