//! Rolling a committed job forward: the only code that changes a destination.

use std::collections::BTreeSet;

use futures::FutureExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::destination::{Addition, Claim, PublishedFile, SUCCESS};
use crate::error::{Error, Result};
use crate::job::{Job, Outcome};
use crate::local::LocalFolder;
use crate::location::run_all;
use crate::mutants::{Mutant, planted};
use crate::receipt::Tally;
use crate::record;
use crate::repair::Replacements;
use crate::verify::JobReceipt;

/// A published result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The version of the destination that the job made.
    pub version: u64,
    /// The files that the job added, in order of splits.
    pub files: Vec<PublishedFile>,
}

/// What the decision said.
struct Committed {
    version: u64,
    tally: Tally,
    receipts: String,
}

impl Job {
    /// Makes a committed result appear at the destination, last of all `_SUCCESS`, and removes what
    /// is staged. Every step can be repeated: after an error, call it again, here or through
    /// [`crate::recover`]. An error here never means that the job failed, only that it is not yet done.
    ///
    /// Errors: `job_misused` if it is not committed, `staged_missing` if what is staged vanished and must be
    /// made again ([`Job::lost_splits`]), `owner_replaced`, and those of the store.
    pub async fn publish(&self) -> Result<Published> {
        let (committed, mut claim) = self.committed_claim().await?;
        let published = match self.published().await? {
            Some(published) => published,
            None => self.roll_forward(committed, &mut claim).await?,
        };
        self.pass_turn().await?;
        self.records.remove(&record::open_key(self.id())).await?;
        Ok(published)
    }

    async fn roll_forward(&self, committed: Committed, claim: &mut Claim) -> Result<Published> {
        // It is ours since the commit; whoever took it away by hand must not meet us at the destination.
        self.take_turn().await?;
        self.change_destination(claim).await?;
        self.close_repairs().await?;
        if !planted(Mutant::StagingKept) {
            self.remove_staging().await?;
        }
        let files: Vec<_> = claim.added.iter().map(|addition| addition.file.clone()).collect();
        let version = committed.version;
        self.write_receipt(committed, &files).await?;
        self.records.create_once(&record::published_key(self.id()), &Published { version, files }).await
    }

    /// What the job did, in one record that outlives all others.
    async fn write_receipt(&self, committed: Committed, files: &[PublishedFile]) -> Result<()> {
        let Committed { version, tally, receipts } = committed;
        let plan = &self.plan;
        let receipt = JobReceipt {
            job: self.id(),
            destination: plan.destination.clone(),
            mode: plan.spec.mode,
            version,
            tally,
            receipts,
            files: files.to_vec(),
            provenance: plan.spec.provenance.clone(),
            pinned: plan.pinned.clone(),
        };
        self.records.create_once(&record::job_receipt_key(self.id()), &receipt).await.map(drop)
    }

    async fn committed_claim(&self) -> Result<(Committed, Claim)> {
        let not_committed = || Error::JobMisused {
            job: self.id().to_string(),
            reason: "is not committed, there is nothing to publish",
        };
        let Some(Outcome::Committed { version, tally, receipts }) = self.outcome().await? else {
            return Err(not_committed());
        };
        let claim = self.destination.version(version).await?.ok_or_else(not_committed)?;
        Ok((Committed { version, tally, receipts }, claim))
    }

    async fn change_destination(&self, claim: &mut Claim) -> Result<()> {
        let to = &self.destination.location;
        // Our own marker is there only if all the rest is.
        if self.destination.success().await?.is_some_and(|success| success.job == self.id()) {
            return self.settle(claim, &self.replacements().await?).await;
        }
        // Whatever can refuse comes first: readers of the old result see nothing of it.
        self.create_folders(claim).await?;
        let replacements = self.replacements().await?;
        self.check_owner().await?;
        if !planted(Mutant::MarkerKept) {
            to.delete(&to.path(SUCCESS)?).await?;
        }
        // After a loss of power, no new part may lie beside the old marker.
        to.sync_folders(BTreeSet::from([String::new()])).await?;
        self.move_parts(&claim.added, &replacements).await?;
        to.delete_all(&claim.removed).await?;
        if let Some(local) = LocalFolder::of(to) {
            local.prune(&claim.removed).await;
        }
        self.settle(claim, &replacements).await?;
        to.sync_folders(claim.folders()).await?;
        self.write_success(claim).await?;
        to.sync_folders(BTreeSet::from([String::new()])).await?;
        to.sync_itself().await
    }

    async fn create_folders(&self, claim: &Claim) -> Result<()> {
        let to = &self.destination.location;
        let Some(local) = LocalFolder::of(to) else {
            return Ok(());
        };
        local.create(claim.folders_of_added()).await.map_err(|error| to.failed_on_disk(error))
    }

    async fn move_parts(&self, added: &[Addition], replacements: &Replacements) -> Result<()> {
        run_all(added.iter().map(|addition| self.move_part(addition, replacements).boxed()).collect()).await
    }

    /// What was sealed goes first wherever it is still there: a replacement beside it would be a second
    /// source of one file.
    async fn move_part(&self, addition: &Addition, replacements: &Replacements) -> Result<()> {
        let name = addition.staged.name();
        let to = self.destination.location.path(&addition.file.path)?;
        let replacement = replacements.get(name);
        let bytes = replacement.is_none().then_some(addition.file.bytes);
        match (self.rename(&self.staged_path(name)?, &to, bytes).await, replacement) {
            (Err(Error::StagedMissing { .. }), Some(other)) => {
                self.rename(&self.staged_path(other.name())?, &to, None).await
            }
            (moved, _) => moved,
        }
    }

    /// Moves an object, or finds that it has been moved. An error can hide a move that happened, and
    /// a move that happened earlier looks like an error. Of an unknown size, anything there will do.
    async fn rename(&self, from: &Path, to: &Path, bytes: Option<u64>) -> Result<()> {
        let at = &self.destination.location;
        let Err(source) = self.move_object(from, to).await else {
            return Ok(());
        };
        if at.size(from).await?.is_some() {
            return Err(at.failed(to, source));
        }
        match at.size(to).await? {
            Some(size) if bytes.is_none_or(|bytes| size == bytes) => Ok(()),
            _ => Err(Error::StagedMissing { file: at.shown(from) }),
        }
    }

    /// One operation of the store whose source disappears for good: a rename, or a copy by the server after
    /// which the source is deleted.
    async fn move_object(&self, from: &Path, to: &Path) -> object_store::Result<()> {
        let store = &self.destination.location.store;
        if planted(Mutant::StagingKept) {
            return store.copy(from, to).await;
        }
        if planted(Mutant::ClientCopy) {
            let body = store.get(from).await?.bytes().await?;
            store.put(to, body.into()).await?;
            return store.delete(from).await;
        }
        store.rename(from, to).await
    }

    /// Corrects what the claim says of files that were replaced.
    async fn settle(&self, claim: &mut Claim, replacements: &Replacements) -> Result<()> {
        let at = &self.destination.location;
        let replaced = |addition: &&mut Addition| replacements.contains_key(addition.staged.name());
        for addition in claim.added.iter_mut().filter(replaced) {
            if let Some(size) = at.size(&at.path(&addition.file.path)?).await? {
                addition.file.bytes = size;
                addition.file.sha256 = None;
            }
        }
        Ok(())
    }

    /// Through staging, so that a write that is cut off leaves nothing at the destination.
    async fn write_success(&self, claim: &Claim) -> Result<()> {
        let body = record::json(&self.success_entries(claim));
        let bytes = body.len() as u64;
        let staged = self.staged_path("_SUCCESS.staged")?;
        let at = &self.destination.location;
        at.store.put(&staged, body.into()).await.map_err(|source| at.failed(&staged, source))?;
        self.staging.sync_files(vec![format!("{}/_SUCCESS.staged", self.id())]).await?;
        self.check_owner().await?;
        self.rename(&staged, &at.path(SUCCESS)?, Some(bytes)).await
    }

    fn success_entries(&self, claim: &Claim) -> Map<String, Value> {
        let files: Vec<&PublishedFile> = claim.files().collect();
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let mut entries = self.plan.spec.provenance.clone();
        entries.insert("job".to_owned(), json!(self.id()));
        entries.insert("mode".to_owned(), json!(claim.mode));
        entries.insert("rows".to_owned(), json!(rows));
        entries.insert("files".to_owned(), json!(files));
        entries.insert("jobs".to_owned(), json!(claim.jobs));
        entries
    }
}
