//! `TfIdfVectorizer`: counts of n-grams, weighted.

use std::collections::HashMap;
use std::hash::Hash;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::{floats, ints, refuse, strings, values};
use super::super::{Built, Kernel, Signature, kernel};

/// A pool is a tree as deep as its longest n-gram.
const LENGTH_MAX: usize = 256;

#[derive(Debug)]
struct TfIdfVectorizer {
    pool: Pool,
    /// Items in an n-gram.
    lengths: std::ops::RangeInclusive<usize>,
    /// Items that may be left out between each two of an n-gram.
    skips_max: usize,
    weighting: Weighting,
    /// Numbers in an output row.
    columns: usize,
}

/// The column of each n-gram.
#[derive(Debug)]
enum Pool {
    Strings(Tree<String>),
    Ints(Tree<i64>),
}

#[derive(Debug)]
enum Weighting {
    Counts,
    /// One for an n-gram that is there, or its weight.
    Presence(Vec<f32>),
    WeightedCounts(Vec<f32>),
}

pub(in crate::ops) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let length = |name| -> TractResult<usize> { usize::try_from(node.get_attr::<i64>(name)?).ok().context("a length") };
    let (shortest, longest) = (length("min_gram_length")?, length("max_gram_length")?);
    let lists = Lists {
        firsts: ints(node, "ngram_counts")?,
        columns: ints(node, "ngram_indexes")?,
        lengths: shortest..=longest,
    };
    node.expect(shortest > 0 && shortest <= longest, "lengths of n-grams in order")?;
    node.expect(longest <= lists.firsts.len(), "ngram_counts for all lengths")?;
    node.expect(lists.firsts.len() <= LENGTH_MAX, "n-grams of a sane length")?;
    node.expect(!lists.columns.is_empty(), "ngram_indexes")?;
    let (texts, numbers) = (strings(node, "pool_strings")?, ints(node, "pool_int64s")?);
    let pool = match (texts.is_empty(), numbers.is_empty()) {
        (false, true) => Pool::Strings(lists.tree(&texts)?),
        (true, false) => Pool::Ints(lists.tree(&numbers)?),
        _ => return node.bail("one pool of n-grams is needed"),
    };
    let columns = lists.columns_len()?;
    let weighting = weighting(node, &lists.columns, columns)?;
    let skips_max = length("max_skip_count")?;
    kernel(node, 1..=1, TfIdfVectorizer { pool, lengths: lists.lengths, skips_max, weighting, columns })
}

fn weighting(node: &NodeProto, indexes: &[i64], columns: usize) -> TractResult<Weighting> {
    let weights = weights_by_column(node, indexes, columns)?;
    Ok(match node.get_attr::<&str>("mode")? {
        "TF" => Weighting::Counts,
        "IDF" => Weighting::Presence(weights),
        "TFIDF" => Weighting::WeightedCounts(weights),
        _ => return node.bail_attr("mode", "is unknown"),
    })
}

/// Weights are listed in the order of the pool; none if there are none.
fn weights_by_column(node: &NodeProto, indexes: &[i64], columns: usize) -> TractResult<Vec<f32>> {
    let weights = floats(node, "weights")?;
    if weights.is_empty() {
        return Ok(weights);
    }
    node.expect(weights.len() == indexes.len(), "a weight for each n-gram")?;
    let mut by_column: Vec<Option<f32>> = vec![None; columns];
    for (&column, &weight) in indexes.iter().zip(&weights) {
        let known = by_column[column as usize].replace(weight);
        node.expect(known.is_none_or(|known| known == weight), "one weight for all n-grams of a column")?;
    }
    Ok(by_column.into_iter().map(|weight| weight.unwrap_or(1.0)).collect())
}

/// The lists of the node, by which its pool is to be read.
struct Lists {
    /// Where the n-grams of each length start in the pool.
    firsts: Vec<i64>,
    columns: Vec<i64>,
    lengths: std::ops::RangeInclusive<usize>,
}

impl Lists {
    fn columns_len(&self) -> TractResult<usize> {
        /// Far more columns than any vocabulary has: a batch of them must fit in memory.
        const COLUMNS_MAX: i64 = 1 << 24;
        let least = self.columns.iter().copied().min().unwrap_or(0);
        let greatest = self.columns.iter().copied().max().unwrap_or(0);
        ensure!(least >= 0 && greatest < COLUMNS_MAX, "a column of an n-gram is out of bounds");
        Ok(greatest as usize + 1)
    }

    fn tree<T: Hash + Eq + Clone>(&self, pool: &[T]) -> TractResult<Tree<T>> {
        self.columns_len()?;
        let mut tree = Tree::default();
        let mut columns = self.columns.iter();
        for (at, &first) in self.firsts.iter().enumerate() {
            let length = at + 1;
            let end = self.firsts.get(length).copied().unwrap_or(pool.len() as i64);
            let range = usize::try_from(first).ok().zip(usize::try_from(end).ok());
            let items =
                range.and_then(|(first, end)| pool.get(first..end)).context("ngram_counts are out of bounds")?;
            ensure!(items.len().is_multiple_of(length), "the pool holds a part of an n-gram");
            for gram in items.chunks_exact(length) {
                let column = *columns.next().context("an n-gram has no column")? as u32;
                if self.lengths.contains(&length) {
                    ensure!(tree.insert(gram, column), "an n-gram is there twice");
                }
            }
        }
        Ok(tree)
    }
}

/// N-grams by their items, one after the other.
#[derive(Debug)]
struct Tree<T> {
    column: Option<u32>,
    next: HashMap<T, Tree<T>>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Tree { column: None, next: HashMap::new() }
    }
}

impl<T: Hash + Eq + Clone> Tree<T> {
    /// False if the n-gram has a column already.
    fn insert(&mut self, gram: &[T], column: u32) -> bool {
        let end = gram.iter().fold(self, |tree, item| tree.next.entry(item.clone()).or_default());
        end.column.replace(column).is_none()
    }

    /// Counts the n-grams that start at `from` with `step` from each item to the next.
    fn count(&self, row: &[T], from: usize, step: usize, lengths: (usize, usize), counts: &mut [f32]) {
        let mut tree = self;
        for (at, item) in row[from..].iter().step_by(step).take(lengths.1).enumerate() {
            let Some(next) = tree.next.get(item) else { return };
            tree = next;
            if let Some(column) = tree.column.filter(|_| at + 1 >= lengths.0) {
                counts[column as usize] += 1.0;
            }
        }
    }
}

impl TfIdfVectorizer {
    fn count<T: Hash + Eq + Clone>(&self, pool: &Tree<T>, row: &[T], counts: &mut [f32]) {
        let (shortest, longest) = (*self.lengths.start(), *self.lengths.end());
        for from in 0..row.len() {
            pool.count(row, from, 1, (shortest, longest), counts);
        }
        // A single item has nothing to skip: it was counted.
        for step in 2..=self.skips_max.min(row.len()) + 1 {
            for from in 0..row.len() {
                pool.count(row, from, step, (shortest.max(2), longest), counts);
            }
        }
    }

    fn weigh(&self, counts: &mut [f32]) {
        match &self.weighting {
            Weighting::Counts => {}
            Weighting::Presence(weights) => {
                for (at, count) in counts.iter_mut().enumerate().filter(|(_, count)| **count > 0.0) {
                    *count = weights.get(at).copied().unwrap_or(1.0);
                }
            }
            Weighting::WeightedCounts(weights) => {
                counts.iter_mut().zip(weights).for_each(|(count, weight)| *count *= weight);
            }
        }
    }

    fn vectors<T: Hash + Eq + Clone>(&self, pool: &Tree<T>, items: &[T], rows: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * self.columns];
        let columns = items.len() / rows.max(1);
        for (at, counts) in out.chunks_exact_mut(self.columns).enumerate() {
            self.count(pool, &items[at * columns..][..columns], counts);
            self.weigh(counts);
        }
        out
    }
}

impl Kernel for TfIdfVectorizer {
    fn name(&self) -> &'static str {
        "TfIdfVectorizer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let fits = match self.pool {
            Pool::Strings(_) => inputs[0].element == DatumType::String,
            Pool::Ints(_) => matches!(inputs[0].element, DatumType::I32 | DatumType::I64),
        };
        ensure!(fits, "the n-grams are of another type than the input");
        let columns = self.columns.to_dim();
        let shape = match &*inputs[0].shape {
            [] | [_] => tvec!(columns),
            [rows, _] => tvec!(rows.clone(), columns),
            shape => bail!("a list or a matrix is needed, there are {} dimensions", shape.len()),
        };
        Ok(vec![Signature::new(DatumType::F32, shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, shape) = match inputs[0].shape() {
            [] | [_] => (1, tvec!(self.columns)),
            [rows, _] => (*rows, tvec!(*rows, self.columns)),
            shape => return refuse(format!("a matrix is needed, there are {} dimensions", shape.len())),
        };
        let vectors = match &self.pool {
            Pool::Strings(pool) => self.vectors(pool, values::<String>(inputs[0])?, rows),
            Pool::Ints(pool) => self.vectors(pool, values::<i64>(&*inputs[0].cast_to::<i64>()?)?, rows),
        };
        Ok(vec![crate::tensor_from(&shape, vectors)])
    }
}
