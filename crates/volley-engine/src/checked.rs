//! A check of a published job as a whole: all of its files, and if wanted some of its splits scored again.

use std::fmt;

use serde::{Deserialize, Serialize};
use volley_commit::JobId;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::progress::Progress;
use crate::rescore::Draw;
use crate::verify::Difference;

/// How many files a message names.
const NAMED_MAX: usize = 10;

/// What was found to be as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The job.
    pub job: JobId,
    /// Files that it published.
    pub files: usize,
    /// Rows of its result.
    pub rows: u64,
    /// Rows that it rejected.
    pub rejected: u64,
    /// Files whose rows were summed up again; of the others the bytes alone were compared.
    pub files_summed: usize,
    /// Its splits that were scored again, if that was wanted.
    pub rescored: Option<ScoredAgain>,
}

/// Splits that gave the same rows again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoredAgain {
    /// Their numbers.
    pub splits: Vec<u32>,
    /// What they were drawn with.
    pub seed: u64,
    /// Their files.
    pub files: usize,
    /// Rows in these.
    pub rows: u64,
    /// Of the files, those that came out byte for byte.
    pub files_of_same_bytes: usize,
}

impl Engine {
    /// Checks every file of a published job, and scores the splits again that are drawn. Writes nothing.
    ///
    /// Errors: `published_differs`, `rescored_differs`, those of [`Engine::verify`] and [`Engine::rescore`].
    pub async fn check(&self, job: JobId, draw: Option<Draw>, progress: &Progress) -> Result<Checked, EngineError> {
        let verified = self.verify(job).await?;
        let whose = format!("of the {} files of job {job} are not what it published", verified.files);
        if let Some(told) = told(&verified.differences, &whose) {
            return Err(EngineError::new("published_differs", told));
        }
        let rescored = match draw {
            None => None,
            Some(draw) => {
                let rescored = self.rescore(job, draw, progress).await?;
                let again = ScoredAgain {
                    splits: rescored.splits,
                    seed: rescored.seed,
                    files: rescored.files,
                    rows: rescored.rows,
                    files_of_same_bytes: rescored.files_of_same_bytes,
                };
                let whose =
                    format!("of the {} files of {} of job {job} come out otherwise", again.files, again.drawn());
                if let Some(told) = told(&rescored.differences, &whose) {
                    return Err(EngineError::new("rescored_differs", told));
                }
                Some(again)
            }
        };
        Ok(Checked {
            job,
            files: verified.files,
            rows: verified.rows,
            rejected: verified.rejected,
            files_summed: verified.files_summed,
            rescored,
        })
    }
}

impl ScoredAgain {
    /// `splits 3, 17 (--seed 5)`.
    fn drawn(&self) -> String {
        let splits: Vec<_> = self.splits.iter().map(u32::to_string).collect();
        format!("splits {} (--seed {})", splits.join(", "), self.seed)
    }
}

/// What is to be said of differences, if there are any.
fn told(differences: &[Difference], whose: &str) -> Option<String> {
    let first = differences.iter().take(NAMED_MAX).map(|Difference { file, how }| format!("{file}: {how}"));
    let more = differences.len().saturating_sub(NAMED_MAX);
    let named: Vec<_> = first.chain((more > 0).then(|| format!("and {more} more"))).collect();
    (!differences.is_empty()).then(|| format!("{} {whose}: {}", differences.len(), named.join("; ")))
}

/// One line, or two.
impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, files, rows, rejected, files_summed, rescored } = self;
        let and_rejected = if *rejected > 0 { format!(" and {rejected} rejected") } else { String::new() };
        write!(
            f,
            "{files} files with {rows} rows{and_rejected} are as job {job} published them; the rows of {files_summed} were summed up again"
        )?;
        match rescored {
            None => Ok(()),
            Some(again) => write!(
                f,
                "\nscored again: the {} rows of {}, {} of {} files byte for byte",
                again.rows,
                again.drawn(),
                again.files_of_same_bytes,
                again.files
            ),
        }
    }
}
