//! One tree of a LightGBM file: lists with an entry for each question, and others with one for each leaf.

use super::text::Section;
use super::unsupported;
use crate::error::Error;
use crate::native::cuts::{Children, Cuts};
use crate::native::document::invalid;
use crate::native::grove::{Asked, Found, Leaf, Source};
use crate::trees::Comparison;

/// What LightGBM takes for zero lies within this on both sides; it compares with a single.
const ZERO: f64 = 1e-35f32 as f64;

/// The bits of a decision type.
const CATEGORICAL: u8 = 1;
const MISSING_IS_LEFT: u8 = 2;

/// What is missing to a question, in the bits above.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    /// Nothing: NaN is zero.
    None,
    /// Zero, and NaN with it.
    Zero,
    Nan,
}

#[derive(Default)]
pub(super) struct Tree {
    feature: Vec<usize>,
    /// Of a set of categories, its number.
    threshold: Vec<f64>,
    decision: Vec<u8>,
    /// Below zero for leaves, which are counted down from -1.
    left: Vec<i64>,
    right: Vec<i64>,
    leaves: Vec<f64>,
    /// Where the words of each set begin, and the last end.
    set_starts: Vec<usize>,
    /// A bit for each category.
    set_words: Vec<u32>,
    group: usize,
}

impl Tree {
    pub(super) fn read(section: &Section, group: usize) -> Result<Tree, Error> {
        if section.find("is_linear").is_some_and(|flag| flag.trim() != "0") {
            return Err(unsupported("linear trees of LightGBM (train with linear_tree=false)".to_owned()));
        }
        let leaves = section.count("num_leaves")?;
        let questions = leaves.checked_sub(1).ok_or_else(|| invalid("a tree has no leaves"))?;
        let leaves = section.numbers("leaf_value", leaves)?;
        let mut tree = Tree { leaves, group, ..Tree::default() };
        if questions > 0 {
            tree.feature = section.numbers("split_feature", questions)?;
            tree.threshold = section.numbers("threshold", questions)?;
            tree.decision = section.numbers("decision_type", questions)?;
            tree.left = section.numbers("left_child", questions)?;
            tree.right = section.numbers("right_child", questions)?;
            tree.read_sets(section)?;
        }
        Ok(tree)
    }

    /// Each set belongs to one node, and each word to one set: asked for by many, it could take any time to read.
    fn read_sets(&mut self, section: &Section) -> Result<(), Error> {
        let sets = if section.find("num_cat").is_some() { section.count("num_cat")? } else { 0 };
        if sets > 0 {
            self.set_starts = section.numbers("cat_boundaries", sets.saturating_add(1))?;
            self.set_words = section.numbers("cat_threshold", self.set_starts.last().copied().unwrap_or(0))?;
        }
        let mut asked: Vec<f64> = self.questions_of_sets().collect();
        asked.sort_by(f64::total_cmp);
        if !self.set_starts.is_sorted() || asked.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid("its sets of categories overlap"));
        }
        Ok(())
    }

    fn questions_of_sets(&self) -> impl Iterator<Item = f64> {
        let nodes = self.decision.iter().zip(&self.threshold);
        nodes.filter(|(decision, _)| *decision & CATEGORICAL != 0).map(|(_, threshold)| threshold.trunc())
    }

    /// Leaves come behind the questions.
    fn place(&self, child: i64) -> Result<usize, Error> {
        let place =
            if child >= 0 { Some(child as u64) } else { (self.feature.len() as u64).checked_add(!child as u64) };
        let place = place.and_then(|place| usize::try_from(place).ok());
        place
            .filter(|&place| (child < 0) == (place >= self.feature.len()))
            .ok_or_else(|| invalid("a child does not exist"))
    }

    fn asked(&self, at: usize) -> Result<Asked, Error> {
        let (decision, threshold) = (self.decision[at], self.threshold[at]);
        if threshold.is_nan() {
            return Err(invalid("a threshold is no number"));
        }
        if decision & CATEGORICAL != 0 {
            return Ok(Asked::Set(self.set(threshold)?));
        }
        let missing_is_left = decision & MISSING_IS_LEFT != 0;
        let missing_is_yes = match missing(decision)? {
            Missing::Zero => return Ok(Asked::Cuts(around_zero(threshold, missing_is_left))),
            Missing::None => 0.0 <= threshold,
            Missing::Nan => missing_is_left,
        };
        Ok(Asked::Comparison { comparison: Comparison::LessOrEqual, threshold, missing_is_yes })
    }

    /// Left is for the categories of the set, right for all others and for missing ones.
    fn set(&self, number: f64) -> Result<Cuts, Error> {
        // A set that does not exist has no start.
        let words = self.set_starts.get(number as usize..).and_then(|starts| match starts {
            [start, end, ..] if number >= 0.0 => self.set_words.get(*start..*end),
            _ => None,
        });
        let words = words.ok_or_else(|| invalid("a node's set of categories is missing"))?;
        let has = |category: i64| {
            let word = usize::try_from(category / 32).ok().and_then(|word| words.get(word));
            word.is_some_and(|word| word >> (category % 32) & 1 == 1)
        };
        let members = (0..words.len() as i64 * 32).filter(|&category| has(category));
        let ends = members.flat_map(|category| [first_of(category), (category + 1) as f64]).collect();
        Ok(Cuts::new(ends, false, |value| value > -1.0 && value < f64::from(i32::MAX) && has(value as i64)))
    }
}

impl Source for Tree {
    fn len(&self) -> usize {
        self.feature.len() + self.leaves.len()
    }

    fn node(&self, at: usize) -> Result<Found, Error> {
        if let Some(leaf) = at.checked_sub(self.feature.len()) {
            return Ok(Found::Leaf(Leaf::One { group: self.group, value: self.leaves[leaf] }));
        }
        let children = Children { yes: self.place(self.left[at])?, no: self.place(self.right[at])? };
        Ok(Found::Question { feature: self.feature[at], asked: self.asked(at)?, children })
    }
}

/// Fractions are cut off: all above -1 is category 0.
fn first_of(category: i64) -> f64 {
    if category == 0 { (-1f64).next_up() } else { category as f64 }
}

fn missing(decision: u8) -> Result<Missing, Error> {
    match decision >> 2 & 3 {
        0 => Ok(Missing::None),
        1 => Ok(Missing::Zero),
        2 => Ok(Missing::Nan),
        _ => Err(invalid("a node treats missing values in a way that is unknown")),
    }
}

/// Not above the threshold, but zero goes where the missing values do.
fn around_zero(threshold: f64, missing_is_left: bool) -> Cuts {
    let is_left = |value: f64| if value.abs() <= ZERO { missing_is_left } else { value <= threshold };
    let ends = vec![-ZERO, ZERO.next_up(), threshold.next_up()];
    // Nothing is above infinity.
    let ends = ends.into_iter().filter(|end| *end != f64::INFINITY).collect();
    Cuts::new(ends, missing_is_left, is_left)
}
