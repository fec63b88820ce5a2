//! The files that a job reads, pinned: whoever reads them later sees what was planned, or is told.
//!
//! DataFusion's readers send no conditions, and a plan that has travelled has lost the marks of its files. So
//! path, size, time and mark are kept beside the plan, and the stores that a task reads through ask for them
//! with every single get.

mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::ConnectError;
use crate::location::spelled;
use crate::pack::{PackedPlan, Split, SplitFile};
pub use store::PinnedStores;

/// How many files are looked at once.
const LOOKS_MAX: usize = 32;

/// What a plan reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Every file, as it was when it was listed.
    pub files: Vec<InputFile>,
    /// The files that each split is cut from, in order of splits. What a plan reads beside them, such as the
    /// smaller side of a join, is in `files` alone.
    pub splits: Vec<SplitInput>,
}

/// One version of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// URL of its store, such as `file:///` or `s3://lake/`.
    pub store: String,
    /// Path in the store.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was written, in microseconds since 1970, by the store's clock.
    pub modified: i64,
    /// The store's mark of this content; of a local file it names inode, time and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
}

/// What one split is cut from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitInput {
    /// Rows that come in, where every row of the files does and the files say how many they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The parts, in the order in which they are read.
    pub parts: Vec<InputPart>,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputPart {
    /// Its place in [`Inputs::files`].
    pub file: usize,
    /// First byte and end; all of the file without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(u64, u64)>,
}

impl Inputs {
    /// Everything that a packed plan reads.
    pub fn of(packed: &PackedPlan) -> Result<Self> {
        let mut files = BTreeMap::new();
        packed.plan.apply(|node| {
            let Some(scan) = scan_of(node) else { return Ok(TreeNodeRecursion::Continue) };
            for file in scan.file_groups.iter().flat_map(|group| group.files()) {
                let input = InputFile::of(scan.object_store_url.as_str(), &file.object_meta);
                files.entry((input.store.clone(), input.path.clone())).or_insert(input);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let places: BTreeMap<_, _> = files.keys().enumerate().map(|(place, key)| (key.clone(), place)).collect();
        let part =
            |part: &SplitFile| InputPart { file: places[&(part.store.clone(), part.path.clone())], range: part.range };
        let split = |split: &Split| SplitInput {
            rows: split.rows.filter(|_| packed.rows_kept),
            parts: split.files.iter().map(part).collect(),
        };
        let splits = packed.splits.iter().map(split).collect();
        Ok(Self { splits, files: files.into_values().collect() })
    }

    /// What a split is cut from, if that is known.
    pub fn split(&self, split: u32) -> Option<&SplitInput> {
        self.splits.get(split as usize)
    }

    /// Looks whether the files of a split are still what was read. A local file can be written to while it is
    /// read, which no condition of a get notices; elsewhere a get gives one version or none.
    ///
    /// Errors: `input_changed`, and those of the store.
    pub async fn check_split(&self, split: u32, runtime: &RuntimeEnv) -> crate::Result<()> {
        let parts = self.split(split).map(|split| split.parts.as_slice()).unwrap_or_default();
        self.check(parts.iter().map(|part| part.file).collect(), runtime).await
    }

    /// The same for the files that belong to no split alone.
    pub async fn check_rest(&self, runtime: &RuntimeEnv) -> crate::Result<()> {
        let cut: BTreeSet<usize> = self.splits.iter().flat_map(|split| &split.parts).map(|part| part.file).collect();
        self.check((0..self.files.len()).filter(|file| !cut.contains(file)).collect(), runtime).await
    }

    async fn check(&self, files: BTreeSet<usize>, runtime: &RuntimeEnv) -> crate::Result<()> {
        let local = files.into_iter().map(|file| &self.files[file]).filter(|file| file.is_local());
        let looks: Vec<_> = local.map(|file| file.check(runtime).boxed()).collect();
        futures::stream::iter(looks).buffer_unordered(LOOKS_MAX).try_collect().await
    }
}

impl InputFile {
    fn of(store: &str, meta: &ObjectMeta) -> Self {
        Self {
            store: store.to_owned(),
            path: meta.location.to_string(),
            size: meta.size,
            modified: meta.last_modified.timestamp_micros(),
            e_tag: meta.e_tag.clone(),
        }
    }

    fn is_local(&self) -> bool {
        self.store.starts_with("file:")
    }

    /// The mark that a get may ask for. A weak one never matches by the rules of HTTP: it can only be compared.
    fn condition(&self) -> Option<String> {
        self.e_tag.clone().filter(|mark| !mark.starts_with("W/"))
    }

    /// As users spell it.
    fn name(&self) -> String {
        let path = Path::parse(&self.path).ok();
        let store = Url::parse(&self.store).ok();
        store.zip(path).map_or_else(|| self.path.clone(), |(store, path)| spelled(&store, &path))
    }

    /// What differs from this version, if anything does. Sizes and times are what is left without a mark.
    fn difference(&self, meta: &ObjectMeta) -> Option<String> {
        if meta.size != self.size {
            return Some(format!("it had {} bytes and has {}", self.size, meta.size));
        }
        let is_same = match (&self.e_tag, &meta.e_tag) {
            (Some(was), Some(is)) => was == is,
            _ => meta.last_modified.timestamp_micros() == self.modified,
        };
        (!is_same).then(|| "it was written anew".to_owned())
    }

    fn changed(&self, how: String) -> ConnectError {
        ConnectError::InputChanged { file: self.name(), how }
    }

    async fn check(&self, runtime: &RuntimeEnv) -> crate::Result<()> {
        let unknown = || self.changed("its store is not known here".to_owned());
        let url = ObjectStoreUrl::parse(&self.store).map_err(|_| unknown())?;
        let store = runtime.object_store(&url).map_err(|_| unknown())?;
        // A path of a listing: parsed, for it may hold what would be encoded.
        let path = Path::parse(&self.path).map_err(|_| self.changed("its path is none".to_owned()))?;
        match store.head(&path).await {
            Ok(meta) => self.difference(&meta).map_or(Ok(()), |how| Err(self.changed(how))),
            Err(object_store::Error::NotFound { .. }) => Err(self.changed("it is gone".to_owned())),
            Err(error) => Err(ConnectError::store(&self.name(), error)),
        }
    }
}

/// The scan of files that a node is, if it is one.
fn scan_of(node: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    node.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// The plan with its Parquet scans reading through the stores of `runtime`: they hold on to those of the session
/// that planned them. A plan that was decoded under `runtime` need not be changed.
pub fn reading_through(plan: Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(scan) = scan_of(&node) else { return Ok(Transformed::no(node)) };
        let Some(parquet) = scan.file_source().downcast_ref::<ParquetSource>() else {
            return Ok(Transformed::no(node));
        };
        let store = runtime.object_store(&scan.object_store_url)?;
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let readers = Arc::new(CachedParquetFileReaderFactory::new(store, footers));
        let source = Arc::new(parquet.clone().with_parquet_file_reader_factory(readers));
        let config = FileScanConfigBuilder::from(scan.clone()).with_source(source).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config)))
    })
    .map(|transformed| transformed.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_asks_for_a_mark_that_can_match_and_any_mark_tells_versions_apart() {
        for (mark, condition) in [("\"1\"", Some("\"1\"")), ("W/\"1\"", None)] {
            let meta = |mark: &str| ObjectMeta {
                location: Path::from("in/x"),
                last_modified: Default::default(),
                size: 1,
                e_tag: Some(mark.to_owned()),
                version: None,
            };
            let file = InputFile::of("https://example.org/", &meta(mark));
            assert_eq!(file.condition().as_deref(), condition);
            assert_eq!(file.difference(&meta(mark)), None);
            assert!(file.difference(&meta("\"2\"")).is_some(), "{mark}");
        }
    }
}
