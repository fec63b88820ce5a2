//! Rows side by side: what is done with one number of a row is done with that of sixteen at once.
//!
//! Sums are made as matrix products of ONNX Runtime are: in order, each product fused into the sum before it. Hundreds
//! of large products of either sign make a small score, so another order, or even doubles, would give scores that
//! differ from its own in the fifth digit.

use super::Similarity;
use crate::elementary::{exp, tanh};
use crate::ops::wide::{Work, widely};

/// Rows side by side.
pub(super) const LANES: usize = 16;

/// One number of each of [`LANES`] rows.
pub(super) type Lanes = [f32; LANES];

/// What is made of the similarities of some rows.
pub(super) trait Sums {
    /// Of all rows to vector `at`; vectors come in order. Must be `#[inline(always)]`.
    fn take(&mut self, at: usize, similarities: &Lanes);
}

/// Gives `sums` the similarities of rows to all `vectors`, which lie one after the other.
pub(super) fn compare(similarity: Similarity, rows: &[Lanes], vectors: &[f32], sums: &mut impl Sums) {
    widely(Comparison { similarity, rows, vectors, sums });
}

/// The columns of at most [`LANES`] rows; the last is repeated.
pub(super) fn side_by_side(rows: &[f32], columns: usize, into: &mut Vec<Lanes>) {
    let last = (rows.len() / columns).saturating_sub(1);
    let number = |lane: usize, column: usize| rows[lane.min(last) * columns + column];
    into.clear();
    into.extend((0..columns).map(|column| std::array::from_fn(|lane| number(lane, column))));
}

struct Comparison<'a, S> {
    similarity: Similarity,
    rows: &'a [Lanes],
    vectors: &'a [f32],
    sums: &'a mut S,
}

impl<S: Sums> Work for Comparison<'_, S> {
    #[inline(always)]
    fn run(self) {
        match self.similarity {
            Similarity::Linear => self.products(|it| it),
            Similarity::Polynomial { gamma, offset, degree: 2.0 } => self.products(|it| {
                let base = gamma * it + offset;
                base * base
            }),
            Similarity::Polynomial { gamma, offset, degree: 3.0 } => self.products(|it| {
                let base = gamma * it + offset;
                base * base * base
            }),
            Similarity::Polynomial { gamma, offset, degree } => self.products(|it| (gamma * it + offset).powf(degree)),
            Similarity::Sigmoid { gamma, offset } => self.products(|it| tanh(gamma * it + offset)),
            Similarity::Radial { gamma } => self.each(
                |row, value, sum| {
                    let difference = row - value;
                    difference.mul_add(difference, sum)
                },
                |it| exp(-gamma * it),
            ),
        }
    }
}

impl<S: Sums> Comparison<'_, S> {
    #[inline(always)]
    fn products(self, finish: impl Fn(f32) -> f32) {
        self.each(|row, value, sum| row.mul_add(value, sum), finish);
    }

    #[inline(always)]
    fn each(self, add: impl Fn(f32, f32, f32) -> f32, finish: impl Fn(f32) -> f32) {
        for (at, vector) in self.vectors.chunks_exact(self.rows.len()).enumerate() {
            let mut sums = [0.0f32; LANES];
            for (row, &value) in self.rows.iter().zip(vector) {
                for lane in 0..LANES {
                    sums[lane] = add(row[lane], value, sums[lane]);
                }
            }
            for sum in &mut sums {
                *sum = finish(*sum);
            }
            self.sums.take(at, &sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All(Vec<Lanes>);

    impl Sums for All {
        fn take(&mut self, _: usize, similarities: &Lanes) {
            self.0.push(*similarities);
        }
    }

    #[test]
    fn a_product_is_not_rounded_before_it_is_added() {
        // 1 + 2^-12, squared, has a last digit that a single cannot hold.
        let near_one = 1.0 + 2.0f32.powi(-12);
        let mut rows = Vec::new();
        side_by_side(&[1.0, near_one], 2, &mut rows);
        let mut all = All(vec![]);
        compare(Similarity::Linear, &rows, &[-1.0, near_one, 0.0, 1.0], &mut all);
        assert_eq!(all.0, [[2.0f32.powi(-11) + 2.0f32.powi(-24); LANES], [near_one; LANES]]);
    }

    #[test]
    fn the_last_row_stands_in_for_those_that_are_missing() {
        let mut rows = Vec::new();
        side_by_side(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, &mut rows);
        assert_eq!(rows[0][..4], [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(rows[1][..4], [2.0, 4.0, 6.0, 6.0]);
    }
}
