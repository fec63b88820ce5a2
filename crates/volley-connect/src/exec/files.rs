//! The staged files of one attempt, with a bounded number open and a bounded number of bytes held.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};
use tokio::io::AsyncWriteExt;
use volley_commit::{Attempt, StagedFile};

use super::columns::partition_columns;
use super::encode::{Encode, encoder};
use super::hive::{Partitioner, Routed};
use crate::error::ConnectError;
use crate::write::WriteTarget;

/// Rows are encoded in blocks of this size, however they come: batch sizes depend on timing, and the
/// bytes of a file must not.
const BLOCK_ROWS: usize = 8192;

/// What a split may hold at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of open row groups, over all open files. A row group is what readers hold at once too.
    pub(super) in_progress_max: usize,
    /// Open files. One that is not open any more is continued in another.
    pub(super) open_max: usize,
    /// Size of the parts that are uploaded. S3 takes none under 5 MiB but the last.
    pub(super) part_bytes: usize,
}

impl Bounds {
    fn of(target: &WriteTarget) -> Self {
        let part_bytes = if target.partition_by.is_empty() { 8 << 20 } else { 5 << 20 };
        Self { in_progress_max: 64 << 20, open_max: 16, part_bytes }
    }
}

/// Writes rows to the staged files of an attempt.
pub(super) struct Files<'a> {
    attempt: &'a Attempt,
    store: Arc<dyn ObjectStore>,
    target: &'a WriteTarget,
    metadata: &'a BTreeMap<String, String>,
    bounds: Bounds,
    schema: SchemaRef,
    file_schema: SchemaRef,
    blocks: BatchCoalescer,
    partitioner: Option<Partitioner>,
    open: BTreeMap<usize, OpenFile>,
    opened: usize,
    written: usize,
    done: BTreeMap<usize, StagedFile>,
}

impl<'a> Files<'a> {
    /// `metadata` goes into Parquet footers.
    pub(super) fn new(
        attempt: &'a Attempt,
        store: Arc<dyn ObjectStore>,
        schema: SchemaRef,
        target: &'a WriteTarget,
        metadata: &'a BTreeMap<String, String>,
    ) -> Result<Self> {
        let folders = partition_columns(&schema, &target.partition_by)?;
        let kept = (0..schema.fields().len()).filter(|index| !folders.contains(index));
        let file_schema = Arc::new(schema.project(&kept.collect::<Vec<_>>())?);
        let partitioner = match folders.is_empty() {
            true => None,
            false => Some(Partitioner::new(&schema, folders)?),
        };
        Ok(Self {
            attempt,
            store,
            target,
            metadata,
            bounds: Bounds::of(target),
            blocks: BatchCoalescer::new(schema.clone(), BLOCK_ROWS),
            schema,
            file_schema,
            partitioner,
            open: BTreeMap::new(),
            opened: 0,
            written: 0,
            done: BTreeMap::new(),
        })
    }

    #[cfg(test)]
    pub(super) fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Takes rows in.
    pub(super) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.blocks.push_batch(batch)?;
        self.write_blocks().await
    }

    /// Bytes held in open row groups.
    pub(super) fn in_progress(&self) -> usize {
        self.open.values().map(OpenFile::in_progress).sum()
    }

    /// Files that are open.
    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.open.len()
    }

    /// Ends all files and returns them in the order of their numbers.
    pub(super) async fn finish(&mut self) -> Result<Vec<StagedFile>> {
        self.blocks.finish_buffered_batch()?;
        self.write_blocks().await?;
        while let Some((_, file)) = self.open.pop_first() {
            self.close(file).await?;
        }
        Ok(std::mem::take(&mut self.done).into_values().collect())
    }

    /// One file without rows, which says what the columns are: all of them, for it lies in no folder.
    pub(super) async fn finish_empty(&mut self) -> Result<Vec<StagedFile>> {
        let file = self.new_file(String::new(), self.schema.clone())?;
        self.close(file).await?;
        self.finish().await
    }

    /// Gives up the uploads under way. Finished files are left to [`Attempt::discard`].
    pub(super) async fn abort(&mut self) {
        while let Some((_, mut file)) = self.open.pop_first() {
            // The split has failed already, for a better reason than this could give.
            let _ = file.upload.abort().await;
        }
    }

    async fn write_blocks(&mut self) -> Result<()> {
        while let Some(block) = self.blocks.next_completed_batch() {
            match &mut self.partitioner {
                None => self.write_to(0, block).await?,
                Some(partitioner) => {
                    for Routed { folder, rows } in partitioner.route(&block)? {
                        self.write_to(folder, rows).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn write_to(&mut self, folder: usize, rows: RecordBatch) -> Result<()> {
        if !self.open.contains_key(&folder) {
            self.make_room().await?;
            let path = self.partitioner.as_ref().map_or("", |partitioner| partitioner.folder(folder)).to_owned();
            let file = self.new_file(path, self.file_schema.clone())?;
            self.open.insert(folder, file);
        }
        self.written += 1;
        let file = self.open.get_mut(&folder).expect("opened just now");
        file.last_written = self.written;
        file.write(rows)?;
        file.send().await?;
        self.close_groups().await
    }

    /// Closes the file that was not written to for the longest time, if too many are open.
    async fn make_room(&mut self) -> Result<()> {
        if self.open.len() < self.bounds.open_max {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, file)| file.last_written).map(|(folder, _)| *folder);
        match oldest.and_then(|folder| self.open.remove(&folder)) {
            Some(file) => self.close(file).await,
            None => Ok(()),
        }
    }

    /// Closes the largest row groups until what is held is within bounds.
    async fn close_groups(&mut self) -> Result<()> {
        while self.in_progress() > self.bounds.in_progress_max {
            let largest = self.open.values_mut().max_by_key(|file| file.in_progress());
            let Some(file) = largest else { return Ok(()) };
            file.encoder.close_group()?;
            file.send().await?;
        }
        Ok(())
    }

    fn new_file(&mut self, partition: String, schema: SchemaRef) -> Result<OpenFile> {
        let path = self.attempt.staged_path();
        let number = self.opened;
        self.opened += 1;
        let upload = BufWriter::with_capacity(self.store.clone(), path.clone(), self.bounds.part_bytes)
            .with_max_concurrency(if self.partitioner.is_none() { 4 } else { 1 });
        Ok(OpenFile {
            number,
            path,
            partition,
            rows: 0,
            bytes: 0,
            last_written: self.written,
            blocks: self.partitioner.is_some().then(|| BatchCoalescer::new(bare(&schema), BLOCK_ROWS)),
            encoder: encoder(&schema, self.target, self.metadata)?,
            upload,
            part_bytes: self.bounds.part_bytes,
        })
    }

    async fn close(&mut self, file: OpenFile) -> Result<()> {
        let (number, staged) = file.close().await?;
        self.done.insert(number, staged);
        Ok(())
    }
}

fn bare(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().clone()))
}

/// A staged file that still grows.
struct OpenFile {
    number: usize,
    path: Path,
    partition: String,
    rows: u64,
    bytes: u64,
    last_written: usize,
    blocks: Option<BatchCoalescer>,
    encoder: Box<dyn Encode>,
    upload: BufWriter,
    part_bytes: usize,
}

impl OpenFile {
    fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let Some(blocks) = &mut self.blocks else {
            return self.encoder.write(&rows);
        };
        blocks.push_batch(rows)?;
        while let Some(block) = blocks.next_completed_batch() {
            self.encoder.write(&block)?;
        }
        Ok(())
    }

    fn in_progress(&self) -> usize {
        self.encoder.in_progress()
    }

    /// Sends the bytes that are ready, a part at a time so that few are under way at once.
    async fn send(&mut self) -> Result<()> {
        let ready = Bytes::from(self.encoder.take());
        self.bytes += ready.len() as u64;
        let mut rest = ready;
        while !rest.is_empty() {
            let part = rest.split_to(self.part_bytes.min(rest.len()));
            self.upload.put(part).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    async fn close(mut self) -> Result<(usize, StagedFile)> {
        if let Some(mut blocks) = self.blocks.take() {
            blocks.finish_buffered_batch()?;
            while let Some(block) = blocks.next_completed_batch() {
                self.encoder.write(&block)?;
            }
        }
        self.encoder.finish()?;
        self.send().await?;
        self.upload.shutdown().await.map_err(|error| self.failed(error.into_store_error()))?;
        Ok((self.number, StagedFile::object(&self.path, self.partition, self.rows, self.bytes)))
    }

    fn failed(&self, error: StoreError) -> ConnectError {
        ConnectError::store(self.path.as_ref(), error)
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
    use volley_commit::{Job, JobId, JobSpec, Location, Mode, Tally};

    use super::*;
    use crate::format::Format;

    /// Rows of about a kilobyte that do not compress.
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
        let keys = Int64Array::from_iter_values((first..first + rows).map(|n| (n % 40) as i64));
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
    async fn check(partition_by: &[&str], cut: u64) -> (usize, usize, Vec<StagedFile>, Vec<Bytes>) {
        let target = WriteTarget {
            destination: "memory:///out/".to_owned(),
            format: Format::Parquet,
            mode: Mode::Error,
            partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
            options: BTreeMap::new(),
        };
        let (job, metadata) = (job().await, BTreeMap::new());
        let attempt = job.attempt(0);
        let store = job.staging().store.clone();
        let bounds = Bounds { in_progress_max: 2 << 20, open_max: 4, part_bytes: 1 << 20 };
        let schema = batch(0, 1).schema();
        let files = Files::new(&attempt, store.clone(), schema, &target, &metadata).expect("files");
        let mut files = files.with_bounds(bounds);
        let (mut held, mut open) = (0, 0);
        for first in (0..20_000).step_by(cut as usize) {
            files.write(batch(first, cut.min(20_000 - first))).await.expect("written");
            held = held.max(files.in_progress());
            open = open.max(files.open_files());
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
        (held, open, staged, bytes)
    }

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let (held, _, staged, bytes) = check(&[], 1000).await;
        assert!(held <= 2 << 20, "{held}");
        assert_eq!(staged.len(), 1);
        assert_eq!(staged[0].rows, 20_000);
        assert_eq!(staged[0].bytes, bytes[0].len() as u64);
        assert!(staged[0].bytes > 10 << 20, "{}", staged[0].bytes);
    }

    #[tokio::test]
    async fn open_files_are_bounded_and_continued_in_others() {
        let (held, open, staged, _) = check(&["k"], 1000).await;
        assert!(held <= 2 << 20, "{held}");
        assert_eq!(open, 4);
        assert!(staged.len() > 40, "{}", staged.len());
        assert_eq!(staged.iter().map(|file| file.rows).sum::<u64>(), 20_000);
        assert!(staged.iter().all(|file| file.partition.starts_with("k=")));
    }

    #[tokio::test]
    async fn bytes_do_not_depend_on_how_rows_come() {
        for partition_by in [&[][..], &["k"][..]] {
            let (_, _, _, some) = check(partition_by, 1000).await;
            let (_, _, _, others) = check(partition_by, 777).await;
            assert!(some == others, "{partition_by:?}");
        }
    }
}
