//! The columns that ranked trees look at, made from rows a block at a time.
//!
//! Every split asks whether an entry of its column is at most a code. Where missing values go
//! depends on the split, so a feature has up to two columns, in which they come first or last. A
//! question for one of several values has a column of its own, with 0 for yes and 1 for no.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Real;
use super::cuts::{Cut, Cuts, FIRST, LAST, Ruler};

/// Rows that go through all trees before the next ones: their columns stay in the nearest cache.
pub(super) const BLOCK_ROWS: usize = 256;

/// One entry for each row of a block.
pub(super) type Column = [u16; BLOCK_ROWS];

/// A question whether a value is one of several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    feature: u32,
    /// The bits of the members, sorted.
    members: Vec<u64>,
    missing_is_member: bool,
}

impl Membership {
    pub(super) fn new(feature: u32, members: &[f64], missing_is_member: bool) -> Membership {
        let members: BTreeSet<u64> = members.iter().filter(|it| !it.is_nan()).map(|it| (it + 0.0).to_bits()).collect();
        Membership { feature, members: members.into_iter().collect(), missing_is_member }
    }

    fn cuts(&self) -> impl Iterator<Item = Cut> {
        let members = self.members.iter().map(|&bits| f64::from_bits(bits));
        members.flat_map(|at| [true, false].map(|strict| Cut { at, strict }))
    }
}

/// What trees ask, collected before columns are made.
#[derive(Debug, Default)]
pub(super) struct Questions {
    features: BTreeMap<u32, Asked>,
    memberships: Vec<Membership>,
    known: HashMap<Membership, usize>,
}

#[derive(Debug, Default)]
struct Asked {
    cuts: Vec<Cut>,
    missing_first: bool,
    missing_last: bool,
}

impl Questions {
    pub(super) fn inequality(&mut self, feature: u32, cut: Cut, missing_first: bool) {
        let asked = self.features.entry(feature).or_default();
        asked.cuts.push(cut);
        if missing_first {
            asked.missing_first = true;
        } else {
            asked.missing_last = true;
        }
    }

    pub(super) fn membership(&mut self, membership: Membership) {
        if self.known.contains_key(&membership) {
            return;
        }
        let asked = self.features.entry(membership.feature).or_default();
        asked.cuts.extend(membership.cuts());
        asked.missing_last = true;
        self.known.insert(membership.clone(), self.memberships.len());
        self.memberships.push(membership);
    }
}

/// All columns of an ensemble.
#[derive(Debug)]
pub(super) struct Columns {
    features: Vec<Feature>,
    sets: Vec<Set>,
    known: HashMap<Membership, usize>,
    count: usize,
}

#[derive(Debug)]
struct Feature {
    feature: u32,
    cuts: Cuts,
    /// The column in which missing values come first, and the one in which they come last.
    missing_first: Option<usize>,
    missing_last: Option<usize>,
}

#[derive(Debug)]
struct Set {
    /// The column of ranks, with missing values last.
    from: usize,
    /// The ranks of members.
    ranks: Vec<u16>,
    missing_is_member: bool,
}

impl Columns {
    /// `None` if there are too many, or a feature has too many cuts.
    pub(super) fn new(questions: Questions) -> Option<Columns> {
        let mut features = Vec::new();
        let mut count = 0;
        let mut next = |asked: bool| {
            count += usize::from(asked);
            asked.then(|| count - 1)
        };
        for (feature, asked) in questions.features {
            let (missing_first, missing_last) = (next(asked.missing_first), next(asked.missing_last));
            features.push(Feature { feature, cuts: Cuts::new(asked.cuts)?, missing_first, missing_last });
        }
        let mut columns = Columns { features, sets: Vec::new(), known: questions.known, count };
        for membership in &questions.memberships {
            let feature = columns.feature(membership.feature)?;
            let ranks = membership.cuts().filter(|cut| !cut.strict).map(|cut| feature.cuts.code(cut)).collect();
            let (from, missing_is_member) = (feature.missing_last?, membership.missing_is_member);
            columns.sets.push(Set { from, ranks, missing_is_member });
        }
        columns.count += columns.sets.len();
        (columns.count <= usize::from(u16::MAX)).then_some(columns)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The column and the code of an inequality that was among the questions.
    pub(super) fn inequality(&self, feature: u32, cut: Cut, missing_first: bool) -> Option<(u16, u16)> {
        let feature = self.feature(feature)?;
        let column = if missing_first { feature.missing_first? } else { feature.missing_last? };
        Some((column as u16, feature.cuts.code(cut)))
    }

    /// The column of a membership that was among the questions; its code is 0.
    pub(super) fn membership(&self, membership: &Membership) -> Option<u16> {
        Some((self.count - self.sets.len() + self.known.get(membership)?) as u16)
    }

    fn feature(&self, feature: u32) -> Option<&Feature> {
        let at = self.features.binary_search_by_key(&feature, |it| it.feature).ok()?;
        Some(&self.features[at])
    }

    pub(super) fn rulers<T: Real>(&self) -> Vec<Ruler<T>> {
        self.features.iter().map(|feature| feature.cuts.ruler()).collect()
    }

    /// Fills the first `rows` entries of all columns. `read` gives so many values of a feature;
    /// `rulers` are those of [`Columns::rulers`].
    pub(super) fn fill<T: Real>(
        &self,
        rulers: &[Ruler<T>],
        rows: usize,
        columns: &mut [Column],
        read: impl Fn(usize, &mut [T]),
    ) {
        let mut values = [T::default(); BLOCK_ROWS];
        let values = &mut values[..rows];
        for (feature, ruler) in self.features.iter().zip(rulers) {
            read(feature.feature as usize, values);
            feature.fill(ruler, values, columns);
        }
        for (at, set) in self.sets.iter().enumerate() {
            let (plain, sets) = columns.split_at_mut(self.count - self.sets.len());
            set.fill(&plain[set.from][..rows], &mut sets[at][..rows]);
        }
    }
}

impl Feature {
    fn fill<T: Real>(&self, ruler: &Ruler<T>, values: &[T], columns: &mut [Column]) {
        let rows = values.len();
        let Some(column) = self.missing_last.or(self.missing_first) else { return };
        ruler.ranks(values, &mut columns[column][..rows]);
        if let (Some(first), Some(last)) = (self.missing_first, self.missing_last) {
            columns[first] = columns[last];
        }
        if values.iter().fold(false, |missing, value| missing | value.is_nan()) {
            for (column, code) in [(self.missing_first, FIRST), (self.missing_last, LAST)] {
                let Some(column) = column else { continue };
                for (entry, value) in columns[column].iter_mut().zip(values) {
                    *entry = if value.is_nan() { code } else { *entry };
                }
            }
        }
    }
}

impl Set {
    fn fill(&self, ranks: &[u16], entries: &mut [u16]) {
        let missing = u16::from(self.missing_is_member);
        for (entry, &rank) in entries.iter_mut().zip(ranks) {
            *entry = 1 ^ (u16::from(rank == LAST) & missing);
        }
        for &member in &self.ranks {
            for (entry, &rank) in entries.iter_mut().zip(ranks) {
                *entry &= u16::from(rank != member);
            }
        }
    }
}
