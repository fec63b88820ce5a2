//! The smallest parts that files can be cut into.

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileScanConfig, JsonSource};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use futures::{StreamExt, TryStreamExt};
use url::Url;

use crate::error::ConnectError;
use crate::location::spelled;

/// How many footers are read at once.
const FOOTERS_MAX: usize = 16;

/// A part of a file that is read as a whole: a row group, some lines, or everything.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    file: PartitionedFile,
    start: u64,
    end: u64,
    pub(super) rows: Option<u64>,
    pub(super) bytes: u64,
}

impl Unit {
    /// All that the scan reads of a file.
    fn whole(file: &PartitionedFile, rows: Option<u64>) -> Self {
        let (start, end) = file.range();
        Self { file: file.clone(), start, end, rows, bytes: end - start }
    }

    /// The part as DataFusion's scan takes it.
    pub(super) fn file(&self) -> PartitionedFile {
        match (self.start, self.end) == self.file.range() {
            true => self.file.clone(),
            false => self.file.clone().with_range(self.start as i64, self.end as i64),
        }
    }

    /// What units are sorted by.
    pub(super) fn place(&self) -> (&str, u64) {
        (self.file.object_meta.location.as_ref(), self.start)
    }

    /// Whether the other unit continues this one.
    pub(super) fn is_before(&self, other: &Unit) -> bool {
        self.file.object_meta.location == other.file.object_meta.location && self.end == other.start
    }

    /// Takes in the unit that continues this one.
    pub(super) fn join(&mut self, next: &Unit) {
        self.end = next.end;
        self.rows = self.rows.zip(next.rows).map(|(a, b)| a + b);
        self.bytes += next.bytes;
    }
}

/// The units of files, in the order of the files.
pub(super) async fn units(
    scan: &FileScanConfig,
    files: &[PartitionedFile],
    runtime: &RuntimeEnv,
    bytes_max: u64,
) -> Result<Vec<Unit>> {
    match scan.file_source().file_type() {
        "parquet" => {
            let footers: Vec<_> = files.iter().map(|file| row_groups(scan, file, runtime)).collect();
            let units: Vec<Vec<Unit>> = futures::stream::iter(footers).buffered(FOOTERS_MAX).try_collect().await?;
            Ok(units.concat())
        }
        _ if is_cut_at_lines(scan) => Ok(files.iter().flat_map(|file| ranges(file, bytes_max)).collect()),
        // A CSV value may hold line breaks, and a compressed file cannot be entered in the middle.
        _ => Ok(files.iter().map(|file| Unit::whole(file, None)).collect()),
    }
}

fn is_cut_at_lines(scan: &FileScanConfig) -> bool {
    let json = scan.file_source().downcast_ref::<JsonSource>();
    json.is_some() && scan.file_source().supports_repartitioning() && !scan.file_compression_type.is_compressed()
}

fn ranges(file: &PartitionedFile, bytes_max: u64) -> Vec<Unit> {
    let (first, last) = file.range();
    let step = bytes_max.max(1);
    let starts = (first..last.max(first + 1)).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    starts
        .map(|start| {
            let end = last.min(start.saturating_add(step));
            Unit { start, end, bytes: end - start, ..Unit::whole(file, None) }
        })
        .collect()
}

async fn row_groups(scan: &FileScanConfig, file: &PartitionedFile, runtime: &RuntimeEnv) -> Result<Vec<Unit>> {
    let store = runtime.object_store(&scan.object_store_url)?;
    let footer = DFParquetMetadata::new(store.as_ref(), &file.object_meta)
        .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
        .fetch_metadata()
        .await
        .map_err(|error| ConnectError::BadFile {
            file: name_of(scan, file),
            reason: error.strip_backtrace().lines().next().unwrap_or_default().to_owned(),
        })?;
    Ok(cut_row_groups(file, &footer))
}

fn name_of(scan: &FileScanConfig, file: &PartitionedFile) -> String {
    let path = &file.object_meta.location;
    Url::parse(scan.object_store_url.as_str()).map_or_else(|_| path.to_string(), |store| spelled(&store, path))
}

/// A scan of a range reads the row groups whose first page starts in it, so the ranges end where the
/// next row group starts.
fn cut_row_groups(file: &PartitionedFile, footer: &ParquetMetaData) -> Vec<Unit> {
    let (first, last) = file.range();
    let groups: Vec<(u64, &RowGroupMetaData)> =
        footer.row_groups().iter().map(|group| (first_page(group), group)).collect();
    let groups: Vec<_> = groups.into_iter().filter(|(start, _)| (first..last).contains(start)).collect();
    let ascends = groups.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if groups.len() < 2 || !ascends {
        let rows = groups.iter().map(|(_, group)| group.num_rows() as u64).sum();
        return vec![Unit::whole(file, Some(rows))];
    }
    let ends = groups[1..].iter().map(|(start, _)| *start).chain([last]);
    let starts = [first].into_iter().chain(groups[1..].iter().map(|(start, _)| *start));
    let parts = starts.zip(ends).zip(&groups);
    parts
        .map(|((start, end), (_, group))| {
            let (rows, bytes) = (group.num_rows() as u64, group.compressed_size() as u64);
            Unit { start, end, bytes, ..Unit::whole(file, Some(rows)) }
        })
        .collect()
}

fn first_page(group: &RowGroupMetaData) -> u64 {
    let column = group.column(0);
    column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset()) as u64
}
