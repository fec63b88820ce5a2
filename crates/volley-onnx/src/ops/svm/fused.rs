//! Products of vectors, summed as matrix products of ONNX Runtime are: in order, each fused into the sum before it.
//!
//! Hundreds of large products of either sign make a small score, so another order, or even doubles, would give scores
//! that differ from its own in the fifth digit.

use super::super::wide::{Work, widely};

/// The product of `row` with each of as many vectors as there are `products`; `columns` holds the first value of all
/// vectors, then the second of all.
pub(super) fn products(row: &[f32], columns: &[f32], products: &mut [f32]) {
    widely(Products { row, columns, products });
}

/// The product of two vectors.
pub(super) fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = 0.0;
    widely(Product { a, b, sum: &mut sum });
    sum
}

struct Products<'a> {
    row: &'a [f32],
    columns: &'a [f32],
    products: &'a mut [f32],
}

impl Work for Products<'_> {
    #[inline(always)]
    fn run(self) {
        self.products.fill(0.0);
        for (value, column) in self.row.iter().zip(self.columns.chunks_exact(self.products.len())) {
            for (product, other) in self.products.iter_mut().zip(column) {
                *product = value.mul_add(*other, *product);
            }
        }
    }
}

struct Product<'a> {
    a: &'a [f32],
    b: &'a [f32],
    sum: &'a mut f32,
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run(self) {
        *self.sum = self.a.iter().zip(self.b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_not_rounded_before_it_is_added() {
        // 1 + 2^-12, squared, has a last digit that a single cannot hold.
        let near_one = 1.0 + 2.0f32.powi(-12);
        assert_eq!(product(&[1.0, near_one], &[-1.0, near_one]), 2.0f32.powi(-11) + 2.0f32.powi(-24));
        let mut both = [0.0; 2];
        products(&[1.0, near_one], &[-1.0, 0.0, near_one, 1.0], &mut both);
        assert_eq!(both, [2.0f32.powi(-11) + 2.0f32.powi(-24), near_one]);
    }
}
