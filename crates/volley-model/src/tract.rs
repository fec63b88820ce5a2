//! The scorer over what takes tensors and gives tensors: columns into tensors, one run, tensors into columns.

mod decimal;
mod failing_row;
mod feed;
mod number;
mod output;
mod table;
mod tensor;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::buffer::BooleanBuffer;
use volley_onnx::{Error, Limits, Plan, Road, Rows, Tensor, Values};

use crate::package::Package;
use crate::{Artifact, Binding, Contract, ModelError, Scorer, Scores, inspect};
use feed::{Feed, feeds};
pub(crate) use number::half;
use table::Table;

/// A model that takes a tensor for each input of its graph and gives one for each output: a plan of volley-onnx, or
/// sessions of another runtime.
pub(crate) trait TensorModel: Send + Sync + fmt::Debug {
    /// Scores `rows` rows, at least one; rows do not see each other. An error holds no values of the data.
    fn run(&self, rows: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error>;

    /// Whether [`TensorModel::score`] gives scores: columns are made ready for it only then.
    fn takes_columns(&self) -> bool {
        false
    }

    /// The same as [`TensorModel::run`] without tensors.
    fn score(&self, _rows: &dyn Rows) -> Option<Result<Vec<Values>, Error>> {
        None
    }
}

impl TensorModel for Plan {
    fn run(&self, rows: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        Plan::run(self, rows, inputs)
    }

    fn takes_columns(&self) -> bool {
        self.road() == Road::Direct
    }

    fn score(&self, rows: &dyn Rows) -> Option<Result<Vec<Values>, Error>> {
        Plan::score(self, rows)
    }
}

/// Makes a model of this crate's own runtimes ready to score; see [`crate::load`].
pub(crate) fn load(artifact: &Artifact, contract: &Contract, limits: &Limits) -> Result<Arc<dyn Scorer>, ModelError> {
    let package = Package::open(artifact)?;
    let graph = package.graph(limits)?;
    if !same_graph(&inspect::contract(&graph, package.signature.as_ref())?, contract) {
        return Err(other_files());
    }
    let plan = graph.plan()?;
    let preparation = [graph.preparation(), &plan.preparation()].concat();
    Ok(Arc::new(TensorScorer { contract: contract.clone(), plan, preparation }))
}

pub(crate) fn other_files() -> ModelError {
    let reason = "its files are not those that its contract was made from; register it again";
    Error::Invalid(reason.to_owned()).into()
}

/// Whether two contracts speak of the same tensors, which is all that a binding made for one needs of the other.
fn same_graph(a: &Contract, b: &Contract) -> bool {
    let inputs =
        |contract: &Contract| contract.inputs.iter().map(|input| (input.slot, input.element)).collect::<Vec<_>>();
    let outputs =
        |contract: &Contract| contract.scored().map(|output| (output.shape, output.element)).collect::<Vec<_>>();
    a.graph_inputs == b.graph_inputs && inputs(a) == inputs(b) && outputs(a) == outputs(b)
}

#[derive(Debug)]
pub(crate) struct TensorScorer<M> {
    pub(crate) contract: Contract,
    pub(crate) plan: M,
    /// As [`Scorer::preparation`] gives it.
    pub(crate) preparation: Vec<String>,
}

impl<M: TensorModel> Scorer for TensorScorer<M> {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn preparation(&self) -> &[String] {
        &self.preparation
    }

    fn score(&self, binding: &Binding, columns: &[ArrayRef], rows: usize) -> Result<Scores, ModelError> {
        let feeds = feeds(&self.contract, binding, columns, rows)?;
        let kept = feed::kept_rows(&feeds, rows)?;
        let kept_count = kept.as_ref().map_or(rows, |kept| kept.count_set_bits());
        if kept_count == 0 {
            return Ok(self.nothing(rows));
        }
        let feeds = match &kept {
            Some(kept) => feeds.into_iter().map(|feed| feed.only(kept)).collect::<Result<Vec<Feed>, _>>()?,
            None => feeds,
        };
        let columns = self
            .columns(binding, &feeds, kept_count)?
            .map_err(|error| among_all(self.at_row(error, binding, &feeds, kept_count), kept.as_ref()))?;
        let outputs = output::arrays(self.contract.scored(), columns, kept_count)?;
        let outputs = output::nan_to_null(outputs, binding.null_rules)?;
        output::scores(outputs, kept.as_ref())
    }
}

impl<M: TensorModel> TensorScorer<M> {
    /// The values of all outputs, straight from the columns where the plan can do so; else by way of tensors.
    fn columns(
        &self,
        binding: &Binding,
        feeds: &[Feed],
        rows: usize,
    ) -> Result<Result<Vec<Option<output::Column>>, Error>, ModelError> {
        if self.plan.takes_columns()
            && let Some(table) = Table::new(&self.contract, binding, feeds, rows)
            && let Some(scored) = self.plan.score(&table)
        {
            return Ok(scored.map(|outputs| outputs.into_iter().map(output::Column::of_values).collect()));
        }
        let inputs = tensor::tensors(&self.contract, binding, feeds, rows)?;
        let scored = self.plan.run(rows, inputs);
        Ok(scored.map(|outputs| outputs.iter().map(output::Column::of_tensor).collect()))
    }

    /// The tensors are made anew: to keep them for an error would cost every batch that has none.
    fn at_row(&self, error: Error, binding: &Binding, feeds: &[Feed], rows: usize) -> ModelError {
        match tensor::tensors(&self.contract, binding, feeds, rows) {
            Ok(inputs) => failing_row::blamed(&self.plan, rows, &inputs, error),
            Err(_) => error.into(),
        }
    }

    fn nothing(&self, rows: usize) -> Scores {
        let outputs = self.contract.scored().map(|output| new_null_array(&output.tensor_type(), rows)).collect();
        Scores { outputs, null_scores: rows }
    }
}

/// The error with its row counted among all rows, not only among those that no null rule excluded.
fn among_all(error: ModelError, kept: Option<&BooleanBuffer>) -> ModelError {
    match (error, kept) {
        (ModelError::Row { row, source }, Some(kept)) => {
            ModelError::Row { row: kept.set_indices().nth(row).unwrap_or(row), source }
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests;
