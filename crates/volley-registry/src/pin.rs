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
    /// All that planning needs.
    pub contract: Contract,
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
