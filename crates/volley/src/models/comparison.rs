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

/// Which outputs of a model were compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Those that were.
    pub compared: Vec<String>,
    /// Those that the expected table has no scores for.
    pub uncompared: Vec<String>,
    /// Those that the user did not want compared.
    pub left_out: Vec<String>,
}

/// Why scores are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They are not the expected ones, or there are none.
    Differs,
    /// What was compared is as expected, and an output was not.
    NotCompared,
}

/// What a comparison found.
#[derive(Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The outputs.
    #[serde(flatten)]
    pub coverage: Coverage,
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
    pub fn of(scored: &Side, expected: &Side, coverage: Coverage, tolerance: ToleranceArgs) -> Result<Self, Failure> {
        let pairing = match (&scored.keys, &expected.keys) {
            (Some(scored), Some(expected)) => Pairing::by_key(scored, expected)?,
            _ => Pairing::by_position(scored.rows, expected.rows),
        };
        let mut comparison = Self::empty(&pairing, coverage, tolerance);
        for (row, counterpart) in pairing.pairs {
            let difference = difference(&scored.scores, row, &expected.scores, counterpart, tolerance)
                .map_err(|widths| widths.failure(&comparison.coverage))?;
            comparison.add(&difference, || match &scored.keys {
                Some(keys) => keys[row].clone(),
                None => (row + 1).to_string(),
            });
        }
        Ok(comparison)
    }

    fn empty(pairing: &Pairing, coverage: Coverage, tolerance: ToleranceArgs) -> Self {
        Self {
            coverage,
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

    /// Why the scores are not accepted, if they are not. No rows prove nothing, and neither does an output
    /// that was not looked at.
    pub fn fault(&self) -> Option<Fault> {
        if self.rows == 0 || self.rows_outside + self.only_scored + self.only_expected > 0 {
            return Some(Fault::Differs);
        }
        (!self.coverage.uncompared.is_empty()).then_some(Fault::NotCompared)
    }

    /// What is wrong, in one line.
    pub fn verdict(&self) -> String {
        if self.rows == 0 {
            return "there are no rows to compare".to_string();
        }
        if self.fault() == Some(Fault::NotCompared) {
            return format!(
                "the expected table has no scores for {}: add them, or name with --output what is to be compared",
                self.coverage.uncompared.join(", ")
            );
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

/// Two rows of another count of numbers.
#[derive(Debug)]
struct Widths {
    output: usize,
    scored: usize,
    expected: usize,
}

impl Widths {
    fn failure(&self, coverage: &Coverage) -> Failure {
        let Widths { output, scored, expected } = self;
        let output = coverage.compared.get(*output).map_or("", String::as_str);
        let message = format!(
            "the expected scores of `{output}` cannot be compared: they have {expected} numbers a row, the model gives {scored}"
        );
        Failure::new("no_expected_scores", message)
    }
}

/// A row has a score if all its outputs have: one NaN makes all of them NULL.
fn difference(
    scored: &[Scores],
    row: usize,
    expected: &[Scores],
    counterpart: usize,
    tolerance: ToleranceArgs,
) -> Result<Difference, Widths> {
    let missing = scored.iter().any(|scores| scores.is_missing(row));
    let none_expected = expected.iter().any(|scores| scores.is_missing(counterpart));
    if missing || none_expected {
        let null_mismatch = missing != none_expected;
        return Ok(Difference { null_mismatch, outside: null_mismatch, ..Difference::default() });
    }
    let mut difference = Difference::default();
    for (output, (scored, expected)) in scored.iter().zip(expected).enumerate() {
        match (scored, expected) {
            (Scores::Numbers(scored), Scores::Numbers(expected)) => {
                let (scored, expected) = (scored.row(row), expected.row(counterpart));
                if scored.len() != expected.len() {
                    return Err(Widths { output, scored: scored.len(), expected: expected.len() });
                }
                difference.numbers(scored, expected, tolerance);
            }
            (Scores::Labels(scored), Scores::Labels(expected)) => {
                difference.label_flip |= scored[row] != expected[counterpart];
            }
            _ => unreachable!("both sides are read as the model's output says"),
        }
    }
    difference.outside |= difference.label_flip;
    Ok(difference)
}

impl Difference {
    fn numbers(&mut self, scored: &[f64], expected: &[f64], tolerance: ToleranceArgs) {
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
        Comparison::of(&side(scored), &side(expected), coverage(&[]), TOLERANCE).unwrap()
    }

    fn coverage(uncompared: &[&str]) -> Coverage {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Coverage { compared: names(&["score", "label"]), uncompared: names(uncompared), left_out: vec![] }
    }

    #[test]
    fn scores_within_the_tolerance_are_accepted() {
        let comparison = compare(&[(0.5, "a"), (1000.005, "b")], &[(0.5, "a"), (1000.0, "b")]);
        assert_eq!(comparison.fault(), None, "{comparison:?}");
        assert_eq!(comparison.worst.len(), 1);
    }

    #[test]
    fn a_score_outside_the_tolerance_is_told_with_its_row() {
        let comparison = compare(&[(0.5, "a"), (0.6, "a")], &[(0.5, "a"), (0.5, "a")]);
        assert_eq!(comparison.fault(), Some(Fault::Differs));
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
        assert_eq!(comparison.fault(), None, "{comparison:?}");
        let comparison = compare(&[(0.0, "-")], &[(0.5, "a")]);
        assert_eq!((comparison.rows_outside, comparison.null_mismatches), (1, 1));
    }

    #[test]
    fn rows_without_a_counterpart_are_not_accepted_and_neither_are_none() {
        assert!(compare(&[(0.5, "a"), (0.5, "a")], &[(0.5, "a")]).fault().is_some());
        assert!(compare(&[], &[]).fault().is_some());
    }

    #[test]
    fn an_output_that_was_not_compared_is_not_accepted() {
        let (scored, expected) = (side(&[(0.5, "a")]), side(&[(0.5, "a")]));
        let comparison = Comparison::of(&scored, &expected, coverage(&["p"]), TOLERANCE).unwrap();
        assert_eq!(comparison.fault(), Some(Fault::NotCompared));
        assert!(comparison.verdict().contains("no scores for p"), "{}", comparison.verdict());
        let expected = side(&[(0.6, "a")]);
        let comparison = Comparison::of(&scored, &expected, coverage(&["p"]), TOLERANCE).unwrap();
        assert_eq!(comparison.fault(), Some(Fault::Differs));
    }

    #[test]
    fn rows_of_another_length_cannot_be_compared() {
        let lists = |rows: [Option<[Option<f64>; 2]>; 1]| -> ArrayRef {
            Arc::new(arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>(rows))
        };
        let mut scored = side(&[(0.5, "a")]);
        let list = lists([Some([Some(0.5), Some(0.5)])]);
        scored.scores[0] = Scores::of_type(list.data_type());
        scored.scores[0].extend(&list).unwrap();
        let told = Comparison::of(&scored, &side(&[(0.5, "a")]), coverage(&[]), TOLERANCE).unwrap_err().text();
        assert!(told.contains("`score`") && told.contains("1 numbers") && told.contains("gives 2"), "{told}");
        assert!(told.ends_with("[no_expected_scores]\n"), "{told}");
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
        assert_eq!(compare(&[(f64::INFINITY, "a")], &[(f64::INFINITY, "a")]).fault(), None);
        let comparison = compare(&[(f64::INFINITY, "a")], &[(1.0, "a")]);
        assert_eq!(comparison.largest_difference, f64::MAX);
    }
}
