//! What a reference meant when it was resolved.

use serde::{Deserialize, Serialize};
use volley_model::{Contract, Digest};

/// One model, fixed: an alias that moves or a folder that changes afterwards does not change what scores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pin {
    /// What the user wrote, e.g. `flights@champion`.
    pub reference: String,
    /// The registered name; for a location the name of the folder, or of the file without `.onnx`.
    pub name: String,
    /// None for a location.
    pub version: Option<u64>,
    /// Of every file of the model.
    pub sha256: Digest,
    /// The URL of the files.
    pub location: String,
    /// Which model of an MLflow server it is, if it lies on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<Origin>,
    /// All that planning needs.
    pub contract: Contract,
}

/// Which of all the models that ever had a name on an MLflow server is meant. A model that is deleted and made again
/// counts its versions from 1 again, so a name and a number are not enough.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The URL of the server that was asked for the version.
    pub registry: String,
    /// The workspace, on a server that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The registered name, or that under which the model was logged.
    pub name: String,
    /// Its version, if it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// When the version was made, in milliseconds of the epoch.
    pub created_ms: i64,
    /// What the version was made of, as MLflow says it. Shown, and never opened.
    pub source: String,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl Origin {
    /// As MLflow writes it.
    pub fn reference(&self) -> String {
        match self.version {
            Some(version) => format!("models:/{}/{version}", self.name),
            None => self.source.clone(),
        }
    }
}

impl Pin {
    /// The model for people: `flights/1`, or the location as it was written.
    pub fn label(&self) -> String {
        match self.version {
            Some(version) => format!("{}/{version}", self.name),
            None => self.reference.clone(),
        }
    }
}
