//! The staged files of one attempt, one open at a time and with a bounded number of bytes held.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use url::Url;
use volley_commit::{Attempt, Location, Root, StagedFile};

use super::encode::{Encode, encoder};
use super::footer::{self, Fault};
use super::hive::Folders;
use super::row_sum::RowSum;
use crate::error::ConnectError;
use crate::format::Format;
use crate::location::spelled;
use crate::write::WriteTarget;

/// Rows are encoded in blocks of this size, however they come: batch sizes depend on timing, and the
/// bytes of a file must not.
const BLOCK_ROWS: usize = 8192;

/// What a split may hold at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of the open row group, which is what readers hold at once too.
    pub(super) in_progress_max: usize,
    /// Size of the parts that are uploaded. S3 takes none under 5 MiB but the last.
    pub(super) part_bytes: usize,
}

const BOUNDS: Bounds = Bounds { in_progress_max: 64 << 20, part_bytes: 8 << 20 };

/// Writes rows to the staged files of an attempt, one file after the other.
pub(super) struct Files<'a> {
    attempt: &'a Attempt,
    staging: &'a Location,
    target: &'a WriteTarget,
    metadata: &'a BTreeMap<String, String>,
    root: Root,
    bounds: Bounds,
    schema: SchemaRef,
    file_schema: SchemaRef,
    blocks: BatchCoalescer,
    folders: Option<Folders>,
    open: Option<OpenFile>,
    done: Vec<StagedFile>,
}

impl<'a> Files<'a> {
    /// `metadata` goes into Parquet footers.
    pub(super) fn new(
        attempt: &'a Attempt,
        staging: &'a Location,
        schema: SchemaRef,
        target: &'a WriteTarget,
        metadata: &'a BTreeMap<String, String>,
    ) -> Result<Self> {
        let folders = Folders::of(&schema, target)?;
        let file_schema = match &folders {
            None => schema.clone(),
            Some(folders) => folders.file_schema(&schema)?,
        };
        Ok(Self {
            attempt,
            staging,
            target,
            metadata,
            root: Root::Result,
            bounds: BOUNDS,
            blocks: BatchCoalescer::new(schema.clone(), BLOCK_ROWS),
            schema,
            file_schema,
            folders,
            open: None,
            done: vec![],
        })
    }

    /// The same for files of the job's rejects, whose staging it must have been given.
    pub(super) fn of_rejects(self) -> Self {
        Self { root: Root::Rejects, ..self }
    }

    #[cfg(test)]
    pub(super) fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Takes rows in. Those of one folder come together, as [`Folders::rows_together`] gives them.
    pub(super) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.blocks.push_batch(batch)?;
        self.write_blocks().await
    }

    /// Bytes held in the open row group.
    pub(super) fn in_progress(&self) -> usize {
        self.open.as_ref().map_or(0, |file| file.encoder.in_progress())
    }

    /// Ends the last file and returns all in the order in which they were begun.
    pub(super) async fn finish(&mut self) -> Result<Vec<StagedFile>> {
        self.blocks.finish_buffered_batch()?;
        self.write_blocks().await?;
        self.close().await?;
        Ok(std::mem::take(&mut self.done))
    }

    /// One file without rows, which says what the columns are: all of them, for it lies in no folder.
    pub(super) async fn finish_empty(&mut self) -> Result<Vec<StagedFile>> {
        self.open = Some(self.new_file(String::new(), &self.schema)?);
        self.finish().await
    }

    /// Gives up the upload under way. Finished files are left to [`Attempt::discard`].
    pub(super) async fn abort(&mut self) {
        if let Some(mut file) = self.open.take() {
            // The split has failed already, for a better reason than this could give.
            let _ = file.upload.abort().await;
        }
    }

    async fn write_blocks(&mut self) -> Result<()> {
        while let Some(block) = self.blocks.next_completed_batch() {
            match &self.folders {
                None => self.write_to(String::new(), block).await?,
                Some(folders) => {
                    for (folder, rows) in folders.cut(&block)? {
                        self.write_to(folder, rows).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn write_to(&mut self, folder: String, rows: RecordBatch) -> Result<()> {
        if self.open.as_ref().is_none_or(|file| file.folder != folder) {
            self.close().await?;
            self.open = Some(self.new_file(folder, &self.file_schema)?);
        }
        let file = self.open.as_mut().expect("opened just now");
        file.write(&rows)?;
        if file.encoder.in_progress() > self.bounds.in_progress_max {
            file.encoder.close_group()?;
        }
        file.send().await
    }

    fn new_file(&self, folder: String, schema: &SchemaRef) -> Result<OpenFile> {
        let path = match self.root {
            Root::Result => self.attempt.staged_path(),
            Root::Rejects => self.attempt.rejects_path(),
        };
        let part_bytes = self.bounds.part_bytes;
        let store = self.staging.store.clone();
        Ok(OpenFile {
            upload: BufWriter::with_capacity(store.clone(), path.clone(), part_bytes).with_max_concurrency(4),
            store,
            split: self.attempt.split(),
            format: self.target.format,
            encoder: encoder(schema, self.target, self.metadata)?,
            name: name_of(&self.staging.url, &path),
            path,
            folder,
            rows: 0,
            bytes: 0,
            row_sum: Some(RowSum::default()),
            digest: Sha256::new(),
            part_bytes,
        })
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(file) = self.open.take() {
            let file = file.close().await?;
            self.done.push(if self.root == Root::Rejects { file.of_rejects() } else { file });
        }
        Ok(())
    }
}

fn name_of(staging: &str, path: &Path) -> String {
    Url::parse(staging).map_or_else(|_| path.to_string(), |store| spelled(&store, path))
}

/// A staged file that still grows.
struct OpenFile {
    path: Path,
    /// As messages name it.
    name: String,
    folder: String,
    split: u32,
    format: Format,
    rows: u64,
    bytes: u64,
    row_sum: Option<RowSum>,
    digest: Sha256,
    encoder: Box<dyn Encode>,
    store: Arc<dyn ObjectStore>,
    upload: BufWriter,
    part_bytes: usize,
}

impl OpenFile {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        // Rows of a type that has no sum are promised by the digest of their file alone.
        self.row_sum = self.row_sum.take().and_then(|mut sum| sum.add(rows).ok().map(|()| sum));
        self.encoder.write(rows)
    }

    /// Sends the bytes that are ready, a part at a time so that few are under way at once.
    async fn send(&mut self) -> Result<()> {
        let ready = Bytes::from(self.encoder.take());
        self.bytes += ready.len() as u64;
        self.digest.update(&ready);
        let mut rest = ready;
        while !rest.is_empty() {
            let part = rest.split_to(self.part_bytes.min(rest.len()));
            self.upload.put(part).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    async fn close(mut self) -> Result<StagedFile> {
        self.encoder.finish()?;
        self.send().await?;
        self.upload.shutdown().await.map_err(|error| self.failed(error.into_store_error()))?;
        let footer = footer::read_back(self.store.as_ref(), &self.path, self.format, self.rows, self.bytes).await;
        let footer = footer.map_err(|fault| self.refused(fault))?;
        let file = StagedFile::object(&self.path, self.folder, self.rows, self.bytes);
        let (rows_sum, sha256) = (self.row_sum.map(|sum| sum.text()), footer::hex(&self.digest.finalize()));
        Ok(StagedFile { sha256: Some(sha256), rows_sum, footer, ..file })
    }

    fn refused(&self, fault: Fault) -> ConnectError {
        match fault {
            Fault::Store(error) => self.failed(error),
            Fault::Differs(how) => {
                let reason = format!("{} is not what was written: {how}", self.name);
                ConnectError::Commit(volley_commit::Error::ReceiptInvalid { split: self.split, reason })
            }
        }
    }

    fn failed(&self, error: StoreError) -> ConnectError {
        ConnectError::staging(&self.name, error)
    }
}

/// Takes the store's error out of the I/O error that it came in.
trait IntoStoreError {
    fn into_store_error(self) -> StoreError;
}

impl IntoStoreError for std::io::Error {
    fn into_store_error(self) -> StoreError {
        match self.downcast::<StoreError>() {
            Ok(error) => error,
            Err(error) => StoreError::Generic { store: "staging", source: Box::new(error) },
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};
    use object_store::memory::InMemory;
    use volley_commit::{Job, JobId, JobSpec, Mode, Tally};

    use super::*;
    use crate::format::Format;

    /// Rows of about a kilobyte that do not compress, 500 of each value of `k` together.
    fn batch(first: u64, rows: u64) -> RecordBatch {
        let text = |n: u64| {
            let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut letters = String::with_capacity(1024);
            for _ in 0..1024 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                letters.push(char::from(b'0' + (state % 64) as u8));
            }
            letters
        };
        let keys = Int64Array::from_iter_values((first..first + rows).map(|n| (n / 500) as i64));
        let texts = StringArray::from_iter_values((first..first + rows).map(text));
        RecordBatch::try_from_iter([("k", Arc::new(keys) as _), ("text", Arc::new(texts) as _)]).expect("a batch")
    }

    async fn job() -> Job {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let at = |name: &str| Location::new(store.clone(), Path::from(name), format!("memory:///{name}/"));
        let spec = JobSpec {
            job: JobId::new(),
            mode: Mode::Error,
            splits: 1,
            extension: "parquet".to_owned(),
            provenance: serde_json::Map::new(),
        };
        Job::begin(&at("state"), &at("out"), &at("staging"), spec).await.expect("begun")
    }

    /// Writes 20 MB under bounds far below that, and gives the most that was held, the files and their bytes.
    async fn check(partition_by: &[&str], cut: u64) -> (usize, Vec<StagedFile>, Vec<Bytes>) {
        let target = WriteTarget {
            destination: "memory:///out/".to_owned(),
            format: Format::Parquet,
            mode: Mode::Error,
            partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
            options: BTreeMap::new(),
            rejects: None,
        };
        let (job, metadata) = (job().await, BTreeMap::new());
        let attempt = job.attempt(0);
        let store = job.staging().store.clone();
        let bounds = Bounds { in_progress_max: 2 << 20, part_bytes: 1 << 20 };
        let schema = batch(0, 1).schema();
        let files = Files::new(&attempt, job.staging(), schema, &target, &metadata).expect("files");
        let mut files = files.with_bounds(bounds);
        let mut held = 0;
        for first in (0..20_000).step_by(cut as usize) {
            files.write(batch(first, cut.min(20_000 - first))).await.expect("written");
            held = held.max(files.in_progress());
        }
        let staged = files.finish().await.expect("finished");
        let rows = staged.iter().map(|file| file.rows).sum();
        attempt
            .seal(Tally { rows_in: rows, rows_out: rows, ..Tally::default() }, staged.clone())
            .await
            .expect("sealed");
        let listed: Vec<_> =
            futures::TryStreamExt::try_collect(store.list(Some(&Path::from("staging")))).await.expect("listed");
        let mut bytes = vec![];
        for meta in listed {
            bytes.push(
                object_store::ObjectStoreExt::get(store.as_ref(), &meta.location)
                    .await
                    .expect("got")
                    .bytes()
                    .await
                    .expect("bytes"),
            );
        }
        bytes.sort();
        (held, staged, bytes)
    }

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let (held, staged, bytes) = check(&[], 1000).await;
        assert!(held <= 2 << 20, "{held}");
        assert_eq!(staged.len(), 1);
        assert_eq!(staged[0].rows, 20_000);
        assert_eq!(staged[0].bytes, bytes[0].len() as u64);
        assert!(staged[0].bytes > 10 << 20, "{}", staged[0].bytes);
    }

    #[tokio::test]
    async fn each_folder_is_one_file() {
        let (held, staged, _) = check(&["k"], 1000).await;
        assert!(held <= 2 << 20, "{held}");
        let folders: Vec<_> = staged.iter().map(|file| (file.partition.clone(), file.rows)).collect();
        assert_eq!(folders, (0..40).map(|k| (format!("k={k}"), 500)).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn bytes_do_not_depend_on_how_rows_come() {
        for partition_by in [&[][..], &["k"][..]] {
            let (_, _, some) = check(partition_by, 1000).await;
            let (_, _, others) = check(partition_by, 777).await;
            assert!(some == others, "{partition_by:?}");
        }
    }
}
