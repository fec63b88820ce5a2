//! The columns that an Arrow file records, read from its end.

use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::convert::fb_to_schema;
use datafusion::arrow::ipc::reader::read_footer_length;
use datafusion::arrow::ipc::root_as_footer;
use datafusion::error::Result;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

/// The length of the footer and the mark, at the very end.
const TAIL_BYTES: u64 = 10;

/// The columns of a file; `None` for one without a footer, such as a stream.
///
/// DataFusion reads them from the beginning where a file does not lie on this machine, and takes for granted that
/// the first message follows after 8 bytes. Files of arrow-rs, ours among them, have it after 64.
pub(super) async fn schema(store: &dyn ObjectStore, file: &ObjectMeta) -> Result<Option<Schema>> {
    let Some(end) = file.size.checked_sub(TAIL_BYTES) else { return Ok(None) };
    let tail = store.get_range(&file.location, end..file.size).await?;
    let length = <[u8; TAIL_BYTES as usize]>::try_from(tail.as_ref()).map(read_footer_length);
    let Ok(Ok(length)) = length else { return Ok(None) };
    let Some(start) = end.checked_sub(length as u64) else { return Ok(None) };
    let footer = store.get_range(&file.location, start..end).await?;
    let footer = root_as_footer(&footer).map_err(|error| ArrowError::ParseError(error.to_string()))?;
    Ok(footer.schema().map(fb_to_schema))
}
