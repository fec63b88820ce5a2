//! Instructions that do the same to many entries at once, and the choice of those that a processor has.
//!
//! A kernel is written once, over [`Lanes`]. What stands for a processor's instructions can only be
//! had where they have been seen, so that kernels need no proof of their own.

mod plain;
#[cfg(target_arch = "x86_64")]
mod wide;

pub(super) use plain::Plain;

use super::columns::STRIP;
use super::cuts::WINDOW;

/// Instructions on the entries of some rows of a strip.
pub(crate) trait Lanes: Copy {
    /// One entry for each row.
    type Entries: Copy;
    /// A yes or no for each row.
    type Answers: Copy;

    /// Rows in one; a divisor of [`STRIP`].
    const WIDTH: usize;
    /// Whether [`Lanes::pick`] and [`Lanes::lookup`] are single instructions, or nearly so.
    const PICKS: bool;

    /// The entries of part `part` of a strip.
    fn load(self, strip: &[i8; STRIP], part: usize) -> Self::Entries;
    fn store(self, entries: Self::Entries, strip: &mut [i8; STRIP], part: usize);
    fn splat(self, value: i8) -> Self::Entries;
    /// No for all rows.
    fn none(self) -> Self::Answers;
    fn above(self, entries: Self::Entries, others: Self::Entries) -> Self::Answers;
    /// Who said yes and has equal entries.
    fn equal(self, answers: Self::Answers, entries: Self::Entries, others: Self::Entries) -> Self::Answers;
    /// `yes` for rows that said so, else `no`.
    fn pick(self, answers: Self::Answers, no: Self::Entries, yes: Self::Entries) -> Self::Entries;
    /// Twice the entries, and one more for yes.
    fn double(self, entries: Self::Entries, answers: Self::Answers) -> Self::Entries;
    /// What the table has at places below 32; `upper` is who is at 16 or above.
    fn lookup(self, table: &[i8; 32], places: Self::Entries, upper: Self::Answers) -> Self::Entries;

    /// How many of the numbers, which ascend, are below `value`.
    fn singles_below(self, numbers: &[f32; WINDOW], value: f32) -> u32;
    fn doubles_below(self, numbers: &[f64; WINDOW], value: f64) -> u32;
}

/// Work that is done with any lanes. Implementations are inlined, or they are compiled for the plainest processor.
pub(super) trait Work {
    fn run<L: Lanes>(self, lanes: L);
}

/// The lanes that are used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2(wide::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(wide::Avx512),
}

impl Choice {
    /// The widest ones.
    pub(super) fn detect() -> Choice {
        Choice::all().pop().unwrap_or(Choice::Plain)
    }

    /// Those that this processor has, from narrow to wide.
    pub(super) fn all() -> Vec<Choice> {
        let mut all = vec![Choice::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(wide::Avx2::detect().map(Choice::Avx2));
            all.extend(wide::Avx512::detect().map(Choice::Avx512));
        }
        all
    }

    /// [`Lanes::PICKS`].
    pub(super) fn picks(self) -> bool {
        match self {
            Choice::Plain => Plain::PICKS,
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2(_) => wide::Avx2::PICKS,
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512(_) => wide::Avx512::PICKS,
        }
    }

    /// Does the work with these lanes.
    #[inline]
    pub(super) fn run(self, work: impl Work) {
        match self {
            Choice::Plain => work.run(Plain),
            #[cfg(target_arch = "x86_64")]
            Choice::Avx2(lanes) => lanes.run(work),
            #[cfg(target_arch = "x86_64")]
            Choice::Avx512(lanes) => lanes.run(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every instruction, on entries that meet each other in all ways that matter.
    struct Everything<'t>(&'t mut Vec<Vec<i8>>);

    impl Work for Everything<'_> {
        fn run<L: Lanes>(self, lanes: L) {
            let table: [i8; 32] = std::array::from_fn(|at| (at * 37) as i8);
            let strips: [[i8; STRIP]; 3] = [
                std::array::from_fn(|at| (at * 41) as i8),
                std::array::from_fn(|at| (at / 3 * 41) as i8),
                std::array::from_fn(|at| (at % 32) as i8),
            ];
            let mut found = vec![[0; STRIP]; 7];
            for part in 0..STRIP / L::WIDTH {
                let [some, others, places] = [0, 1, 2].map(|at| lanes.load(&strips[at], part));
                let above = lanes.above(some, others);
                let upper = lanes.above(places, lanes.splat(15));
                let results = [
                    lanes.pick(above, some, others),
                    lanes.pick(lanes.equal(above, places, places), others, some),
                    lanes.pick(lanes.equal(upper, some, others), some, places),
                    lanes.double(places, above),
                    lanes.double(some, lanes.none()),
                    lanes.lookup(&table, places, upper),
                    lanes.splat(-128),
                ];
                for (found, result) in found.iter_mut().zip(results) {
                    lanes.store(result, found, part);
                }
            }
            let numbers: [f32; WINDOW] = [-1.5, 0.0, 0.5, 2.0, 2.0, 4.0, f32::INFINITY, f32::INFINITY];
            let values = [f32::NEG_INFINITY, -1.5, -1.0, 0.0, 2.0, 3.0, 4.5, f32::INFINITY];
            let singles = values.map(|value| lanes.singles_below(&numbers, value) as i8);
            let doubles = values.map(|value| lanes.doubles_below(&numbers.map(f64::from), f64::from(value)) as i8);
            found.extend([singles, doubles].iter().map(|counts| std::array::from_fn(|at| counts[at % values.len()])));
            self.0.push(found.concat());
        }
    }

    #[test]
    fn all_lanes_do_the_same() {
        let mut results = vec![];
        Choice::all().into_iter().for_each(|choice| choice.run(Everything(&mut results)));
        assert!(results.iter().all(|result| *result == results[0]));
        let expected = |at: usize| [(at % 32 * 37) as i8, -128];
        assert!((0..STRIP).all(|at| [results[0][5 * STRIP + at], results[0][6 * STRIP + at]] == expected(at)));
        let counts = [0, 0, 1, 1, 3, 5, 6, 6];
        assert!([7, 8].iter().all(|at| results[0][at * STRIP..].starts_with(&counts)));
    }
}
