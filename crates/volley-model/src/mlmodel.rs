//! The `MLmodel` file: which flavors a model has, where its graph lies, and its signature.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ModelError;
use crate::signature::Signature;

/// The name of the file, at the top of a model directory.
pub(crate) const FILE: &str = "MLmodel";

/// What an `MLmodel` file says that scoring needs. Written by MLflow 1 to 3; keys it does not name are ignored.
#[derive(Debug)]
pub(crate) struct MlModel {
    /// Relative path of the ONNX file, as written.
    pub data: String,
    /// Absent when the model was logged without one.
    pub signature: Option<Signature>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    flavors: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    signature: Option<SignatureTexts>,
}

/// Each is a JSON text inside the YAML, or absent.
#[derive(Deserialize)]
struct SignatureTexts {
    #[serde(default)]
    inputs: Value,
    #[serde(default)]
    outputs: Value,
    #[serde(default)]
    params: Value,
}

impl MlModel {
    /// Reads the file. Fails with `mlmodel_invalid`, `no_flavor`, or `unsupported_flavor` when none of its flavors is `onnx`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ModelError> {
        let document: Document = serde_saphyr::from_slice(text).map_err(|error| {
            ModelError::Invalid(format!("the MLmodel file is not what MLflow writes: {}", first_line(&error)))
        })?;
        let signature = document.signature.map(|texts| texts.signature()).transpose()?.flatten();
        let flavors = document.flavors.unwrap_or_default();
        let onnx = flavors.get("onnx").ok_or_else(|| unsupported(&flavors))?;
        let data = onnx.get("data").and_then(Value::as_str).ok_or_else(|| {
            ModelError::Invalid(
                "the onnx flavor of the MLmodel file names no data file; log the model again".to_owned(),
            )
        })?;
        Ok(Self { data: data.to_owned(), signature })
    }
}

impl SignatureTexts {
    fn signature(&self) -> Result<Option<Signature>, ModelError> {
        let part = |name, value| json(name, value);
        Signature::parse(
            &part("inputs", &self.inputs)?,
            &part("outputs", &self.outputs)?,
            &part("params", &self.params)?,
        )
    }
}

/// The JSON inside the YAML text. Hand-edited files hold the list itself.
fn json(name: &str, value: &Value) -> Result<Value, ModelError> {
    match value {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| ModelError::Invalid(format!("the signature's {name} are not JSON: {error}"))),
        value => Ok(value.clone()),
    }
}

/// The parser's messages go on with an excerpt of the file.
fn first_line(error: &serde_saphyr::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn unsupported(flavors: &BTreeMap<String, Value>) -> ModelError {
    let own: Vec<_> = flavors.keys().filter(|name| *name != "python_function").map(String::as_str).collect();
    match (own.as_slice(), flavors.get("python_function")) {
        ([], None) => ModelError::Flavor {
            reason: "the MLmodel file names no flavor; log the model with mlflow.onnx".to_owned(),
            none: true,
            converts: false,
        },
        ([], Some(_)) => ModelError::Flavor {
            reason: "flavor python_function runs only in Python; convert the model to ONNX and log it with mlflow.onnx"
                .to_owned(),
            none: false,
            converts: false,
        },
        (own, _) => {
            let converter = converter(own);
            let reason = format!(
                "flavor {} cannot be scored here; convert the model to ONNX {}",
                own.join(", "),
                converter.unwrap_or("and log it with mlflow.onnx")
            );
            ModelError::Flavor { reason, none: false, converts: converter.is_some() }
        }
    }
}

/// How models of these flavors become ONNX, where that is known.
fn converter(flavors: &[&str]) -> Option<&'static str> {
    Some(match flavors.first().copied() {
        Some("sklearn") => "with skl2onnx and log it with mlflow.onnx",
        Some("xgboost" | "lightgbm" | "spark") => "with onnxmltools and log it with mlflow.onnx",
        Some("catboost") => "with its own save_model(format='onnx') and log it with mlflow.onnx",
        Some("pytorch") => "with torch.onnx.export and log it with mlflow.onnx",
        Some("tensorflow" | "keras") => "with tf2onnx and log it with mlflow.onnx",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Specs;

    fn code(text: &str) -> &'static str {
        MlModel::parse(text.as_bytes()).expect_err("refused").code()
    }

    #[test]
    fn the_onnx_flavor_is_found_among_others_and_the_signature_inside_its_text() {
        let text = "artifact_path: model\nflavors:\n  onnx: {code: null, data: model.onnx, providers: [[CUDAExecutionProvider, {device_id: 0}], CPUExecutionProvider]}\n  python_function:\n    data: model.onnx\n    env: conda.yaml\nmlflow_version: 2.22.5\nsignature:\n  inputs: '[{\"type\": \"double\",\n    \"name\": \"a\"}]'\n  outputs: null\nutc_time_created: '2026-01-01 00:00:00.000000'\n";
        let model = MlModel::parse(text.as_bytes()).expect("an MLmodel of MLflow 2");
        assert_eq!(model.data, "model.onnx");
        let Specs::Columns(inputs) = model.signature.expect("a signature").inputs else { panic!("columns") };
        assert_eq!(inputs[0].name.as_deref(), Some("a"));
        assert!(inputs[0].required);
    }

    #[test]
    fn a_signature_may_be_absent_or_null_or_a_list() {
        let signature = |rest: &str| {
            let text = format!("flavors: {{onnx: {{data: m.onnx}}}}\n{rest}");
            MlModel::parse(text.as_bytes()).expect("valid").signature.is_some()
        };
        assert!(!signature(""));
        assert!(!signature("signature: null\n"));
        assert!(!signature("signature: {inputs: null, outputs: null}\n"));
        assert!(signature("signature:\n  inputs:\n  - {type: long, name: a}\n"));
    }

    #[test]
    fn each_wrong_file_has_its_code() {
        assert_eq!(code("flavors: [unclosed"), "mlmodel_invalid");
        assert_eq!(code("just a text"), "mlmodel_invalid");
        assert_eq!(code("flavors: {}"), "no_flavor");
        assert_eq!(code("mlflow_version: 3.17.2"), "no_flavor");
        assert_eq!(code("flavors: {onnx: {data: null}}"), "mlmodel_invalid");
        assert_eq!(code("flavors: {sklearn: {}, python_function: {}}"), "unsupported_flavor");
        assert_eq!(code("flavors: {onnx: {data: m}}\nsignature: {inputs: '[{'}"), "mlmodel_invalid");
    }

    #[test]
    fn an_unsupported_flavor_is_named_with_the_next_step() {
        let message = |text: &str| MlModel::parse(text.as_bytes()).expect_err("refused").to_string();
        assert_eq!(
            message("flavors: {sklearn: {}, python_function: {}}"),
            "flavor sklearn cannot be scored here; convert the model to ONNX with skl2onnx and log it with mlflow.onnx"
        );
        assert!(message("flavors: {python_function: {}}").contains("python_function runs only in Python"));
    }
}
