//! What trees ask about: the columns of a row, and the numbers that stand for categories.

use std::collections::HashMap;

use super::document::invalid;
use super::number::Number;
use crate::direct::{Place, Rows, Words};
use crate::error::Error;
use crate::port::{Dim, Element, Port};

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
#[derive(Debug)]
pub(super) enum Codes {
    /// They are numbers already.
    None,
    /// Numbers that stand for others, by their bits.
    Numbers(HashMap<u64, f64>),
    /// Words that stand for numbers.
    Words(Words),
}

impl Codes {
    pub(super) fn of_numbers(categories: &[f64]) -> Codes {
        let code = |(code, &category): (usize, &f64)| (bits(category), code as f64);
        Codes::Numbers(categories.iter().enumerate().map(code).collect())
    }

    pub(super) fn of_words<'a>(categories: impl Iterator<Item = &'a str>) -> Codes {
        Codes::Words(Words::new(categories.enumerate().map(|(code, word)| (word, code as u32)), UNKNOWN))
    }
}

/// The code of a word that is no category.
const UNKNOWN: u32 = u32::MAX;

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

    /// The features of `rows`. A category that the model was not trained with is a missing value.
    pub(super) fn coded<'r>(&'r self, rows: &'r dyn Rows) -> Coded<'r> {
        let words = |(input, codes): (usize, &Codes)| match codes {
            Codes::Words(words) => rows.codes(Place { input, at: 0 }, words),
            Codes::None | Codes::Numbers(_) => Vec::new(),
        };
        let words = self.codes.iter().enumerate().map(words).collect();
        Coded { codes: &self.codes, words, rows }
    }
}

/// Rows whose categories are codes.
pub(super) struct Coded<'r> {
    codes: &'r [Codes],
    /// The codes of features that are words, by feature.
    words: Vec<Vec<u32>>,
    rows: &'r dyn Rows,
}

impl Coded<'_> {
    /// Writes the values of a feature from a row on.
    pub(super) fn read<T: Number>(&self, feature: usize, first: usize, values: &mut [T]) {
        let range = first..first + values.len();
        let place = Place { input: feature, at: 0 };
        match self.codes.get(feature) {
            None => T::read(self.rows, Place { input: 0, at: feature }, range, values),
            Some(Codes::None) => T::read(self.rows, place, range, values),
            Some(Codes::Numbers(codes)) => {
                let mut numbers = vec![0.0; values.len()];
                f64::read(self.rows, place, range, &mut numbers);
                let code = |number: &f64| T::of(codes.get(&bits(*number)).copied().unwrap_or(f64::NAN));
                values.iter_mut().zip(&numbers).for_each(|(value, number)| *value = code(number));
            }
            Some(Codes::Words(_)) => {
                let code = |code: u32| if code == UNKNOWN { f64::NAN } else { f64::from(code) };
                let codes = &self.words[feature][range];
                values.iter_mut().zip(codes).for_each(|(value, &it)| *value = T::of(code(it)));
            }
        }
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
