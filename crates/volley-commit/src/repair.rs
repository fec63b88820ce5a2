//! Making again what vanished from staging after the decision.
//!
//! The receipt is a promise of rows: whoever scores the split again must arrive at the same counts and checksums.
//! One replacement at most is chosen for a split, by a record that is created once. Before a job is published
//! its repairs are closed, so that no repair that was long under way moves anything afterwards.
//!
//! ```text
//! {state}/jobs/{job}/repair.json              begun: a split may have a replacement; or closed: none ever has
//! {state}/jobs/{job}/splits/{split:06}.repair the files that replace a split's, or closed
//! ```

use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::destination::{Addition, Claim};
use crate::error::{Error, Result};
use crate::job::{Job, Outcome};
use crate::location::{CONCURRENT_MAX, run_all};
use crate::mutants::{Mutant, planted};
use crate::receipt::{Attempt, Receipt, Staged, StagedFile, Tally};
use crate::record;

/// Whether a job has replacements at all.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Gate {
    Begun,
    Closed,
}

/// What replaces a split's files.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "repair", rename_all = "snake_case")]
enum Slot {
    Replaced { attempt: String, files: Vec<StagedFile> },
    Closed,
}

/// The replacements of a job: what lies in staging instead of what, by the names there.
pub(crate) type Replacements = BTreeMap<String, Staged>;

impl Job {
    /// The splits of a committed job with a file that lies neither in staging nor at the destination any more,
    /// and for which no replacement was chosen; none once the job is published. [`Attempt::repair`] helps.
    pub async fn lost_splits(&self) -> Result<Vec<u32>> {
        let Some(Outcome::Committed { version, rejects_version, .. }) = self.outcome().await? else {
            return Ok(vec![]);
        };
        if self.is_published().await? || planted(Mutant::NoRepair) {
            return Ok(vec![]);
        }
        let mut paths = BTreeMap::new();
        for (place, version) in self.places.iter().zip([Some(version), rejects_version].into_iter().flatten()) {
            let claim = place.destination.version(version).await?;
            paths.extend(claim.iter().flat_map(final_paths));
        }
        let replacements = self.replacements().await?;
        let mut lost = vec![];
        for receipt in self.receipts().await?.into_iter().flatten() {
            if self.is_lost(&receipt, &paths, &replacements).await? {
                lost.push(receipt.split);
            }
        }
        Ok(lost)
    }

    async fn is_lost(&self, receipt: &Receipt, paths: &BTreeMap<String, String>, made: &Replacements) -> Result<bool> {
        for file in &receipt.files {
            let name = file.staged.name();
            let Some(path) = paths.get(name).filter(|_| !made.contains_key(name)) else {
                continue;
            };
            // A move that is under way is at one of the two: looked for in the order in which it goes.
            let place = self.place(file.root);
            let at = &place.destination.location;
            if at.size(&place.staged_path(self, name)?).await?.is_none() && at.size(&at.path(path)?).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was chosen to replace vanished files.
    pub(crate) async fn replacements(&self) -> Result<Replacements> {
        let gate: Option<Gate> = self.records.read(&record::repair_gate_key(self.id())).await?;
        if gate != Some(Gate::Begun) {
            return Ok(Replacements::new());
        }
        let pairs: Vec<_> = futures::stream::iter(0..self.plan().spec.splits)
            .map(|split| self.replaced(split))
            .buffered(CONCURRENT_MAX)
            .try_collect()
            .await?;
        Ok(pairs.into_iter().flatten().collect())
    }

    async fn replaced(&self, split: u32) -> Result<Vec<(String, Staged)>> {
        let slot = self.records.read(&record::repair_key(self.id(), split)).await?;
        let Some(Slot::Replaced { files, .. }) = slot else {
            return Ok(vec![]);
        };
        let receipt = self.receipt(split).await?.map(|receipt| receipt.files).unwrap_or_default();
        let names = receipt.into_iter().map(|file| file.staged.name().to_owned());
        Ok(names.zip(files.into_iter().map(|file| file.staged)).collect())
    }

    /// From here on no replacement can be chosen, and none that was chosen is left in staging.
    pub(crate) async fn close_repairs(&self) -> Result<()> {
        if planted(Mutant::RepairsNotClosed) {
            return Ok(());
        }
        match self.records.create_once(&record::repair_gate_key(self.id()), &Gate::Closed).await? {
            Gate::Closed => Ok(()),
            Gate::Begun => run_all((0..self.plan().spec.splits).map(|split| self.close(split).boxed()).collect()).await,
        }
    }

    async fn close(&self, split: u32) -> Result<()> {
        match self.records.create_once(&record::repair_key(self.id(), split), &Slot::Closed).await? {
            Slot::Closed => Ok(()),
            Slot::Replaced { files, .. } => {
                for file in files {
                    let name = format!("{}/{}", self.id(), file.staged.name());
                    self.place(file.root).staging.delete_all([&name]).await?;
                }
                Ok(())
            }
        }
    }
}

impl Attempt {
    /// Offers these complete files for those of the split that vanished after the decision, and says whether
    /// they were chosen; if not, they are deleted. [`Job::publish`] then moves them.
    ///
    /// Errors: `repair_differs` when they do not hold what the receipt promises: nothing is ever guessed.
    pub async fn repair(&self, tally: Tally, files: Vec<StagedFile>) -> Result<bool> {
        let job = self.job();
        let receipt = job.receipt(self.split()).await?.ok_or_else(|| Error::JobMisused {
            job: job.id().to_string(),
            reason: "has no receipt for this split, so that nothing can replace it",
        })?;
        let again = self.checked(tally, files)?;
        check_promise(&receipt, &again).map_err(|reason| Error::RepairDiffers {
            job: job.id().to_string(),
            split: self.split(),
            reason,
        })?;
        self.make_durable(&again).await?;
        let chosen = self.choose(again.files).await?;
        if !chosen {
            self.discard().await?;
        }
        Ok(chosen)
    }

    async fn choose(&self, files: Vec<StagedFile>) -> Result<bool> {
        let job = self.job();
        let gate = job.records.create_once(&record::repair_gate_key(job.id()), &Gate::Begun).await?;
        if gate == Gate::Closed {
            return Ok(false);
        }
        let mine = Slot::Replaced { attempt: self.id().to_owned(), files };
        let stands = job.records.create_once(&record::repair_key(job.id(), self.split()), &mine).await?;
        Ok(stands == mine)
    }
}

/// Where each staged file of a claim goes.
fn final_paths(claim: &Claim) -> impl Iterator<Item = (String, String)> {
    let pair = |addition: &Addition| (addition.staged.name().to_owned(), addition.file.path.clone());
    claim.added.iter().map(pair)
}

/// Bytes may differ, and with them sizes: a writer need not write the same rows in the same order.
fn check_promise(receipt: &Receipt, again: &Receipt) -> std::result::Result<(), String> {
    if receipt.tally != again.tally {
        return Err(format!("{:?} was promised, {:?} came out", receipt.tally, again.tally));
    }
    if receipt.model != again.model {
        return Err("another model scored it".to_owned());
    }
    if receipt.files.len() != again.files.len() {
        return Err(format!("{} files were promised, {} came out", receipt.files.len(), again.files.len()));
    }
    let kept = |(was, is): (&StagedFile, &StagedFile)| {
        was.root == is.root && was.partition == is.partition && was.rows == is.rows && is_same_content(was, is)
    };
    match receipt.files.iter().zip(&again.files).all(kept) {
        true => Ok(()),
        false => Err("the rows are not those that were promised".to_owned()),
    }
}

/// By the checksum of the rows, and without one by that of the bytes; without either nothing is proven.
fn is_same_content(was: &StagedFile, is: &StagedFile) -> bool {
    match (&was.rows_sum, &is.rows_sum) {
        (Some(was), Some(is)) => was == is,
        _ => was.rows == 0 || was.sha256.is_some() && was.sha256 == is.sha256,
    }
}
