//! From the scores of trees to a class and its probabilities, as ONNX Runtime decides: the
//! specification leaves two classes, and base values, open.

use super::super::post_transform::{PostTransform, logistic};
use crate::trees::{Description, Real};

#[derive(Debug)]
pub(super) struct Classes {
    base: Vec<f64>,
    transform: PostTransform,
    layout: Scoring,
}

/// What the trees' scores stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scoring {
    /// One score for two classes; it speaks for the second.
    Binary {
        /// No weight is negative: the score is a probability, and one half decides.
        probability: bool,
    },
    /// Two scores for two classes.
    Two,
    /// A score for each class.
    Each,
}

impl Classes {
    /// Weights of a binary classifier that all speak for the same class become weights of a single
    /// target in `description`.
    pub(super) fn new(
        description: &mut Description,
        base: Vec<f64>,
        transform: PostTransform,
    ) -> Result<Classes, &'static str> {
        let count = description.targets;
        let known: Option<usize> = description.weights.first().map(|weight| weight.target);
        if description
            .weights
            .iter()
            .any(|weight| weight.target >= count)
        {
            return Err("a weight is for a class that does not exist");
        }
        let alone = description
            .weights
            .iter()
            .all(|weight| Some(weight.target) == known);
        let layout = match count {
            2 if alone => {
                description.targets = 1;
                description
                    .weights
                    .iter_mut()
                    .for_each(|weight| weight.target = 0);
                let probability = description.weights.iter().all(|weight| weight.value >= 0.0);
                Scoring::Binary { probability }
            }
            2 => Scoring::Two,
            _ => Scoring::Each,
        };
        if !matches!(base.len(), 0 | 1) && base.len() != count {
            return Err("base_values must hold one value, or one for each class");
        }
        Ok(Classes {
            base,
            transform,
            layout,
        })
    }

    /// The position of the winning class of a row; its scores go into `out`.
    pub(super) fn decide<T: Real>(
        &self,
        scores: &mut [T],
        spoken: &[bool],
        out: &mut [f32],
    ) -> u32 {
        match self.layout {
            Scoring::Binary { probability } => self.decide_binary(scores[0], probability, out),
            Scoring::Two => self.decide_each(scores, spoken, out),
            Scoring::Each => self.decide_each(scores, spoken, out),
        }
    }

    fn decide_binary<T: Real>(&self, score: T, probability: bool, out: &mut [f32]) -> u32 {
        let mut score = score;
        // Of two base values only the second counts.
        score += T::of(self.base.last().copied().unwrap_or(0.0));
        let wins = score > if probability { T::HALF } else { T::default() };
        let single = score.single();
        let [first, second] = out else {
            unreachable!("two classes have two scores")
        };
        (*first, *second) = match self.transform {
            PostTransform::Logistic if !probability => (logistic(-single), logistic(single)),
            _ if probability => ((T::ONE - score).single(), single),
            _ => (-single, single),
        };
        u32::from(wins)
    }

    fn decide_each<T: Real>(&self, scores: &mut [T], spoken: &[bool], out: &mut [f32]) -> u32 {
        let mut best: Option<usize> = None;
        for at in 0..scores.len() {
            let base = self.base.get(at);
            scores[at] += T::of(base.copied().unwrap_or(0.0));
            let counts = spoken[at] || base.is_some();
            if counts && best.is_none_or(|best| scores[at] > scores[best]) {
                best = Some(at);
            }
        }
        for (out, score) in out.iter_mut().zip(scores) {
            *out = score.single();
        }
        self.transform.apply(out);
        best.unwrap_or(0) as u32
    }
}
