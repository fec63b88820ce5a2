//! What EXPLAIN shows of a statement's predict calls, before its plans.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use volley_predict::{ShownCall, shown_calls};

/// A row for each call of an explained statement, in the columns of EXPLAIN: model, version, digest, runtime,
/// and a line for each input. `None` for any other statement, and without calls.
pub(crate) fn explained_calls(plan: &LogicalPlan) -> Result<Option<RecordBatch>> {
    let LogicalPlan::Explain(explain) = plan else { return Ok(None) };
    let calls = shown_calls(&explain.plan)?;
    if calls.is_empty() {
        return Ok(None);
    }
    let kinds = StringArray::from_iter_values(calls.iter().map(|_| "predict"));
    let texts = StringArray::from_iter_values(calls.iter().map(ShownCall::to_string));
    Ok(Some(RecordBatch::try_from_iter([("plan_type", Arc::new(kinds) as _), ("plan", Arc::new(texts) as _)])?))
}
