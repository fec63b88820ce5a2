//! The name of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The name of a job: a UUID that starts with a time, so that names sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Uuid);

impl JobId {
    /// A new name, different from every other.
    #[expect(clippy::new_without_default, reason = "a default that differs each time misleads")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The name of a job that follows from this one: for the `statement`-th of its run, and where that was begun
    /// anew, for its `generation`. The first of all is this name itself. Always the same, and of the same age.
    pub fn derived(&self, statement: u32, generation: u32) -> Self {
        if (statement, generation) == (0, 0) {
            return *self;
        }
        let followed = Sha256::new()
            .chain_update(self.0.as_bytes())
            .chain_update(statement.to_be_bytes())
            .chain_update(generation.to_be_bytes())
            .finalize();
        let mut bytes = *self.0.as_bytes();
        bytes[6..].copy_from_slice(&followed[..10]);
        // RFC 9562: version 8 is for names of one's own making.
        bytes[6] = bytes[6] & 0x0F | 0x80;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Self(Uuid::from_bytes(bytes))
    }

    /// The last 12 hexadecimal digits, the random tail: what file names carry.
    pub fn short(&self) -> String {
        self.0.simple().to_string()[20..].to_owned()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Uuid::parse_str(text).map(Self).map_err(|_| Error::UnknownJob { job: text.to_owned() })
    }
}

impl TryFrom<String> for JobId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(job: JobId) -> Self {
        job.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_that_follow_from_one_differ_and_stay_what_they_are() {
        let run: JobId = "0197c6f0-0000-7000-8000-000000000001".parse().expect("a name");
        assert_eq!(run.derived(0, 0), run);
        let names: BTreeSet<_> = (0..20).flat_map(|n| (0..20).map(move |g| run.derived(n, g))).collect();
        assert_eq!(names.len(), 400);
        assert_eq!(names.iter().map(JobId::short).collect::<BTreeSet<_>>().len(), 400, "file names differ too");
        for name in names {
            assert!(name.to_string().starts_with("0197c6f0-0000-"), "{name} is of the same age");
            assert_eq!(name.to_string().parse::<JobId>().expect("a name"), name);
        }
    }
}
