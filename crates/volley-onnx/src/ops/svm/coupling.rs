//! Probabilities of classes from those of each two of them: the second method of Wu, Lin and Weng, "Probability
//! Estimates for Multi-class Classification by Pairwise Coupling", JMLR 5 (2004).

/// Rounds after which the search ends, wherever it is.
const ROUNDS_MAX: usize = 100;

/// The share of one class against another, kept off zero and one: neither is ever certain.
pub(super) fn share(score: f32, slope: f32, offset: f32) -> f32 {
    const LEAST: f32 = 1e-7;
    (1.0 - super::super::post_transform::logistic(score * slope + offset)).clamp(LEAST, 1.0 - LEAST)
}

/// Finds the probabilities of as many classes as `found` holds. `against[i * classes + j]` is the
/// share of class `i` where only `i` and `j` are possible.
///
/// The search ends as soon as it is near, so its result is that of libsvm and ONNX Runtime only
/// because each step is theirs, single precision and all.
pub(super) fn probabilities(against: &[f32], found: &mut [f32]) {
    let classes = found.len();
    let matrix = disagreement(against, classes);
    let near = 0.005 / classes as f32;
    found.fill(1.0 / classes as f32);
    let mut products = vec![0.0f32; classes];
    for _ in 0..ROUNDS_MAX {
        let mut whole = 0.0;
        for (at, row) in matrix.chunks_exact(classes).enumerate() {
            products[at] = row.iter().zip(&*found).map(|(q, p)| q * p).sum();
            whole += found[at] * products[at];
        }
        let error = products.iter().map(|product| (product - whole).abs()).fold(0.0, f32::max);
        if error < near {
            return;
        }
        for (at, row) in matrix.chunks_exact(classes).enumerate() {
            let step = (whole - products[at]) / row[at];
            found[at] += step;
            whole = (whole + step * (step * row[at] + 2.0 * products[at])) / (1.0 + step) / (1.0 + step);
            for other in 0..classes {
                products[other] = (products[other] + step * row[other]) / (1.0 + step);
                found[other] /= 1.0 + step;
            }
        }
    }
}

/// The quadratic form that is least where the probabilities agree best with the shares.
fn disagreement(against: &[f32], classes: usize) -> Vec<f32> {
    let mut matrix = vec![0.0f32; classes * classes];
    for i in 0..classes {
        for j in (0..classes).filter(|&j| j != i) {
            let (lost, won) = (against[j * classes + i], against[i * classes + j]);
            matrix[i * classes + i] += lost * lost;
            matrix[i * classes + j] = -lost * won;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_agree_give_the_probabilities_they_came_from() {
        let expected = [0.6f32, 0.3, 0.1];
        let mut against = [0.0; 9];
        for i in 0..3 {
            for j in 0..3 {
                against[i * 3 + j] = expected[i] / (expected[i] + expected[j]);
            }
        }
        let mut found = [0.0; 3];
        probabilities(&against, &mut found);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 0.01, "{found} is not {expected}");
        }
    }

    #[test]
    fn no_class_is_certain_against_another() {
        assert_eq!(share(1e9, -1.0, 0.0), 1.0 - 1e-7);
        assert_eq!(share(1e9, 1.0, 0.0), 1e-7);
    }
}
