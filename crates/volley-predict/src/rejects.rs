//! Rows that a model cannot score: where a split tells of them, and how many of them a job bears.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::TaskContext;

use crate::error::PredictError;
use crate::locations::RowLocation;

/// The split that a task scores for. A task that has one as an extension of its session tells its rows by it, and if
/// it takes rejects, leaves out the rows that a model fails at.
#[derive(Debug)]
pub struct ScoringSplit {
    split: u32,
    rejects: Option<Rejects>,
}

/// What a split does with rows that a model fails at.
#[derive(Debug)]
struct Rejects {
    job: String,
    budget: Arc<RejectBudget>,
    with_inputs: bool,
    rows: Mutex<Vec<Reject>>,
}

/// How many rows of a job may be rejected, over all its splits.
#[derive(Debug)]
pub struct RejectBudget {
    max: u64,
    taken: AtomicU64,
}

impl RejectBudget {
    /// A budget of `max` rows, of which `taken` were rejected by splits that are done.
    pub fn new(max: u64, taken: u64) -> Self {
        Self { max, taken: AtomicU64::new(taken) }
    }

    fn take_one(&self) -> bool {
        self.taken.fetch_add(1, Ordering::Relaxed) < self.max
    }
}

/// One rejected row. Its order is that of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reject {
    pub(crate) location: RowLocation,
    pub(crate) model: String,
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    /// What the model was given, as JSON.
    pub(crate) inputs: Option<String>,
}

impl ScoringSplit {
    /// A split whose job fails at the first row that cannot be scored.
    pub fn failing(split: u32) -> Self {
        Self { split, rejects: None }
    }

    /// A split of `job` whose rejected rows wait here until they are [taken](Self::rejected); `with_inputs` they keep
    /// what the model was given.
    pub fn rejecting(split: u32, job: String, budget: Arc<RejectBudget>, with_inputs: bool) -> Self {
        Self { split, rejects: Some(Rejects { job, budget, with_inputs, rows: Mutex::default() }) }
    }

    pub(crate) fn of(task: &TaskContext) -> Option<Arc<Self>> {
        task.session_config().get_extension::<Self>()
    }

    pub(crate) fn number(&self) -> u32 {
        self.split
    }

    pub(crate) fn takes_rejects(&self) -> bool {
        self.rejects.is_some()
    }

    pub(crate) fn keeps_inputs(&self) -> bool {
        self.rejects.as_ref().is_some_and(|rejects| rejects.with_inputs)
    }

    /// Errors: `too_many_rejects`, which tells the row that was one too many.
    pub(crate) fn reject(&self, row: Reject) -> Result<(), PredictError> {
        let rejects = self.rejects.as_ref().expect("asked before");
        if !rejects.budget.take_one() {
            let place = row.location.told(Some(self.split), 0);
            let Reject { model, reason, .. } = row;
            return Err(PredictError::TooManyRejects { max: rejects.budget.max, model, place, reason });
        }
        rejects.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        Ok(())
    }

    /// The rows that were rejected so far, as a table of [`rejects_schema`]: in an order of their own, since slices
    /// depend on timing and a repeated split must write the same bytes.
    pub fn rejected(&self) -> Result<RecordBatch> {
        let Some(rejects) = &self.rejects else { return Ok(RecordBatch::new_empty(rejects_schema())) };
        let mut rows = rejects.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        rows.sort();
        let text =
            |of: fn(&Reject) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![rejects.job.as_str(); rows.len()])),
            Arc::new(UInt32Array::from(vec![self.split; rows.len()])),
            text(|row| row.location.file.as_deref()),
            Arc::new(rows.iter().map(|row| row.location.row).collect::<Int64Array>()),
            text(|row| Some(&row.model)),
            text(|row| Some(row.code)),
            text(|row| Some(&row.reason)),
            text(|row| row.inputs.as_deref()),
        ];
        Ok(RecordBatch::try_new(rejects_schema(), columns)?)
    }
}

/// The columns of a table of rejects; the same whatever is kept, so that one table can hold those of many jobs.
pub fn rejects_schema() -> SchemaRef {
    let field = |name: &str, of: DataType, nullable| Field::new(name, of, nullable);
    let fields = vec![
        field("job", DataType::Utf8, false),
        field("split", DataType::UInt32, false),
        field("file", DataType::Utf8, true),
        field("row", DataType::Int64, true),
        field("model", DataType::Utf8, false),
        field("code", DataType::Utf8, false),
        field("reason", DataType::Utf8, false),
        field("inputs", DataType::Utf8, true),
    ];
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;

    use super::*;

    fn reject(row: Option<i64>) -> Reject {
        let location = RowLocation { file: row.map(|_| "/in/a.parquet".to_owned()), row };
        let (model, reason) = ("division/1".to_owned(), "the model failed".to_owned());
        Reject { location, model, code: "score_failed", reason, inputs: None }
    }

    #[test]
    fn rejects_come_in_the_order_of_their_locations() {
        let budget = Arc::new(RejectBudget::new(9, 0));
        let split = ScoringSplit::rejecting(7, "job".to_owned(), budget, false);
        for row in [Some(5), None, Some(1), Some(12)] {
            split.reject(reject(row)).expect("within the budget");
        }
        let rejected = split.rejected().expect("a table");
        let rows: Vec<_> = rejected.column(3).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(rows, [None, Some(1), Some(5), Some(12)]);
    }

    #[test]
    fn the_splits_of_a_job_share_one_budget_with_those_that_are_done() {
        let budget = Arc::new(RejectBudget::new(3, 1));
        let split = |number| ScoringSplit::rejecting(number, "job".to_owned(), budget.clone(), false);
        split(1).reject(reject(Some(1))).expect("the second");
        split(2).reject(reject(Some(2))).expect("the third");
        let told = split(3).reject(reject(Some(3))).expect_err("the fourth");
        assert_eq!(told.code(), "too_many_rejects");
        let expected = "more rows cannot be scored than max_rejects = 3 allows, one of them row 3 (from 0) of '/in/a.parquet': model `division/1`: the model failed";
        assert_eq!(told.to_string(), expected);
    }
}
