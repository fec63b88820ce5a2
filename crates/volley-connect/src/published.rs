//! The rows of published files, read back and summed up again.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use volley_commit::{Location, PublishedFile};

use crate::error::{ConnectError, Result};
use crate::exec::RowSum;
use crate::format::{FileKind, Format};

/// What reading a published file back says of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsRead {
    /// They are those that were written.
    AsWritten,
    /// They are not, and how.
    Differ(String),
    /// No sum of them is known, or the format does not give the same values back.
    Unknown,
}

/// Reads the rows of a published file and compares them with what its writer counted and summed up, whatever its
/// bytes are. Holds a row group at a time.
///
/// Text formats give other types back than were written, so only the rows of Parquet files can be told.
/// Errors: those of the store.
pub async fn read_rows(at: &Location, file: &PublishedFile) -> Result<RowsRead> {
    let format = FileKind::of(&file.path).map(|kind| kind.format);
    let (Some(sum), Some(Format::Parquet)) = (&file.rows_sum, format) else {
        return Ok(RowsRead::Unknown);
    };
    let path = at.path(&file.path)?;
    let found = match sum_of(at, &path, file.bytes).await {
        Ok(found) => found,
        Err(error) => return unreadable(&at.shown(&path), error),
    };
    Ok(match found {
        Found { rows, .. } if rows != file.rows => {
            RowsRead::Differ(format!("it had {} rows, and {rows} are read", file.rows))
        }
        Found { sum: None, .. } => RowsRead::Unknown,
        Found { sum: Some(found), .. } if found.text() == *sum => RowsRead::AsWritten,
        Found { .. } => RowsRead::Differ("its rows are not those that were written".to_owned()),
    })
}

/// What was read of a file; no sum where it has a column of a type that has none.
struct Found {
    rows: u64,
    sum: Option<RowSum>,
}

async fn sum_of(at: &Location, path: &Path, bytes: u64) -> Result<Found, ParquetError> {
    let file = StoredFile { store: at.store.clone(), path: path.clone(), bytes };
    let mut batches = ParquetRecordBatchStreamBuilder::new(file).await?.build()?;
    let mut found = Found { rows: 0, sum: Some(RowSum::default()) };
    while let Some(batch) = batches.try_next().await? {
        found.rows += batch.num_rows() as u64;
        found.sum = found.sum.and_then(|mut sum| sum.add(&batch).ok().map(|()| sum));
        tokio::task::coop::consume_budget().await;
    }
    Ok(found)
}

/// A Parquet file that is read part by part.
struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { Ok(self.store.get_range(&self.path, range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { Ok(self.store.get_ranges(&self.path, &ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let bytes = self.bytes;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, bytes).await?)) }.boxed()
    }
}

/// A store that failed says nothing of the file.
fn unreadable(file: &str, error: ParquetError) -> Result<RowsRead> {
    if let ParquetError::External(source) = error {
        return match source.downcast::<object_store::Error>() {
            Ok(error) => Err(ConnectError::store(file, *error)),
            Err(other) => Ok(RowsRead::Differ(format!("its rows cannot be read: {other}"))),
        };
    }
    Ok(RowsRead::Differ(format!("its rows cannot be read: {error}")))
}
