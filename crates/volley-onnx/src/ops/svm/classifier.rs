//! `SVMClassifier`: one machine for each two classes, or one weighted sum for each class.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::{ensure_numeric, filled, floats, ints, labels, row_dim, rows_and_columns};
use super::super::post_transform::logistic;
use super::super::{Built, Kernel, PostTransform, Signature, kernel};
use super::coupling::{probabilities, share};
use super::lanes::{LANES, Lanes, Sums};
use super::{Similarity, Vectors};
use crate::port::ClassLabels;

#[derive(Debug)]
struct SvmClassifier {
    vectors: Vectors,
    scoring: Scoring,
    labels: ClassLabels,
    transform: PostTransform,
}

#[derive(Debug)]
enum Scoring {
    Pairs(Pairs),
    /// Every class has coefficients of its own, and all share one offset.
    Linear {
        offset: f32,
        no_weight_is_negative: bool,
    },
}

/// The machines of each two classes, as libsvm stores them.
#[derive(Debug)]
struct Pairs {
    /// `[classes - 1, vectors]`: what a vector weighs against each of the other classes.
    weights: Vec<f32>,
    /// Where the vectors of each class are.
    of_class: Vec<std::ops::Range<usize>>,
    /// One for each two classes.
    offsets: Vec<f32>,
    /// For each two classes, the slope and offset that make a share of a score; none if scores are wanted.
    shares: Vec<(f32, f32)>,
}

pub(in crate::ops) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let Some(labels) = labels(node, "classlabels_ints", "classlabels_strings")? else {
        return node.bail("no class labels are given");
    };
    let transform = PostTransform::read(node)?;
    let supports = ints(node, "vectors_per_class")?;
    let (vectors, scoring) = if supports.iter().any(|&count| count != 0) {
        let pairs = Pairs::read(node, &supports, labels.len())?;
        let count = pairs.of_class.last().map_or(0, |range| range.end);
        (Vectors::new(Similarity::read(node)?, floats(node, "support_vectors")?, count)?, Scoring::Pairs(pairs))
    } else {
        let coefficients = floats(node, "coefficients")?;
        let &[offset, ..] = &*floats(node, "rho")? else { return node.bail("rho is missing") };
        let no_weight_is_negative = coefficients.iter().all(|&weight| weight >= 0.0);
        let vectors = Vectors::new(Similarity::Linear, coefficients, labels.len())?;
        (vectors, Scoring::Linear { offset, no_weight_is_negative })
    };
    let classifier = SvmClassifier { vectors, scoring, labels, transform };
    if classifier.is_one_score() && transform == PostTransform::Probit {
        // ONNX Runtime leaves half of the scores unwritten.
        return node.bail_attr("post_transform", "cannot be applied to the one score of two classes");
    }
    kernel(node, 1..=1, classifier)
}

impl Pairs {
    fn read(node: &NodeProto, supports: &[i64], classes: usize) -> TractResult<Pairs> {
        node.expect(supports.len() == classes && classes > 1, "a number of vectors for each of several classes")?;
        let mut end = 0usize;
        let mut of_class = Vec::with_capacity(classes);
        for &count in supports {
            let start = end;
            let count = usize::try_from(count).ok();
            end = count
                .and_then(|count| start.checked_add(count))
                .context("a class has an impossible number of vectors")?;
            of_class.push(start..end);
        }
        let pairs = classes * (classes - 1) / 2;
        let (weights, offsets) = (floats(node, "coefficients")?, floats(node, "rho")?);
        let needed = end.checked_mul(classes - 1);
        node.expect(needed.is_some_and(|needed| weights.len() >= needed), "coefficients of all vectors")?;
        node.expect(offsets.len() >= pairs, "a rho for each two classes")?;
        let (slopes, bases) = (floats(node, "prob_a")?, floats(node, "prob_b")?);
        node.expect(slopes.len() == bases.len(), "as many of prob_a as of prob_b")?;
        node.expect(slopes.is_empty() || slopes.len() >= pairs, "a prob_a for each two classes")?;
        Ok(Pairs { weights, of_class, offsets, shares: slopes.into_iter().zip(bases).collect() })
    }

    fn classes(&self) -> usize {
        self.of_class.len()
    }

    /// Each two classes, the lower one first.
    fn each(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let classes = self.classes();
        (0..classes).flat_map(move |one| (one + 1..classes).map(move |other| (one, other)))
    }

    /// The class of vector `at`.
    fn class_of(&self, at: usize) -> usize {
        self.of_class.iter().position(|range| range.contains(&at)).unwrap_or(0)
    }

    /// A score for each two classes, above zero where the lower one is preferred: what the vectors of both say.
    fn scores(&self, sums: &WeightedByClass, lane: usize, scores: &mut [f32]) {
        for ((score, (one, other)), &offset) in scores.iter_mut().zip(self.each()).zip(&self.offsets) {
            let sum = sums.of(one, other - 1)[lane] + sums.of(other, one)[lane];
            *score = (sum + f64::from(offset)) as f32;
        }
    }

    /// The first of the classes that most others lose against.
    fn winner(&self, scores: &[f32]) -> usize {
        let mut votes = vec![0usize; self.classes()];
        for (score, (one, other)) in scores.iter().zip(self.each()) {
            votes[if *score > 0.0 { one } else { other }] += 1;
        }
        first_of_largest(&votes)
    }

    fn probabilities(&self, scores: &[f32], found: &mut [f32]) {
        let classes = self.classes();
        let mut against = vec![0.0; classes * classes];
        for ((score, (one, other)), &(slope, offset)) in scores.iter().zip(self.each()).zip(&self.shares) {
            let share = share(*score, slope, offset);
            against[one * classes + other] = share;
            against[other * classes + one] = 1.0 - share;
        }
        probabilities(&against, found);
    }
}

/// The similarities by their weights, summed up as doubles for each class and each of the others.
struct WeightedByClass<'a> {
    pairs: &'a Pairs,
    count: usize,
    class: usize,
    /// `[classes, classes - 1]`.
    sums: Vec<[f64; LANES]>,
}

impl<'a> WeightedByClass<'a> {
    fn new(pairs: &'a Pairs, count: usize) -> Self {
        let others = pairs.classes() - 1;
        WeightedByClass { pairs, count, class: 0, sums: vec![[0.0; LANES]; pairs.classes() * others] }
    }

    /// What the vectors of `class` say by the weights of one row.
    fn of(&self, class: usize, row: usize) -> &[f64; LANES] {
        &self.sums[class * (self.pairs.classes() - 1) + row]
    }
}

impl Sums for WeightedByClass<'_> {
    #[inline(always)]
    fn take(&mut self, at: usize, similarities: &Lanes) {
        if !self.pairs.of_class[self.class].contains(&at) {
            self.class = self.pairs.class_of(at);
        }
        let others = self.pairs.classes() - 1;
        let weights = self.pairs.weights.iter().skip(at).step_by(self.count);
        for (sums, &weight) in self.sums[self.class * others..].iter_mut().take(others).zip(weights) {
            for (sum, similarity) in sums.iter_mut().zip(similarities) {
                *sum += f64::from(weight * similarity);
            }
        }
    }
}

/// The similarities as they are.
struct Kept(Vec<Lanes>);

impl Sums for Kept {
    #[inline(always)]
    fn take(&mut self, _: usize, similarities: &Lanes) {
        self.0.push(*similarities);
    }
}

fn first_of_largest<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for at in 1..values.len() {
        if values[at] > values[best] {
            best = at;
        }
    }
    best
}

impl Kernel for SvmClassifier {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        let rows = row_dim(&inputs[0])?;
        Ok(vec![
            Signature::new(self.labels.element(), [rows.clone()]),
            Signature::new(DatumType::F32, [rows, self.columns().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let columns = self.columns();
        let mut winners = vec![0u32; rows];
        let scores = filled::<f32>(&[rows, columns], |out| {
            let mut rows = winners.iter_mut().zip(out.chunks_exact_mut(columns));
            match &self.scoring {
                Scoring::Pairs(pairs) => {
                    let sums = || WeightedByClass::new(pairs, self.vectors.count);
                    self.vectors.compare(inputs[0], sums, |_, count, sums| {
                        for (lane, (winner, out)) in rows.by_ref().take(count).enumerate() {
                            *winner = self.score_pairs(pairs, &sums, lane, out) as u32;
                        }
                    })
                }
                Scoring::Linear { offset, no_weight_is_negative } => self.vectors.compare(
                    inputs[0],
                    || Kept(vec![]),
                    |_, count, Kept(sums)| {
                        for (lane, (winner, out)) in rows.by_ref().take(count).enumerate() {
                            out.iter_mut().zip(&sums).for_each(|(out, sums)| *out = sums[lane] + offset);
                            *winner = linear_winner(out, *no_weight_is_negative) as u32;
                            self.transform.apply(out);
                        }
                    },
                ),
            }
        })?;
        Ok(vec![self.labels.tensor(&winners), scores])
    }
}

impl SvmClassifier {
    /// A probability for each class, or else a score for each two classes; for two classes, two.
    fn columns(&self) -> usize {
        match &self.scoring {
            Scoring::Pairs(pairs) if pairs.shares.is_empty() => self.machines().max(2),
            _ => self.labels.len(),
        }
    }

    fn machines(&self) -> usize {
        self.labels.len() * (self.labels.len() - 1) / 2
    }

    fn is_one_score(&self) -> bool {
        matches!(&self.scoring, Scoring::Pairs(pairs) if pairs.shares.is_empty() && pairs.classes() == 2)
    }

    /// The position of the winning class of the row in `lane`; its scores go into `out`.
    fn score_pairs(&self, pairs: &Pairs, sums: &WeightedByClass, lane: usize, out: &mut [f32]) -> usize {
        let mut scores = vec![0.0; self.machines()];
        pairs.scores(sums, lane, &mut scores);
        let winner = pairs.winner(&scores);
        if self.is_one_score() {
            (out[0], out[1]) = both(self.transform, scores[0]);
            return winner;
        }
        if pairs.shares.is_empty() {
            out.copy_from_slice(&scores);
        } else {
            pairs.probabilities(&scores, out);
        }
        self.transform.apply(out);
        winner
    }
}

/// Of two classes the second wins by a score that says yes, whichever of the two has it.
fn linear_winner(scores: &[f32], no_weight_is_negative: bool) -> usize {
    let best = first_of_largest(scores);
    let threshold_passed = if no_weight_is_negative { scores[best] >= 0.5 } else { scores[best] > 0.0 };
    if scores.len() == 2 && threshold_passed { 1 } else { best }
}

/// Both columns of the one score of two classes, as ONNX Runtime writes them.
fn both(transform: PostTransform, score: f32) -> (f32, f32) {
    match transform {
        PostTransform::None => (-score, score),
        PostTransform::Logistic => (1.0 - logistic(score), logistic(score)),
        _ => (1.0 - score, score),
    }
}
