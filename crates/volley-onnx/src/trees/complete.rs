//! The top of a tree, level by level.
//!
//! A level is one comparison for as many rows as there are lanes. The entries that it compares are
//! picked out of the columns of all splits of the level by the answers so far, the oldest ones first:
//! then most of the picking need not wait for the level above. The codes are looked up. A top that
//! ends early on some path is filled up with splits that do not matter.

use super::columns::STRIP;
use super::lanes::Lanes;
use super::scan::{Strip, column};

/// Levels at most: the codes of the last one are as many as one lookup takes.
pub(super) const LEVELS_MAX: usize = 6;
const CODES_MAX: usize = 32;

/// All splits of the top levels, from left to right in each; columns are below `columns_end`.
#[derive(Debug)]
pub(super) struct Complete {
    /// Splits of level `n` begin at `2^n - 1`.
    columns: [u16; 1 << LEVELS_MAX],
    columns_end: usize,
    /// One table for each level.
    codes: Box<[[i8; CODES_MAX]]>,
}

impl Complete {
    /// `splits` are the column and code of each, level by level, all levels complete.
    pub(super) fn new(splits: &[(u16, i8)]) -> Complete {
        let levels = (splits.len() + 1).trailing_zeros() as usize;
        assert!(levels <= LEVELS_MAX && splits.len() + 1 == 1 << levels, "complete levels");
        let (mut columns, mut codes) = ([0; 1 << LEVELS_MAX], vec![[0; CODES_MAX]; levels]);
        for (at, &(column, code)) in splits.iter().enumerate() {
            let level = (at + 1).ilog2() as usize;
            columns[at] = column;
            codes[level][at + 1 - (1 << level)] = code;
        }
        let columns_end = splits.iter().map(|&(column, _)| usize::from(column) + 1).max().unwrap_or(0);
        Complete { columns, columns_end, codes: codes.into() }
    }

    /// Brings the rows of a strip to the leaves of the top, counted from the left.
    #[inline(always)]
    pub(super) fn scan<L: Lanes>(&self, lanes: L, strip: &[Strip], places: &mut Strip) {
        assert!(strip.len() >= self.columns_end);
        for part in 0..STRIP / L::WIDTH {
            let answers = [lanes.none(); LEVELS_MAX];
            let mut rows = Rows { lanes, top: self, strip, part, answers, place: lanes.splat(0) };
            // With a number of levels known when this is compiled, everything stays in registers.
            match self.codes.len() {
                0 => {}
                1 => rows.levels::<1>(),
                2 => rows.levels::<2>(),
                3 => rows.levels::<3>(),
                4 => rows.levels::<4>(),
                5 => rows.levels::<5>(),
                _ => rows.levels::<6>(),
            }
            lanes.store(rows.place, places, part);
        }
    }
}

/// The rows of a part of a strip, on their way down.
struct Rows<'t, L: Lanes> {
    lanes: L,
    top: &'t Complete,
    strip: &'t [Strip],
    part: usize,
    /// Who went right at each level.
    answers: [L::Answers; LEVELS_MAX],
    place: L::Entries,
}

impl<L: Lanes> Rows<'_, L> {
    #[inline(always)]
    fn levels<const LEVELS: usize>(&mut self) {
        if LEVELS > 0 {
            self.level::<0>(self.entries(0));
        }
        if LEVELS > 1 {
            self.level::<1>(self.of_2(1, 1));
        }
        if LEVELS > 2 {
            self.level::<2>(self.of_4(3, 1));
        }
        if LEVELS > 3 {
            self.level::<3>(self.of_8(7, 1));
        }
        if LEVELS > 4 {
            self.level::<4>(self.of_16(15, 1));
        }
        if LEVELS > 5 {
            self.level::<5>(self.of_32(31, 1));
        }
    }

    #[inline(always)]
    fn level<const LEVEL: usize>(&mut self, entries: L::Entries) {
        // Only below the fifth level are there places of 16 and more.
        let upper = if LEVEL == 5 { self.answers[0] } else { self.lanes.none() };
        let codes = self.lanes.lookup(&self.top.codes[LEVEL], self.place, upper);
        self.answers[LEVEL] = self.lanes.above(entries, codes);
        self.place = self.lanes.double(self.place, self.answers[LEVEL]);
    }

    /// The entries of the column of a split.
    #[inline(always)]
    fn entries(&self, split: usize) -> L::Entries {
        self.lanes.load(column(self.strip, self.top.columns[split]), self.part)
    }

    /// Of two splits that are `apart`, from `split` on, the entries that answer 0 picks.
    #[inline(always)]
    fn of_2(&self, split: usize, apart: usize) -> L::Entries {
        self.lanes.pick(self.answers[0], self.entries(split), self.entries(split + apart))
    }

    #[inline(always)]
    fn of_4(&self, split: usize, apart: usize) -> L::Entries {
        self.lanes.pick(self.answers[1], self.of_2(split, 2 * apart), self.of_2(split + apart, 2 * apart))
    }

    #[inline(always)]
    fn of_8(&self, split: usize, apart: usize) -> L::Entries {
        self.lanes.pick(self.answers[2], self.of_4(split, 2 * apart), self.of_4(split + apart, 2 * apart))
    }

    #[inline(always)]
    fn of_16(&self, split: usize, apart: usize) -> L::Entries {
        self.lanes.pick(self.answers[3], self.of_8(split, 2 * apart), self.of_8(split + apart, 2 * apart))
    }

    #[inline(always)]
    fn of_32(&self, split: usize, apart: usize) -> L::Entries {
        self.lanes.pick(self.answers[4], self.of_16(split, 2 * apart), self.of_16(split + apart, 2 * apart))
    }
}
