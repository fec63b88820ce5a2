//! A check of a published job as a whole: all of its files, and if wanted some of its splits scored again.

use std::fmt;

use serde::{Deserialize, Serialize};
use volley_commit::JobId;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::progress::Progress;
use crate::rescore::{Draw, Rescored};
use crate::verify::{Difference, Verified};

/// How many files a message names.
const NAMED_MAX: usize = 10;

/// What was found to be as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The job.
    pub job: JobId,
    /// Its files.
    #[serde(flatten)]
    pub verified: Verified,
    /// Its splits that were scored again, if that was wanted.
    pub rescored: Option<Rescored>,
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
            Some(draw) => Some(self.rescore(job, draw, progress).await?),
        };
        if let Some(rescored) = &rescored {
            let whose =
                format!("of the {} files of {} of job {job} come out otherwise", rescored.files, drawn(rescored));
            if let Some(told) = told(&rescored.differences, &whose) {
                return Err(EngineError::new("rescored_differs", told));
            }
        }
        Ok(Checked { job, verified, rescored })
    }
}

/// `splits 3, 17 (--seed 5)`.
fn drawn(rescored: &Rescored) -> String {
    let splits: Vec<_> = rescored.splits.iter().map(u32::to_string).collect();
    format!("splits {} (--seed {})", splits.join(", "), rescored.seed)
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
        let Self { job, verified, rescored } = self;
        let Verified { files, rows, rejected, files_summed, .. } = verified;
        let and_rejected = if *rejected > 0 { format!(" and {rejected} rejected") } else { String::new() };
        write!(
            f,
            "{files} files with {rows} rows{and_rejected} are as job {job} published them; the rows of {files_summed} were summed up again"
        )?;
        let Some(rescored) = rescored else { return Ok(()) };
        let Rescored { files, rows, files_of_same_bytes, .. } = rescored;
        let drawn = drawn(rescored);
        write!(f, "\nscored again: the {rows} rows of {drawn}, {files_of_same_bytes} of {files} files byte for byte")
    }
}
