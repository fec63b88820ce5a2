//! The answers of MLflow's REST API, read leniently: what is empty is left out there, and numbers may be texts.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `model-versions/get`, `registered-models/alias`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OneVersion {
    pub model_version: ModelVersion,
}

/// `model-versions/search`, `registered-models/get-latest-versions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Versions {
    pub model_versions: Vec<ModelVersion>,
    pub next_page_token: String,
}

/// A version of a registered model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelVersion {
    pub name: String,
    #[serde(deserialize_with = "whole")]
    pub version: u64,
    #[serde(deserialize_with = "whole")]
    pub creation_timestamp: i64,
    pub source: String,
    pub run_id: String,
    pub status: String,
    pub tags: Vec<Tag>,
    pub aliases: Vec<String>,
}

/// A name with its value, which may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tag {
    pub key: String,
    pub value: String,
}

/// `registered-models/get`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OneModel {
    pub registered_model: RegisteredModel,
}

/// `registered-models/search`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Models {
    pub registered_models: Vec<RegisteredModel>,
    pub next_page_token: String,
}

/// A registered model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RegisteredModel {
    pub name: String,
    pub aliases: Vec<Alias>,
}

/// An alias of a registered model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Alias {
    pub alias: String,
    #[serde(deserialize_with = "whole")]
    pub version: u64,
}

/// `model-versions/get-download-uri`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DownloadUri {
    pub artifact_uri: String,
}

/// `logged-models/get`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OneLoggedModel {
    pub model: LoggedModel,
}

/// `logged-models/search`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoggedModels {
    pub models: Vec<LoggedModel>,
    pub next_page_token: String,
}

/// A model that a run logged.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoggedModel {
    pub info: LoggedModelInfo,
}

/// Of a logged model, what is no metric.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoggedModelInfo {
    pub model_id: String,
    pub name: String,
    #[serde(deserialize_with = "whole")]
    pub creation_timestamp_ms: i64,
    pub artifact_uri: String,
    pub status: String,
    pub source_run_id: String,
}

/// `experiments/get-by-name`, which has an experiment, and `experiments/create`, which has an id.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OneExperiment {
    pub experiment: Experiment,
    pub experiment_id: String,
}

/// An experiment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Experiment {
    pub experiment_id: String,
    pub lifecycle_stage: String,
}

/// `runs/search`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Runs {
    pub runs: Vec<Run>,
}

/// `runs/get`, `runs/create`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OneRun {
    pub run: Run,
}

/// A run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Run {
    pub info: RunInfo,
}

/// Of a run, what is no metric.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RunInfo {
    pub run_id: String,
    pub experiment_id: String,
    pub artifact_uri: String,
    #[serde(deserialize_with = "whole")]
    pub start_time: i64,
}

/// `mlflow-artifacts/artifacts?path=`: what lies directly in a folder. Of a folder that is not there, nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing {
    pub files: Vec<ListedFile>,
}

/// A file or folder of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListedFile {
    pub path: String,
    pub is_dir: bool,
    #[serde(deserialize_with = "size")]
    pub file_size: Option<u64>,
}

/// An answer of which nothing is read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Nothing {}

/// An answer: no text at all is an object without fields. None for what is no such answer.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    let text = if text.is_empty() { b"{}" } else { text };
    let mut answer = serde_json::from_slice(text).ok().filter(Value::is_object)?;
    leave_out_nulls(&mut answer);
    serde_json::from_value(answer).ok()
}

/// One page of what a search finds.
pub(super) trait Page: DeserializeOwned {
    /// What is searched for.
    type Item;

    /// What is on this page, and the token of the next; empty on the last.
    fn turned(self) -> (Vec<Self::Item>, String);
}

impl Page for Versions {
    type Item = ModelVersion;

    fn turned(self) -> (Vec<ModelVersion>, String) {
        (self.model_versions, self.next_page_token)
    }
}

impl Page for Models {
    type Item = RegisteredModel;

    fn turned(self) -> (Vec<RegisteredModel>, String) {
        (self.registered_models, self.next_page_token)
    }
}

/// `null` means what leaving out means.
fn leave_out_nulls(answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(leave_out_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_nulls),
        _ => {}
    }
}

/// A whole number, or the text of one.
fn whole<'de, N: TryFrom<i64> + Default, D: Deserializer<'de>>(answer: D) -> Result<N, D::Error> {
    let number = match Value::deserialize(answer)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.and_then(|number| N::try_from(number).ok()).unwrap_or_default())
}

fn size<'de, D: Deserializer<'de>>(answer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(answer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(text: &str) -> T {
        super::read(text.as_bytes()).expect("lenient")
    }

    #[test]
    fn what_is_empty_may_be_left_out_or_null() {
        assert!(read::<Versions>("{}").model_versions.is_empty());
        assert!(read::<Versions>(r#"{"model_versions": null, "next_page_token": null}"#).next_page_token.is_empty());
        let version = read::<OneVersion>(r#"{"model_version": {"name": "a", "tags": null, "more": {"x": 1}}}"#);
        assert_eq!((version.model_version.name.as_str(), version.model_version.version), ("a", 0));
    }

    #[test]
    fn numbers_may_be_texts() {
        let version: ModelVersion = read(r#"{"version": "12", "creation_timestamp": "1795329789349"}"#);
        assert_eq!((version.version, version.creation_timestamp), (12, 1_795_329_789_349));
        let version: ModelVersion = read(r#"{"version": 12, "creation_timestamp": 5}"#);
        assert_eq!((version.version, version.creation_timestamp), (12, 5));
        let file: ListedFile = read(r#"{"path": "a", "file_size": "7"}"#);
        assert_eq!(file.file_size, Some(7));
    }
}
