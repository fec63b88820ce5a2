//! One partition at work: slices of rows, scored call by call, and the search for rows that a model fails at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::{filter_record_batch, take};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use futures::StreamExt;
use volley_model::{ModelError, Source};

use super::ExecCall;
use super::guards::{places, reached};
use crate::call::BoundCall;
use crate::error::PredictError;
use crate::host::{LoadedModel, ModelHost};
use crate::locations::{RowLocation, width};
use crate::rejects::{Reject, ScoringSplit};

/// Scoring yields at least this often, so that a cancelled job stops and other work goes on.
const SLICE_TIME_MAX: Duration = Duration::from_millis(100);

pub(super) struct PredictMetrics {
    rows_scored: Count,
    null_scores: Count,
    output_rows: Count,
    load_time: Time,
    score_time: Time,
}

impl PredictMetrics {
    pub(super) fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            rows_scored: MetricBuilder::new(set).counter("rows_scored", partition),
            null_scores: MetricBuilder::new(set).counter("null_scores", partition),
            output_rows: MetricBuilder::new(set).output_rows(partition),
            load_time: MetricBuilder::new(set).subset_time("load_time", partition),
            score_time: MetricBuilder::new(set).subset_time("score_time", partition),
        }
    }
}

/// One partition at work.
pub(super) struct Scoring {
    pub(super) input: SendableRecordBatchStream,
    pub(super) calls: Vec<ExecCall>,
    pub(super) host: Arc<ModelHost>,
    pub(super) schema: SchemaRef,
    /// One for each call, once loaded.
    pub(super) models: Vec<Arc<LoadedModel>>,
    /// What the task knows of its split, if it works for one.
    pub(super) split: Option<Arc<ScoringSplit>>,
    /// What is left of a batch that takes more than one slice, the next rows last.
    pub(super) rest: Vec<RecordBatch>,
    pub(super) slice_rows: usize,
    pub(super) metrics: PredictMetrics,
}

/// A slice with its scores, and what is to be counted of it: a slice that fails half way counts for nothing.
struct ScoredSlice {
    batch: RecordBatch,
    rows_scored: usize,
    null_scores: usize,
}

/// Why a slice has no scores.
enum Unscored {
    /// Whatever its rows are.
    Failed(DataFusionError),
    /// Because of its rows.
    Rows(Refusal),
}

impl From<DataFusionError> for Unscored {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error)
    }
}

impl From<ArrowError> for Unscored {
    fn from(error: ArrowError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a model said of the rows of a slice.
struct Refusal {
    /// Which of the node's calls it was.
    call: usize,
    /// The row of the slice that is to blame, where one alone is.
    row: Option<usize>,
    model: String,
    source: ModelError,
}

impl Scoring {
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(slice) = self.next_slice().await? else { return Ok(None) };
            if self.models.is_empty() {
                self.load().await?;
            }
            let start = Instant::now();
            let scored = self.score(&slice);
            self.pace(slice.num_rows(), start.elapsed());
            tokio::task::yield_now().await;
            match scored {
                Ok(scored) => return Ok(Some(self.counted(scored))),
                Err(Unscored::Failed(error)) => return Err(error),
                Err(Unscored::Rows(refusal)) => self.leave_out(&slice, refusal)?,
            }
        }
    }

    async fn next_slice(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match self.rest.pop() {
            Some(rest) => rest,
            None => match self.input.next().await {
                Some(batch) => batch?,
                None => return Ok(None),
            },
        };
        if batch.num_rows() <= self.slice_rows {
            return Ok(Some(batch));
        }
        self.rest.push(batch.slice(self.slice_rows, batch.num_rows() - self.slice_rows));
        Ok(Some(batch.slice(0, self.slice_rows)))
    }

    async fn load(&mut self) -> Result<()> {
        let start = Instant::now();
        for call in &self.calls {
            self.models.push(self.host.model(&call.call.pin).await?);
        }
        self.metrics.load_time.add_elapsed(start);
        Ok(())
    }

    fn counted(&self, scored: ScoredSlice) -> RecordBatch {
        self.metrics.rows_scored.add(scored.rows_scored);
        self.metrics.null_scores.add(scored.null_scores);
        self.metrics.output_rows.add(scored.batch.num_rows());
        scored.batch
    }

    fn score(&self, slice: &RecordBatch) -> Result<ScoredSlice, Unscored> {
        let _timer = self.metrics.score_time.timer();
        let (mut rows_scored, mut null_scores) = (0, 0);
        let mut scores = Vec::with_capacity(self.calls.len());
        for call in 0..self.calls.len() {
            let (column, rows, nulls) = self.column(call, slice)?;
            scores.push(column);
            rows_scored += rows;
            null_scores += nulls;
        }
        let (own, locations) = slice.columns().split_at(width(&slice.schema()));
        let columns = own.iter().chain(&scores).chain(locations).cloned().collect();
        Ok(ScoredSlice { batch: RecordBatch::try_new(self.schema.clone(), columns)?, rows_scored, null_scores })
    }

    /// The scores of a call, how many rows reached it, and how many of those have none.
    fn column(&self, call: usize, slice: &RecordBatch) -> Result<(ArrayRef, usize, usize), Unscored> {
        let ExecCall { call: bound, guards, .. } = &self.calls[call];
        if guards.is_empty() {
            return self.scores(call, slice);
        }
        let reached = reached(guards, slice)?;
        match reached.true_count() {
            0 => Ok((new_null_array(bound.data_type(), slice.num_rows()), 0, 0)),
            all if all == slice.num_rows() => self.scores(call, slice),
            _ => {
                let among_all = |row| reached.values().set_indices().nth(row).unwrap_or(row);
                let scored = self.scores(call, &filter_record_batch(slice, &reached)?);
                let (scores, rows, nulls) = scored.map_err(|unscored| unscored.at(among_all))?;
                Ok((take(&scores, &places(&reached), None)?, rows, nulls))
            }
        }
    }

    fn scores(&self, call: usize, rows: &RecordBatch) -> Result<(ArrayRef, usize, usize), Unscored> {
        let count = rows.num_rows();
        let arguments = self.arguments(call, rows)?;
        match self.models[call].score(&self.calls[call].call, &arguments, count) {
            Ok(scored) => Ok((scored.result, count, scored.null_scores)),
            Err(PredictError::Score { model, source }) if source.is_of_rows() => {
                Err(Unscored::Rows(Refusal { call, row: source.row(), model, source }))
            }
            Err(error) => Err(Unscored::Failed(error.into())),
        }
    }

    fn arguments(&self, call: usize, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let arguments = self.calls[call].arguments.iter();
        arguments.map(|argument| argument.evaluate(rows)?.into_array(rows.num_rows())).collect()
    }

    /// Goes on without the row that is to blame, or with smaller slices until it is found. Fails where rows may not be
    /// left out.
    fn leave_out(&mut self, slice: &RecordBatch, refusal: Refusal) -> Result<()> {
        let count = slice.num_rows();
        let to_blame = refusal.row.or((count == 1).then_some(0));
        let Some(split) = self.split.clone().filter(|split| split.takes_rejects()) else {
            return Err(self.told(slice, to_blame, refusal).into());
        };
        match to_blame {
            // Rows that fail in company alone are scored one by one.
            None => self.put_back(slice, [0..count / 2, count / 2..count]),
            Some(row) => {
                split.reject(self.rejected(slice, row, &refusal, split.keeps_inputs())?)?;
                // Cut in two: of many rows that fail, each half names its first.
                let middle = row + 1 + (count - row - 1) / 2;
                self.put_back(slice, [0..row, row + 1..middle, middle..count]);
            }
        }
        Ok(())
    }

    fn put_back<const N: usize>(&mut self, slice: &RecordBatch, parts: [std::ops::Range<usize>; N]) {
        let parts = parts.into_iter().rev().filter(|part| !part.is_empty());
        self.rest.extend(parts.map(|part| slice.slice(part.start, part.len())));
    }

    fn rejected(&self, slice: &RecordBatch, row: usize, refusal: &Refusal, with_inputs: bool) -> Result<Reject> {
        let inputs = match with_inputs {
            true => {
                let arguments = self.arguments(refusal.call, &slice.slice(row, 1))?;
                Some(as_json(&self.calls[refusal.call].call, arguments)?)
            }
            false => None,
        };
        let (location, model) = (RowLocation::of(slice, row), refusal.model.clone());
        Ok(Reject { location, model, code: refusal.source.code(), reason: refusal.source.reason(), inputs })
    }

    /// The error of a job that bears no such row. It names one, by a search if need be.
    fn told(&self, slice: &RecordBatch, to_blame: Option<usize>, refusal: Refusal) -> PredictError {
        let (row, refusal) = match to_blame {
            Some(row) => (row, refusal),
            None => match self.first_to_blame(slice) {
                Some(found) => found,
                // Its rows fail in company alone.
                None => return PredictError::Score { model: refusal.model, source: refusal.source },
            },
        };
        let split = self.split.as_ref().map(|split| split.number());
        PredictError::Row {
            place: RowLocation::of(slice, row).told(split, row),
            code: refusal.source.code(),
            reason: refusal.source.reason(),
            model: refusal.model,
        }
    }

    /// The first row that fails alone, found by scoring the halves of what fails.
    fn first_to_blame(&self, slice: &RecordBatch) -> Option<(usize, Refusal)> {
        let refusal = |start: usize, end: usize| match self.score(&slice.slice(start, end - start)) {
            Err(Unscored::Rows(refusal)) => Some(refusal),
            _ => None,
        };
        let (mut start, mut end) = (0, slice.num_rows());
        while end - start > 1 {
            let middle = start + (end - start) / 2;
            match refusal(start, middle) {
                Some(_) => end = middle,
                None => start = middle,
            }
        }
        refusal(start, end).map(|refusal| (start, refusal))
    }

    /// Makes the next slice take about [`SLICE_TIME_MAX`] at most, going by the last one.
    fn pace(&mut self, rows: usize, took: Duration) {
        if took > SLICE_TIME_MAX {
            let share = SLICE_TIME_MAX.as_secs_f64() / took.as_secs_f64();
            self.slice_rows = ((rows as f64 * share) as usize).max(1);
        } else if rows >= self.slice_rows {
            self.slice_rows = self.slice_rows.saturating_mul(2);
        }
    }
}

impl Unscored {
    /// The same, its row counted otherwise.
    fn at(self, place: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Rows(refusal) => Self::Rows(Refusal { row: refusal.row.map(place), ..refusal }),
            failed => failed,
        }
    }
}

/// One row of arguments as a JSON object, by the names of the inputs that they feed.
fn as_json(call: &BoundCall, arguments: Vec<ArrayRef>) -> Result<String> {
    let name = |argument: usize| {
        let mut inputs = call.binding.inputs.iter();
        let fed = inputs.find(|input| input.source == Source::Argument(argument));
        fed.and_then(|input| input.name.clone()).unwrap_or_else(|| format!("argument {}", argument + 1))
    };
    let fields: Vec<_> = arguments
        .iter()
        .enumerate()
        .map(|(nth, column)| Field::new(name(nth), column.data_type().clone(), true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arguments)?;
    let mut json = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut json);
    writer.write(&batch)?;
    writer.finish()?;
    Ok(String::from_utf8_lossy(&json).trim_end().to_owned())
}
