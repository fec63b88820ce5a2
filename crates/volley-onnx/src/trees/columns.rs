//! The columns that ranked trees look at, made from rows a block at a time.
//!
//! Every split asks whether an entry of its column is at most a code. Where missing values go
//! depends on the split, so a feature has up to two runs of columns, in which they come first or
//! last; a run has as many columns as it takes to tell all cuts apart. A question for one of several
//! values or ranges has a column of its own, with one entry for yes and a greater one for no.

use std::collections::{BTreeMap, HashMap};

use super::Real;
use super::cuts::{Cut, Cuts, FIRST, LAST, Ruler};
use super::entry::Entry;
use super::lanes::Lanes;
use super::question::{Membership, Question};

/// Rows whose entries lie side by side: those of a strip are in the nearest cache while it is scanned.
pub(super) const STRIP: usize = 64;

/// Entries of all sets at most: each has one for every rank of its feature, so that a small file could ask for many.
const SET_ENTRIES_MAX: usize = 1 << 25;

/// What trees ask, collected before columns are made.
#[derive(Debug, Default)]
pub(super) struct Questions {
    features: BTreeMap<u32, Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    cuts: Vec<Cut>,
    missing_first: bool,
    missing_last: bool,
    memberships: Vec<Membership>,
    known: HashMap<Membership, usize>,
}

impl Questions {
    pub(super) fn add(&mut self, question: &Question) {
        match question {
            &Question::Inequality { feature, cut, missing_first } => {
                let asked = self.features.entry(feature).or_default();
                asked.cuts.push(cut);
                asked.missing_first |= missing_first;
                asked.missing_last |= !missing_first;
            }
            Question::Membership(membership) => {
                let asked = self.features.entry(membership.feature).or_default();
                if !asked.known.contains_key(membership) {
                    asked.cuts.extend(membership.cuts());
                    asked.known.insert(membership.clone(), asked.memberships.len());
                    asked.memberships.push(membership.clone());
                }
            }
        }
    }
}

/// All columns of an ensemble that hold such entries.
#[derive(Debug)]
pub(super) struct Columns<E> {
    features: Vec<Feature<E>>,
    count: usize,
}

#[derive(Debug)]
struct Feature<E> {
    feature: u32,
    cuts: Cuts,
    /// Columns of a run.
    run: usize,
    /// The first column of the run in which missing values come first, and of that in which they come last.
    missing_first: Option<usize>,
    missing_last: Option<usize>,
    /// From this column on, one for each set.
    sets: Vec<Set<E>>,
    sets_from: usize,
    known: HashMap<Membership, usize>,
}

/// The entry of each rank; the last one is that of missing values.
#[derive(Debug)]
struct Set<E>(Box<[E]>);

impl<E: Entry> Columns<E> {
    /// `None` if there are too many, or they are too large, or a feature has too many cuts.
    pub(super) fn new(questions: Questions) -> Option<Columns<E>> {
        let (mut count, mut set_entries) = (0, 0);
        let mut take = |columns: usize| {
            count += columns;
            count - columns
        };
        let mut features = Vec::new();
        for (feature, asked) in questions.features {
            let cuts = Cuts::new(asked.cuts)?;
            let run = cuts.len().div_ceil(E::CUTS_MAX).max(1);
            set_entries += asked.memberships.len() * (cuts.len() + 3);
            if set_entries > SET_ENTRIES_MAX {
                return None;
            }
            features.push(Feature {
                feature,
                run,
                missing_first: asked.missing_first.then(|| take(run)),
                missing_last: asked.missing_last.then(|| take(run)),
                sets_from: take(asked.memberships.len()),
                sets: asked.memberships.iter().map(|it| Set::new(it, &cuts)).collect(),
                known: asked.known,
                cuts,
            });
        }
        (count <= usize::from(u16::MAX)).then_some(Columns { features, count })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The column and the code of a question that was collected.
    pub(super) fn place(&self, question: &Question) -> Option<(u16, E)> {
        let (column, code) = match question {
            &Question::Inequality { feature, cut, missing_first } => {
                let feature = self.feature(feature)?;
                let run = if missing_first { feature.missing_first? } else { feature.missing_last? };
                match feature.cuts.position(cut) {
                    None => (run, E::NEVER),
                    Some(at) => (run + at / E::CUTS_MAX, E::code(at % E::CUTS_MAX)),
                }
            }
            Question::Membership(membership) => {
                let feature = self.feature(membership.feature)?;
                (feature.sets_from + feature.known.get(membership)?, E::NEVER)
            }
        };
        Some((column as u16, code))
    }

    fn feature(&self, feature: u32) -> Option<&Feature<E>> {
        let at = self.features.binary_search_by_key(&feature, |it| it.feature).ok()?;
        Some(&self.features[at])
    }

    pub(super) fn rulers<T: Real>(&self) -> Vec<Ruler<T>> {
        self.features.iter().map(|feature| feature.cuts.ruler()).collect()
    }

    /// Fills the columns of `rows` rows, strip after strip, all columns of each. `read` gives so many values of a
    /// feature; `rulers` are those of [`Columns::rulers`].
    #[inline(always)]
    pub(super) fn fill<T: Real, L: Lanes>(
        &self,
        lanes: L,
        rulers: &[Ruler<T>],
        rows: usize,
        strips: &mut [[E; STRIP]],
        read: impl Fn(usize, &mut [T]),
    ) {
        let mut values = vec![T::default(); rows];
        for (feature, ruler) in self.features.iter().zip(rulers) {
            read(feature.feature as usize, &mut values);
            for (values, columns) in values.chunks(STRIP).zip(strips.chunks_exact_mut(self.count)) {
                feature.fill(lanes, ruler, values, columns);
            }
        }
    }
}

impl<E: Entry> Feature<E> {
    #[inline(always)]
    fn fill<T: Real, L: Lanes>(&self, lanes: L, ruler: &Ruler<T>, values: &[T], columns: &mut [[E; STRIP]]) {
        let mut ranks = [0u16; STRIP];
        ruler.ranks(lanes, values, &mut ranks);
        let is_missing = values.iter().fold(false, |missing, value| missing | value.is_nan());
        let mut mark = |code: u16| {
            if is_missing {
                for (rank, value) in ranks.iter_mut().zip(values) {
                    *rank = if value.is_nan() { code } else { *rank };
                }
            }
            ranks
        };
        if let Some(first) = self.missing_first {
            self.run(&mark(FIRST), &mut columns[first..]);
        }
        if self.missing_last.is_none() && self.sets.is_empty() {
            return;
        }
        let ranks = mark(LAST);
        if let Some(last) = self.missing_last {
            self.run(&ranks, &mut columns[last..]);
        }
        for (set, entries) in self.sets.iter().zip(&mut columns[self.sets_from..]) {
            set.fill(&ranks, entries);
        }
    }

    #[inline(always)]
    fn run(&self, ranks: &[u16; STRIP], columns: &mut [[E; STRIP]]) {
        for (at, entries) in columns.iter_mut().take(self.run).enumerate() {
            let cuts_before = (at * E::CUTS_MAX) as u16;
            for (entry, &rank) in entries.iter_mut().zip(ranks) {
                *entry = E::of_rank(rank, cuts_before);
            }
        }
    }
}

impl<E: Entry> Set<E> {
    fn new(membership: &Membership, cuts: &Cuts) -> Set<E> {
        let (yes, no) = (E::of_rank(0, 0), E::of_rank(1, 0));
        // Ranks of numbers go from 1 to one more than there are cuts.
        let mut turns = vec![false; cuts.len() + 3];
        for cut in membership.cuts() {
            turns[cuts.position(cut).map_or(1, |at| at + 2)] ^= true;
        }
        let mut is_member = membership.first_is_member;
        let mut entries: Vec<E> = turns
            .into_iter()
            .map(|turns| {
                is_member ^= turns;
                if is_member { yes } else { no }
            })
            .collect();
        if let Some(last) = entries.last_mut() {
            *last = if membership.missing_is_member { yes } else { no };
        }
        Set(entries.into())
    }

    #[inline(always)]
    fn fill(&self, ranks: &[u16; STRIP], entries: &mut [E; STRIP]) {
        let last = self.0.len() - 1;
        for (entry, &rank) in entries.iter_mut().zip(ranks) {
            *entry = self.0[usize::from(rank).min(last)];
        }
    }
}
