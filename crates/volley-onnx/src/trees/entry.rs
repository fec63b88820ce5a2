//! What a column holds for each row: the rank of a number in eight or in sixteen bits.

use std::fmt::Debug;

use super::cuts::LAST;

/// Entries are compared with codes: greater ones go right.
pub(super) trait Entry: Copy + Ord + Default + Debug + Send + Sync + 'static {
    /// Cuts that one column tells apart.
    const CUTS_MAX: usize;
    /// The code of a cut with no number before it, to whose left only what is missing goes.
    const NEVER: Self;
    /// The code that nothing is above.
    const ALWAYS: Self;

    /// The code of a column's cut, counted from 0.
    fn code(cut: usize) -> Self;
    /// The entry of a rank in a column whose first cut has so many before it.
    fn of_rank(rank: u16, cuts_before: u16) -> Self;
}

/// Eight bits of which signed comparisons, which all processors have, keep the order: the highest one is turned.
impl Entry for i8 {
    const CUTS_MAX: usize = 254;
    const NEVER: Self = i8::MIN;
    const ALWAYS: Self = i8::MAX;

    fn code(cut: usize) -> Self {
        debug_assert!(cut < Self::CUTS_MAX);
        ((cut + 1) as u8 ^ 0x80) as i8
    }

    #[inline(always)]
    fn of_rank(rank: u16, cuts_before: u16) -> Self {
        // Greater than all codes of cuts are the ranks behind them and what is missing.
        (rank.saturating_sub(cuts_before).min(255) as u8 ^ 0x80) as i8
    }
}

impl Entry for u16 {
    const CUTS_MAX: usize = LAST as usize - 2;
    const NEVER: Self = u16::MIN;
    const ALWAYS: Self = u16::MAX;

    fn code(cut: usize) -> Self {
        debug_assert!(cut < Self::CUTS_MAX);
        cut as u16 + 1
    }

    #[inline(always)]
    fn of_rank(rank: u16, cuts_before: u16) -> Self {
        debug_assert_eq!(cuts_before, 0);
        rank
    }
}
