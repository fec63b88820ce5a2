//! Puts a plan together: columns, the steps that make them, and where in memory each has its place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::answers::Answer;
use super::block::{AnyColumn, Cell, Column, KINDS, Layout, Step};
use super::rows::Place;
use super::words::Words;
use super::{Direct, Loads, Texts};

/// Columns of a plan at most: more would not stay in any cache, and whole tensors are as good.
pub(super) const COLUMNS_MAX: usize = 1 << 14;

/// A plan under construction.
#[derive(Default)]
pub(crate) struct Builder {
    counts: [u32; KINDS],
    inputs: Vec<(Place, AnyColumn)>,
    texts: Vec<Texts>,
    steps: Vec<Placed>,
    /// Where the steps to come are in the graph, for messages.
    node: String,
}

/// A step, and where in the graph it is.
pub(super) struct Placed {
    pub(super) step: Box<dyn Step>,
    pub(super) node: String,
}

impl Builder {
    /// Says which node the steps to come are of.
    pub(super) fn at(&mut self, name: &str, operator: &str) {
        self.node = format!("at node `{name}` ({operator})");
    }

    /// Whether there are more columns than it makes sense to keep.
    pub(super) fn is_too_wide(&self) -> bool {
        self.counts.iter().any(|&count| count as usize > COLUMNS_MAX)
    }

    /// A column that no step makes yet.
    pub(crate) fn column<T: Cell>(&mut self) -> Column<T> {
        let count = &mut self.counts[T::KIND as usize];
        *count += 1;
        Column::new(*count - 1)
    }

    /// As many columns.
    pub(crate) fn columns<T: Cell>(&mut self, count: usize) -> Vec<Column<T>> {
        (0..count).map(|_| self.column()).collect()
    }

    /// The column of an input.
    pub(super) fn input<T: Cell>(&mut self, place: Place) -> Column<T> {
        let column = self.column::<T>();
        self.inputs.push((place, column.any()));
        column
    }

    /// The codes of the texts of an input.
    pub(crate) fn codes(&mut self, place: Place, words: Arc<Words>) -> Column<u32> {
        let column = self.column();
        self.texts.push(Texts { place, words, column });
        column
    }

    /// Adds a step behind all others.
    pub(crate) fn step(&mut self, step: impl Step + 'static) {
        self.steps.push(Placed { step: Box::new(step), node: self.node.clone() });
    }

    /// The plan that gives `answers`, without what they do not need.
    pub(super) fn finish(self, answers: Vec<Answer>) -> Direct {
        let mut needed: HashSet<AnyColumn> = answers.iter().flat_map(Answer::reads).collect();
        let mut steps = Vec::with_capacity(self.steps.len());
        for placed in self.steps.into_iter().rev() {
            if placed.step.may_refuse() || placed.step.writes().iter().any(|column| needed.contains(column)) {
                needed.extend(placed.step.reads());
                steps.push(placed);
            }
        }
        steps.reverse();
        let texts: Vec<Texts> = self.texts.into_iter().filter(|it| needed.contains(&it.column.any())).collect();
        let inputs: Vec<(Place, AnyColumn)> = self.inputs.into_iter().filter(|it| needed.contains(&it.1)).collect();
        let layout = layout(self.counts, &inputs, &texts, &steps, &answers);
        Direct::new(loads(inputs), texts, steps, answers, layout)
    }
}

/// The inputs' columns by input.
fn loads(mut inputs: Vec<(Place, AnyColumn)>) -> Vec<Loads> {
    inputs.sort_by_key(|it| it.0);
    let mut loads: Vec<Loads> = Vec::new();
    for (place, column) in inputs {
        if loads.last().is_none_or(|loads| loads.input != place.input) {
            loads.push(Loads { input: place.input, ..Loads::default() });
        }
        if let Some(loads) = loads.last_mut() {
            loads.add(place.at, column);
        }
    }
    loads
}

/// Gives each column a place that it has to itself from where it is written to where it is read last.
fn layout(
    counts: [u32; KINDS],
    inputs: &[(Place, AnyColumn)],
    texts: &[Texts],
    steps: &[Placed],
    answers: &[Answer],
) -> Layout {
    let mut last_read: HashMap<AnyColumn, usize> = HashMap::new();
    for (at, placed) in steps.iter().enumerate() {
        last_read.extend(placed.step.reads().into_iter().map(|column| (column, at)));
    }
    last_read.extend(answers.iter().flat_map(Answer::reads).map(|column| (column, usize::MAX)));
    let mut places = Places { layout: Layout::default(), free: Default::default() };
    places.layout.places = counts.map(|count| vec![0; count as usize]);
    inputs.iter().map(|it| it.1).chain(texts.iter().map(|it| it.column.any())).for_each(|it| places.take(it));
    for (at, placed) in steps.iter().enumerate() {
        let writes = placed.step.writes();
        writes.iter().for_each(|&column| places.take(column));
        let mut ends = placed.step.reads();
        ends.sort_by_key(|it| (it.kind as usize, it.number));
        ends.dedup();
        let unread = writes.into_iter().filter(|column| !last_read.contains_key(column));
        ends.into_iter().filter(|column| last_read[column] == at).chain(unread).for_each(|it| places.give_back(it));
    }
    places.layout
}

struct Places {
    layout: Layout,
    free: [Vec<u32>; KINDS],
}

impl Places {
    fn take(&mut self, column: AnyColumn) {
        let kind = column.kind as usize;
        let place = self.free[kind].pop().unwrap_or_else(|| {
            self.layout.sizes[kind] += 1;
            self.layout.sizes[kind] as u32 - 1
        });
        self.layout.places[kind][column.number] = place;
    }

    fn give_back(&mut self, column: AnyColumn) {
        let kind = column.kind as usize;
        self.free[kind].push(self.layout.places[kind][column.number]);
    }
}

impl AnyColumn {
    /// The column, if it is of this type.
    pub(super) fn of<T: Cell>(self) -> Option<Column<T>> {
        (self.kind == T::KIND).then(|| Column::new(self.number as u32))
    }
}
