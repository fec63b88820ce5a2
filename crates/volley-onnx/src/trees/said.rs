//! What the leaves of a tree say, by their places, and the sums of it over a block of rows.

use super::Real;
use super::forest::{Aggregate, Leaves};

/// What the leaves of one tree say.
#[derive(Debug)]
pub(super) enum Said {
    /// Each has one weight, all for the same target, and weights are added. Zeros fill up a power of two.
    One { target: usize, weights: Weights },
    /// Each has a weight for each target, side by side, and weights are added.
    Each(Weights),
    /// The numbers of the leaves.
    Any(Box<[u32]>),
}

/// In the precision in which they take the least memory.
#[derive(Debug)]
pub(super) enum Weights {
    Single(Box<[f32]>),
    Double(Box<[f64]>),
}

/// Weights of so many leaves are doubles: converting singles costs more than the memory.
const DOUBLES_MAX: usize = 256;

impl Weights {
    fn new(weights: Vec<f64>) -> Weights {
        let singles: Box<[f32]> = weights.iter().map(|&weight| weight as f32).collect();
        let is_small = weights.len() <= DOUBLES_MAX;
        match !is_small
            && singles.iter().zip(&weights).all(|(&single, weight)| f64::from(single).to_bits() == weight.to_bits())
        {
            true => Weights::Single(singles),
            false => Weights::Double(weights.into()),
        }
    }
}

impl Said {
    /// `numbers` are those of the leaves at the places of a tree.
    pub(super) fn new(numbers: &[u32], leaves: &Leaves<f64>, targets: usize, aggregate: Aggregate) -> Said {
        let numbers = || numbers.iter().map(|&number| number as usize);
        if let Leaves::One(weights) = leaves {
            return Said::lone(0, numbers().map(|it| weights[it]).collect());
        }
        let one = || Said::one(numbers(), leaves).filter(|_| aggregate.adds());
        let each = || Said::each(numbers(), leaves, targets).filter(|_| aggregate.adds());
        one().or_else(each).unwrap_or_else(|| Said::Any(numbers().map(|it| it as u32).collect()))
    }

    fn one(numbers: impl Iterator<Item = usize>, leaves: &Leaves<f64>) -> Option<Said> {
        let mut target = None;
        let weight = |number| match leaves.of(number) {
            [(of, weight)] => (*target.get_or_insert(*of) == *of).then_some(*weight),
            _ => None,
        };
        let weights = numbers.map(weight).collect::<Option<_>>()?;
        Some(Said::lone(target? as usize, weights))
    }

    fn lone(target: usize, mut weights: Vec<f64>) -> Said {
        weights.resize(weights.len().next_power_of_two(), 0.0);
        Said::One { target, weights: Weights::new(weights) }
    }

    fn each(numbers: impl Iterator<Item = usize>, leaves: &Leaves<f64>, targets: usize) -> Option<Said> {
        let mut weights = Vec::new();
        for number in numbers {
            let said = leaves.of(number);
            if !said.iter().map(|it| it.0 as usize).eq(0..targets) {
                return None;
            }
            weights.extend(said.iter().map(|it| it.1));
        }
        Some(Said::Each(Weights::new(weights)))
    }
}

/// Sums of a block's rows, row by row.
#[derive(Debug)]
pub(super) struct Sums {
    aggregate: Aggregate,
    targets: usize,
    sums: Vec<f64>,
    spoken: Vec<bool>,
    /// By target: all rows were spoken of.
    spoken_of_all: Vec<bool>,
}

impl Sums {
    pub(super) fn new(rows: usize, targets: usize, aggregate: Aggregate) -> Sums {
        let cells = targets * rows;
        Sums {
            aggregate,
            targets,
            sums: vec![0.0; cells],
            spoken: vec![false; cells],
            spoken_of_all: vec![false; targets],
        }
    }

    pub(super) fn clear(&mut self) {
        self.sums.fill(0.0);
        self.spoken.fill(false);
        self.spoken_of_all.fill(false);
    }

    /// Adds what a tree says to rows from `first` on, which are at so many places.
    #[inline(always)]
    pub(super) fn add(&mut self, said: &Said, leaves: &Leaves<f64>, first: usize, places: &[impl Place]) {
        let sums = &mut self.sums[first * self.targets..];
        match said {
            Said::One { target, weights } => {
                self.spoken_of_all[*target] = true;
                match weights {
                    Weights::Single(weights) => add_one(self.aggregate, sums, self.targets, *target, weights, places),
                    Weights::Double(weights) => add_one(self.aggregate, sums, self.targets, *target, weights, places),
                }
            }
            Said::Each(weights) => {
                self.spoken_of_all.fill(true);
                match weights {
                    Weights::Single(weights) => add_each(self.aggregate, sums, self.targets, weights, places),
                    Weights::Double(weights) => add_each(self.aggregate, sums, self.targets, weights, places),
                }
            }
            Said::Any(numbers) => {
                for (row, place) in places.iter().enumerate() {
                    for &(target, weight) in leaves.of(numbers[place.number()] as usize) {
                        self.add_any((first + row) * self.targets + target as usize, weight);
                    }
                }
            }
        }
    }

    fn add_any(&mut self, cell: usize, weight: f64) {
        let (sum, spoken) = (&mut self.sums[cell], &mut self.spoken[cell]);
        if self.aggregate.adds() {
            *sum = self.aggregate.sum(*sum, weight);
        } else if !*spoken || self.aggregate.prefers(weight, *sum) {
            *sum = weight;
        }
        *spoken = true;
    }

    /// The scores of a row, and which targets were spoken of.
    #[inline(always)]
    pub(super) fn row<T: Real>(&self, row: usize, divisor: f64, scores: &mut [T], spoken: &mut [bool]) {
        for (target, (score, spoken)) in scores.iter_mut().zip(spoken).enumerate() {
            let cell = row * self.targets + target;
            *score = T::of(self.sums[cell] / divisor);
            *spoken = self.spoken[cell] | self.spoken_of_all[target];
        }
    }
}

/// A row's place in a tree.
pub(super) trait Place: Copy {
    fn number(self) -> usize;
}

/// The bits of a `u8`.
impl Place for i8 {
    #[inline(always)]
    fn number(self) -> usize {
        usize::from(self as u8)
    }
}

impl Place for u32 {
    #[inline(always)]
    fn number(self) -> usize {
        self as usize
    }
}

/// Adds the weight at a row's place to its sum.
#[inline(always)]
fn add_one<W: Real>(
    aggregate: Aggregate,
    sums: &mut [f64],
    targets: usize,
    target: usize,
    weights: &[W],
    places: &[impl Place],
) {
    match (targets, aggregate) {
        (1, Aggregate::SumInTurn) => add_lone::<W, true>(sums, weights, places),
        (1, _) => add_lone::<W, false>(sums, weights, places),
        _ => {
            for (sum, place) in sums[target..].iter_mut().step_by(targets).zip(places) {
                *sum = aggregate.sum(*sum, weights[place.number()].double());
            }
        }
    }
}

#[inline(always)]
fn add_lone<W: Real, const IN_TURN: bool>(sums: &mut [f64], weights: &[W], places: &[impl Place]) {
    // Weights are as many as a power of two: an index below that needs no look at bounds.
    let Some(last) = weights.len().checked_sub(1) else { return };
    let weight = |place: usize| weights[place & last].double();
    let sum = |sum: f64, weight: f64| if IN_TURN { Aggregate::SumInTurn.sum(sum, weight) } else { sum + weight };
    let (sums, last_sums) = sums[..places.len()].as_chunks_mut::<4>();
    let (places, last_places) = places.as_chunks::<4>();
    for (sums, places) in sums.iter_mut().zip(places) {
        let [a, b, c, d] = *places;
        let weights = [weight(a.number()), weight(b.number()), weight(c.number()), weight(d.number())];
        *sums =
            [sum(sums[0], weights[0]), sum(sums[1], weights[1]), sum(sums[2], weights[2]), sum(sums[3], weights[3])];
    }
    for (row, place) in last_sums.iter_mut().zip(last_places) {
        *row = sum(*row, weight(place.number()));
    }
}

/// Adds the weights at a row's place to its sums.
#[inline(always)]
fn add_each<W: Real>(aggregate: Aggregate, sums: &mut [f64], targets: usize, weights: &[W], places: &[impl Place]) {
    match (targets, aggregate) {
        (_, Aggregate::SumInTurn) => {
            for (sums, place) in sums.chunks_exact_mut(targets).zip(places) {
                for (sum, weight) in sums.iter_mut().zip(&weights[place.number() * targets..][..targets]) {
                    *sum = Aggregate::SumInTurn.sum(*sum, weight.double());
                }
            }
        }
        (2, _) => add_rows::<W, 2>(sums, weights, places),
        (3, _) => add_rows::<W, 3>(sums, weights, places),
        (4, _) => add_rows::<W, 4>(sums, weights, places),
        _ => {
            for (sums, place) in sums.chunks_exact_mut(targets).zip(places) {
                for (sum, weight) in sums.iter_mut().zip(&weights[place.number() * targets..][..targets]) {
                    *sum += weight.double();
                }
            }
        }
    }
}

/// With a number of targets known when this is compiled, a row's are added at once.
#[inline(always)]
fn add_rows<W: Real, const TARGETS: usize>(sums: &mut [f64], weights: &[W], places: &[impl Place]) {
    let (weights, sums) = (weights.as_chunks::<TARGETS>().0, sums.as_chunks_mut::<TARGETS>().0);
    for (sums, place) in sums.iter_mut().zip(places) {
        for (sum, weight) in sums.iter_mut().zip(&weights[place.number()]) {
            *sum += weight.double();
        }
    }
}
