//! What an executor tells its server again and again, and what it is told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use volley_engine::Proof;

use crate::failure::Failure;
use crate::task::SplitName;

/// The process of an executor: another one each time it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Instance(Uuid);

impl Instance {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// What Ballista knows it by, having joined so often before.
    pub(crate) fn executor(self, joined: u64) -> String {
        format!("{self}.{joined}")
    }

    /// Whether it is, or was, what Ballista knows by a name.
    pub(crate) fn is(self, executor: &str) -> bool {
        executor.split('.').next().is_some_and(|instance| instance.parse() == Ok(self))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for Instance {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl TryFrom<String> for Instance {
    type Error = uuid::Error;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.to_string()
    }
}

/// What an executor says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pulse {
    pub(crate) instance: Instance,
    /// How many splits it runs at a time.
    pub(crate) vcores: usize,
    pub(crate) phase: Phase,
    /// What it runs now.
    pub(crate) running: Vec<RunningSplit>,
    /// What has ended since the last pulse that was answered.
    pub(crate) ended: Vec<EndedSplit>,
    /// What it has written into its state, as the server asked it to.
    pub(crate) proof: Option<Proof>,
}

/// How an executor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It takes splits.
    Working,
    /// It ends those that it has, and takes no more.
    Draining,
    /// It has none, and ends.
    Gone,
}

/// A split at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunningSplit {
    pub(crate) query: String,
    pub(crate) name: SplitName,
    /// Rows written so far.
    pub(crate) rows: u64,
}

/// A split that is over, well or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndedSplit {
    pub(crate) query: String,
    pub(crate) failure: Option<Failure>,
}

/// What an executor is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// To leave, in order.
    pub(crate) drain: bool,
    /// To write this into its state, and to say so: until then it gets no splits.
    pub(crate) prove: Option<Proof>,
}
