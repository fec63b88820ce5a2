//! The top of a tree, for a whole block of rows at once and without a jump.
//!
//! A row's place is the number of a leaf, counted from the left: at first the leftmost one. Each
//! split, parents before children and left ones before right ones, moves the rows that are there
//! and go right on to the leftmost leaf of its right child. That is a comparison of one column
//! with one number, and another of places, for as many rows as there are lanes; that most splits do
//! not concern a row costs less than a jump that is guessed wrong (Lucchese et al., "QuickScorer",
//! SIGIR 2015, whose order this is).

use super::columns::STRIP;
use super::complete::Complete;
use super::lanes::Lanes;

/// One split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) column: u16,
    /// Greater entries go right.
    pub(super) code: i8,
    /// The leftmost leaf below, from which rows come.
    pub(super) from: u8,
    /// The leftmost leaf below the right child.
    pub(super) to: u8,
}

/// The top of a tree, in the form that is scanned fastest.
#[derive(Debug)]
pub(super) enum Top {
    /// In the order that is told above.
    Moves(Moves),
    /// All paths ask the same questions: one move for each level, whose places are of no meaning.
    Oblivious(Moves),
    /// All splits of some levels.
    Complete(Complete),
}

#[derive(Debug)]
pub(super) struct Moves {
    moves: Box<[Move]>,
    columns_end: usize,
}

/// Entries of the rows of a strip, or their places among the leaves of a top, as the bits of a `u8`.
pub(super) type Strip = [i8; STRIP];

/// The strips of a block, `columns` for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strips<'b> {
    strips: &'b [Strip],
    columns: usize,
}

impl<'b> Strips<'b> {
    pub(super) fn new(strips: &'b [Strip], columns: usize) -> Strips<'b> {
        Strips { strips, columns }
    }

    /// All columns of a strip.
    #[inline(always)]
    fn of(self, strip: usize) -> &'b [Strip] {
        &self.strips[strip * self.columns..][..self.columns]
    }
}

impl Moves {
    pub(super) fn new(moves: Vec<Move>) -> Moves {
        let columns_end = moves.iter().map(|it| usize::from(it.column) + 1).max().unwrap_or(0);
        Moves { moves: moves.into(), columns_end }
    }

    #[inline(always)]
    fn scan<L: Lanes, const OBLIVIOUS: bool>(&self, lanes: L, strips: Strips<'_>, places: &mut [Strip]) {
        assert!(strips.columns >= self.columns_end);
        let end = places.len() * (STRIP / L::WIDTH);
        let mut first = 0;
        // A move of some rows waits for the one before, so many of them are under way at a time.
        while first + 8 <= end {
            self.group::<L, 8, OBLIVIOUS>(lanes, strips, first, places);
            first += 8;
        }
        while first + 2 <= end {
            self.group::<L, 2, OBLIVIOUS>(lanes, strips, first, places);
            first += 2;
        }
        if first < end {
            self.group::<L, 1, OBLIVIOUS>(lanes, strips, first, places);
        }
    }

    /// Scans `N` parts of strips from part `first` of the block on.
    #[inline(always)]
    fn group<L: Lanes, const N: usize, const OBLIVIOUS: bool>(
        &self,
        lanes: L,
        strips: Strips<'_>,
        first: usize,
        places: &mut [Strip],
    ) {
        let parts = STRIP / L::WIDTH;
        let sources: [&[Strip]; N] = std::array::from_fn(|at| strips.of((first + at) / parts));
        let mut found = [lanes.splat(0); N];
        for it in &self.moves {
            let (code, from, to) = (lanes.splat(it.code), lanes.splat(it.from as i8), lanes.splat(it.to as i8));
            for (at, found) in found.iter_mut().enumerate() {
                let entries = lanes.load(column(sources[at], it.column), (first + at) % parts);
                let right = lanes.above(entries, code);
                *found = match OBLIVIOUS {
                    true => lanes.double(*found, right),
                    false => lanes.pick(lanes.equal(right, *found, from), *found, to),
                };
            }
        }
        for (at, found) in found.into_iter().enumerate() {
            lanes.store(found, &mut places[(first + at) / parts], (first + at) % parts);
        }
    }
}

impl Top {
    /// Brings the rows of strips to the leaves of the top. Rows whose entries mean nothing get the place of some leaf.
    #[inline(always)]
    pub(super) fn scan<L: Lanes>(&self, lanes: L, strips: Strips<'_>, places: &mut [Strip]) {
        match self {
            Top::Moves(moves) => moves.scan::<L, false>(lanes, strips, places),
            Top::Oblivious(moves) => moves.scan::<L, true>(lanes, strips, places),
            Top::Complete(top) => {
                for (strip, places) in places.iter_mut().enumerate() {
                    top.scan(lanes, strips.of(strip), places);
                }
            }
        }
    }
}

/// A column that [`Moves::scan`] or [`Complete::scan`] has seen to be there.
#[inline(always)]
#[expect(unsafe_code, reason = "checking bounds takes as long as all the rest")]
pub(super) fn column(columns: &[Strip], column: u16) -> &Strip {
    debug_assert!(usize::from(column) < columns.len());
    // SAFETY: both have compared their `columns_end`, which is above all of their columns, with the number of columns.
    unsafe { columns.get_unchecked(usize::from(column)) }
}
