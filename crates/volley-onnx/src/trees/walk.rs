//! The walk down a tree, sixteen rows in lockstep.
//!
//! One row waits for memory at every step; sixteen rows wait together (Asadi, Lin and de Vries,
//! "Runtime Optimizations for Tree-based Machine Learning Models", TKDE 2014).

use super::Real;
use super::layout::Node;

/// Rows that are walked together: fewer leave the core idle, more do not fit its registers.
pub(super) const LANES: usize = 16;

/// Steps between two looks at whether all rows have arrived; only deep trees are worth a look.
const STEPS_UNSEEN: usize = 8;

/// Places of sixteen rows in a tree's records.
pub(super) type Places = [u32; LANES];

/// Walks the rows that start at `starts` in `values` down to their leaves, in at most `depth`
/// steps. With `MISSING`, NaN goes where each node sends it; without, there must not be any.
#[inline(always)]
pub(super) fn walk<T: Real, const MISSING: bool>(
    nodes: &[Node<T>],
    depth: usize,
    values: &[T],
    starts: &[usize; LANES],
) -> Places {
    let mut places = [0u32; LANES];
    let mut left = depth;
    loop {
        for _ in 0..left.min(STEPS_UNSEEN) {
            step::<T, MISSING>(nodes, values, starts, &mut places);
        }
        left = left.saturating_sub(STEPS_UNSEEN);
        if left == 0 || places.iter().all(|&place| nodes[place as usize].left == place) {
            return places;
        }
    }
}

#[inline(always)]
fn step<T: Real, const MISSING: bool>(nodes: &[Node<T>], values: &[T], starts: &[usize; LANES], places: &mut Places) {
    for lane in 0..LANES {
        let node = &nodes[places[lane] as usize];
        let value = values[starts[lane] + node.feature()];
        let mut goes_left = value <= node.threshold;
        if MISSING {
            goes_left |= value.is_nan() & node.missing_goes_left();
        }
        places[lane] = node.left + u32::from(!goes_left);
    }
}
