//! How far scores are from the expected ones.

use serde::Serialize;

use crate::args::ToleranceArgs;
use crate::models::pairing::Pairing;
use crate::models::scores::Scores;
use crate::report::Failure;

/// Rows that a report names.
const WORST_ROWS: usize = 10;

/// One side of a comparison.
#[derive(Debug)]
pub struct Side {
    /// How many rows.
    pub rows: usize,
    /// What pairs them; without keys they are paired by position.
    pub keys: Option<Vec<String>>,
    /// The scores of each output, in the same order on both sides.
    pub scores: Vec<Scores>,
}

/// What a comparison found.
#[derive(Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows that were compared.
    pub rows: usize,
    /// Rows that are outside the tolerance, have another label, or a score on one side only.
    pub rows_outside: usize,
    /// The largest difference of two numbers.
    pub largest_difference: f64,
    /// Rows with another label.
    pub label_flips: usize,
    /// Rows with a score on one side only.
    pub null_mismatches: usize,
    /// Rows that were scored and not expected.
    pub only_scored: usize,
    /// Rows that were expected and not scored.
    pub only_expected: usize,
    /// Absolute part of the tolerance.
    pub atol: f64,
    /// Relative part of the tolerance.
    pub rtol: f64,
    /// The rows that differ most, worst first.
    pub worst: Vec<Differing>,
}

/// A row whose scores differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Differing {
    /// Its key, or its number from 1.
    pub key: String,
    /// The largest difference of its numbers.
    pub difference: f64,
    /// Whether a label differs.
    pub label_flip: bool,
    /// Whether only one side has a score.
    pub null_mismatch: bool,
}

impl Comparison {
    /// Compares the sides, row by row.
    pub fn of(scored: &Side, expected: &Side, tolerance: ToleranceArgs) -> Result<Self, Failure> {
        let pairing = match (&scored.keys, &expected.keys) {
            (Some(scored), Some(expected)) => Pairing::by_key(scored, expected)?,
            _ => Pairing::by_position(scored.rows, expected.rows),
        };
        let mut comparison = Self::empty(&pairing, tolerance);
        for (row, counterpart) in pairing.pairs {
            let difference = difference(&scored.scores, row, &expected.scores, counterpart, tolerance);
            comparison.add(&difference, || match &scored.keys {
                Some(keys) => keys[row].clone(),
                None => (row + 1).to_string(),
            });
        }
        Ok(comparison)
    }

    fn empty(pairing: &Pairing, tolerance: ToleranceArgs) -> Self {
        Self {
            rows: pairing.pairs.len(),
            rows_outside: 0,
            largest_difference: 0.0,
            label_flips: 0,
            null_mismatches: 0,
            only_scored: pairing.only_scored,
            only_expected: pairing.only_expected,
            atol: tolerance.atol,
            rtol: tolerance.rtol,
            worst: vec![],
        }
    }

    /// Whether the scores are the expected ones. No rows prove nothing.
    pub fn is_accepted(&self) -> bool {
        self.rows > 0 && self.rows_outside + self.only_scored + self.only_expected == 0
    }

    /// What is wrong, in one line.
    pub fn verdict(&self) -> String {
        if self.rows == 0 {
            return "there are no rows to compare".to_string();
        }
        format!(
            "{} of {} rows are outside atol {:e}, rtol {:e} (largest difference {:.1e}, {} label flips, {} null mismatches, \
             {} rows without a counterpart)",
            self.rows_outside,
            self.rows,
            self.atol,
            self.rtol,
            self.largest_difference,
            self.label_flips,
            self.null_mismatches,
            self.only_scored + self.only_expected
        )
    }

    fn add(&mut self, difference: &Difference, key: impl FnOnce() -> String) {
        self.largest_difference = self.largest_difference.max(difference.largest);
        self.label_flips += usize::from(difference.label_flip);
        self.null_mismatches += usize::from(difference.null_mismatch);
        self.rows_outside += usize::from(difference.outside);
        let at = self.worst.partition_point(|row| difference.rank() <= row.rank());
        if difference.is_any() && at < WORST_ROWS {
            self.worst.insert(at, Differing::new(key(), difference));
            self.worst.truncate(WORST_ROWS);
        }
    }
}

impl Differing {
    fn new(key: String, difference: &Difference) -> Self {
        let Difference { largest, label_flip, null_mismatch, .. } = *difference;
        Self { key, difference: largest, label_flip, null_mismatch }
    }

    fn rank(&self) -> (bool, bool, f64) {
        (self.null_mismatch, self.label_flip, self.difference)
    }
}

/// How two rows differ.
#[derive(Debug, Default)]
struct Difference {
    largest: f64,
    label_flip: bool,
    null_mismatch: bool,
    outside: bool,
}

impl Difference {
    /// What a score lacks is worse than another label, and that worse than another number.
    fn rank(&self) -> (bool, bool, f64) {
        (self.null_mismatch, self.label_flip, self.largest)
    }

    fn is_any(&self) -> bool {
        self.null_mismatch || self.label_flip || self.largest > 0.0
    }
}

/// A row has a score if all its outputs have: one NaN makes all of them NULL.
fn difference(
    scored: &[Scores],
    row: usize,
    expected: &[Scores],
    counterpart: usize,
    tolerance: ToleranceArgs,
) -> Difference {
    let missing = scored.iter().any(|scores| scores.is_missing(row));
    let none_expected = expected.iter().any(|scores| scores.is_missing(counterpart));
    if missing || none_expected {
        let null_mismatch = missing != none_expected;
        return Difference { null_mismatch, outside: null_mismatch, ..Difference::default() };
    }
    let mut difference = Difference::default();
    for (scored, expected) in scored.iter().zip(expected) {
        match (scored, expected) {
            (Scores::Numbers(scored), Scores::Numbers(expected)) => {
                difference.numbers(scored.row(row), expected.row(counterpart), tolerance);
            }
            (Scores::Labels(scored), Scores::Labels(expected)) => {
                difference.label_flip |= scored[row] != expected[counterpart];
            }
            _ => unreachable!("both sides are read as the model's output says"),
        }
    }
    difference.outside |= difference.label_flip;
    difference
}

impl Difference {
    fn numbers(&mut self, scored: &[f64], expected: &[f64], tolerance: ToleranceArgs) {
        if scored.len() != expected.len() {
            (self.largest, self.outside) = (f64::MAX, true);
        }
        for (scored, expected) in scored.iter().zip(expected) {
            // Two infinities of one sign are equal, and their difference is not a number.
            let apart = if scored == expected { 0.0 } else { (scored - expected).abs().min(f64::MAX) };
            self.largest = self.largest.max(apart);
            self.outside |= apart > tolerance.atol + tolerance.rtol * expected.abs();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    const TOLERANCE: ToleranceArgs = ToleranceArgs { atol: 1e-5, rtol: 1e-5 };

    /// One number and one label a row; a label `-` is none.
    fn side(rows: &[(f64, &str)]) -> Side {
        let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|(number, _)| *number)));
        let labels = rows.iter().map(|(_, label)| (*label != "-").then_some(*label));
        let labels: ArrayRef = Arc::new(labels.collect::<StringArray>());
        let mut scores = vec![Scores::of_type(numbers.data_type()), Scores::of_type(labels.data_type())];
        scores[0].extend(&numbers).unwrap();
        scores[1].extend(&labels).unwrap();
        Side { rows: rows.len(), keys: None, scores }
    }

    fn compare(scored: &[(f64, &str)], expected: &[(f64, &str)]) -> Comparison {
        Comparison::of(&side(scored), &side(expected), TOLERANCE).unwrap()
    }

    #[test]
    fn scores_within_the_tolerance_are_accepted() {
        let comparison = compare(&[(0.5, "a"), (1000.005, "b")], &[(0.5, "a"), (1000.0, "b")]);
        assert!(comparison.is_accepted(), "{comparison:?}");
        assert_eq!(comparison.worst.len(), 1);
    }

    #[test]
    fn a_score_outside_the_tolerance_is_told_with_its_row() {
        let comparison = compare(&[(0.5, "a"), (0.6, "a")], &[(0.5, "a"), (0.5, "a")]);
        assert!(!comparison.is_accepted());
        assert_eq!((comparison.rows_outside, comparison.label_flips), (1, 0));
        assert!((comparison.largest_difference - 0.1).abs() < 1e-9);
        assert_eq!(comparison.worst[0].key, "2");
    }

    #[test]
    fn another_label_is_a_flip_however_near_the_numbers() {
        let comparison = compare(&[(0.5, "a")], &[(0.5, "b")]);
        assert_eq!((comparison.rows_outside, comparison.label_flips), (1, 1));
    }

    #[test]
    fn a_row_with_a_nan_has_no_score_whatever_its_label() {
        let comparison = compare(&[(0.0, "-")], &[(f64::NAN, "a")]);
        assert!(comparison.is_accepted(), "{comparison:?}");
        let comparison = compare(&[(0.0, "-")], &[(0.5, "a")]);
        assert_eq!((comparison.rows_outside, comparison.null_mismatches), (1, 1));
    }

    #[test]
    fn rows_without_a_counterpart_are_not_accepted_and_neither_are_none() {
        assert!(!compare(&[(0.5, "a"), (0.5, "a")], &[(0.5, "a")]).is_accepted());
        assert!(!compare(&[], &[]).is_accepted());
    }

    #[test]
    fn the_worst_rows_come_first_and_are_ten_at_most() {
        let expected = [(0.0, "a"); 30];
        let mut scored: Vec<_> = (0..30).map(|row| (f64::from(row) / 100.0, "a")).collect();
        scored[3] = (0.0, "b");
        scored[5] = (0.0, "-");
        let worst: Vec<_> = compare(&scored, &expected).worst.into_iter().map(|row| row.key).collect();
        assert_eq!(worst, ["6", "4", "30", "29", "28", "27", "26", "25", "24", "23"]);
    }

    #[test]
    fn infinities_are_equal_to_themselves_and_far_from_the_rest() {
        assert!(compare(&[(f64::INFINITY, "a")], &[(f64::INFINITY, "a")]).is_accepted());
        let comparison = compare(&[(f64::INFINITY, "a")], &[(1.0, "a")]);
        assert_eq!(comparison.largest_difference, f64::MAX);
    }
}
