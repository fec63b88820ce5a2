//! From the scores of trees to a class and its probabilities.
//!
//! The specification leaves it open what scores say of two classes. Exporters rely on what ONNX
//! Runtime does, so that is what is done here, down to what looks odd: where weights speak for both,
//! the sign of the second score decides.

use super::super::post_transform::{PostTransform, logistic};
use crate::trees::{Description, Real};

#[derive(Debug)]
pub(super) struct Classes {
    base: Vec<f64>,
    transform: PostTransform,
    scoring: Scoring,
}

/// What the trees' scores stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scoring {
    /// All weights are for the first of two classes, and mean the second: the usual export of a
    /// binary model. Both columns follow from the one score.
    Both(Decision),
    /// All weights are for the second of two classes; the first column is the score zero.
    Second(Decision),
    /// Weights speak for both of two classes.
    Two,
    /// A score for each class.
    Each,
}

/// When the second class wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// No weight is negative: the score is a probability, and wins above one half.
    Probability,
    /// The score wins above zero.
    Sign,
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
        if description.weights.iter().any(|weight| weight.target >= count) {
            return Err("a weight is for a class that does not exist");
        }
        let lone_base_of_two = count == 2 && base.len() == 1;
        if !base.is_empty() && base.len() != count && !lone_base_of_two {
            return Err("base_values must hold one value for each class");
        }
        let scoring = match only_target(description) {
            Some(target) if count == 2 => {
                let decision = decision(description);
                description.targets = 1;
                description.weights.iter_mut().for_each(|weight| weight.target = 0);
                if target == 0 { Scoring::Both(decision) } else { Scoring::Second(decision) }
            }
            _ if count == 2 => Scoring::Two,
            _ => Scoring::Each,
        };
        Ok(Classes { base, transform, scoring })
    }

    /// The position of the winning class of a row; its scores go into `out`.
    pub(super) fn decide<T: Real>(&self, scores: &mut [T], spoken: &[bool], out: &mut [f32]) -> u32 {
        match (self.scoring, &mut *out) {
            (Scoring::Both(decision), [first, second]) => {
                let mut score = scores[0];
                score += T::of(self.base.first().copied().unwrap_or(0.0));
                (*first, *second) = self.both(decision, score);
                decision.second_wins(score)
            }
            (Scoring::Second(decision), [first, second]) => {
                let mut score = scores[0];
                // A lone base value belongs to the first class, whose score is not used.
                score += T::of(self.base.get(1).copied().unwrap_or(0.0));
                (*first, *second) = (0.0, score.single());
                self.transform.apply(out);
                decision.second_wins(score)
            }
            (Scoring::Two, [first, second]) => {
                let wins;
                (*first, *second, wins) = self.two([scores[0], scores[1]], [spoken[0], spoken[1]]);
                u32::from(wins)
            }
            _ => self.largest(scores, spoken, out),
        }
    }

    /// Both scores after the transformation, and whether the second class wins. A class that no leaf of the row speaks
    /// of has no score.
    fn two<T: Real>(&self, [mut first, second]: [T; 2], spoken: [bool; 2]) -> (f32, f32, bool) {
        let wins = |score: T| score > T::default();
        let transformed = |first: f32, second: f32| {
            let mut pair = [first, second];
            self.transform.apply(&mut pair);
            (pair[0], pair[1])
        };
        let ((one, other), wins) = match (self.base.as_slice(), spoken) {
            // The second base value is added to the score of the first class, which stands for both.
            (&[_, base], [speaks, true]) => {
                first += T::of(base);
                let opposite = if speaks { -first.single() } else { 0.0 };
                (transformed(opposite, first.single()), wins(first))
            }
            (&[base, _], [_, false]) => {
                first += T::of(base);
                (transformed(first.single(), 0.0), wins(first))
            }
            (base, [_, speaks]) => {
                first += T::of(base.first().copied().unwrap_or(0.0));
                match speaks {
                    true => (transformed(first.single(), second.single()), wins(second)),
                    false => (self.both(Decision::Sign, first), wins(first)),
                }
            }
        };
        (one, other, wins)
    }

    fn both<T: Real>(&self, decision: Decision, score: T) -> (f32, f32) {
        let single = score.single();
        match (self.transform, decision) {
            (PostTransform::Logistic, _) => (logistic(-single), logistic(single)),
            (PostTransform::Probit, _) => {
                let mut pair = [(T::ONE - score).single(), single];
                self.transform.apply(&mut pair);
                (pair[0], pair[1])
            }
            (_, Decision::Probability) => ((T::ONE - score).single(), single),
            (_, Decision::Sign) => (-single, single),
        }
    }

    /// The first of the largest scores wins, among classes that a leaf or a base value speaks of.
    fn largest<T: Real>(&self, scores: &mut [T], spoken: &[bool], out: &mut [f32]) -> u32 {
        let mut best: Option<usize> = None;
        for at in 0..scores.len() {
            let base = self.base.get(at).copied();
            scores[at] += T::of(base.unwrap_or(0.0));
            let counts = base.is_some() || spoken[at];
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

/// The one target that all weights are for.
fn only_target(description: &Description) -> Option<usize> {
    let first = description.weights.first()?.target;
    description.weights.iter().all(|weight| weight.target == first).then_some(first)
}

fn decision(description: &Description) -> Decision {
    if description.weights.iter().all(|weight| weight.value >= 0.0) { Decision::Probability } else { Decision::Sign }
}

impl Decision {
    fn second_wins<T: Real>(self, score: T) -> u32 {
        let threshold = match self {
            Decision::Probability => T::HALF,
            Decision::Sign => T::default(),
        };
        u32::from(score > threshold)
    }
}
