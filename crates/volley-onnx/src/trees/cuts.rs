//! Numbers replaced by their ranks among the thresholds of one feature.
//!
//! Trees only compare, so of a number it matters alone between which thresholds it lies. That fits
//! in sixteen bits, which makes rows and nodes small, and comparisons those of small integers.

use super::Real;

/// A place between numbers: those up to `at` lie before it, or, if it is strict, those below `at`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    pub(super) at: f64,
    pub(super) strict: bool,
}

/// What a missing value becomes where it goes left. No number has it, nor any cut but
/// [`NEVER`].
pub(super) const FIRST: u16 = 0;
/// What a missing value becomes where it goes right: no cut is so high.
pub(super) const LAST: u16 = u16::MAX;
/// The code of a cut with no number before it.
pub(super) const NEVER: u16 = 0;
/// Cuts of one feature whose codes are between [`NEVER`] and [`LAST`].
const CUTS_MAX: usize = 65_533;

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

    /// What the rank of a number is compared with: it is at most this if the number lies before.
    pub(super) fn code(&self, cut: Cut) -> u16 {
        match cut.has_nothing_before() {
            true => NEVER,
            false => self.0.partition_point(|&it| order(it, cut).is_lt()) as u16 + 1,
        }
    }

    pub(super) fn ruler<T: Real>(&self) -> Ruler<T> {
        Ruler::new(self.0.iter().map(|cut| cut.last_before()).collect())
    }
}

/// Finds ranks: one more than the number of cuts before which a number does not lie.
///
/// A number falls in one of many equally wide buckets, which holds few cuts; only those are
/// searched. That is exact: of two numbers the greater is never in the lower bucket, as every
/// step of the way there keeps their order.
#[derive(Debug)]
pub(super) struct Ruler<T> {
    /// The last number before each cut, ascending, then infinities.
    ends: Vec<T>,
    /// The number of cuts in the buckets before each.
    firsts: Vec<u16>,
    low: T,
    /// Buckets in one.
    scale: T,
    /// Halvings that search a bucket.
    steps: u32,
}

const BUCKETS_MAX: usize = 1 << 14;

impl<T: Real> Ruler<T> {
    fn new(mut ends: Vec<T>) -> Ruler<T> {
        let buckets = (4 * ends.len()).next_power_of_two().min(BUCKETS_MAX);
        // The outermost cuts may be far away.
        let aside = ends.len() / 64;
        let (low, high) = match ends.len() {
            0 => (T::default(), T::default()),
            len => (ends[aside], ends[len - 1 - aside]),
        };
        let mut ruler =
            Ruler { ends: vec![], firsts: vec![0; buckets], low, scale: T::scale(low, high, buckets), steps: 0 };
        let mut counts = vec![0u16; buckets];
        ends.iter().for_each(|&end| counts[ruler.bucket(end)] += 1);
        for at in 1..buckets {
            ruler.firsts[at] = ruler.firsts[at - 1] + counts[at - 1];
        }
        let most = counts.into_iter().max().unwrap_or(0);
        ruler.steps = u32::from(most + 1).next_power_of_two().trailing_zeros();
        ends.resize(ends.len() + (1 << ruler.steps), T::INFINITY);
        ruler.ends = ends;
        ruler
    }

    #[inline(always)]
    fn bucket(&self, value: T) -> usize {
        ((value - self.low) * self.scale).bucket(self.firsts.len() - 1)
    }

    /// The ranks of `values`, of which a NaN gets any.
    pub(super) fn ranks(&self, values: &[T], ranks: &mut [u16]) {
        match self.steps {
            0 => self.search::<0>(values, ranks),
            1 => self.search::<1>(values, ranks),
            2 => self.search::<2>(values, ranks),
            3 => self.search::<3>(values, ranks),
            4 => self.search::<4>(values, ranks),
            _ => self.search::<{ u32::MAX }>(values, ranks),
        }
    }

    /// As many steps as told at compile time, or as are needed.
    #[inline(always)]
    fn search<const STEPS: u32>(&self, values: &[T], ranks: &mut [u16]) {
        let steps = if STEPS == u32::MAX { self.steps } else { STEPS };
        for (rank, &value) in ranks.iter_mut().zip(values) {
            let mut at = usize::from(self.firsts[self.bucket(value)]);
            for step in (0..steps).rev() {
                let half = 1 << step;
                at += usize::from(self.ends[at + half - 1] < value) << step;
            }
            *rank = at as u16 + 1;
        }
    }
}
