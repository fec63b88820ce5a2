//! Rows as a stream of Arrow's IPC format, which ends as one only if all rows came.

use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use axum::body::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};

use super::sql::Broken;
use crate::error::ServerError;
use crate::gateway::StatementRows;

/// The bytes of rows as they come. An error ends them without the mark that ends a whole stream, and is kept in
/// `broken` for whoever asks why.
pub(super) async fn bytes(
    rows: StatementRows,
    id: String,
    broken: Arc<Broken>,
) -> Result<impl Stream<Item = Result<Bytes, ServerError>>, ServerError> {
    let StatementRows { schema, mut batches } = rows;
    // What fails before the first row is told in the answer itself.
    let first = batches.next().await.transpose()?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(unwritable)?;
    if let Some(batch) = &first {
        writer.write(batch).map_err(unwritable)?;
    }
    let begun = std::mem::take(writer.get_mut());
    let rest = stream::unfold(Some((writer, batches)), move |state| {
        let (id, broken) = (id.clone(), broken.clone());
        async move {
            let (mut writer, mut batches) = state?;
            match next(&mut writer, &mut batches).await {
                Ok((bytes, true)) => Some((Ok(bytes), Some((writer, batches)))),
                Ok((bytes, false)) => Some((Ok(bytes), None)),
                Err(error) => {
                    broken.keep(id, error.clone());
                    Some((Err(error), None))
                }
            }
        }
    });
    Ok(stream::iter([Ok(Bytes::from(begun))]).chain(rest))
}

/// The bytes of the next batch, and whether more may come.
async fn next(
    writer: &mut StreamWriter<Vec<u8>>,
    batches: &mut BoxStream<'static, Result<RecordBatch, ServerError>>,
) -> Result<(Bytes, bool), ServerError> {
    let batch = batches.next().await.transpose()?;
    match &batch {
        Some(batch) => writer.write(batch).map_err(unwritable)?,
        None => writer.finish().map_err(unwritable)?,
    }
    Ok((std::mem::take(writer.get_mut()).into(), batch.is_some()))
}

fn unwritable(error: ArrowError) -> ServerError {
    ServerError::new("unsupported_columns", format!("the rows cannot be sent: {error}"))
}
