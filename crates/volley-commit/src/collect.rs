//! Taking away in the background what zombies and cut-off cleaning left in staging.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::job::{JobId, Outcome};
use crate::local::LocalFolder;
use crate::location::Location;
use crate::record::{self, Records};

/// The youngest decision whose staging is taken away: an attempt that does not know of it may still write.
pub const COLLECT_AGE_MIN: Duration = Duration::from_secs(3600);

/// Removes what lies in `staging` of jobs of this state that are over for at least `age`, and says of which
/// jobs. Never touches a job without an outcome, one that is committed and not yet published, or one that this
/// state does not know. Safe beside everything else, and to repeat.
///
/// `age` counts from when the store wrote the last record, by the store's clock, until `now`; what is below
/// [`COLLECT_AGE_MIN`] is raised to it.
pub async fn collect(state: &Location, staging: &Location, now: SystemTime, age: Duration) -> Result<Vec<JobId>> {
    let mut collected = vec![];
    for job in jobs_in(staging).await? {
        let over = over_since(state, job).await?;
        if over.and_then(|over| now.duration_since(over).ok()).is_some_and(|old| old >= age.max(COLLECT_AGE_MIN)) {
            staging.delete_folder(&job.to_string()).await?;
            collected.push(job);
        }
    }
    Ok(collected)
}

/// The jobs that have something in staging, folders without files included.
async fn jobs_in(staging: &Location) -> Result<BTreeSet<JobId>> {
    let files = staging.files("").await?;
    let mut names: Vec<String> =
        files.into_keys().filter_map(|file| Some(file.split_once('/')?.0.to_owned())).collect();
    if let Some(local) = LocalFolder::of(staging) {
        names.extend(local.folders().await);
    }
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// When the record was written after which nobody needs the job's staging; none if it is not.
pub(crate) async fn over_since(state: &Location, job: JobId) -> Result<Option<SystemTime>> {
    let key = match Records(state.clone()).read(&record::outcome_key(job)).await? {
        None => return Ok(None),
        Some(Outcome::Aborted { .. }) => record::outcome_key(job),
        Some(Outcome::Committed { .. }) => record::published_key(job),
    };
    state.written(&state.path(&key)?).await
}
