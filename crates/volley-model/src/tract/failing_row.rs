//! Finds the row that a model fails at, after it failed.

use volley_onnx::{Error, Tensor};

use super::TensorModel;
use crate::ModelError;

/// What went wrong with `rows` rows of `inputs`, with the row that is to blame where there is one: some models fail
/// at many rows and at none alone.
///
/// The halves of what failed are scored until one row is left, which takes about as long as all rows do.
pub(super) fn blamed(plan: &impl TensorModel, rows: usize, inputs: &[Tensor], error: Error) -> ModelError {
    let by_data = matches!(error, Error::Failed(_) | Error::Panicked(_));
    match by_data.then(|| first_failing(plan, rows, inputs)).flatten() {
        Some((row, source)) => ModelError::Row { row, source },
        None => error.into(),
    }
}

fn first_failing(plan: &impl TensorModel, rows: usize, inputs: &[Tensor]) -> Option<(usize, Error)> {
    let (mut start, mut end) = (0, rows);
    while end - start > 1 {
        let middle = start + (end - start) / 2;
        match failure(plan, inputs, start, middle) {
            Some(_) => end = middle,
            None => start = middle,
        }
    }
    failure(plan, inputs, start, end).map(|error| (start, error))
}

fn failure(plan: &impl TensorModel, inputs: &[Tensor], start: usize, end: usize) -> Option<Error> {
    let part: Vec<Tensor> = inputs.iter().map(|input| input.slice(0, start, end)).collect::<Result<_, _>>().ok()?;
    plan.run(end - start, part).err()
}
