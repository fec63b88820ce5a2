//! From the sums of trees to what a model answers: the inverse link of its objective.

use super::number::Number;

/// What is done to the sums of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Link {
    Identity,
    /// The logistic function of each, times this before.
    Sigmoid(f64),
    Softmax,
    Exp,
    /// The square with the sign kept: the model was trained on square roots.
    SignedSquare,
    /// The logarithm of one and the exponential.
    Softplus,
    /// 1 above zero, else 0.
    Step,
}

impl Link {
    /// Turns the sums of one row into its values.
    pub(super) fn apply<T: Number>(self, sums: &mut [T]) {
        let each = |sums: &mut [T], link: &dyn Fn(T) -> T| sums.iter_mut().for_each(|sum| *sum = link(*sum));
        match self {
            Link::Identity => {}
            Link::Sigmoid(1.0) => each(sums, &Number::sigmoid),
            Link::Sigmoid(steepness) => each(sums, &|sum| sum.times(T::of(steepness)).sigmoid()),
            Link::Softmax => softmax(sums),
            Link::Exp => each(sums, &Number::exp),
            Link::SignedSquare => each(sums, &|sum| if sum < T::default() { -sum.times(sum) } else { sum.times(sum) }),
            Link::Softplus => each(sums, &|sum| sum.exp().ln_1p()),
            Link::Step => each(sums, &|sum| if sum > T::default() { T::ONE } else { T::default() }),
        }
    }
}

/// The greatest is taken off first, so that no exponential overflows.
fn softmax<T: Number>(sums: &mut [T]) {
    let Some(first) = sums.first().copied() else { return };
    let greatest = sums.iter().fold(first, |greatest, &sum| if sum > greatest { sum } else { greatest });
    let mut total = 0.0;
    for sum in sums.iter_mut() {
        *sum = (*sum - greatest).exp();
        total += sum.double();
    }
    let total = T::of(total);
    sums.iter_mut().for_each(|sum| *sum = sum.over(total));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(link: Link, sums: &[f64]) -> Vec<f64> {
        let mut values = sums.to_vec();
        link.apply(&mut values);
        values
    }

    #[test]
    fn each_link_is_what_its_name_says() {
        assert_eq!(linked(Link::Identity, &[-2.0]), [-2.0]);
        assert_eq!(linked(Link::Sigmoid(1.0), &[0.0]), [0.5]);
        assert_eq!(linked(Link::Sigmoid(2.0), &[0.5]), linked(Link::Sigmoid(1.0), &[1.0]));
        assert_eq!(linked(Link::Softmax, &[3.0, 3.0]), [0.5, 0.5]);
        assert_eq!(linked(Link::Exp, &[0.0]), [1.0]);
        assert_eq!(linked(Link::SignedSquare, &[-3.0, 2.0]), [-9.0, 4.0]);
        assert!((linked(Link::Softplus, &[0.0])[0] - 2f64.ln()).abs() < 1e-15);
        assert_eq!(linked(Link::Step, &[-1.0, 0.0, 0.1]), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn sums_beyond_all_bounds_give_numbers() {
        let mut singles = [-1e9f32, 1e9];
        Link::Sigmoid(1.0).apply(&mut singles);
        assert!(singles[0] >= 0.0 && singles[0] < 1e-30);
        assert_eq!(singles[1], 1.0);
        assert_eq!(linked(Link::Softmax, &[1e9, -1e9]), [1.0, 0.0]);
    }
}
