//! Trying a model out before it is registered: that it loads and scores, and what that costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::{
    Argument, Arguments, Artifact, BindOptions, Binding, Contract, Input, InputType, Limits, ModelError, Runtimes,
    Scorer, bind,
};

/// What was seen of a model when it was loaded and run, on the machine that registered it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Seconds to load it.
    pub load_seconds: f64,
    /// Bytes by which the process grew while the model was loaded and run; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Of one thread, for rows made up from the types of the inputs; absent where the model refuses such rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds_per_row: Option<f64>,
    /// What was done to make it ready, as [`Scorer::preparation`] says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preparation: Vec<String>,
}

/// Rows of a run that is timed: a slice of a batch.
const ROWS: usize = 1024;
const RUNS_MAX: u32 = 20;
const TIME_MAX: Duration = Duration::from_millis(200);

/// Loads a model, scores no row, one row and many, and says what it cost. Errors are those of [`Runtimes::load`], and
/// of scoring no rows at all; a model may refuse made-up rows, so those cannot fail it, but for a row that asks for more
/// memory than a tensor may take.
pub fn try_out(
    artifact: &Artifact,
    contract: &Contract,
    runtimes: &Runtimes,
    limits: &Limits,
) -> Result<Trial, ModelError> {
    let (before, start) = (resident_bytes(), Instant::now());
    let scorer = runtimes.load(artifact, contract, limits)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let nanoseconds_per_row = match rows_of(contract) {
        Some(rows) => {
            rows.score(&*scorer, 0)?;
            rows.nanoseconds_per_row(&*scorer)?
        }
        None => None,
    };
    let memory_bytes = before.zip(resident_bytes()).map(|(before, after)| after.saturating_sub(before));
    let preparation = scorer.preparation().to_vec();
    Ok(Trial { load_seconds, memory_bytes, nanoseconds_per_row, preparation })
}

/// Rows that were made up, and how they reach the model.
struct Rows {
    binding: Binding,
    columns: Vec<ArrayRef>,
}

impl Rows {
    fn score(&self, scorer: &dyn Scorer, rows: usize) -> Result<(), ModelError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|column| column.slice(0, rows)).collect();
        scorer.score(&self.binding, &columns, rows).map(drop)
    }

    /// Of the fastest run; `None` if the model refuses the rows.
    fn nanoseconds_per_row(&self, scorer: &dyn Scorer) -> Result<Option<f64>, ModelError> {
        match self.score(scorer, 1) {
            Err(error @ ModelError::Onnx(volley_onnx::Error::TooLarge { .. })) => return Err(error),
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        let start = Instant::now();
        let mut fastest = Duration::MAX;
        for _ in 0..RUNS_MAX {
            let run = Instant::now();
            if self.score(scorer, ROWS).is_err() {
                return Ok(None);
            }
            fastest = fastest.min(run.elapsed());
            if start.elapsed() > TIME_MAX {
                break;
            }
        }
        Ok(Some(fastest.as_nanos() as f64 / ROWS as f64))
    }
}

/// `None` for inputs that no column can be made up for.
fn rows_of(contract: &Contract) -> Option<Rows> {
    let columns: Vec<ArrayRef> = contract.inputs.iter().enumerate().map(column_of).collect::<Option<_>>()?;
    let argument = |column: &ArrayRef| Argument { name: None, data_type: column.data_type().clone(), nullable: false };
    let arguments = Arguments::Positional(columns.iter().map(argument).collect());
    let binding = bind(contract, "", &arguments, &BindOptions::default()).ok()?;
    Some(Rows { binding, columns })
}

fn column_of((index, input): (usize, &Input)) -> Option<ArrayRef> {
    let InputType::List { len, .. } = &input.declared else {
        return values(input, index, ROWS);
    };
    let width = (*len)?;
    let values = values(input, index, ROWS * width)?;
    let field = Arc::new(Field::new("item", values.data_type().clone(), false));
    let lists = FixedSizeListArray::try_new(field, i32::try_from(width).ok()?, values, None).ok()?;
    Some(Arc::new(lists))
}

/// Numbers spread around zero, so that trees are walked in many ways; texts and whole numbers that most models know.
fn values(input: &Input, seed: usize, count: usize) -> Option<ArrayRef> {
    let numbers = || Float64Array::from_iter_values((0..count).map(|at| spread(seed, at)));
    let column: ArrayRef = match input.declared.scalar() {
        InputType::Boolean => Arc::new(BooleanArray::from_iter((0..count).map(|at| Some(at % 2 == 0)))),
        InputType::String => Arc::new(StringArray::from_iter_values((0..count).map(|_| "a"))),
        InputType::Binary => return None,
        InputType::Float16 | InputType::Float32 => cast(&numbers(), &DataType::Float32).ok()?,
        InputType::Float64 => Arc::new(numbers()),
        InputType::Datetime => new_null_array(&DataType::Timestamp(TimeUnit::Nanosecond, None), count),
        integer => {
            cast(&Int64Array::from_iter_values((0..count).map(|at| (at % 2) as i64)), &integer_type(integer)?).ok()?
        }
    };
    Some(column)
}

fn integer_type(declared: &InputType) -> Option<DataType> {
    Some(match declared {
        InputType::Int8 => DataType::Int8,
        InputType::Int16 => DataType::Int16,
        InputType::Int32 => DataType::Int32,
        InputType::Int64 => DataType::Int64,
        InputType::UInt8 => DataType::UInt8,
        InputType::UInt16 => DataType::UInt16,
        InputType::UInt32 => DataType::UInt32,
        InputType::UInt64 => DataType::UInt64,
        _ => return None,
    })
}

/// From -3 to 3, without a pattern that a branch predictor could learn.
fn spread(seed: usize, at: usize) -> f64 {
    let mixed = ((seed as u64) << 32 | at as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 11) as f64 / (1u64 << 53) as f64 * 6.0 - 3.0
}

/// What the process holds in memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_from_before_preparations_were_told_is_read_and_written_as_it_was() {
        let text = r#"{"load_seconds":0.5,"memory_bytes":1024}"#;
        let trial: Trial = serde_json::from_str(text).expect("a record");
        assert_eq!(trial.preparation, [""; 0]);
        assert_eq!(serde_json::to_string(&trial).expect("a record"), text);
    }
}
