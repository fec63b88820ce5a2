//! Which rows reach a call.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{filter, filter_record_batch};
use datafusion::common::Result;
use datafusion::common::cast::{as_boolean_array, as_uint32_array};
use datafusion::physical_plan::PhysicalExpr;

/// The rows for which one of the lists of conditions holds in full.
pub(super) fn reached(guards: &[Vec<Arc<dyn PhysicalExpr>>], batch: &RecordBatch) -> Result<BooleanArray> {
    let mut flags = vec![false; batch.num_rows()];
    for conditions in guards {
        for row in rows_that_pass(conditions, batch)?.values() {
            flags[*row as usize] = true;
        }
    }
    Ok(BooleanArray::from(flags))
}

/// Each condition sees the rows that the ones before it left: a later one may fail on the others.
fn rows_that_pass(conditions: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<UInt32Array> {
    let mut rows = UInt32Array::from_iter_values(0..batch.num_rows() as u32);
    let mut left = batch.clone();
    for condition in conditions {
        let value = condition.evaluate(&left)?.into_array(left.num_rows())?;
        let passes = as_boolean_array(&value)?;
        rows = as_uint32_array(&filter(&rows, passes)?)?.clone();
        left = filter_record_batch(&left, passes)?;
    }
    Ok(rows)
}

/// For each row its place among the rows that are set; null for the others.
pub(super) fn places(set: &BooleanArray) -> UInt32Array {
    let mut next = 0;
    let place = |flag: bool| {
        flag.then(|| {
            next += 1;
            next - 1
        })
    };
    set.values().iter().map(place).collect()
}
