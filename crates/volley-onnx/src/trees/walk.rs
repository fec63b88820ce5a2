//! The walk down a tree, sixteen rows in lockstep.
//!
//! One row waits for memory at every step; sixteen rows wait together (Asadi, Lin and de Vries,
//! "Runtime Optimizations for Tree-based Machine Learning Models", TKDE 2014).

use super::Real;
use super::layout::{Laid, Node};

/// Rows that are walked together: fewer leave the core idle, more do not fit its registers.
pub(super) const LANES: usize = 16;

/// Steps between two looks at whether all rows have arrived; only deep trees are worth a look.
const STEPS_UNSEEN: usize = 8;

/// Places of sixteen rows in a tree's records.
pub(super) type Places = [u32; LANES];

/// Walks the rows that start at `starts` in `values`, each `columns` long, down to their leaves.
/// With `MISSING`, NaN goes where each node sends it; without, there should not be any.
#[inline(always)]
pub(super) fn walk<T: Real, const MISSING: bool>(
    tree: &Laid<T>,
    values: &[T],
    columns: usize,
    starts: &[usize; LANES],
) -> Places {
    // What `step` relies on. The rest of it is the promise of `Laid`.
    assert!(columns >= tree.columns_min());
    assert!(starts.iter().all(|start| start + columns <= values.len()));
    let nodes = tree.nodes();
    let mut places = [0u32; LANES];
    let mut left = tree.depth();
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
#[expect(unsafe_code, reason = "checking bounds at every step takes half of the time")]
fn step<T: Real, const MISSING: bool>(nodes: &[Node<T>], values: &[T], starts: &[usize; LANES], places: &mut Places) {
    for lane in 0..LANES {
        let place = places[lane] as usize;
        debug_assert!(place < nodes.len());
        // SAFETY: a place is 0, or the `left` of a node or one more: `Laid` promises that both are
        // among its nodes.
        let node = unsafe { nodes.get_unchecked(place) };
        let at = starts[lane] + node.feature as usize;
        debug_assert!(at < values.len());
        // SAFETY: `Laid` promises that features are below `columns_min`, and `walk` has seen that
        // so many values follow each start.
        let value = unsafe { *values.get_unchecked(at) };
        let mut goes_left = value <= node.threshold;
        if MISSING {
            goes_left |= value.is_nan() & node.missing_goes_left();
        }
        places[lane] = node.left + u32::from(!goes_left);
    }
}
