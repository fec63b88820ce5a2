//! What was staged, read back from where it lies: the size, and the footer of a Parquet file.

use bytes::Bytes;
use datafusion::parquet::file::metadata::ParquetMetaDataReader;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use crate::format::Format;

/// Fits nearly every footer, so that one call is enough.
const TAIL_BYTES: u64 = 64 << 10;

/// The last 8 bytes: the footer's length, and a sign.
const END_BYTES: usize = 8;

/// Why a staged file is not what was written.
pub(super) enum Fault {
    /// The store failed.
    Store(object_store::Error),
    /// It is another file.
    Differs(String),
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

/// Reads back what a receipt is going to promise of a file, and gives the digest of its footer if it has one.
pub(super) async fn read_back(
    store: &dyn ObjectStore,
    path: &Path,
    format: Format,
    rows: u64,
    bytes: u64,
) -> Result<Option<String>, Fault> {
    match format {
        Format::Parquet => check_footer(store, path, rows, bytes).await.map(Some),
        Format::Csv | Format::Json | Format::Arrow => same_size(store.head(path).await?.size, bytes).map(|()| None),
    }
}

/// Reads the footer of a Parquet file back, looks whether it says as many rows as were counted, and gives its
/// digest.
async fn check_footer(store: &dyn ObjectStore, path: &Path, rows: u64, bytes: u64) -> Result<String, Fault> {
    let footer = footer(store, path, bytes).await?;
    let metadata = ParquetMetaDataReader::decode_metadata(&footer)
        .map_err(|error| Fault::Differs(format!("its footer cannot be read back: {error}")))?;
    match u64::try_from(metadata.file_metadata().num_rows()) {
        Ok(said) if said == rows => Ok(hex(&Sha256::digest(&footer))),
        _ => Err(Fault::Differs(format!(
            "its footer says {} rows, and {rows} were written",
            metadata.file_metadata().num_rows()
        ))),
    }
}

async fn footer(store: &dyn ObjectStore, path: &Path, bytes: u64) -> Result<Bytes, Fault> {
    let start = bytes.saturating_sub(TAIL_BYTES);
    let options = GetOptions { range: Some(GetRange::Offset(start)), ..GetOptions::default() };
    let result = store.get_opts(path, options).await?;
    same_size(result.meta.size, bytes)?;
    let tail = result.bytes().await?;
    let cut_off = || Fault::Differs("it has no footer".to_owned());
    let end = tail.len().checked_sub(END_BYTES).ok_or_else(cut_off)?;
    let length = u32::from_le_bytes(tail[end..end + 4].try_into().expect("four bytes")) as usize;
    match end.checked_sub(length) {
        Some(from) => Ok(tail.slice(from..end)),
        None => {
            let end = bytes - END_BYTES as u64;
            let from = end.checked_sub(length as u64).ok_or_else(cut_off)?;
            Ok(store.get_range(path, from..end).await?)
        }
    }
}

fn same_size(found: u64, bytes: u64) -> Result<(), Fault> {
    match found == bytes {
        true => Ok(()),
        false => Err(Fault::Differs(format!("it has {found} bytes, and {bytes} were written"))),
    }
}

/// As digests are written.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::parquet::arrow::ArrowWriter;
    use object_store::memory::InMemory;

    use super::*;

    fn parquet(rows: i64) -> Vec<u8> {
        let numbers = Arc::new(Int64Array::from_iter_values(0..rows)) as _;
        let batch = RecordBatch::try_from_iter([("n", numbers)]).expect("a batch");
        let mut writer = ArrowWriter::try_new(vec![], batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("written");
        writer.into_inner().expect("finished")
    }

    async fn check(stored: Vec<u8>, rows: u64, bytes: usize) -> Result<String, String> {
        let (store, path) = (InMemory::new(), Path::from("f"));
        store.put(&path, stored.into()).await.expect("stored");
        check_footer(&store, &path, rows, bytes as u64).await.map_err(|fault| match fault {
            Fault::Differs(how) => how,
            Fault::Store(error) => panic!("{error}"),
        })
    }

    #[tokio::test]
    async fn a_footer_is_read_back_and_compared() {
        let whole = parquet(100_000);
        assert!(whole.len() as u64 > TAIL_BYTES, "the footer is not all that is read");
        assert_eq!(check(whole.clone(), 100_000, whole.len()).await.expect("fine").len(), 64);
        let told = check(whole.clone(), 99_999, whole.len()).await.expect_err("other rows");
        assert!(told.contains("says 100000 rows, and 99999 were written"), "{told}");
        let told = check(whole[..whole.len() - 1].to_vec(), 100_000, whole.len()).await.expect_err("cut off");
        assert!(told.contains("bytes"), "{told}");
        let mut torn = whole.clone();
        let end = torn.len() - END_BYTES;
        torn[end..end + 4].fill(0xFF);
        assert!(check(torn, 100_000, whole.len()).await.expect_err("no length").contains("no footer"));
        assert!(check(vec![1, 2, 3], 0, 3).await.expect_err("no Parquet").contains("no footer"));
    }
}
