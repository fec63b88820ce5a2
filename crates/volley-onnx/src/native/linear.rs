//! XGBoost's linear booster: a weight for each feature and group.

use super::document::invalid;
use super::number::Number;
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Linear<T> {
    /// By feature, then group; the last ones are biases.
    weights: Vec<T>,
    base: Vec<T>,
}

impl<T: Number> Linear<T> {
    /// `base` has an entry for each group.
    pub(super) fn new(weights: Vec<T>, base: Vec<T>, features: usize) -> Result<Self, Error> {
        let expected = (features + 1) * base.len();
        if weights.len() != expected {
            return Err(invalid(format!("it has {} linear weights, not {expected}", weights.len())));
        }
        Ok(Linear { weights, base })
    }

    /// Calls `each` with the number and the sums of each row. A missing value adds nothing.
    pub(super) fn walk(&self, rows: &[T], columns: usize, mut each: impl FnMut(usize, &mut [T])) {
        let groups = self.base.len();
        let biases = &self.weights[columns * groups..];
        let mut sums = vec![T::default(); groups];
        for (number, row) in rows.chunks_exact(columns).enumerate() {
            for (group, sum) in sums.iter_mut().enumerate() {
                *sum = biases[group];
                *sum += self.base[group];
                for (feature, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                    *sum += value.times(self.weights[feature * groups + group]);
                }
            }
            each(number, &mut sums);
        }
    }
}
