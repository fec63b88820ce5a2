//! Scoring a batch: the trait that runtimes implement, and the results of the three functions.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use crate::contract::{label_type, probability_fields};
use crate::{Binding, ClassLabels, Contract, Function, ModelError, Output};

/// A loaded model. Loading is dear and scoring is not: one is shared by all threads of a process.
pub trait Scorer: Send + Sync + fmt::Debug {
    /// What it was loaded with.
    fn contract(&self) -> &Contract;

    /// What was done to the model to make it ready, in plain sentences without a full stop: what was rewritten, which
    /// road it takes, for how many rows it is planned.
    fn preparation(&self) -> &[String];

    /// Scores `rows` rows; `columns` are the call's arguments in their order, each `rows` long.
    /// Rows that a null rule excludes, and rows with a NaN score, come back as NULL.
    fn score(&self, binding: &Binding, columns: &[ArrayRef], rows: usize) -> Result<Scores, ModelError>;
}

/// The scores of a batch.
#[derive(Clone, Debug)]
pub struct Scores {
    /// In the contract's order, asides behind, as long as the batch. A ZipMap comes as the list of its probabilities.
    pub outputs: Vec<ArrayRef>,
    /// Rows with a NULL in any output.
    pub null_scores: usize,
}

impl Scores {
    /// The column that a function gives, of [`Contract::result_type`]. A row without a score is NULL, and so is each of its fields.
    pub fn result(&self, contract: &Contract, function: Function) -> Result<ArrayRef, ModelError> {
        match function {
            Function::Predict => self.predict(contract),
            Function::PredictProba => {
                let (index, labels) = contract.probabilities()?;
                probabilities(&self.outputs[index], &labels)
            }
            Function::PredictLabel => {
                let (index, output) = contract.label_output()?;
                converted(&self.outputs[index], &label_type(output.element))
            }
        }
    }

    fn predict(&self, contract: &Contract) -> Result<ArrayRef, ModelError> {
        let results: Vec<_> = contract
            .outputs
            .iter()
            .zip(&self.outputs)
            .map(|(output, scores)| result_of(output, scores))
            .collect::<Result<_, _>>()?;
        if let [only] = results.as_slice() {
            return Ok(only.clone());
        }
        let DataType::Struct(fields) = contract.result_type(Function::Predict)? else {
            return Err(ModelError::UnsupportedOutput("the model has no outputs".to_owned()));
        };
        let nulls = all_null(&results);
        Ok(Arc::new(StructArray::try_new(fields, results, nulls).map_err(mismatch)?))
    }
}

/// A struct is NULL where every one of its fields is.
fn all_null(fields: &[ArrayRef]) -> Option<NullBuffer> {
    let mut valid: Option<BooleanBuffer> = None;
    for field in fields {
        let nulls = field.nulls()?;
        valid = Some(match valid {
            None => nulls.inner().clone(),
            Some(valid) => &valid | nulls.inner(),
        });
    }
    valid.map(NullBuffer::new).filter(|nulls| nulls.null_count() > 0)
}

fn result_of(output: &Output, scores: &ArrayRef) -> Result<ArrayRef, ModelError> {
    match &output.class_labels {
        Some(labels) if output.zipmap => probabilities(scores, labels),
        _ => Ok(scores.clone()),
    }
}

/// One double column for each class, out of a list (or of one number where there is one class).
fn probabilities(scores: &ArrayRef, labels: &ClassLabels) -> Result<ArrayRef, ModelError> {
    let columns = match scores.as_list_opt::<i32>() {
        Some(lists) => class_columns(lists, labels.len())?,
        None if labels.len() == 1 => vec![converted(scores, &DataType::Float64)?],
        None => return Err(width_error(1, labels.len())),
    };
    let array = StructArray::try_new(probability_fields(labels), columns, scores.nulls().cloned()).map_err(mismatch)?;
    Ok(Arc::new(array))
}

fn class_columns(lists: &ListArray, classes: usize) -> Result<Vec<ArrayRef>, ModelError> {
    let other_width = (0..lists.len()).filter(|&row| lists.is_valid(row)).map(|row| lists.value_length(row) as usize);
    if let Some(width) = { other_width }.find(|&width| width != classes) {
        return Err(width_error(width, classes));
    }
    let values = converted(lists.values(), &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    Ok((0..classes).map(|class| class_column(lists, values, class)).collect())
}

fn class_column(lists: &ListArray, values: &Float64Array, class: usize) -> ArrayRef {
    let at = |row: usize| lists.value_offsets()[row] as usize + class;
    let column: Float64Array = if lists.null_count() == 0 && values.null_count() == 0 {
        (0..lists.len()).map(|row| values.values()[at(row)]).collect::<Vec<_>>().into()
    } else {
        let value = |row| (lists.is_valid(row) && values.is_valid(at(row))).then(|| values.value(at(row)));
        (0..lists.len()).map(value).collect()
    };
    Arc::new(column)
}

fn width_error(width: usize, classes: usize) -> ModelError {
    ModelError::Score(format!("the model gives {width} probabilities a row and names {classes} classes"))
}

fn converted(scores: &ArrayRef, to: &DataType) -> Result<ArrayRef, ModelError> {
    if scores.data_type() == to { Ok(scores.clone()) } else { cast(scores, to).map_err(mismatch) }
}

fn mismatch(_: arrow::error::ArrowError) -> ModelError {
    // Arrow's messages may quote values, and those are a customer's.
    ModelError::Score("the model's outputs are not of the types that its graph declares".to_owned())
}
