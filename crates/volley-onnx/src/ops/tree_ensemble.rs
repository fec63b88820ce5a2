//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: their attributes, and what they make of
//! the trees' scores.

mod attributes;
mod by_columns;
mod classes;
mod version_five;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, labels, refuse, row_dim, rows_and_columns, singles, values};
use super::{Built, Kernel, PostTransform, Signature, kernel};
use crate::direct::{Builder, Cells, Given};
use crate::port::ClassLabels;
use crate::trees::{Aggregate, Ensemble, Real};
use attributes::Attributes;
use classes::Classes;

pub(super) use version_five::build as build_version_five;

/// Far more targets than any model has: every row has room for all.
const TARGETS_MAX: usize = 1 << 20;

fn targets(node: &NodeProto) -> TractResult<usize> {
    let targets = node.get_attr_opt::<usize>("n_targets")?.unwrap_or(1);
    node.expect((1..=TARGETS_MAX).contains(&targets), "at least one target, and no more than a million")?;
    Ok(targets)
}

pub(super) fn build_regressor(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes { ctx, node };
    let targets = targets(node)?;
    let aggregate = match node.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        _ => return node.bail_attr("aggregate_function", "is unknown"),
    };
    let base = attributes.reals("base_values")?;
    let base = match base.len() {
        0 => vec![0.0; targets],
        len if len == targets => base,
        _ => return node.bail_attr("base_values", "must hold one value for each target"),
    };
    let mut description = attributes.description("target", targets)?;
    if targets == 1 {
        // As ONNX Runtime does; exporters of leaf numbers write a leaf's weight several times.
        description.keep_first_weights();
    }
    let ensemble = Ensemble::new(&description, aggregate)?;
    kernel(node, 1..=1, Regressor { ensemble, base, transform: PostTransform::read(node)? })
}

#[derive(Debug)]
struct Regressor {
    ensemble: Ensemble,
    base: Vec<f64>,
    transform: PostTransform,
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "TreeEnsembleRegressor"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let rows = rows(&self.ensemble, &inputs[0])?;
        Ok(vec![Signature::new(DatumType::F32, [rows, self.ensemble.targets().to_dim()])])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        Some(vec![Cells::Singles(by_columns::columns(self, &inputs[0], build)?.1)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let targets = self.ensemble.targets();
        let mut out = vec![0.0f32; rows * targets];
        score(&self.ensemble, inputs[0], &mut |row, scores| self.finish(scores, &mut out[row * targets..][..targets]))?;
        Ok(vec![crate::tensor_from(&[rows, targets], out)])
    }
}

impl Regressor {
    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) {
        match scores {
            Scores::Single(scores, spoken) => add_base(scores, spoken, &self.base, out),
            Scores::Double(scores, spoken) => add_base(scores, spoken, &self.base, out),
        }
        self.transform.apply(out);
    }
}

/// Of several targets, one that no leaf of the row speaks of is zero: ONNX Runtime leaves its base value out.
fn add_base<T: Real>(scores: &[T], spoken: &[bool], base: &[f64], out: &mut [f32]) {
    let is_alone = base.len() == 1;
    for (((out, &score), &spoken), &base) in out.iter_mut().zip(scores).zip(spoken).zip(base) {
        let mut score = score;
        if spoken || is_alone {
            score += T::of(base);
        }
        *out = score.single();
    }
}

pub(super) fn build_classifier(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes { ctx, node };
    let Some(labels) = labels(node, "classlabels_int64s", "classlabels_strings")? else {
        return node.bail("no class labels are given");
    };
    let base = attributes.reals("base_values")?;
    let mut description = attributes.description("class", labels.len())?;
    let classes = Classes::new(&mut description, base, PostTransform::read(node)?).or_else(|why| node.bail(why))?;
    let ensemble = Ensemble::new(&description, Aggregate::Sum)?;
    kernel(node, 1..=1, Classifier { ensemble, classes, labels })
}

#[derive(Debug)]
struct Classifier {
    ensemble: Ensemble,
    classes: Classes,
    labels: ClassLabels,
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let rows = rows(&self.ensemble, &inputs[0])?;
        Ok(vec![
            Signature::new(self.labels.element(), [rows.clone()]),
            Signature::new(DatumType::F32, [rows, self.labels.len().to_dim()]),
        ])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let (winners, scores) = by_columns::columns(self.clone(), &inputs[0], build)?;
        Some(vec![self.labels.columns(winners, build), Cells::Singles(scores)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(inputs[0])?;
        let count = self.labels.len();
        let mut winners = vec![0u32; rows];
        let mut out = vec![0.0f32; rows * count];
        score(&self.ensemble, inputs[0], &mut |row, scores| {
            winners[row] = self.finish(scores, &mut out[row * count..][..count]);
        })?;
        Ok(vec![self.labels.tensor(&winners), crate::tensor_from(&[rows, count], out)])
    }
}

impl Classifier {
    /// The place of a row's class; its scores go into `out`.
    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) -> u32 {
        match scores {
            Scores::Single(scores, spoken) => self.classes.decide(scores, spoken, out),
            Scores::Double(scores, spoken) => self.classes.decide(scores, spoken, out),
        }
    }
}

/// The dimension of rows, if trees can be walked with the input.
fn rows(ensemble: &Ensemble, input: &Signature) -> TractResult<TDim> {
    ensure_numeric(input)?;
    if let Some(Ok(columns)) = input.shape.last().map(TDim::to_usize)
        && columns < ensemble.columns_min()
    {
        bail!("trees ask for column {}, there are {columns}", ensemble.columns_min() - 1);
    }
    row_dim(input)
}

/// A row's scores and the targets that were spoken of, in the precision of the input.
enum Scores<'s> {
    Single(&'s mut [f32], &'s [bool]),
    Double(&'s mut [f64], &'s [bool]),
}

/// Scores each row of a matrix; integers are compared as singles, as in ONNX Runtime.
fn score(ensemble: &Ensemble, input: &Tensor, each: &mut dyn FnMut(usize, Scores<'_>)) -> TractResult<()> {
    let (rows, columns) = rows_and_columns(input)?;
    if columns < ensemble.columns_min().max(1) {
        return refuse(format!("trees need {} columns, there are {columns}", ensemble.columns_min()));
    }
    if rows == 0 {
        return Ok(());
    }
    if input.datum_type() != DatumType::F64 && ensemble.is_single_precision() {
        let each = |row: usize, scores: &mut [f32], spoken: &[bool]| {
            each(row, Scores::Single(scores, spoken));
        };
        let scored = ensemble.score_singles(&singles(input)?, columns, each);
        return scored.context("a single precision ensemble scores singles");
    }
    let doubles = input.cast_to::<f64>()?;
    ensemble.score_doubles(values::<f64>(&doubles)?, columns, |row, scores, spoken| {
        each(row, Scores::Double(scores, spoken));
    });
    Ok(())
}

#[cfg(test)]
mod tests;
