//! The work on one split: files in staging, sealed by a receipt.

use std::collections::BTreeSet;
use std::iter::Sum;
use std::sync::atomic::{AtomicU32, Ordering};

use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::mutants::{Mutant, planted};
use crate::place::Root;
use crate::record;

/// Row counts of a split or of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows in the files.
    pub rows_out: u64,
    /// Rows that could not be scored and went to the rejects.
    pub rejected: u64,
    /// Rows in the files whose score is NULL.
    pub null_scores: u64,
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |a, b| Self {
            rows_in: a.rows_in + b.rows_in,
            rows_out: a.rows_out + b.rows_out,
            rejected: a.rejected + b.rejected,
            null_scores: a.null_scores + b.null_scores,
        })
    }
}

/// How a sealed file waits for the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Staged {
    /// As a whole object in the job's staging folder.
    Object {
        /// Its name there.
        name: String,
    },
}

impl Staged {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Object { name } => name,
        }
    }
}

/// One complete file of a split, not yet visible at the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Where it waits.
    pub staged: Staged,
    /// Which place of the job it is for.
    #[serde(default, skip_serializing_if = "Root::is_result")]
    pub root: Root,
    /// The folder below the destination, `""` or as `a=1/b=2`.
    pub partition: String,
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// sha256 of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A checksum of its rows that does not depend on their order, in the writer's own notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_sum: Option<String>,
    /// A digest of the footer that was read back and compared with what was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
}

impl StagedFile {
    /// A whole object that was written to a path of [`Attempt::staged_path`].
    pub fn object(path: &Path, partition: impl Into<String>, rows: u64, bytes: u64) -> Self {
        let name = path.filename().unwrap_or_default().to_owned();
        let staged = Staged::Object { name };
        let root = Root::Result;
        Self { staged, root, partition: partition.into(), rows, bytes, sha256: None, rows_sum: None, footer: None }
    }

    /// The same for the rejects, written to a path of [`Attempt::rejects_path`].
    #[must_use]
    pub fn of_rejects(self) -> Self {
        Self { root: Root::Rejects, ..self }
    }
}

/// The proof that a split is done. Never changes, and never needs to be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The split.
    pub split: u32,
    /// The attempt whose files count.
    pub attempt: String,
    /// Its row counts.
    pub tally: Tally,
    /// Its files, in the order of their numbers.
    pub files: Vec<StagedFile>,
    /// The digest of the model that scored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// One execution of a split. Its staged names are used by nobody else, ever.
#[derive(Debug)]
pub struct Attempt {
    job: Job,
    split: u32,
    id: String,
    names_given: AtomicU32,
    model: Option<String>,
}

impl Attempt {
    pub(crate) fn new(job: Job, split: u32) -> Self {
        let id = Uuid::now_v7().simple().to_string();
        Self { job, split, id, names_given: AtomicU32::new(0), model: None }
    }

    /// The same attempt, whose receipt will say which model scored.
    #[must_use]
    pub fn with_model(mut self, digest: impl Into<String>) -> Self {
        self.model = Some(digest.into());
        self
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// The split this works on.
    pub fn split(&self) -> u32 {
        self.split
    }

    /// The attempt's own name, 32 hexadecimal digits, different from every other.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A fresh path in the store of [`Job::staging`] for the next file. Ends in `.staged`, so that
    /// nobody takes it for a result.
    pub fn staged_path(&self) -> Path {
        self.path_in(Root::Result)
    }

    /// The same in the store of [`Job::rejects_staging`].
    pub fn rejects_path(&self) -> Path {
        self.path_in(Root::Rejects)
    }

    fn path_in(&self, root: Root) -> Path {
        let n = self.names_given.fetch_add(1, Ordering::Relaxed);
        self.job.place(root).staged_path(&self.job, &self.name(n)).expect("staged names are plain ASCII")
    }

    fn name(&self, n: u32) -> String {
        let id = if planted(Mutant::SharedStage) { "shared" } else { &self.id };
        format!("{:06}-{id}-{n}.staged", self.split)
    }

    /// Declares the split done with these complete files, and returns the receipt that stands. If
    /// another attempt was first it is theirs, and the files of this one are deleted.
    ///
    /// Errors: `receipt_invalid` when the figures contradict each other, and those of the store.
    /// After a transient error the receipt may stand: a new attempt asks for it first.
    pub async fn seal(&self, tally: Tally, files: Vec<StagedFile>) -> Result<Receipt> {
        let mine = self.checked(tally, files)?;
        self.make_durable(&mine).await?;
        let key = record::receipt_key(self.job.id(), self.split);
        let stands = match self.job.records.create_once(&key, &mine).await {
            Err(Error::UnknownJob { .. }) if planted(Mutant::ExistsMeansLost) => {
                return self.discard().await.map(|()| mine);
            }
            stands => stands?,
        };
        if planted(Mutant::LastReceiptWins) {
            let path = self.job.records.0.path(&key)?;
            let _ = self.job.records.0.store.put(&path, record::json(&mine).into()).await;
        }
        if stands.attempt != self.id {
            self.discard().await?;
        }
        Ok(stands)
    }

    /// What this attempt would seal, if its figures agree.
    pub(crate) fn checked(&self, tally: Tally, files: Vec<StagedFile>) -> Result<Receipt> {
        let mine = Receipt { split: self.split, attempt: self.id.clone(), tally, files, model: self.model.clone() };
        self.check(&mine).map_err(|reason| Error::ReceiptInvalid { split: self.split, reason })?;
        Ok(mine)
    }

    /// Before a record says that they are there.
    pub(crate) async fn make_durable(&self, receipt: &Receipt) -> Result<()> {
        for place in &self.job.places {
            let files = receipt.files.iter().filter(|file| file.root == place.root);
            let names = files.map(|file| format!("{}/{}", self.job.id(), file.staged.name()));
            place.staging.sync_files(names.collect()).await?;
        }
        Ok(())
    }

    /// Deletes what this attempt staged. Only for attempts that were not sealed.
    pub async fn discard(&self) -> Result<()> {
        let names = 0..self.names_given.load(Ordering::Relaxed);
        let files: Vec<String> = names.map(|n| format!("{}/{}", self.job.id(), self.name(n))).collect();
        for place in &self.job.places {
            place.staging.delete_all(&files).await?;
        }
        Ok(())
    }

    /// What would go unnoticed until after the decision.
    fn check(&self, receipt: &Receipt) -> Result<(), String> {
        let splits = self.job.plan().spec.splits;
        if self.split >= splits {
            return Err(format!("the job has only {splits} splits"));
        }
        let Tally { rows_in, rows_out, rejected, .. } = receipt.tally;
        if rows_in != rows_out + rejected {
            return Err(format!("{rows_in} rows came in, {rows_out} went out and {rejected} were rejected"));
        }
        let rows_of = |root| receipt.files.iter().filter(|file| file.root == root).map(|file| file.rows).sum::<u64>();
        let rows = rows_of(Root::Result);
        if rows_out != rows {
            return Err(format!("{rows_out} rows were counted, the files hold {rows}"));
        }
        let rows = rows_of(Root::Rejects);
        if rejected != rows {
            return Err(format!("{rejected} rows were rejected, the files of the rejects hold {rows}"));
        }
        if self.job.plan().rejects.is_none() && receipt.files.iter().any(|file| file.root == Root::Rejects) {
            return Err("the job has no place for rejects".to_owned());
        }
        let given: BTreeSet<String> = (0..self.names_given.load(Ordering::Relaxed)).map(|n| self.name(n)).collect();
        let mut used = BTreeSet::new();
        for file in &receipt.files {
            let name = file.staged.name();
            if !given.contains(name) || !used.insert(name) {
                return Err(format!("`{name}` is not a file of this attempt, or is named twice"));
            }
            if Path::parse(&file.partition).is_err() {
                return Err(format!("the partition of `{name}` is no valid path"));
            }
        }
        Ok(())
    }
}
