//! What lies at a destination, whose it is, and which job may change it next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::job::{JobId, JobPlan, JobSpec, Mode, Outcome};
use crate::local::LocalFolder;
use crate::location::Location;
use crate::mutants::{Mutant, planted};
use crate::place::Root;
use crate::publish::Published;
use crate::receipt::{Receipt, Staged};
use crate::record::{self, Records};

/// The marker that is removed first and written last.
pub(crate) const SUCCESS: &str = "_SUCCESS";

/// A file at the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Path below the destination.
    pub path: String,
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// sha256 of its bytes, if its writer gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A checksum of its rows that does not depend on their order, as [`crate::StagedFile::rows_sum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_sum: Option<String>,
    /// The job that wrote it; none if a version of Volley did that did not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
}

impl PublishedFile {
    /// The split whose rows it holds; none if it has not the name of a part.
    pub fn split(&self) -> Option<u32> {
        let name = self.path.rsplit('/').next()?;
        name.strip_prefix("part-")?.split('-').next()?.parse().ok()
    }
}

/// The entries for `_SUCCESS` of each job whose files lie at a destination.
type Provenances = BTreeMap<JobId, Map<String, Value>>;

/// What `_SUCCESS` says: whose result this is, and the whole set of files.
#[derive(Deserialize)]
pub(crate) struct Success {
    pub(crate) job: JobId,
    files: Vec<PublishedFile>,
    #[serde(default)]
    jobs: Provenances,
}

/// One file to be moved from staging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addition {
    pub(crate) staged: Staged,
    #[serde(flatten)]
    pub(crate) file: PublishedFile,
}

/// The record of one version of a destination: what its job adds, keeps and removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) job: JobId,
    /// Which place of the job this destination is.
    #[serde(default, skip_serializing_if = "Root::is_result")]
    pub(crate) root: Root,
    pub(crate) mode: Mode,
    pub(crate) added: Vec<Addition>,
    pub(crate) kept: Vec<PublishedFile>,
    pub(crate) removed: Vec<String>,
    /// Of this job, and of those that wrote what is kept.
    #[serde(default)]
    pub(crate) jobs: Provenances,
}

impl Claim {
    /// The same, with what is known of its files since they were published: repairs may have changed it.
    fn published_as(mut self, published: Published) -> Self {
        for (addition, file) in self.added.iter_mut().zip(published.files_of(self.root)) {
            addition.file = file;
        }
        self
    }

    /// Every file that this version consists of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PublishedFile> {
        self.kept.iter().chain(self.added.iter().map(|addition| &addition.file))
    }

    /// Every folder that this version changes, relative; `""` is the destination itself.
    pub(crate) fn folders(&self) -> BTreeSet<String> {
        let removed = self.removed.iter().map(|path| folder_of(path));
        self.folders_of_added().into_iter().chain(removed).collect()
    }

    /// Every folder that files are moved into.
    pub(crate) fn folders_of_added(&self) -> BTreeSet<String> {
        let added = self.added.iter().map(|addition| folder_of(&addition.file.path));
        // The marker goes into the destination itself.
        added.chain([String::new()]).collect()
    }
}

/// The folders that rows are written to.
fn folders_with_rows(added: &[Addition]) -> BTreeSet<String> {
    added.iter().filter(|addition| addition.file.rows > 0).map(|addition| folder_of(&addition.file.path)).collect()
}

fn lies_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn folder_of(path: &str) -> String {
    path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

/// The newest claims of a destination, as far as a new one depends on them.
enum History {
    /// The asking job has already claimed this version.
    Mine(u64, Claim),
    /// Another job has claimed and is not done.
    Busy(JobId),
    /// All is settled: the number of the newest claim, and the claim whose files lie there.
    Settled(u64, Option<Claim>),
}

/// What a job does with the files that lie at its destination.
#[derive(Default)]
struct Change {
    kept: Vec<PublishedFile>,
    removed: Vec<String>,
    /// Of the jobs that wrote files there.
    jobs: Provenances,
    /// Whether files stay there that no job wrote.
    keeps_foreign: bool,
}

impl Change {
    /// A file without rows says what the columns of a result without rows are. Beside others it says
    /// nothing, and lies outside of the folders that their values name: it stays out, and makes way for the
    /// first rows.
    fn leave_out_empty(&mut self, mut added: Vec<Addition>) -> Vec<Addition> {
        if added.iter().any(|addition| addition.file.rows > 0) {
            added.retain(|addition| addition.file.rows > 0);
            self.removed.extend(self.kept.extract_if(.., |file| file.rows == 0).map(|file| file.path));
        } else {
            added.truncate(usize::from(self.kept.is_empty() && !self.keeps_foreign));
        }
        let wrote: BTreeSet<JobId> = self.kept.iter().filter_map(|file| file.job).collect();
        self.jobs.retain(|job, _| wrote.contains(job));
        added
    }
}

/// A destination and the state that knows its history.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) location: Location,
    pub(crate) records: Records,
}

impl Destination {
    /// Refuses locations that would destroy or show each other's files, or cannot rename.
    pub(crate) fn check_layout(&self, state: &Location, staging: &Location) -> Result<()> {
        let here = &self.location;
        let reason = if here.contains(state) || here.contains(staging) {
            "it contains Volley's state or staging folder"
        } else if state.contains(here) || staging.contains(here) {
            "it lies in Volley's state or staging folder"
        } else if !here.shares_store_with(staging) {
            "staging must be in the same bucket or file system"
        } else {
            return Ok(());
        };
        Err(Error::DestinationInvalid { destination: here.url.clone(), reason: reason.to_owned() })
    }

    /// Refuses what a store does not show and would stop a publish half way: folders that are files, links
    /// that lead nowhere, permissions, other file systems. `folders` are relative to the destination.
    pub(crate) async fn check_ground(&self, staging: &Location, folders: BTreeSet<String>) -> Result<()> {
        let (Some(here), Some(staging)) = (LocalFolder::of(&self.location), LocalFolder::of(staging)) else {
            return Ok(());
        };
        let invalid = |reason| Error::DestinationInvalid { destination: self.location.url.clone(), reason };
        here.check_takes(staging, folders).await.map_err(invalid)
    }

    /// Whether a job of this mode would be refused now. A busy destination cannot be judged yet;
    /// the claim will.
    pub(crate) async fn check_mode(&self, mode: Mode) -> Result<()> {
        match self.history(None).await? {
            // Which folders it replaces is known only when all is scored.
            History::Settled(_, live) => self.change(mode, live, &BTreeSet::new()).await.map(|_| ()),
            History::Mine(..) | History::Busy(_) => Ok(()),
        }
    }

    /// Claims the next version for a job and returns it with its number; the same one if asked again.
    pub(crate) async fn claim(&self, spec: &JobSpec, root: Root, receipts: &[Receipt]) -> Result<(u64, Claim)> {
        let (newest, live) = match self.history(Some(spec.job)).await? {
            History::Mine(version, claim) => return Ok((version, claim)),
            History::Busy(job) => return Err(self.busy(job)),
            History::Settled(newest, live) => (newest, live),
        };
        let added = additions(spec, root, receipts);
        let mut change = self.change(spec.mode, live, &folders_with_rows(&added)).await?;
        let added = change.leave_out_empty(added);
        let Change { kept, removed, mut jobs, .. } = change;
        jobs.insert(spec.job, spec.provenance.clone());
        let claim = Claim { job: spec.job, root, mode: spec.mode, added, kept, removed, jobs };
        let version = newest + 1;
        let key = record::version_key(&self.location, version);
        let stands = self.records.create_once(&key, &claim).await?;
        if stands.job == spec.job { Ok((version, stands)) } else { Err(self.busy(stands.job)) }
    }

    /// The claim of a version.
    pub(crate) async fn version(&self, version: u64) -> Result<Option<Claim>> {
        self.records.read(&record::version_key(&self.location, version)).await
    }

    async fn history(&self, me: Option<JobId>) -> Result<History> {
        let newest = self.newest_version().await?;
        for version in (1..=newest).rev() {
            let Some(claim) = self.version(version).await? else {
                continue;
            };
            if Some(claim.job) == me {
                return Ok(History::Mine(version, claim));
            }
            if let Some(published) = self.records.read(&record::published_key(claim.job)).await? {
                return Ok(History::Settled(newest, Some(claim.published_as(published))));
            }
            let outcome = self.records.read(&record::outcome_key(claim.job)).await?;
            if !matches!(outcome, Some(Outcome::Aborted { .. })) {
                return Ok(History::Busy(claim.job));
            }
        }
        Ok(History::Settled(newest, None))
    }

    async fn newest_version(&self) -> Result<u64> {
        let names = self.records.names(&record::versions_folder(&self.location)).await?;
        Ok(names.iter().filter_map(|name| name.split('.').next()?.parse().ok()).max().unwrap_or(0))
    }

    /// What a job of this mode that writes to `folders` keeps and removes of what lies here now, or why it may not.
    async fn change(&self, mode: Mode, live: Option<Claim>, folders: &BTreeSet<String>) -> Result<Change> {
        let mut present = self.location.files("").await?;
        let marked = present.remove(SUCCESS).is_some();
        if mode == Mode::Error {
            return present.keys().next().map_or(Ok(Change::default()), |file| Err(self.not_empty(file)));
        }
        let marker = if marked { self.success().await? } else { None };
        let (mut recorded, jobs) = recorded(marker, live);
        let is_replaced = |path: &str| match mode {
            Mode::Overwrite => true,
            Mode::OverwritePartitions => folders.iter().any(|folder| lies_below(path, folder)),
            _ => false,
        };
        let foreign = || present.keys().filter(|path| !recorded.contains_key(*path));
        if let Some(file) = foreign().find(|path| is_replaced(path)) {
            return Err(self.foreign(file));
        }
        let keeps_foreign = foreign().next().is_some();
        recorded.retain(|path, _| present.contains_key(path));
        let removed = recorded.extract_if(.., |path, _| is_replaced(path)).map(|(path, _)| path).collect();
        Ok(Change { kept: recorded.into_values().collect(), removed, jobs, keeps_foreign })
    }

    /// The marker at the destination, if it is one of ours.
    pub(crate) async fn success(&self) -> Result<Option<Success>> {
        let body = self.location.read(&self.location.path(SUCCESS)?).await?;
        Ok(body.and_then(|body| serde_json::from_slice(&body).ok()))
    }

    fn busy(&self, job: JobId) -> Error {
        Error::DestinationBusy { destination: self.location.url.clone(), by: format!("job {job}") }
    }

    fn not_empty(&self, file: &str) -> Error {
        Error::DestinationNotEmpty { destination: self.location.url.clone(), file: file.to_owned() }
    }

    fn foreign(&self, file: &str) -> Error {
        Error::ForeignFiles { destination: self.location.url.clone(), file: file.to_owned() }
    }
}

/// The files that are known to be ours, and the jobs that wrote them: those of the last claim, and those that
/// the marker lists under names that we give, which another state may have written or this one lost.
fn recorded(marker: Option<Success>, live: Option<Claim>) -> (BTreeMap<String, PublishedFile>, Provenances) {
    let (listed, mut jobs) = marker.map(|marker| (marker.files, marker.jobs)).unwrap_or_default();
    let mut files: Vec<_> = listed.into_iter().filter(|file| is_part(&file.path)).collect();
    if let Some(claim) = live {
        files.extend(claim.files().cloned());
        jobs.extend(claim.jobs);
    }
    (files.into_iter().map(|file| (file.path.clone(), file)).collect(), jobs)
}

impl Receipt {
    /// The files of this split as a job publishes them at one of its places.
    pub fn published_by(&self, plan: &JobPlan, root: Root) -> Vec<PublishedFile> {
        let added = additions(&plan.spec_of(root), root, std::slice::from_ref(self));
        added.into_iter().map(|addition| addition.file).collect()
    }
}

/// The final names of all files that are sealed for a place: a function of job, split and partition alone.
fn additions(spec: &JobSpec, root: Root, receipts: &[Receipt]) -> Vec<Addition> {
    let mut added = vec![];
    for receipt in receipts {
        let mut written: BTreeMap<&str, usize> = BTreeMap::new();
        for file in receipt.files.iter().filter(|file| file.root == root) {
            let nth = written.entry(&file.partition).or_default();
            let name = part_name(spec, receipt.split, *nth);
            *nth += 1;
            let path = match file.partition.as_str() {
                "" => name,
                partition => format!("{partition}/{name}"),
            };
            let (rows, bytes, job) = (file.rows, file.bytes, Some(spec.job));
            let (sha256, rows_sum) = (file.sha256.clone(), file.rows_sum.clone());
            let published = PublishedFile { path, rows, bytes, sha256, rows_sum, job };
            added.push(Addition { staged: file.staged.clone(), file: published });
        }
    }
    added
}

/// `part-000003-1a2b3c4d5e6f.parquet`; a second file of a split in one partition ends in `-1`.
fn part_name(spec: &JobSpec, split: u32, nth: usize) -> String {
    let (job, extension) = (spec.job.short(), &spec.extension);
    let job = if planted(Mutant::NameWithoutJob) { "0".repeat(12) } else { job };
    match nth {
        0 => format!("part-{split:06}-{job}.{extension}"),
        _ => format!("part-{split:06}-{job}-{nth}.{extension}"),
    }
}

/// Whether a path ends in a name of [`part_name`].
fn is_part(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _extension)) = name.split_once('.') else {
        return false;
    };
    let fields: Vec<&str> = stem.split('-').collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let hex = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match fields[..] {
        ["part", split, job] => digits(split) && hex(job),
        ["part", split, job, nth] => digits(split) && hex(job) && digits(nth),
        _ => false,
    }
}
