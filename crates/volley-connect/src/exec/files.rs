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
