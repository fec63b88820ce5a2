//! Numbers replaced by their ranks among the thresholds of one feature.
//!
//! Trees only compare, so of a number it matters alone between which thresholds it lies. That fits
//! in sixteen bits, which makes rows and nodes small, and comparisons those of small integers.

use super::Real;
use super::columns::STRIP;
use super::lanes::Lanes;

/// A place between numbers: those up to `at` lie before it, or, if it is strict, those below `at`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    pub(super) at: f64,
    pub(super) strict: bool,
}

/// The rank of missing values where they come first. No number has it.
pub(super) const FIRST: u16 = 0;
/// The rank of missing values where they come last. No number has it.
pub(super) const LAST: u16 = u16::MAX;
/// Cuts of one feature at most, so that the ranks of numbers are between [`FIRST`] and [`LAST`].
const CUTS_MAX: usize = LAST as usize - 2;

impl Cut {
    fn key(self) -> (f64, bool) {
        // Zeros are equal, and below a number comes before up to it.
        (self.at + 0.0, !self.strict)
    }

    fn has_nothing_before(self) -> bool {
        self.at.is_nan() || (self.strict && self.at == f64::NEG_INFINITY)
    }

    /// The last number before the cut.
    fn last_before<T: Real>(self) -> T {
        let at = T::of(self.at);
        if self.strict { at.below() } else { at }
    }
}

fn order(a: Cut, b: Cut) -> std::cmp::Ordering {
    let ((a, a_inclusive), (b, b_inclusive)) = (a.key(), b.key());
    a.total_cmp(&b).then(a_inclusive.cmp(&b_inclusive))
}

/// The cuts of a feature, in order.
#[derive(Debug, Default)]
pub(super) struct Cuts(Vec<Cut>);

impl Cuts {
    /// `None` if there are too many.
    pub(super) fn new(mut cuts: Vec<Cut>) -> Option<Cuts> {
        cuts.retain(|cut| !cut.has_nothing_before());
        cuts.sort_by(|&a, &b| order(a, b));
        cuts.dedup_by(|a, b| a.key() == b.key());
        (cuts.len() <= CUTS_MAX).then_some(Cuts(cuts))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of a cut, by the order of cuts; `None` if no number lies before it. Numbers of greater rank than
    /// one more than this lie behind it.
    pub(super) fn position(&self, cut: Cut) -> Option<usize> {
        (!cut.has_nothing_before()).then(|| self.0.partition_point(|&it| order(it, cut).is_lt()))
    }

    pub(super) fn ruler<T: Real>(&self) -> Ruler<T> {
        Ruler::new(self.0.iter().map(|cut| cut.last_before()).collect())
    }
}

/// Finds ranks: one more than the number of cuts before which a number does not lie.
///
/// A number falls in one of many equally wide buckets, which holds few cuts; only those are
/// looked at, all at once. That is exact: of two numbers the greater is never in the lower bucket,
/// as every step of the way there keeps their order.
#[derive(Debug)]
pub(super) struct Ruler<T> {
    /// The last number before each cut, ascending, then infinities.
    ends: Vec<T>,
    /// The number of cuts in the buckets before each; as many as a power of two.
    firsts: Vec<u16>,
    low: T,
    /// Buckets in one.
    scale: T,
    /// Halvings after which the cuts of a bucket are few enough to be looked at together.
    halvings: u32,
}

const BUCKETS_MAX: usize = 1 << 14;
/// Numbers that are compared together.
pub(super) const WINDOW: usize = 8;

impl<T: Real> Ruler<T> {
    fn new(ends: Vec<T>) -> Ruler<T> {
        let asides = [WINDOW - 1, ends.len() / 64, ends.len() / 16];
        let rulers =
            asides.into_iter().filter(|&aside| 2 * aside < ends.len().max(1)).map(|aside| Ruler::spread(&ends, aside));
        let best = rulers.min_by_key(|ruler| ruler.halvings);
        best.unwrap_or_else(|| Ruler::spread(&ends, 0))
    }

    /// Spreads the buckets over all but the outermost cuts, `aside` at either end, which may be far away.
    fn spread(ends: &[T], aside: usize) -> Ruler<T> {
        let buckets = (4 * ends.len()).next_power_of_two().min(BUCKETS_MAX);
        let (low, high) = match ends.len() {
            0 => (T::default(), T::default()),
            len => (ends[aside], ends[len - 1 - aside]),
        };
        let scale = T::scale(low, high, buckets);
        let mut ruler = Ruler { ends: ends.to_vec(), firsts: vec![0; buckets], low, scale, halvings: 0 };
        let mut counts = vec![0u16; buckets];
        ends.iter().for_each(|&end| counts[ruler.bucket(end)] += 1);
        for at in 1..buckets {
            ruler.firsts[at] = ruler.firsts[at - 1] + counts[at - 1];
        }
        let most = usize::from(counts.into_iter().max().unwrap_or(0));
        let windows = most.div_ceil(WINDOW).max(1).next_power_of_two();
        ruler.halvings = windows.trailing_zeros();
        ruler.ends.resize(ends.len() + windows * WINDOW, T::INFINITY);
        ruler
    }

    #[inline(always)]
    fn bucket(&self, value: T) -> usize {
        ((value - self.low) * self.scale).bucket((self.firsts.len() - 1) as u16) as usize
    }

    /// The ranks of the numbers of a strip, of which a NaN gets any.
    #[inline(always)]
    pub(super) fn ranks<L: Lanes>(&self, lanes: L, values: &[T], ranks: &mut [u16; STRIP]) {
        // Slices of which the compiler sees that nothing changes them.
        let (firsts, ends) = (&self.firsts[..], &self.ends[..]);
        let last = firsts.len() - 1;
        let mut buckets = [0; STRIP];
        for (bucket, &value) in buckets.iter_mut().zip(values) {
            *bucket = ((value - self.low) * self.scale).bucket(last as u16);
        }
        for ((rank, &value), bucket) in ranks.iter_mut().zip(values).zip(buckets) {
            let mut at = usize::from(firsts[bucket as usize & last]);
            for halving in (0..self.halvings).rev() {
                let half = WINDOW << halving;
                at += usize::from(ends[at + half - 1] < value) * half;
            }
            let below = match ends[at..].first_chunk() {
                Some(window) => value.count_below(lanes, window),
                None => 0,
            };
            *rank = at as u16 + below as u16 + 1;
        }
    }
}
