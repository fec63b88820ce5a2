//! An optimised model and the states that run it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_hir::internal::*;

use super::Batch;
use super::blueprint::invalid;
use super::{nans, thin};
use crate::columns;
use crate::error::Error;
use crate::ops::Refusal;

/// Columns of no more rows than this are too short.
const FEW_ROWS: usize = 8;

/// One optimised model. Weights are shared; every run in progress has a state of its own, which is
/// kept for the next one if it remembers nothing.
#[derive(Debug)]
pub(super) struct Engine {
    plan: Arc<TypedSimplePlan>,
    idle: Mutex<Vec<TypedSimpleState>>,
    batch: Batch,
    /// Parts of the graph that are run column by column.
    parts: usize,
    /// Nodes that our own kernels do in the place of tract's: thin products and operations by column.
    thin: usize,
}

impl Engine {
    pub(super) fn new(model: TypedModel, batch: Batch) -> Result<Engine, Error> {
        let (mut parts, mut thin) = (0, 0);
        let plan = model.into_decluttered().and_then(|mut model| {
            if batch.rows_max() > FEW_ROWS {
                let rows = batch.dim(&model.symbols);
                parts = columns::replace(&mut model, &rows)?;
            }
            thin = thin::replace(&mut model)?;
            nans::keep(&mut model)?;
            TypedSimplePlan::new(model.into_optimized()?)
        });
        let plan = plan.map_err(|error| invalid(&error))?;
        Ok(Engine { plan, idle: Mutex::default(), batch, parts, thin })
    }

    pub(super) fn rows_max(&self) -> usize {
        self.batch.rows_max()
    }

    pub(super) fn batch(&self) -> Batch {
        self.batch
    }

    /// What was replaced while it was planned, in plain sentences.
    pub(super) fn replaced(&self) -> Vec<String> {
        let parts = match self.parts {
            0 => None,
            1 => Some("a part of the graph is run column by column, in blocks of rows".to_owned()),
            count => Some(format!("{count} parts of the graph are run column by column, in blocks of rows")),
        };
        let nodes = match self.thin {
            0 => None,
            1 => Some("1 thin product or operation by column is done by our own kernels".to_owned()),
            count => Some(format!("{count} thin products and operations by column are done by our own kernels")),
        };
        parts.into_iter().chain(nodes).collect()
    }

    /// Scores `rows` rows, at most [`Engine::rows_max`] and at least one.
    pub(super) fn score(&self, rows: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        let padded = match self.batch {
            Batch::Fixed(batch) => batch,
            Batch::UpTo(_) => rows,
        };
        let inputs = inputs
            .into_iter()
            .map(|input| Ok(pad(input, rows, padded)?.into_tvalue()))
            .collect::<TractResult<TVec<TValue>>>();
        let inputs = inputs.map_err(|error| Error::Input(error.to_string()))?;
        let outputs = self.run(inputs)?;
        outputs.into_iter().map(|output| trim(output, padded, rows)).collect()
    }

    fn run(&self, inputs: TVec<TValue>) -> Result<TVec<TValue>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let state = idle.map_or_else(|| self.plan.spawn(), Ok);
        let mut state = state.map_err(|error| invalid(&error))?;
        let at = Cell::new(None);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            state.run_plan_with_eval(inputs, |context, op_state, node, values| {
                at.set(Some(node.id));
                eval(context, op_state, node, values)
            })
        }));
        match outcome {
            Ok(Ok(outputs)) => {
                self.keep(state);
                Ok(outputs)
            }
            Ok(Err(error)) => Err(Error::Failed(format!("{}{}", self.place(&at), why(&error)))),
            // The message of the panic may hold values of the data.
            Err(_) => Err(Error::Panicked(self.place(&at))),
        }
    }

    /// Keeps the state of a run that ended well. The loops of a `Scan` and of recurrent layers go
    /// on where the run before ended, as streams do: rows would see those of the batch before.
    fn keep(&self, state: TypedSimpleState) {
        if state.op_states.iter().all(Option::is_none) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        }
    }

    fn place(&self, at: &Cell<Option<usize>>) -> String {
        let node = at.get().map(|id| self.plan.model().node(id));
        node.map_or_else(
            || "before its first node".into(),
            |node| format!("at node `{}` ({})", node.name, node.op.name()),
        )
    }
}

/// What our own operators say; tract's messages hold values of the data.
fn why(error: &TractError) -> String {
    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>());
    refusal.map_or_else(String::new, |refusal| format!(": {refusal}"))
}

/// `input` with its last row repeated: whatever holds for the data holds for the padding.
fn pad(input: Tensor, rows: usize, padded: usize) -> TractResult<Tensor> {
    if rows == padded {
        return Ok(input);
    }
    let last = input.slice(0, rows - 1, rows)?;
    let mut parts = vec![&input];
    parts.resize(1 + padded - rows, &last);
    Tensor::stack_tensors(0, &parts)
}

fn trim(output: TValue, padded: usize, rows: usize) -> Result<Tensor, Error> {
    let output = output.into_tensor();
    if output.shape().first() != Some(&padded) {
        return Err(Error::Failed(format!(
            "{padded} rows went in, an output came out with shape {:?}",
            output.shape()
        )));
    }
    if rows == padded {
        return Ok(output);
    }
    output.slice(0, 0, rows).map_err(|error| Error::Failed(error.to_string()))
}
