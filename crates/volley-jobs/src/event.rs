//! What is told of a run while it is under way, in order and again to whoever asks again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::row::Problem;
use crate::state::State;

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number in the run, from 1; none for what is told once and not kept.
    pub number: Option<u64>,
    /// When: RFC 3339.
    pub at: String,
    /// What.
    pub what: Happened,
}

/// What happens to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Happened {
    /// It came into a state.
    State {
        /// Which.
        state: State,
        /// Why it failed; empty if it did not.
        #[serde(default)]
        problems: Vec<Problem>,
    },
    /// Something to read, in one line.
    Note {
        /// The line.
        text: String,
    },
    /// A statement published its result.
    Published {
        /// As the engine tells it.
        result: Value,
    },
    /// How far it is.
    Progress {
        /// As the engine tells it.
        progress: Value,
    },
}

impl Happened {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Note { .. } => "note",
            Self::Published { .. } => "published",
            Self::Progress { .. } => "progress",
        }
    }

    /// The data of it.
    pub fn data(&self) -> Value {
        let mut data = serde_json::to_value(self).expect("plain structs have JSON");
        if let Some(object) = data.as_object_mut() {
            object.remove("event");
        }
        data
    }

    /// Whether nothing comes after it, unless somebody resumes the run.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::State { state, .. } if state.is_over())
    }
}
