//! Rows cut into the batches that a graph takes.

use volley_onnx::{Error, Tensor};

use crate::Contract;

/// How many rows go into a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Exactly as many as the graph fixes; fewer are padded.
    Exactly(usize),
    /// As many as there are, up to this.
    UpTo(usize),
}

impl Rows {
    pub(super) fn of(contract: &Contract) -> Rows {
        match contract.fixed_batch {
            Some(rows) => Rows::Exactly(rows),
            None => Rows::UpTo(contract.rows_max.unwrap_or(1).max(1)),
        }
    }

    /// How a model is run, in plain sentences.
    pub(super) fn told(self) -> Vec<String> {
        vec![match self {
            Rows::UpTo(1) => {
                "ONNX Runtime runs one row at a time: nothing shows that the rows of a batch do not meet".to_owned()
            }
            Rows::UpTo(rows) => format!("ONNX Runtime runs it, any number of rows up to {rows} at a time"),
            Rows::Exactly(1) => "ONNX Runtime runs one row at a time, as the graph says".to_owned(),
            Rows::Exactly(rows) => format!("ONNX Runtime runs it, {rows} rows at a time as the graph says"),
        }]
    }

    fn max(self) -> usize {
        match self {
            Rows::Exactly(rows) | Rows::UpTo(rows) => rows,
        }
    }

    /// Gives `rows` rows of `inputs` to `run`, batch by batch, and puts what comes out together.
    pub(super) fn in_batches(
        self,
        rows: usize,
        inputs: &[Tensor],
        run: impl Fn(usize, &[Tensor]) -> Result<Vec<Tensor>, Error>,
    ) -> Result<Vec<Tensor>, Error> {
        if self == Rows::Exactly(rows) || matches!(self, Rows::UpTo(max) if rows <= max) {
            return run(rows, inputs);
        }
        let mut parts: Vec<Vec<Tensor>> = Vec::new();
        for start in (0..rows).step_by(self.max()) {
            let end = rows.min(start + self.max());
            let batch: Vec<Tensor> = inputs.iter().map(|it| cut(it, start, end)).collect::<Result<_, _>>()?;
            parts.push(self.one_batch(end - start, batch, &run)?);
        }
        let outputs = parts.first().map_or(0, Vec::len);
        (0..outputs).map(|output| joined(&parts, output)).collect()
    }

    fn one_batch(
        self,
        rows: usize,
        batch: Vec<Tensor>,
        run: impl Fn(usize, &[Tensor]) -> Result<Vec<Tensor>, Error>,
    ) -> Result<Vec<Tensor>, Error> {
        match self {
            Rows::Exactly(all) if rows < all => {
                let padded: Vec<Tensor> = batch.iter().map(|it| padded(it, rows, all)).collect::<Result<_, _>>()?;
                run(all, &padded)?.iter().map(|output| cut(output, 0, rows)).collect()
            }
            _ => run(rows, &batch),
        }
    }
}

fn cut(tensor: &Tensor, start: usize, end: usize) -> Result<Tensor, Error> {
    tensor.slice(0, start, end).map_err(|error| Error::Input(error.to_string()))
}

/// With its last row repeated: whatever holds for the data holds for the padding.
fn padded(tensor: &Tensor, rows: usize, all: usize) -> Result<Tensor, Error> {
    let last = cut(tensor, rows - 1, rows)?;
    let mut parts = vec![tensor];
    parts.resize(1 + all - rows, &last);
    Tensor::stack_tensors(0, &parts).map_err(|error| Error::Input(error.to_string()))
}

fn joined(parts: &[Vec<Tensor>], output: usize) -> Result<Tensor, Error> {
    let parts: Vec<&Tensor> = parts.iter().filter_map(|part| part.get(output)).collect();
    Tensor::stack_tensors(0, &parts)
        .map_err(|_| Error::Failed(format!("output {} has another shape in each batch", output + 1)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use volley_onnx::{tensor_from, tensor_values};

    use super::*;

    /// The rows of each run for five rows, if every run gives back what it got.
    fn runs(rows: Rows) -> Vec<Vec<i64>> {
        let seen = RefCell::new(Vec::new());
        let values: Vec<i64> = (0..5).collect();
        let echoed = rows.in_batches(5, &[tensor_from(&[5], values.clone())], |count, inputs| {
            let batch = tensor_values::<i64>(&inputs[0]).expect("integers").to_vec();
            assert_eq!(batch.len(), count);
            seen.borrow_mut().push(batch);
            Ok(inputs.to_vec())
        });
        assert_eq!(tensor_values::<i64>(&echoed.expect("an echo")[0]), Some(&*values));
        seen.into_inner()
    }

    #[test]
    fn rows_are_cut_padded_and_joined_again() {
        assert_eq!(runs(Rows::UpTo(8)), [[0, 1, 2, 3, 4]]);
        assert_eq!(runs(Rows::UpTo(2)), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(runs(Rows::Exactly(5)), [[0, 1, 2, 3, 4]]);
        assert_eq!(runs(Rows::Exactly(3)), [[0, 1, 2], [3, 4, 4]]);
    }
}
