//! What trees ask about: the columns of a row, and the numbers that stand for categories.

use std::borrow::Cow;
use std::collections::HashMap;

use tract_onnx::prelude::{Datum, Tensor};

use super::document::invalid;
use super::number::Number;
use crate::error::Error;
use crate::port::{Dim, Element, Port};
use crate::tensor::tensor_values;

/// More columns than a table can have; a file without names says their number without having to prove it.
const FEATURES_MAX: usize = 100_000;

/// The matrix of all features, where they are numbers.
const MATRIX: &str = "features";

/// The names of a native model's features, in its own order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureNames {
    /// Those of the columns that it was trained with.
    Trained(Vec<String>),
    /// It was trained without names: these count the columns.
    Numbered(Vec<String>),
}

impl FeatureNames {
    /// The names, whoever gave them.
    pub fn names(&self) -> &[String] {
        match self {
            FeatureNames::Trained(names) | FeatureNames::Numbered(names) => names,
        }
    }
}

/// The features of a model and how they come in.
#[derive(Debug)]
pub(super) struct Features {
    names: FeatureNames,
    /// By feature; empty where all are numbers, which then come as one matrix.
    codes: Vec<Codes>,
}

/// How the values of a feature become what trees compare.
#[derive(Debug, Clone)]
pub(super) enum Codes {
    /// They are numbers already.
    None,
    /// Numbers that stand for others, by their bits.
    Numbers(HashMap<u64, f64>),
    /// Words that stand for numbers.
    Words(HashMap<String, f64>),
}

impl Codes {
    pub(super) fn of_numbers(categories: &[f64]) -> Codes {
        let code = |(code, &category): (usize, &f64)| (bits(category), code as f64);
        Codes::Numbers(categories.iter().enumerate().map(code).collect())
    }

    pub(super) fn of_words<'a>(categories: impl Iterator<Item = &'a str>) -> Codes {
        Codes::Words(categories.enumerate().map(|(code, word)| (word.to_owned(), code as f64)).collect())
    }
}

/// Zero is one number, whatever its sign.
fn bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

impl Features {
    /// `codes` has an entry for each feature, or none at all.
    pub(super) fn new(names: FeatureNames, codes: Vec<Codes>) -> Result<Features, Error> {
        let count = check_count(names.names().len())?;
        let coded = codes.iter().any(|codes| !matches!(codes, Codes::None));
        if coded && codes.len() != count {
            return Err(invalid(format!("it has categories of {} features and {count} features", codes.len())));
        }
        Ok(Features { names, codes: if coded { codes } else { Vec::new() } })
    }

    pub(super) fn names(&self) -> &FeatureNames {
        &self.names
    }

    pub(super) fn count(&self) -> usize {
        self.names.names().len()
    }

    /// One matrix, or a column for each feature where some are words.
    pub(super) fn ports(&self, element: Element) -> Vec<Port> {
        let port = |name: &str, element, width| {
            let shape = Some(vec![Dim::Free, Dim::Fixed(width)]);
            Port { name: name.to_owned(), element, shape }
        };
        if self.codes.is_empty() {
            return vec![port(MATRIX, element, self.count())];
        }
        let columns = self.names.names().iter().zip(&self.codes);
        let column = |(name, codes): (&String, &Codes)| match codes {
            Codes::Words(_) => port(name, Element::String, 1),
            // A category is looked up before it is rounded.
            Codes::Numbers(_) => port(name, Element::F64, 1),
            Codes::None => port(name, element, 1),
        };
        columns.map(column).collect()
    }

    /// All features of all rows, row by row. A category that the model was not trained with is a missing value.
    pub(super) fn matrix<'t, T: Number + Datum>(
        &self,
        rows: usize,
        inputs: &'t [Tensor],
    ) -> Result<Cow<'t, [T]>, Error> {
        if self.codes.is_empty() {
            let matrix = inputs.first().and_then(tensor_values::<T>).ok_or_else(unexpected)?;
            return Ok(Cow::Borrowed(matrix));
        }
        let mut matrix = vec![T::of(f64::NAN); rows * self.count()];
        for (at, (codes, input)) in self.codes.iter().zip(inputs).enumerate() {
            let places = matrix[at.min(rows)..].iter_mut().step_by(self.count());
            codes.fill(places, input)?;
        }
        Ok(Cow::Owned(matrix))
    }
}

impl Codes {
    fn fill<'m, T: Number + Datum>(
        &self,
        places: impl Iterator<Item = &'m mut T>,
        input: &Tensor,
    ) -> Result<(), Error> {
        match self {
            Codes::None => {
                let values = tensor_values::<T>(input).ok_or_else(unexpected)?;
                places.zip(values).for_each(|(place, &value)| *place = value);
            }
            Codes::Numbers(codes) => {
                let values = tensor_values::<f64>(input).ok_or_else(unexpected)?;
                let code = |value: &f64| codes.get(&bits(*value));
                places.zip(values).for_each(|(place, value)| *place = T::of(*code(value).unwrap_or(&f64::NAN)));
            }
            Codes::Words(codes) => {
                let values = tensor_values::<String>(input).ok_or_else(unexpected)?;
                places.zip(values).for_each(|(place, word)| *place = T::of(*codes.get(word).unwrap_or(&f64::NAN)));
            }
        }
        Ok(())
    }
}

pub(super) fn check_count(count: usize) -> Result<usize, Error> {
    match count {
        0 => Err(invalid("it has no features")),
        count if count > FEATURES_MAX => {
            Err(Error::TooLarge { what: "number of features", size: count, max: FEATURES_MAX })
        }
        count => Ok(count),
    }
}

fn unexpected() -> Error {
    Error::Input("a column is not of the type of its feature".into())
}
