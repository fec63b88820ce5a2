//! The scorer over a plan of volley-onnx: columns into tensors, one run, tensors into columns.

mod decimal;
mod failing_row;
mod feed;
mod number;
mod output;
mod table;
mod tensor;

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::buffer::BooleanBuffer;
use volley_onnx::{Limits, Plan, Road};

use crate::package::Package;
use crate::{Artifact, Binding, Contract, ModelError, Scorer, Scores, inspect};
use feed::{Feed, feeds};
pub(crate) use number::half;
use table::Table;

/// Makes a model ready to score. `contract` is the one that planning used, with its null rules; it must be of these files.
///
/// Loading takes from milliseconds to `limits.load_time_max`; share the result.
pub fn load(artifact: &Artifact, contract: &Contract, limits: &Limits) -> Result<Arc<dyn Scorer>, ModelError> {
    let package = Package::open(artifact)?;
    let graph = package.graph(limits)?;
    if !same_graph(&inspect::contract(&graph, package.signature.as_ref())?, contract) {
        let reason = "its files are not those that its contract was made from; register it again";
        return Err(volley_onnx::Error::Invalid(reason.to_owned()).into());
    }
    Ok(Arc::new(TractScorer { contract: contract.clone(), plan: graph.plan()? }))
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
struct TractScorer {
    contract: Contract,
    plan: Plan,
}

impl Scorer for TractScorer {
    fn contract(&self) -> &Contract {
        &self.contract
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

impl TractScorer {
    /// The values of all outputs, straight from the columns where the plan can do so; else by way of tensors.
    fn columns(
        &self,
        binding: &Binding,
        feeds: &[Feed],
        rows: usize,
    ) -> Result<Result<Vec<Option<output::Column>>, volley_onnx::Error>, ModelError> {
        if self.plan.road() == Road::Direct
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
    fn at_row(&self, error: volley_onnx::Error, binding: &Binding, feeds: &[Feed], rows: usize) -> ModelError {
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
