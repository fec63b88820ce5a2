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
use crate::place::{Place, Root};
use crate::receipt::Tally;
use crate::record;
use crate::repair::Replacements;
use crate::verify::{JobReceipt, RejectsReceipt};

/// A published result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The version of the destination that the job made.
    pub version: u64,
    /// The files that the job added, in order of splits.
    pub files: Vec<PublishedFile>,
    /// Those that it added at the place of its rejects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<PublishedFile>,
}

impl Published {
    pub(crate) fn files_of(self, root: Root) -> Vec<PublishedFile> {
        match root {
            Root::Result => self.files,
            Root::Rejects => self.rejects,
        }
    }
}

/// What the decision said.
struct Committed {
    versions: Vec<u64>,
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
        // Nothing is read before the owner before can do nothing any more: it would be of before the wait.
        self.check_owner().await?;
        let (committed, mut claims) = self.committed_claims().await?;
        let published = match self.published().await? {
            Some(published) => published,
            None => self.roll_forward(committed, &mut claims).await?,
        };
        self.pass_turns().await?;
        self.records.remove(&record::open_key(self.id())).await?;
        Ok(published)
    }

    async fn roll_forward(&self, committed: Committed, claims: &mut [Claim]) -> Result<Published> {
        // They are ours since the commit; whoever took one away by hand must not meet us at the destination.
        self.take_turns().await?;
        // The result last: whoever finds it marked as whole finds what it lacks among the rejects.
        for (place, claim) in self.places.iter().zip(claims.iter_mut()).rev() {
            self.change_destination(place, claim).await?;
        }
        self.close_repairs().await?;
        if !planted(Mutant::StagingKept) {
            self.remove_staging().await?;
        }
        let files_of = |claim: &Claim| claim.added.iter().map(|addition| addition.file.clone()).collect::<Vec<_>>();
        let published = Published {
            version: committed.versions[0],
            files: files_of(&claims[0]),
            rejects: claims.get(1).map(files_of).unwrap_or_default(),
        };
        self.write_receipt(committed, &published).await?;
        self.records.create_once(&record::published_key(self.id()), &published).await
    }

    /// What the job did, in one record that outlives all others.
    async fn write_receipt(&self, committed: Committed, published: &Published) -> Result<()> {
        let Committed { versions, tally, receipts } = committed;
        let plan = &self.plan;
        let receipt = JobReceipt {
            job: self.id(),
            destination: plan.destination.clone(),
            mode: plan.spec.mode,
            version: versions[0],
            tally,
            receipts,
            files: published.files.clone(),
            rejects: plan.rejects.as_ref().zip(versions.get(1)).map(|(rejects, version)| RejectsReceipt {
                destination: rejects.destination.clone(),
                version: *version,
                max: rejects.max,
                files: published.rejects.clone(),
            }),
            provenance: plan.spec.provenance.clone(),
            pinned: plan.pinned.clone(),
        };
        self.records.create_once(&record::job_receipt_key(self.id()), &receipt).await.map(drop)
    }

    /// What was decided, and the claim of each place, in the order of the places.
    async fn committed_claims(&self) -> Result<(Committed, Vec<Claim>)> {
        let not_committed = || Error::JobMisused {
            job: self.id().to_string(),
            reason: "is not committed, there is nothing to publish",
        };
        let Some(Outcome::Committed { version, rejects_version, tally, receipts }) = self.outcome().await? else {
            return Err(not_committed());
        };
        let versions: Vec<u64> = [Some(version), rejects_version].into_iter().flatten().collect();
        let mut claims = vec![];
        for (place, version) in self.places.iter().zip(&versions) {
            claims.push(place.destination.version(*version).await?.ok_or_else(not_committed)?);
        }
        Ok((Committed { versions, tally, receipts }, claims))
    }

    async fn change_destination(&self, place: &Place, claim: &mut Claim) -> Result<()> {
        let to = &place.destination.location;
        // Our own marker is there only if all the rest is.
        if place.destination.success().await?.is_some_and(|success| success.job == self.id()) {
            return place.settle(claim, &self.replacements().await?).await;
        }
        // Whatever can refuse comes first: readers of the old result see nothing of it.
        place.create_folders(claim).await?;
        let replacements = self.replacements().await?;
        self.check_owner().await?;
        if !planted(Mutant::MarkerKept) {
            to.delete(&to.path(SUCCESS)?).await?;
        }
        // After a loss of power, no new part may lie beside the old marker.
        to.sync_folders(BTreeSet::from([String::new()])).await?;
        self.move_parts(place, &claim.added, &replacements).await?;
        to.delete_all(&claim.removed).await?;
        if let Some(local) = LocalFolder::of(to) {
            local.prune(&claim.removed).await;
        }
        place.settle(claim, &replacements).await?;
        to.sync_folders(claim.folders()).await?;
        self.write_success(place, claim).await?;
        to.sync_folders(BTreeSet::from([String::new()])).await?;
        to.sync_itself().await
    }

    async fn move_parts(&self, place: &Place, added: &[Addition], replacements: &Replacements) -> Result<()> {
        run_all(added.iter().map(|addition| self.move_part(place, addition, replacements).boxed()).collect()).await
    }

    /// What was sealed goes first wherever it is still there: a replacement beside it would be a second
    /// source of one file.
    async fn move_part(&self, place: &Place, addition: &Addition, replacements: &Replacements) -> Result<()> {
        let name = addition.staged.name();
        let to = place.destination.location.path(&addition.file.path)?;
        let replacement = replacements.get(name);
        let bytes = replacement.is_none().then_some(addition.file.bytes);
        match (place.rename(&place.staged_path(self, name)?, &to, bytes).await, replacement) {
            (Err(Error::StagedMissing { .. }), Some(other)) => {
                place.rename(&place.staged_path(self, other.name())?, &to, None).await
            }
            (moved, _) => moved,
        }
    }

    /// Through staging, so that a write that is cut off leaves nothing at the destination.
    async fn write_success(&self, place: &Place, claim: &Claim) -> Result<()> {
        let body = record::json(&self.success_entries(claim));
        let bytes = body.len() as u64;
        let staged = place.staged_path(self, "_SUCCESS.staged")?;
        let at = &place.destination.location;
        at.store.put(&staged, body.into()).await.map_err(|source| at.failed(&staged, source))?;
        place.staging.sync_files(vec![format!("{}/_SUCCESS.staged", self.id())]).await?;
        self.check_owner().await?;
        place.rename(&staged, &at.path(SUCCESS)?, Some(bytes)).await
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

impl Place {
    async fn create_folders(&self, claim: &Claim) -> Result<()> {
        let to = &self.destination.location;
        let Some(local) = LocalFolder::of(to) else {
            return Ok(());
        };
        local.create(claim.folders_of_added()).await.map_err(|error| to.failed_on_disk(error))
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
}
