//! The facts about runs: small files, each written once and whole, from which the index is made again.
//!
//! ```text
//! requests/ID.json   what was asked for: with it the run is accepted
//! cancels/ID.json    that it is to stop
//! ends/ID.json       how it ended
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Requests,
    Cancels,
    Ends,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Requests, Self::Cancels, Self::Ends];

    fn folder(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Cancels => "cancels",
            Self::Ends => "ends",
        }
    }
}

/// The folder of these records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        for kind in Kind::ALL {
            fs::create_dir_all(folder.join(kind.folder()))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Puts a record in its place, whole and on disk before this returns. One that is there stays.
    pub(crate) fn write(&self, kind: Kind, id: &str, record: &impl Serialize) -> io::Result<()> {
        let path = self.path(kind, id);
        let bytes = serde_json::to_vec(record).map_err(io::Error::other)?;
        let draft = path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        // A link is refused where the name is taken: a record is never replaced.
        match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs::remove_file(&draft)?,
        }
        self.sync(kind)
    }

    /// Takes a record away; it may be gone already.
    pub(crate) fn remove(&self, kind: Kind, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(kind, id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(kind),
        }
    }

    /// A record, if it is there.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: Kind, id: &str) -> io::Result<Option<T>> {
        match fs::read(self.path(kind, id)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The runs that have a record of a kind.
    pub(crate) fn ids(&self, kind: Kind) -> io::Result<BTreeSet<String>> {
        let names = fs::read_dir(self.folder.join(kind.folder()))?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned())).collect())
    }

    fn path(&self, kind: Kind, id: &str) -> PathBuf {
        self.folder.join(kind.folder()).join(format!("{id}.json"))
    }

    /// A name is on disk once its folder is.
    fn sync(&self, kind: Kind) -> io::Result<()> {
        File::open(self.folder.join(kind.folder()))?.sync_all()
    }
}

impl RequestRecord {
    pub(crate) fn of(job: &Job) -> Self {
        let Job { name, key, digest, accepted_at, body, .. } = job.clone();
        Self { name, key, digest, accepted_at, body }
    }

    /// The run as it was when it was accepted.
    pub(crate) fn job(self, id: &str) -> Job {
        let Self { name, key, digest, accepted_at, body } = self;
        Job {
            id: id.to_owned(),
            name,
            key,
            state: State::Accepted,
            begun: 0,
            accepted_at,
            began_at: None,
            ended_at: None,
            results: vec![],
            problems: vec![],
            digest,
            body,
        }
    }
}

/// The runs in a folder that are accepted and have not ended.
pub fn unfinished(folder: &Path) -> io::Result<BTreeSet<String>> {
    let records = Records::open(folder)?;
    let ends = records.ids(Kind::Ends)?;
    Ok(records.ids(Kind::Requests)?.difference(&ends).cloned().collect())
}
