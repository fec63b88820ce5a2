//! Splits: the partitions of a write, cut from the row groups of the files that are read.
//!
//! A split is the unit that is scored, sealed and repeated, so it must hold the same rows whoever
//! computes it, and few enough of them. Cutting depends on the files and the two sizes alone.

mod repeat;
mod units;

use std::sync::Arc;

use datafusion::common::{JoinType, Result};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{Distribution, ExecutionPlan, ExecutionPlanProperties};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::exec::WriteExec;
use repeat::{gives_the_same_rows, keeps_rows};
use units::{Unit, units};

/// A plan whose partitions are splits.
#[derive(Clone, Debug)]
pub struct PackedPlan {
    /// The plan, with as many partitions as there are splits.
    pub plan: Arc<dyn ExecutionPlan>,
    /// What each partition reads, in order.
    pub splits: Vec<Split>,
    /// Whether each split can be computed alone. Otherwise (a shuffle, a join whose partitions wait for each
    /// other) all partitions must run at the same time in one process.
    pub independent: bool,
    /// Whether each split holds the same rows when it is computed again, in another process and later. Otherwise
    /// a job must not be resumed from the receipts of an earlier run.
    pub repeatable: bool,
    /// Whether every row of the files that splits are cut from comes in to the write.
    pub rows_kept: bool,
}

/// What one split reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Rows that the files give it, before any filter; `None` where files do not say, or where the
    /// split is not cut from files.
    pub rows: Option<u64>,
    /// Bytes of those files.
    pub bytes: u64,
    /// The parts of files, in the order in which they are read.
    pub files: Vec<SplitFile>,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitFile {
    /// URL of its store.
    pub store: String,
    /// Path in its store.
    pub path: String,
    /// Size of the whole file.
    pub size: u64,
    /// The store's mark of this content, where it gives one.
    pub e_tag: Option<String>,
    /// First byte and end of the part; `None` for the whole file.
    pub range: Option<(u64, u64)>,
}

/// Sizes that a split may reach; a single row group may exceed them.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows_max: u64,
    bytes_max: u64,
}

/// Cuts the file scans under a write into splits of at most `split_rows` rows and `split_bytes` bytes,
/// as far as everything between scan and write keeps partitions apart. What cannot be cut keeps the
/// partitions that it has. To be called on the optimized plan.
///
/// Reads footers through `runtime`, whose cache keeps them for the scan. Errors: `bad_file`,
/// `store_failed`.
pub async fn pack_splits(
    plan: Arc<dyn ExecutionPlan>,
    runtime: &RuntimeEnv,
    split_rows: u64,
    split_bytes: u64,
) -> Result<PackedPlan> {
    let sizes = Sizes { rows_max: split_rows, bytes_max: split_bytes };
    if !plan.is::<WriteExec>() {
        return cut(plan, runtime, sizes).await;
    }
    let packed = cut(plan.children()[0].clone(), runtime, sizes).await?;
    Ok(PackedPlan { plan: replace_children_if_necessary(plan, vec![packed.plan])?, ..packed })
}

/// Whether a write gives the same rows, in any order, each time it runs over the same files. When in doubt it does
/// not.
pub fn writes_the_same_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    match plan.downcast_ref::<WriteExec>() {
        Some(write) => gives_the_same_rows(write.input()),
        None if plan.is::<ScalarSubqueryExec>() => plan.children().into_iter().all(writes_the_same_rows),
        None => gives_the_same_rows(plan),
    }
}

fn cut(plan: Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv, sizes: Sizes) -> BoxFuture<'_, Result<PackedPlan>> {
    Box::pin(async move {
        if let Some(scan) = file_scan(&plan) {
            return cut_scan(scan, runtime, sizes).await;
        }
        if plan.is::<UnionExec>() {
            return cut_union(plan, runtime, sizes).await;
        }
        let Some(carrier) = carrier(plan.as_ref()) else {
            return Ok(uncut(plan));
        };
        let child = cut(plan.children()[carrier].clone(), runtime, sizes).await?;
        let mut children: Vec<_> = plan.children().into_iter().cloned().collect();
        // Each process computes the other sides anew, for whichever splits it has.
        let mut others = children.iter().enumerate().filter(|(index, _)| *index != carrier);
        let repeatable = child.repeatable && others.all(|(_, other)| gives_the_same_rows(other));
        let rows_kept = child.rows_kept && keeps_rows(plan.as_ref());
        children[carrier] = child.plan;
        let recut = replace_children_if_necessary(plan.clone(), children)?;
        if recut.output_partitioning().partition_count() != child.splits.len() {
            return Ok(uncut(plan));
        }
        Ok(PackedPlan { plan: recut, repeatable, rows_kept, ..child })
    })
}

/// Partitions as they are. One of one, and those of a leaf, are computed without others.
fn uncut(plan: Arc<dyn ExecutionPlan>) -> PackedPlan {
    let partitions = plan.output_partitioning().partition_count();
    let independent = partitions == 1 || plan.children().is_empty();
    // The only split is computed as a whole or not at all.
    let repeatable = independent && (partitions == 1 || gives_the_same_rows(&plan));
    PackedPlan { splits: vec![Split::default(); partitions], independent, repeatable, rows_kept: false, plan }
}

async fn cut_union(plan: Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv, sizes: Sizes) -> Result<PackedPlan> {
    let (mut children, mut splits) = (vec![], vec![]);
    let (mut independent, mut repeatable, mut rows_kept) = (true, true, true);
    for child in plan.children() {
        let child = cut(child.clone(), runtime, sizes).await?;
        children.push(child.plan);
        splits.extend(child.splits);
        independent &= child.independent;
        repeatable &= child.repeatable;
        rows_kept &= child.rows_kept;
    }
    let plan = replace_children_if_necessary(plan, children)?;
    Ok(PackedPlan { plan, splits, independent, repeatable, rows_kept })
}

/// The children whose partitions come out as this node's partitions, row by row: whatever they do is done for the
/// split at hand and for no other.
pub fn carrying(plan: &dyn ExecutionPlan) -> Vec<usize> {
    match plan.is::<UnionExec>() {
        true => (0..plan.children().len()).collect(),
        false => carrier(plan).into_iter().collect(),
    }
}

/// The child whose partitions come out as this node's partitions, row by row.
fn carrier(plan: &dyn ExecutionPlan) -> Option<usize> {
    // With more partitions a limit for each would let more rows through.
    if plan.fetch().is_some() {
        return None;
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        // Partitions that share a dynamic filter wait until all of them have begun.
        let is_alone = plan.dynamic_expressions_produced().is_empty();
        let is_collected = *join.partition_mode() == PartitionMode::CollectLeft;
        return (is_alone && is_collected && emits_probe_rows_only(*join.join_type())).then_some(1);
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return emits_probe_rows_only(*join.join_type()).then_some(1);
    }
    if plan.is::<CrossJoinExec>() {
        return Some(1);
    }
    if plan.is::<ScalarSubqueryExec>() {
        return Some(0);
    }
    let moves_rows =
        plan.is::<RepartitionExec>() || plan.is::<CoalescePartitionsExec>() || plan.is::<SortPreservingMergeExec>();
    let [child] = plan.children()[..] else { return None };
    let same_count =
        child.output_partitioning().partition_count() == plan.properties().output_partitioning().partition_count();
    (!moves_rows && same_count && plan.maintains_input_order()[0] && takes_any_distribution(plan)).then_some(0)
}

/// Unmatched rows of the collected side come out of whichever partition ends last.
fn emits_probe_rows_only(join: JoinType) -> bool {
    matches!(join, JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
}

fn takes_any_distribution(plan: &dyn ExecutionPlan) -> bool {
    plan.input_distribution_requirements()
        .per_child_distributions()
        .all(|distribution| matches!(distribution, Distribution::UnspecifiedDistribution))
}

fn file_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    let source = plan.downcast_ref::<DataSourceExec>()?.data_source();
    let scan = source.downcast_ref::<FileScanConfig>()?;
    // A limit counts rows of each partition, and a declared partitioning is relied upon above.
    (scan.limit.is_none() && scan.output_partitioning.is_none() && !scan.file_groups.is_empty()).then_some(scan)
}

async fn cut_scan(scan: &FileScanConfig, runtime: &RuntimeEnv, sizes: Sizes) -> Result<PackedPlan> {
    let mut packs = vec![];
    for sequence in sequences(scan, runtime, sizes).await? {
        packs.extend(pack(sequence, sizes));
    }
    let groups = packs.iter().map(|pack| FileGroup::new(pack.iter().map(Unit::file).collect()));
    let config = FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(groups.collect())
        // Sibling partitions would take files from each other, and a split must keep its rows.
        .with_preserve_order(true)
        .build();
    let splits = packs.iter().map(|pack| split(pack, scan.object_store_url.as_str())).collect();
    let rows_kept = scan.file_source().filter().is_none();
    let plan = DataSourceExec::from_data_source(config);
    Ok(PackedPlan { plan, splits, independent: true, repeatable: true, rows_kept })
}

/// Units in the order in which they may be packed. Files are taken by path, unless the scan promises
/// an order: then its groups stay apart and as they are.
async fn sequences(scan: &FileScanConfig, runtime: &RuntimeEnv, sizes: Sizes) -> Result<Vec<Vec<Unit>>> {
    let mut sequences = vec![];
    for group in &scan.file_groups {
        sequences.push(units(scan, group.files(), runtime, sizes.bytes_max).await?);
    }
    if !scan.output_ordering.is_empty() {
        return Ok(sequences);
    }
    let mut all: Vec<Unit> = sequences.into_iter().flatten().collect();
    all.sort_by(|a, b| a.place().cmp(&b.place()));
    Ok(vec![all])
}

fn pack(units: Vec<Unit>, sizes: Sizes) -> Vec<Vec<Unit>> {
    let mut packs: Vec<Vec<Unit>> = vec![];
    let (mut rows, mut bytes) = (0, 0);
    for unit in units {
        rows += unit.rows.unwrap_or(0);
        bytes += unit.bytes;
        match packs.last_mut() {
            Some(pack) if rows <= sizes.rows_max && bytes <= sizes.bytes_max => match pack.last_mut() {
                Some(last) if last.is_before(&unit) => last.join(&unit),
                _ => pack.push(unit),
            },
            _ => {
                (rows, bytes) = (unit.rows.unwrap_or(0), unit.bytes);
                packs.push(vec![unit]);
            }
        }
    }
    packs
}

fn split(pack: &[Unit], store: &str) -> Split {
    let file = |unit: &Unit| {
        let file = unit.file();
        SplitFile {
            store: store.to_owned(),
            path: file.object_meta.location.to_string(),
            size: file.object_meta.size,
            e_tag: file.object_meta.e_tag.clone(),
            range: file.range.map(|range| (range.start as u64, range.end as u64)),
        }
    };
    Split {
        rows: pack.iter().map(|unit| unit.rows).sum(),
        bytes: pack.iter().map(|unit| unit.bytes).sum(),
        files: pack.iter().map(file).collect(),
    }
}
