//! What lies below the top of a tree, walked many rows in lockstep.
//!
//! One row waits for memory at every step; many rows wait together (Asadi, Lin and de Vries,
//! "Runtime Optimizations for Tree-based Machine Learning Models", TKDE 2014).

use super::columns::STRIP;
use super::scan::Strip;

/// Rows that are walked together through records: fewer leave the core idle, more do not fit its registers.
const WALKED: usize = 16;
/// Steps between two looks at whether all of them have arrived.
const STEPS_UNSEEN: usize = 4;

/// The entries of the rows of a strip.
pub(super) type Column = [u16; STRIP];

/// A question at its place. Greater entries of the column go right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    pub(super) column: u16,
    pub(super) code: u16,
}

/// A question that says what follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Where the left child is, the right one behind it; a leaf's own place.
    pub(super) left: u32,
    pub(super) fixed: Fixed,
}

/// The part of a tree below its top. Places are below 256 at first, those of the leaves of the top.
#[derive(Debug)]
pub(super) enum Below {
    /// The top is the whole tree.
    Nothing,
    Levels(Levels),
    Records(Records),
}

/// Complete levels: the children of place `n` are places `2n` and `2n + 1` of the next one.
#[derive(Debug)]
pub(super) struct Levels {
    levels: Box<[Box<[Fixed]>]>,
    columns_end: usize,
}

/// Nodes that lead to others.
#[derive(Debug)]
pub(super) struct Records {
    records: Box<[Record]>,
    /// Steps from the leaves of the top that reach any leaf.
    steps: usize,
    columns_end: usize,
}

fn end<'f>(all: impl Iterator<Item = &'f Fixed>) -> usize {
    all.map(|it| usize::from(it.column) + 1).max().unwrap_or(0)
}

impl Levels {
    pub(super) fn new(levels: Vec<Vec<Fixed>>) -> Levels {
        assert!(levels.is_sorted_by(|level, next| next.len() == 2 * level.len()), "levels are complete");
        let columns_end = end(levels.iter().flatten());
        Levels { levels: levels.into_iter().map(Vec::into).collect(), columns_end }
    }

    /// `places` are below the length of the first level, and become those of the leaves.
    #[inline(always)]
    pub(super) fn walk(&self, strip: &[Column], rows: usize, tops: &Strip, places: &mut [u32; STRIP]) {
        assert!(strip.len() >= self.columns_end);
        for (place, &top) in places.iter_mut().zip(tops) {
            *place = u32::from(top as u8);
        }
        if let Some(first) = self.levels.first() {
            assert!(places.iter().all(|&place| (place as usize) < first.len()));
        }
        for level in &self.levels {
            let level = &level[..];
            for (row, place) in places[..rows].iter_mut().enumerate() {
                *place = 2 * *place + above(level, *place, strip, row);
            }
        }
    }
}

/// 1 if the row goes right at a place, else 0.
#[inline(always)]
#[expect(unsafe_code, reason = "checking bounds at every step takes half of the time")]
fn above(level: &[Fixed], place: u32, strip: &[Column], row: usize) -> u32 {
    debug_assert!((place as usize) < level.len());
    // SAFETY: `walk` has seen that places are in the first level, and each level is twice as long as the one before.
    let node = unsafe { level.get_unchecked(place as usize) };
    u32::from(entry(strip, node, row) > node.code)
}

#[inline(always)]
#[expect(unsafe_code, reason = "checking bounds at every step takes half of the time")]
fn entry(strip: &[Column], node: &Fixed, row: usize) -> u16 {
    debug_assert!(usize::from(node.column) < strip.len());
    // SAFETY: both walks have compared their `columns_end`, which is above all of their columns, with the number of
    // columns.
    unsafe { strip.get_unchecked(usize::from(node.column))[row] }
}

impl Records {
    pub(super) fn new(records: Vec<Record>, steps: usize) -> Records {
        let inside = |it: &Record| (it.left as usize) + 1 < records.len();
        assert!(records.iter().all(inside), "children are laid among the records");
        let columns_end = end(records.iter().map(|it| &it.fixed));
        Records { records: records.into(), steps, columns_end }
    }

    /// `places` are among the records, and become those of the leaves.
    #[inline(always)]
    pub(super) fn walk(&self, strip: &[Column], rows: usize, tops: &Strip, places: &mut [u32; STRIP]) {
        assert!(strip.len() >= self.columns_end);
        let groups = places.as_chunks_mut::<WALKED>().0.iter_mut().zip(tops.as_chunks::<WALKED>().0);
        for (at, (places, tops)) in groups.enumerate().take(rows.div_ceil(WALKED)) {
            let mut lanes = tops.map(|top| u32::from(top as u8));
            assert!(lanes.iter().all(|&place| (place as usize) < self.records.len()));
            let mut left = self.steps;
            while left > 0 {
                for _ in 0..left.min(STEPS_UNSEEN) {
                    self.step(strip, at * WALKED, &mut lanes);
                }
                left = left.saturating_sub(STEPS_UNSEEN);
                if left > 0 && lanes.iter().all(|&place| self.records[place as usize].left == place) {
                    break;
                }
            }
            *places = lanes;
        }
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "checking bounds at every step takes half of the time")]
    fn step(&self, strip: &[Column], first_row: usize, places: &mut [u32; WALKED]) {
        for (lane, place) in places.iter_mut().enumerate() {
            debug_assert!((*place as usize) < self.records.len());
            // SAFETY: `walk` has seen that the first places are among the records, and `new` that the `left` of a
            // record and the place behind it are.
            let record = unsafe { self.records.get_unchecked(*place as usize) };
            *place = record.left + u32::from(entry(strip, &record.fixed, first_row + lane) > record.fixed.code);
        }
    }
}
