//! Lanes for any processor: loops of which compilers make the instructions that all of its kind have.

use super::super::columns::STRIP;
use super::super::cuts::WINDOW;
use super::Lanes;

const WIDTH: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Plain;

impl Lanes for Plain {
    type Entries = [i8; WIDTH];
    /// All bits of those who said yes.
    type Answers = [i8; WIDTH];

    const WIDTH: usize = WIDTH;
    const PICKS: bool = false;

    #[inline(always)]
    fn load(self, strip: &[i8; STRIP], part: usize) -> Self::Entries {
        strip.as_chunks().0[part]
    }

    #[inline(always)]
    fn store(self, entries: Self::Entries, strip: &mut [i8; STRIP], part: usize) {
        strip.as_chunks_mut().0[part] = entries;
    }

    #[inline(always)]
    fn splat(self, value: i8) -> Self::Entries {
        [value; WIDTH]
    }

    #[inline(always)]
    fn none(self) -> Self::Answers {
        [0; WIDTH]
    }

    #[inline(always)]
    fn above(self, entries: Self::Entries, others: Self::Entries) -> Self::Answers {
        std::array::from_fn(|at| -i8::from(entries[at] > others[at]))
    }

    #[inline(always)]
    fn equal(self, answers: Self::Answers, entries: Self::Entries, others: Self::Entries) -> Self::Answers {
        std::array::from_fn(|at| -i8::from(entries[at] == others[at]) & answers[at])
    }

    #[inline(always)]
    fn pick(self, answers: Self::Answers, no: Self::Entries, yes: Self::Entries) -> Self::Entries {
        std::array::from_fn(|at| no[at] ^ ((no[at] ^ yes[at]) & answers[at]))
    }

    #[inline(always)]
    fn double(self, entries: Self::Entries, answers: Self::Answers) -> Self::Entries {
        std::array::from_fn(|at| entries[at].wrapping_add(entries[at]).wrapping_sub(answers[at]))
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 32], places: Self::Entries, _: Self::Answers) -> Self::Entries {
        places.map(|place| table[place as usize % table.len()])
    }
    #[inline(always)]
    fn singles_below(self, numbers: &[f32; WINDOW], value: f32) -> u32 {
        numbers.iter().map(|&number| u32::from(number < value)).sum()
    }

    #[inline(always)]
    fn doubles_below(self, numbers: &[f64; WINDOW], value: f64) -> u32 {
        numbers.iter().map(|&number| u32::from(number < value)).sum()
    }
}
