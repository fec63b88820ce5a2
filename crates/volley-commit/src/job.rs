//! A job: begun, sealed split by split, decided once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
pub use crate::id::JobId;
use crate::location::{CONCURRENT_MAX, Location, run_all};
use crate::owner::Owner;
use crate::place::{Place, RejectsAt, RejectsPlan, Root, check_apart};
use crate::publish::Published;
use crate::receipt::{Attempt, Receipt, StagedFile, Tally};
use crate::record::{self, Records};

/// What a job does with the data that its destination already holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// Refuses a destination that holds anything.
    Error,
    /// Keeps it.
    Append,
    /// Replaces it, if Volley wrote all of it.
    Overwrite,
    /// Replaces the folders that rows were written to, with all below them, if Volley wrote all that is there;
    /// keeps everything else. Without partitions that is the whole destination.
    OverwritePartitions,
}

impl FromStr for Mode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "error" => Ok(Self::Error),
            "append" => Ok(Self::Append),
            "overwrite" => Ok(Self::Overwrite),
            "overwrite_partitions" => Ok(Self::OverwritePartitions),
            _ => Err(Error::UnknownMode { mode: text.to_owned() }),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Append => "append",
            Self::Overwrite => "overwrite",
            Self::OverwritePartitions => "overwrite_partitions",
        })
    }
}

/// What a job is to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The job's name, unused so far.
    pub job: JobId,
    /// What happens to data that is already there.
    pub mode: Mode,
    /// How many splits must be sealed before the job can be committed; they are numbered from 0.
    pub splits: u32,
    /// The ending of published files, without a dot.
    pub extension: String,
    /// Entries for `_SUCCESS` that mean nothing here: statement, models, and the like. Must not
    /// depend on time or attempts, or a repeated publish would write other bytes.
    pub provenance: serde_json::Map<String, serde_json::Value>,
}

/// The record of what a job is, enough to finish it in another process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobPlan {
    /// What the job is to write.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// URL of the destination.
    pub destination: String,
    /// URL of the staging folder.
    pub staging: String,
    /// Where rejected rows go, if the job may reject any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<RejectsPlan>,
    /// What the job's splits were cut from.
    #[serde(default, flatten)]
    pub pinned: Pinned,
}

/// What makes a split the same rows whoever scores it, and whenever. Means nothing to this crate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pinned {
    /// The inputs as they were meant: paths, sizes, tags, row groups, and how they are packed into splits.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub inputs: serde_json::Value,
    /// Whether splits keep their rows from one attempt to the next, or the job can only be run again as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub determinism: Option<String>,
    /// What was run, if it may be gone on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The version of whoever wrote the physical plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Settings of the session that differ from the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The physical plan as its writer encodes it; a record of its own, which [`Job::physical`] reads.
    #[serde(skip)]
    pub physical: Option<Vec<u8>>,
}

/// What a job is a part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The run: all jobs of one execution of one request.
    pub run: JobId,
    /// sha256 of the request.
    pub request: String,
    /// What people know the request by.
    pub name: String,
    /// Which of the run's statements this is, of those that write.
    pub statement: u32,
}

/// `{state}/jobs/{job}/physical.json`
#[derive(Serialize, Deserialize)]
struct Physical {
    /// In hexadecimal.
    plan: String,
}

/// The decision about a job. Written once; whoever reads it may act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The result will appear at the destination, whatever happens now.
    Committed {
        /// The version of the destination that the job makes.
        version: u64,
        /// The version of the place of the rejects that it makes, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rejects_version: Option<u64>,
        /// The sum over all splits.
        tally: Tally,
        /// sha256 over the receipts in order of splits.
        receipts: String,
    },
    /// Nothing of the job will ever appear.
    Aborted {
        /// Why, in one line.
        reason: String,
    },
}

/// A job in a state. Cheap to clone; all clones are the same job.
#[derive(Clone, Debug)]
pub struct Job {
    pub(crate) records: Records,
    /// That of the result, and that of the rejects if there is one.
    pub(crate) places: Vec<Place>,
    pub(crate) plan: Arc<JobPlan>,
    /// Whose right it is to touch the destination; none where a lock that dies with its holder says so.
    pub(crate) owner: Option<Arc<Owner>>,
}

impl Job {
    /// Records a new job, or fails if the destination refuses its mode: `destination_not_empty`,
    /// `foreign_files`, or `destination_invalid` when destination, staging and state overlap, staging is
    /// in another store, or nothing could be published there. Touches neither the destination nor staging.
    pub async fn begin(state: &Location, destination: &Location, staging: &Location, spec: JobSpec) -> Result<Job> {
        Self::begin_pinned(state, destination, staging, None, spec, Pinned::default()).await
    }

    /// The same for a job that can be resumed, because its plan says what its splits are; and for one that may
    /// reject rows, which must not overlap with the result either.
    pub async fn begin_pinned(
        state: &Location,
        destination: &Location,
        staging: &Location,
        rejects: Option<RejectsAt>,
        spec: JobSpec,
        mut pinned: Pinned,
    ) -> Result<Job> {
        let physical = pinned.physical.take();
        let plan = JobPlan {
            spec,
            destination: destination.url.clone(),
            staging: staging.url.clone(),
            rejects: rejects.as_ref().map(RejectsPlan::from),
            pinned,
        };
        let rejects = rejects.map(|rejects| (rejects.destination, rejects.staging));
        let job = Self::assemble(state, (destination, staging), rejects.as_ref(), plan);
        check_apart(&job.places)?;
        job.check_not_forgotten().await?;
        for place in &job.places {
            place.check(state, &job.plan).await?;
        }
        job.record(physical).await.map_err(plainly)?;
        Ok(job)
    }

    async fn record(&self, physical: Option<Vec<u8>>) -> Result<()> {
        // First the mark, then the plan: a plan without a mark would never be recovered. And whoever finds the
        // plan finds the physical one too.
        self.records.create_once(&record::open_key(self.id()), &self.id()).await?;
        if let Some(bytes) = physical {
            let plan = Physical { plan: record::hex(&bytes) };
            self.records.create_once(&record::physical_key(self.id()), &plan).await?;
        }
        let stands = self.records.create_once(&record::plan_key(self.id()), self.plan.as_ref()).await?;
        let reason = "was begun before with another plan";
        match stands == *self.plan {
            true => Ok(()),
            false => Err(Error::JobMisused { job: self.id().to_string(), reason }),
        }
    }

    /// A job that was begun before, here or in another process. `open` gives the locations of the
    /// recorded URLs. Errors: `unknown_job`, `location_unreachable`, and those of the store.
    pub async fn open(state: &Location, job: JobId, open: &Opener) -> Result<Job> {
        let plan: JobPlan = Records(state.clone())
            .read(&record::plan_key(job))
            .await?
            .ok_or_else(|| Error::UnknownJob { job: job.to_string() })?;
        let at = |url: &String| open(url).map_err(|source| Error::Unreachable { url: url.clone(), source });
        let rejects = match &plan.rejects {
            Some(rejects) => Some((at(&rejects.destination)?, at(&rejects.staging)?)),
            None => None,
        };
        Ok(Self::assemble(state, (&at(&plan.destination)?, &at(&plan.staging)?), rejects.as_ref(), plan))
    }

    fn assemble(
        state: &Location,
        (to, staging): (&Location, &Location),
        rejects: Option<&(Location, Location)>,
        plan: JobPlan,
    ) -> Job {
        let records = Records(state.clone());
        let mut places = vec![Place::new(Root::Result, to, staging, &records)];
        places.extend(rejects.map(|(to, staging)| Place::new(Root::Rejects, to, staging, &records)));
        Job { records, places, plan: Arc::new(plan), owner: None }
    }

    /// The place of a file; that of the result for one that has no place of its own.
    pub(crate) fn place(&self, root: Root) -> &Place {
        self.places.iter().find(|place| place.root == root).unwrap_or(&self.places[0])
    }

    /// The job's name.
    pub fn id(&self) -> JobId {
        self.plan.spec.job
    }

    /// What the job is.
    pub fn plan(&self) -> &JobPlan {
        &self.plan
    }

    /// Where the records of the job lie.
    pub fn state(&self) -> &Location {
        &self.records.0
    }

    /// Where the staged files of all jobs of this destination lie.
    pub fn staging(&self) -> &Location {
        &self.place(Root::Result).staging
    }

    /// The same for the rejects of the jobs, if this job has a place for them.
    pub fn rejects_staging(&self) -> Option<&Location> {
        self.plan.rejects.as_ref().map(|_| &self.place(Root::Rejects).staging)
    }

    /// A new attempt at a split. Ask [`Job::receipt`] first: a sealed split needs no attempt.
    pub fn attempt(&self, split: u32) -> Attempt {
        Attempt::new(self.clone(), split)
    }

    /// The receipt of a split, if it is sealed.
    pub async fn receipt(&self, split: u32) -> Result<Option<Receipt>> {
        self.records.read(&record::receipt_key(self.id(), split)).await
    }

    /// The physical plan that the job was begun with, if it was.
    pub async fn physical(&self) -> Result<Option<Vec<u8>>> {
        let physical: Option<Physical> = self.records.read(&record::physical_key(self.id())).await?;
        Ok(physical.and_then(|physical| record::from_hex(&physical.plan)))
    }

    /// How many splits are sealed.
    pub async fn sealed(&self) -> Result<usize> {
        Ok(self.sealed_splits().await?.len())
    }

    /// The splits that are not sealed, in order.
    pub async fn unsealed(&self) -> Result<Vec<u32>> {
        let sealed = self.sealed_splits().await?;
        Ok((0..self.plan.spec.splits).filter(|split| !sealed.contains(split)).collect())
    }

    async fn sealed_splits(&self) -> Result<BTreeSet<u32>> {
        let names = self.records.names(&record::receipts_folder(self.id())).await?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
    }

    /// When the last record of the job was written, by the store's clock.
    pub async fn last_written(&self) -> Result<Option<SystemTime>> {
        self.records.0.last_written(&record::job_folder(self.id())).await
    }

    /// The receipt of every split, `None` where it is not sealed yet; in order of splits.
    pub async fn receipts(&self) -> Result<Vec<Option<Receipt>>> {
        futures::stream::iter(0..self.plan.spec.splits)
            .map(|split| self.receipt(split))
            .buffered(CONCURRENT_MAX)
            .try_collect()
            .await
    }

    /// The decision, if there is one.
    pub async fn outcome(&self) -> Result<Option<Outcome>> {
        self.records.read(&record::outcome_key(self.id())).await
    }

    /// What lies at the destination; none before all of it does and only tidying up is left.
    pub async fn published(&self) -> Result<Option<Published>> {
        self.records.read(&record::published_key(self.id())).await
    }

    pub(crate) async fn is_published(&self) -> Result<bool> {
        self.records.exists(&record::published_key(self.id())).await
    }

    /// Decides for the result and returns the decision that stands, which is an abort if that came
    /// first. Safe to repeat. The destination is not touched yet: [`Job::publish`] does that.
    ///
    /// Errors before the decision: `splits_missing`, `staged_missing`, `too_many_rejects`, the refusals of the mode,
    /// `destination_invalid` when nothing can be published there any more, and `destination_busy` while
    /// a job of this or another state publishes there. After a transient error the decision may have
    /// been made: commit again, or [`Job::abort`] and see which of the two stands.
    pub async fn commit(&self) -> Result<Outcome> {
        let error = match self.try_commit().await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        // An abort that won takes away what a commit needs: then the error is its doing.
        match self.outcome().await {
            Ok(Some(outcome @ Outcome::Aborted { .. })) => {
                self.leave().await?;
                Ok(outcome)
            }
            // So does a commit by another owner, whose publish has taken away what was staged.
            Ok(Some(outcome)) => Ok(outcome),
            _ => Err(error),
        }
    }

    async fn try_commit(&self) -> Result<Outcome> {
        // First of all: what was read before a wait for the owner before would be of before it.
        self.check_owner().await?;
        if let Some(outcome) = self.outcome().await? {
            return Ok(outcome);
        }
        let receipts = self.all_receipts().await?;
        self.check_staged(&receipts).await?;
        let tally: Tally = receipts.iter().map(|receipt| receipt.tally).sum();
        self.check_rejects(tally.rejected)?;
        self.take_turns().await?;
        // An abort that ended before we had the turn could not pass it on, nor could a publish.
        match self.outcome().await? {
            Some(outcome @ Outcome::Aborted { .. }) => {
                self.leave().await?;
                return Ok(outcome);
            }
            Some(outcome) => return Ok(outcome),
            None => {}
        }
        let mut versions = vec![];
        for place in &self.places {
            versions.push(self.claim(place, &receipts).await?);
        }
        let outcome = Outcome::Committed {
            version: versions[0],
            rejects_version: versions.get(1).copied(),
            tally,
            receipts: record::sha256(&record::json(&receipts)),
        };
        self.records.create_once(&record::outcome_key(self.id()), &outcome).await
    }

    async fn claim(&self, place: &Place, receipts: &[Receipt]) -> Result<u64> {
        let spec = self.plan.spec_of(place.root);
        let (version, claim) = place.destination.claim(&spec, place.root, receipts).await?;
        place.destination.check_ground(&place.staging, claim.folders()).await?;
        Ok(version)
    }

    fn check_rejects(&self, rejected: u64) -> Result<()> {
        match &self.plan.rejects {
            Some(rejects) if rejected > rejects.max => Err(Error::TooManyRejects { rejected, max: rejects.max }),
            _ => Ok(()),
        }
    }

    /// Decides against the result, removes what is staged, and returns the decision that stands: if
    /// that is a commit, which came first, [`Job::publish`] is still due. Safe to repeat.
    ///
    /// Attempts that still run must be stopped before, or what they stage stays behind.
    pub async fn abort(&self, reason: &str) -> Result<Outcome> {
        let stands = self.cancel(reason).await?;
        if matches!(stands, Outcome::Aborted { .. }) {
            self.check_owner().await?;
            self.leave().await?;
            self.records.remove(&record::open_key(self.id())).await?;
        }
        Ok(stands)
    }

    /// Decides against the result as [`Job::abort`] does and leaves the rest to the job's owner or to
    /// [`crate::collect`]: for whoever has not the right to touch destinations, at any moment.
    pub async fn cancel(&self, reason: &str) -> Result<Outcome> {
        let aborted = Outcome::Aborted { reason: reason.to_owned() };
        self.records.create_once(&record::outcome_key(self.id()), &aborted).await
    }

    async fn all_receipts(&self) -> Result<Vec<Receipt>> {
        let receipts = self.receipts().await?;
        let missing: Vec<u32> = (0u32..).zip(&receipts).filter(|(_, r)| r.is_none()).map(|(split, _)| split).collect();
        match missing.first() {
            None => Ok(receipts.into_iter().flatten().collect()),
            Some(&first) => Err(Error::SplitsMissing { job: self.id().to_string(), missing: missing.len(), first }),
        }
    }

    /// Looks for every sealed file through the destination's store, which will have to rename it.
    async fn check_staged(&self, receipts: &[Receipt]) -> Result<()> {
        let files = receipts.iter().flat_map(|receipt| &receipt.files);
        run_all(files.map(|file| self.check_staged_file(file).boxed()).collect()).await
    }

    async fn check_staged_file(&self, file: &StagedFile) -> Result<()> {
        let place = self.place(file.root);
        let path = place.staged_path(self, file.staged.name())?;
        match place.destination.location.size(&path).await? {
            Some(size) if size == file.bytes => Ok(()),
            _ => Err(Error::StagedMissing { file: place.staging.shown(&path) }),
        }
    }

    pub(crate) async fn remove_staging(&self) -> Result<()> {
        for place in &self.places {
            place.staging.delete_folder(&self.id().to_string()).await?;
        }
        Ok(())
    }

    /// Takes everything of a job that is over away from the destination's side, its turns last.
    pub(crate) async fn leave(&self) -> Result<()> {
        self.remove_staging().await?;
        self.pass_turns().await
    }
}

/// Nobody acts on a job that could not be begun, so it does not matter whether a part of its record landed.
fn plainly(error: Error) -> Error {
    match error {
        Error::Unconfirmed { source, .. } => *source,
        other => other,
    }
}

/// Gives the location of a URL that a plan recorded.
pub type Opener = dyn Fn(&str) -> Result<Location, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;
