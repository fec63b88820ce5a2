//! The places of a job: where its result goes, and where it may put what it rejected. Each has its own staging, turn
//! and claim; the decision is one.

use std::collections::BTreeSet;

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::error::{Error, Result};
use crate::job::{Job, JobPlan, JobSpec, Mode};
use crate::location::Location;
use crate::record::Records;

/// Which place of a job a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// The job's result.
    #[default]
    Result,
    /// What the job rejected.
    Rejects,
}

impl Root {
    pub(crate) fn is_result(&self) -> bool {
        *self == Self::Result
    }
}

/// A second place for a job, with what is recorded of it.
#[derive(Clone, Debug)]
pub struct RejectsAt {
    /// Where rejected rows are published.
    pub destination: Location,
    /// Where they wait until then, in the same store.
    pub staging: Location,
    /// The ending of their files, without a dot.
    pub extension: String,
    /// How many rows the job may reject and still be committed.
    pub max: u64,
}

/// The record of a [`RejectsAt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectsPlan {
    /// URL of the place.
    pub destination: String,
    /// URL of its staging folder.
    pub staging: String,
    /// The ending of its files.
    pub extension: String,
    /// How many rows may go there.
    pub max: u64,
}

impl From<&RejectsAt> for RejectsPlan {
    fn from(at: &RejectsAt) -> Self {
        let (destination, staging) = (at.destination.url.clone(), at.staging.url.clone());
        Self { destination, staging, extension: at.extension.clone(), max: at.max }
    }
}

/// One place of a job.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) root: Root,
    pub(crate) destination: Destination,
    pub(crate) staging: Location,
}

impl Place {
    pub(crate) fn new(root: Root, to: &Location, staging: &Location, records: &Records) -> Self {
        let destination = Destination { location: to.clone(), records: records.clone() };
        Self { root, destination, staging: staging.clone() }
    }

    /// The path of a staged file of a job.
    pub(crate) fn staged_path(&self, job: &Job, name: &str) -> Result<Path> {
        self.staging.path(&format!("{}/{name}", job.id()))
    }

    /// Whether a job of this plan could begin here.
    pub(crate) async fn check(&self, state: &Location, plan: &JobPlan) -> Result<()> {
        self.destination.check_layout(state, &self.staging)?;
        self.destination.check_ground(&self.staging, BTreeSet::from([String::new()])).await?;
        self.destination.check_mode(plan.spec_of(self.root).mode).await
    }
}

/// Refuses places of one job that would take each other's files for their own.
pub(crate) fn check_apart(places: &[Place]) -> Result<()> {
    let [result, rejects] = places else { return Ok(()) };
    let (here, there) = (&rejects.destination.location, &result.destination.location);
    let overlap = here.contains(there)
        || there.contains(here)
        || here.contains(&result.staging)
        || there.contains(&rejects.staging)
        || result.staging.contains(here);
    match overlap {
        false => Ok(()),
        true => Err(Error::DestinationInvalid {
            destination: here.url.clone(),
            reason: "rejects need a folder of their own, outside of the result's and of its staging".to_owned(),
        }),
    }
}

impl JobPlan {
    /// What a place is to hold. Rejects have no partitions: where some of the result's are replaced, all of the
    /// rejects are.
    pub(crate) fn spec_of(&self, root: Root) -> JobSpec {
        match (&self.rejects, root) {
            (Some(rejects), Root::Rejects) => JobSpec {
                mode: if self.spec.mode == Mode::OverwritePartitions { Mode::Overwrite } else { self.spec.mode },
                extension: rejects.extension.clone(),
                ..self.spec.clone()
            },
            _ => self.spec.clone(),
        }
    }
}
