//! Trees on the direct road: their features are columns already.

use std::sync::Arc;

use super::super::Refusal;
use super::{Classifier, Regressor, Scores};
use crate::direct::{AnyColumn, Block, Builder, Cells, Given, RowColumn, Step};
use crate::trees::Ensemble;

/// An operator of trees: which they are, and what becomes of a row's sums.
pub(super) trait OfTrees: Send + Sync + 'static {
    fn ensemble(&self) -> &Ensemble;

    /// How many scores a row has.
    fn width(&self) -> usize;

    /// Writes the scores of a row; the place of its class, where there are any.
    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) -> u32;
}

impl OfTrees for Regressor {
    fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    fn width(&self) -> usize {
        self.ensemble.targets()
    }

    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) -> u32 {
        Regressor::finish(self, scores, out);
        0
    }
}

impl OfTrees for Classifier {
    fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    fn width(&self) -> usize {
        self.labels.len()
    }

    fn finish(&self, scores: Scores<'_>, out: &mut [f32]) -> u32 {
        Classifier::finish(self, scores, out)
    }
}

/// The classes and the scores of rows whose features are `input`.
pub(super) fn columns<K: OfTrees>(
    kernel: Arc<K>,
    input: &Given,
    build: &mut Builder,
) -> Option<(RowColumn<u32>, Vec<RowColumn<f32>>)> {
    let (input, ensemble) = (input.value()?, kernel.ensemble());
    if input.matrix_columns()? < ensemble.columns_min().max(1) {
        return None;
    }
    let features = match &input.cells {
        Cells::Doubles(columns) => Features::Doubles(columns.clone()),
        cells => {
            let singles = cells.singles(build)?;
            match ensemble.is_single_precision() {
                true => Features::Singles(singles),
                false => Features::Doubles(singles.into_iter().map(|it| build.map(it, f64::from)).collect()),
            }
        }
    };
    let (winners, outputs) = (build.column(), build.columns(kernel.width()));
    build.step(Walk { kernel, features, winners, outputs: outputs.clone() });
    Some((winners, outputs))
}

struct Walk<K> {
    kernel: Arc<K>,
    features: Features,
    winners: RowColumn<u32>,
    outputs: Vec<RowColumn<f32>>,
}

/// The columns that trees ask about, in their precision.
enum Features {
    Singles(Vec<RowColumn<f32>>),
    Doubles(Vec<RowColumn<f64>>),
}

impl<K: OfTrees> Step for Walk<K> {
    fn reads(&self) -> Vec<AnyColumn> {
        let asked = |feature: &usize| self.kernel.ensemble().asks(*feature);
        match &self.features {
            Features::Singles(columns) => (0..columns.len()).filter(asked).map(|it| columns[it].any()).collect(),
            Features::Doubles(columns) => (0..columns.len()).filter(asked).map(|it| columns[it].any()).collect(),
        }
    }

    fn writes(&self) -> Vec<AnyColumn> {
        self.outputs.iter().map(|column| column.any()).chain([self.winners.any()]).collect()
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        let mut winners = vec![0u32; block.rows()];
        block.fill_all(&self.outputs, |block, outputs| {
            let mut out = vec![0.0f32; outputs.len()];
            self.walk(block, &mut |row, scores| {
                winners[row] = self.kernel.finish(scores, &mut out);
                outputs.iter_mut().zip(&out).for_each(|(column, &score)| column[row] = score);
            });
        });
        block.fill(self.winners, |_, column| column.copy_from_slice(&winners));
        Ok(())
    }
}

impl<K: OfTrees> Walk<K> {
    fn walk(&self, block: &Block<'_, '_>, each: &mut dyn FnMut(usize, Scores<'_>)) {
        let (ensemble, rows) = (self.kernel.ensemble(), block.rows());
        match &self.features {
            Features::Singles(columns) => {
                let read = |feature: usize, first: usize, values: &mut [f32]| {
                    values.copy_from_slice(&block.read(columns[feature])[first..first + values.len()]);
                };
                ensemble.score_single_columns(rows, read, |row, scores, spoken| {
                    each(row, Scores::Single(scores, spoken));
                });
            }
            Features::Doubles(columns) => {
                let read = |feature: usize, first: usize, values: &mut [f64]| {
                    values.copy_from_slice(&block.read(columns[feature])[first..first + values.len()]);
                };
                ensemble.score_double_columns(rows, read, |row, scores, spoken| {
                    each(row, Scores::Double(scores, spoken));
                });
            }
        }
    }
}
