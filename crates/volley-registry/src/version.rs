//! What a registry knows of one version, and what it takes to make one.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use volley_model::{Artifact, Contract, Digest, Manifest, Trial};

use crate::{Error, Origin};

/// A registered version. Nothing of it changes after it is made, except which aliases point to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The model.
    pub name: String,
    /// From 1; never given twice under one name.
    pub version: u64,
    /// When it was registered, to the second.
    pub created: DateTime<Utc>,
    /// Pins every byte of every file.
    pub sha256: Digest,
    /// Whatever the one who registered it wanted to note.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The aliases that point to it now, sorted; not part of the stored record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Rows to check the version with, if any were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<GoldenRecord>,
    /// Every file with its size and sha256, in path order.
    pub files: Manifest,
    /// Which version of an MLflow server it is, or is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<Origin>,
    /// Inputs, outputs, parameters, null rules and runtime.
    pub contract: Contract,
    /// What loading and running it cost, if whoever registered it tried it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// Which golden rows a version has; [`crate::Registry::golden`] gives the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenRecord {
    /// Pins both files.
    pub sha256: Digest,
    /// The column that pairs an input row with its expected row; without one they are paired by position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Rows with the scores that the version has to give for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Parquet bytes of the rows to score.
    pub input: Bytes,
    /// Parquet bytes of the scores.
    pub expected: Bytes,
    /// As in [`GoldenRecord::key`].
    pub key: Option<String>,
}

impl Golden {
    const INPUT: &str = "input.parquet";
    const EXPECTED: &str = "expected.parquet";

    pub(crate) fn artifact(&self) -> Artifact {
        let input = (Self::INPUT.to_owned(), self.input.clone());
        let expected = (Self::EXPECTED.to_owned(), self.expected.clone());
        Artifact::new(BTreeMap::from([input, expected]))
    }

    /// None if the artifact is none that [`Golden::artifact`] made.
    pub(crate) fn from_artifact(artifact: &Artifact, key: Option<String>) -> Option<Self> {
        let input = artifact.file(Self::INPUT)?.clone();
        let expected = artifact.file(Self::EXPECTED)?.clone();
        Some(Golden { input, expected, key })
    }
}

/// A model that is to become a version.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The model's files.
    pub artifact: Artifact,
    /// What [`volley_model::inspect`] said of exactly these files, with the null rules set as wanted.
    pub contract: Contract,
    /// What trying it out has shown.
    pub trial: Option<Trial>,
    /// Kept as they are.
    pub tags: BTreeMap<String, String>,
    /// Kept as they are; whoever registers has scored them.
    pub golden: Option<Golden>,
    /// The version of an MLflow server that this is a copy of.
    pub mlflow: Option<Origin>,
    /// The version's time; only the seconds are kept.
    pub created: DateTime<Utc>,
}

impl Registration {
    /// A registration as of now, without tags and golden rows.
    pub fn new(artifact: Artifact, contract: Contract) -> Self {
        Registration {
            artifact,
            contract,
            trial: None,
            tags: BTreeMap::new(),
            golden: None,
            mlflow: None,
            created: Utc::now(),
        }
    }

    pub(crate) fn version(&self, name: &str, version: u64) -> Version {
        Version {
            name: name.to_owned(),
            version,
            created: self.created.trunc_subsecs(0),
            sha256: self.artifact.digest(),
            tags: self.tags.clone(),
            aliases: Vec::new(),
            golden: self
                .golden
                .as_ref()
                .map(|golden| GoldenRecord { sha256: golden.artifact().digest(), key: golden.key.clone() }),
            files: self.artifact.manifest().clone(),
            mlflow: self.mlflow.clone(),
            contract: self.contract.clone(),
            trial: self.trial.clone(),
        }
    }
}

/// A version as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    format: u32,
    /// Of this one registration; tells our write from another's.
    token: String,
    #[serde(flatten)]
    version: Version,
}

impl VersionRecord {
    const FORMAT: u32 = 1;

    pub(crate) fn new(version: Version) -> Self {
        VersionRecord { format: Self::FORMAT, token: uuid::Uuid::now_v7().to_string(), version }
    }

    /// The version, if the record is one that we read and lies where it belongs. A file system that does
    /// not tell `A` from `a` would give the versions of one model to the other.
    pub(crate) fn checked(self, key: &object_store::path::Path, name: &str, version: u64) -> Result<Version, Error> {
        let corrupt = |reason| Err(Error::Corrupt { key: key.to_string(), reason });
        if self.format != Self::FORMAT {
            return corrupt(format!("its format is {}, and this program reads {}", self.format, Self::FORMAT));
        }
        let found = &self.version;
        if found.name != name || found.version != version {
            return corrupt(format!("it is the record of `{}/{}`", found.name, found.version));
        }
        Ok(self.version)
    }
}
