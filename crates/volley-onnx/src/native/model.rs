//! A native model made ready: features in, sums of trees, their link, and what is answered from them.

use super::features::Features;
use super::linear::Linear;
use super::link::Link;
use super::number::Number;
use crate::direct::{Rows, Values};
use crate::error::Error;
use crate::port::{ClassLabels, Dim, Element, Port};
use crate::trees::Ensemble;

/// What the values of a row are summed up from.
#[derive(Debug)]
pub(super) enum Sums<T> {
    Trees(Box<Ensemble>),
    Linear(Linear<T>),
}

/// Which classes a model tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Classes {
    None,
    /// Two, by the one value, which is the probability of the second.
    Two,
    /// As many as there are values, which are their probabilities.
    Each,
}

/// What is answered from the values of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The values themselves.
    Values,
    /// The class: the greatest of several probabilities, or whether each value is above a half.
    Label,
    /// The class of the greatest sum, as a number of the model's precision.
    LabelNumber,
    /// The probability of each class.
    Probabilities,
}

/// An output of a native model.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) port: Port,
    pub(crate) classes: Option<ClassLabels>,
    /// Whether the library's own `predict` leaves it out.
    pub(crate) aside: bool,
    part: Part,
}

#[derive(Debug)]
pub(super) struct Model<T> {
    pub(super) features: Features,
    pub(super) sums: Sums<T>,
    /// Sums in a row.
    pub(super) groups: usize,
    /// What sums are divided by before the link: the iterations of a random forest.
    pub(super) divisor: f64,
    pub(super) link: Link,
    pub(super) classes: Classes,
    /// What `predict` gives.
    pub(super) predicted: Part,
}

impl<T: Number> Model<T> {
    /// What `predict` gives first, then what classes allow beside it.
    pub(super) fn outputs(&self) -> Vec<Output> {
        let mut outputs = vec![self.output("prediction", self.predicted, false)];
        if self.classes != Classes::None {
            for (name, part) in [("label", Part::Label), ("probabilities", Part::Probabilities)] {
                let given = self.predicted == part
                    || (self.classes, self.predicted, part) == (Classes::Each, Part::Values, Part::Probabilities);
                if !given {
                    outputs.push(self.output(name, part, true));
                }
            }
        }
        outputs
    }

    fn output(&self, name: &str, part: Part, aside: bool) -> Output {
        let (element, width) = match part {
            Part::Values => (T::ELEMENT, self.groups),
            Part::Label if self.classes == Classes::Each => (Element::I64, 1),
            Part::Label => (Element::I64, self.groups),
            Part::LabelNumber => (T::ELEMENT, 1),
            Part::Probabilities => (T::ELEMENT, self.labels().len()),
        };
        let is_labelled = match part {
            Part::Label | Part::Probabilities => true,
            Part::Values => self.classes == Classes::Each,
            Part::LabelNumber => false,
        };
        let dims = if width == 1 { vec![Dim::Free] } else { vec![Dim::Free, Dim::Fixed(width)] };
        let port = Port { name: name.to_owned(), element, shape: Some(dims) };
        let classes = (is_labelled && self.classes != Classes::None).then(|| ClassLabels::Ints(self.labels()));
        Output { port, classes, aside, part }
    }

    fn labels(&self) -> Vec<i64> {
        let count = if self.classes == Classes::Two { 2 } else { self.groups };
        (0..count as i64).collect()
    }

    /// The values of all outputs, row by row.
    pub(super) fn score(&self, outputs: &[Output], source: &dyn Rows) -> Result<Vec<Values>, Error> {
        let rows = source.count();
        let mut values = vec![T::default(); rows * self.groups];
        // Probabilities may be equal where the sums that they come from are not.
        let mut greatest = Vec::new();
        let keeps_greatest = self.predicted == Part::LabelNumber;
        self.walk(source, |row, sums| {
            if keeps_greatest {
                greatest.push(greatest_of(sums));
            }
            if self.divisor != 1.0 {
                sums.iter_mut().for_each(|sum| *sum = sum.over(T::of(self.divisor)));
            }
            self.link.apply(sums);
            values[row * self.groups..][..self.groups].copy_from_slice(sums);
        })?;
        Ok(outputs.iter().map(|output| self.answer(output.part, &values, &greatest)).collect())
    }

    fn walk(&self, source: &dyn Rows, each: impl FnMut(usize, &mut [T])) -> Result<(), Error> {
        let (rows, columns) = (source.count(), self.features.count());
        let coded = self.features.coded(source);
        let read = |feature: usize, first: usize, values: &mut [T]| coded.read(feature, first, values);
        match &self.sums {
            Sums::Linear(linear) => linear.walk(&by_row(rows, columns, read), columns, each),
            Sums::Trees(trees) => {
                if !T::walk(trees, rows, read, each) {
                    return Err(Error::Failed("the trees are of another precision than their model".into()));
                }
            }
        }
        Ok(())
    }

    fn answer(&self, part: Part, values: &[T], greatest: &[usize]) -> Values {
        match part {
            Part::Values => T::values(values.to_vec()),
            Part::Probabilities if self.classes == Classes::Two => {
                T::values(values.iter().flat_map(|&second| [T::ONE - second, second]).collect())
            }
            Part::Probabilities => T::values(values.to_vec()),
            Part::Label if self.classes == Classes::Each => {
                Values::Longs(values.chunks_exact(self.groups).map(|row| greatest_of(row) as i64).collect())
            }
            Part::Label => Values::Longs(values.iter().map(|&value| i64::from(value > T::HALF)).collect()),
            Part::LabelNumber => T::values(greatest.iter().map(|&class| T::of(class as f64)).collect()),
        }
    }
}

/// Rows one behind the other.
fn by_row<T: Number>(rows: usize, columns: usize, read: impl Fn(usize, usize, &mut [T])) -> Vec<T> {
    let (mut matrix, mut values) = (vec![T::default(); rows * columns], vec![T::default(); rows]);
    for feature in 0..columns {
        read(feature, 0, &mut values);
        let places = matrix[feature.min(rows * columns)..].iter_mut().step_by(columns);
        places.zip(&values).for_each(|(place, &value)| *place = value);
    }
    matrix
}

/// The place of the greatest, the first of equal ones.
fn greatest_of<T: Number>(values: &[T]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}
