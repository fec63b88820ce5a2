//! The facts about runs: small records, each written once and whole, from which the index is made again.
//!
//! ```text
//! requests/ID.json          what was asked for: with it the run is accepted
//! cancels/ID.ROUND.json     that it is to stop
//! ends/ID.ROUND.EPOCH.json  how it ended, as that owner of the state saw it
//! resumes/ID.ROUND.json     that it goes on all the same, in this round
//! ```
//!
//! A run begins in round 0, and each time that it is resumed another round begins: so nothing is ever taken away, and
//! no request that comes late to a store can undo anything. Of two owners the later one is right about an end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::index::Standing;
use crate::row::{Job, Problem};
use crate::state::State;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestRecord {
    pub name: String,
    pub key: Option<String>,
    pub digest: String,
    pub accepted_at: String,
    pub body: Value,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndRecord {
    pub state: State,
    pub ended_at: String,
    pub results: Vec<Value>,
    pub problems: Vec<Problem>,
}

/// When something was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AskedRecord {
    at: String,
}

const REQUESTS: &str = "requests";
const CANCELS: &str = "cancels";
const ENDS: &str = "ends";
const RESUMES: &str = "resumes";

/// The records of the runs of a state.
#[derive(Clone)]
pub(crate) struct Records(pub(crate) Arc<dyn Facts>);

/// Which records there are.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    pub(crate) requests: BTreeSet<String>,
    rounds: BTreeMap<String, u32>,
    cancels: BTreeSet<(String, u32)>,
    /// By the newest owner that wrote one.
    ends: BTreeMap<(String, u32), u64>,
}

impl Records {
    /// Once this returns, the run survives whatever dies.
    pub(crate) async fn accept(&self, job: &Job) -> Result<()> {
        let Job { id, name, key, digest, accepted_at, body, .. } = job.clone();
        let request = RequestRecord { name, key, digest, accepted_at, body };
        self.write(&request_key(&id), &request).await
    }

    pub(crate) async fn cancel(&self, job: &Job, at: String) -> Result<()> {
        self.write(&asked_key(CANCELS, &job.id, job.round), &AskedRecord { at }).await
    }

    /// Lets the round begin that the run is in now.
    pub(crate) async fn resume(&self, job: &Job, at: String) -> Result<()> {
        self.write(&asked_key(RESUMES, &job.id, job.round), &AskedRecord { at }).await
    }

    pub(crate) async fn end(&self, job: &Job, end: &EndRecord) -> Result<()> {
        self.write(&end_key(&job.id, job.round, self.0.epoch()), end).await
    }

    /// A run as it was when it was accepted.
    pub(crate) async fn accepted(&self, id: &str) -> Result<Option<Job>> {
        let request: Option<RequestRecord> = self.read(&request_key(id)).await?;
        Ok(request.map(|request| request.job(id)))
    }

    /// Which records there are. What has another name than ours is passed over.
    async fn overview(&self) -> Result<Overview> {
        let requests = self.names(REQUESTS).await?.into_iter().collect();
        let mut found = Overview { requests, ..Overview::default() };
        for name in self.names(RESUMES).await? {
            let Some((id, round)) = numbered::<u32>(&name) else { continue };
            let newest = found.rounds.entry(id.to_owned()).or_default();
            *newest = round.max(*newest);
        }
        for name in self.names(CANCELS).await? {
            found.cancels.extend(numbered(&name).map(|(id, round)| (id.to_owned(), round)));
        }
        for name in self.names(ENDS).await? {
            let Some((run, epoch)) = numbered::<u64>(&name) else { continue };
            let Some((id, round)) = numbered(run) else { continue };
            let newest = found.ends.entry((id.to_owned(), round)).or_default();
            *newest = epoch.max(*newest);
        }
        Ok(found)
    }

    /// The records of a folder, without what all of their names end in.
    async fn names(&self, folder: &str) -> Result<Vec<String>> {
        let names = self.0.names(folder).await?;
        Ok(names.iter().filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect())
    }

    /// How a run ended, as the overview has it.
    pub(crate) async fn ended(&self, overview: &Overview, id: &str) -> Result<Option<EndRecord>> {
        let round = overview.round(id);
        let Some(epoch) = overview.ends.get(&(id.to_owned(), round)) else { return Ok(None) };
        self.read(&end_key(id, round, *epoch)).await
    }

    async fn write(&self, key: &str, record: &impl Serialize) -> Result<()> {
        let record = serde_json::to_value(record).expect("plain structs have JSON");
        Ok(self.0.write(key, record).await?)
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let record = self.0.read(key).await?.map(serde_json::from_value).transpose();
        record.map_err(|error| Error::records(&format!("{key}: {error}")))
    }
}

impl Overview {
    /// The round that a run is in.
    pub(crate) fn round(&self, id: &str) -> u32 {
        self.rounds.get(id).copied().unwrap_or(0)
    }

    pub(crate) fn is_over(&self, id: &str) -> bool {
        self.ends.contains_key(&(id.to_owned(), self.round(id)))
    }

    pub(crate) fn is_canceled(&self, id: &str) -> bool {
        self.cancels.contains(&(id.to_owned(), self.round(id)))
    }

    /// Whether a row of the index says the same.
    pub(crate) fn agrees_with(&self, row: &Standing) -> bool {
        let Standing { id, state, round } = row;
        let is_to_stop = !state.is_over() && *state != State::Canceling && self.is_canceled(id);
        *round == self.round(id) && state.is_over() == self.is_over(id) && !is_to_stop
    }
}

impl RequestRecord {
    fn job(self, id: &str) -> Job {
        let Self { name, key, digest, accepted_at, body } = self;
        Job::accepted(id, name, key, digest, accepted_at, body)
    }
}

fn request_key(id: &str) -> String {
    format!("{REQUESTS}/{id}.json")
}

fn asked_key(folder: &str, id: &str, round: u32) -> String {
    format!("{folder}/{id}.{round}.json")
}

fn end_key(id: &str, round: u32, epoch: u64) -> String {
    format!("{ENDS}/{id}.{round}.{epoch}.json")
}

/// What stands before the number at the end of a name.
fn numbered<N: std::str::FromStr>(name: &str) -> Option<(&str, N)> {
    let (rest, number) = name.rsplit_once('.')?;
    Some((rest, number.parse().ok()?))
}

/// What is on record of runs, read once when a process begins with them.
pub struct Recorded {
    pub(crate) records: Records,
    pub(crate) overview: Overview,
}

impl Recorded {
    /// Lists the facts. Errors: those of the store.
    pub async fn read(facts: Arc<dyn Facts>) -> Result<Self> {
        let records = Records(facts);
        Ok(Self { overview: records.overview().await?, records })
    }

    /// The runs that are accepted and have not ended.
    pub fn unfinished(&self) -> BTreeSet<String> {
        self.overview.requests.iter().filter(|id| !self.overview.is_over(id)).cloned().collect()
    }
}
