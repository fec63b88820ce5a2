//! Ensembles of decision trees, at full speed.
//!
//! [`Description`] is what a model file says, checked; [`Ensemble`] is what is walked. They know
//! nothing of ONNX attributes beyond the six comparisons, so that other model formats can be read
//! into them.

mod description;
mod forest;
mod layout;
mod real;
mod walk;

use std::sync::OnceLock;

pub(crate) use description::{Comparison, Description, Split, TreeNode, Weight};
pub(crate) use forest::Aggregate;
pub(crate) use real::Real;

use forest::Forest;

/// Why a tree cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) String);

/// Trees that are ready to score rows of single or double precision.
#[derive(Debug)]
pub(crate) struct Ensemble {
    precision: Precision,
    targets: usize,
    columns_min: usize,
}

#[derive(Debug)]
enum Precision {
    /// Thresholds are singles; the forest for doubles is made when the first double comes.
    Single(Forest<f32>, OnceLock<Forest<f64>>),
    /// Thresholds are doubles that no single can hold.
    Double(Forest<f64>),
}

impl Ensemble {
    /// Checks and lays out the trees.
    pub(crate) fn new(description: &Description, aggregate: Aggregate) -> Result<Self, Malformed> {
        let precision = if description.is_single_precision() {
            Precision::Single(Forest::new(description, aggregate)?, OnceLock::new())
        } else {
            Precision::Double(Forest::new(description, aggregate)?)
        };
        let columns_min = description.columns_min();
        Ok(Ensemble {
            precision,
            targets: description.targets,
            columns_min,
        })
    }

    /// Numbers in a row's score.
    pub(crate) fn targets(&self) -> usize {
        self.targets
    }

    /// The least number of columns in which all features are found.
    pub(crate) fn columns_min(&self) -> usize {
        self.columns_min
    }

    /// Whether rows of singles need no conversion.
    pub(crate) fn is_single_precision(&self) -> bool {
        matches!(self.precision, Precision::Single(..))
    }

    /// Scores rows of singles, if [`Ensemble::is_single_precision`]. `columns` is the length of a
    /// row; `each` is called with the number of every row, in order, its scores, and which targets
    /// any leaf spoke of.
    pub(crate) fn score_singles(
        &self,
        rows: &[f32],
        columns: usize,
        each: impl FnMut(usize, &mut [f32], &[bool]),
    ) -> Option<()> {
        match &self.precision {
            Precision::Single(forest, _) => forest.score(rows, columns, each),
            Precision::Double(_) => return None,
        }
        Some(())
    }

    /// Scores rows of doubles, compared as doubles.
    pub(crate) fn score_doubles(
        &self,
        rows: &[f64],
        columns: usize,
        each: impl FnMut(usize, &mut [f64], &[bool]),
    ) {
        let forest = match &self.precision {
            Precision::Single(single, double) => double.get_or_init(|| single.widened()),
            Precision::Double(forest) => forest,
        };
        forest.score(rows, columns, each);
    }
}
