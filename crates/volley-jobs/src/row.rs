//! A run as its records tell.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::State;

/// A run, which the API calls a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// Its name, and that of the first job of the engine in it.
    pub id: String,
    /// What people know it by, such as its file.
    pub name: String,
    /// The caller's own name for it.
    pub key: Option<String>,
    /// Where it is.
    pub state: State,
    /// How often its work was begun since it was accepted or resumed.
    pub begun: u32,
    /// How often it was resumed.
    #[serde(skip)]
    pub round: u32,
    /// When it was accepted, began and ended: RFC 3339.
    pub accepted_at: String,
    /// None before that.
    pub began_at: Option<String>,
    /// None before that.
    pub ended_at: Option<String>,
    /// What its statements published, in order: as the engine tells it.
    pub results: Vec<Value>,
    /// Why it failed; empty if it did not.
    pub problems: Vec<Problem>,
    /// Stands for the request: the same request has the same.
    #[serde(skip)]
    pub digest: String,
    /// The request, as the engine reads it.
    #[serde(skip)]
    pub body: Value,
}

impl Job {
    /// A run that nothing has happened to yet.
    pub(crate) fn accepted(
        id: &str,
        name: String,
        key: Option<String>,
        digest: String,
        accepted_at: String,
        body: Value,
    ) -> Self {
        Self {
            id: id.to_owned(),
            name,
            key,
            state: State::Accepted,
            begun: 0,
            round: 0,
            accepted_at,
            began_at: None,
            ended_at: None,
            results: vec![],
            problems: vec![],
            digest,
            body,
        }
    }

    /// Waits to be run as when it was accepted; what it has published stays.
    pub(crate) fn begin_round(&mut self, round: u32) {
        (self.state, self.round, self.begun) = (State::Accepted, round, 0);
        (self.began_at, self.ended_at, self.problems) = (None, None, vec![]);
    }
}

/// One thing that is wrong, with its stable code and its place in the request's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code.
    pub code: String,
    /// One line that names the thing and the fix.
    pub message: String,
    /// From 1.
    pub line: Option<u64>,
    /// From 1.
    pub column: Option<u64>,
}

impl Problem {
    /// Without a place.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), line: None, column: None }
    }
}
