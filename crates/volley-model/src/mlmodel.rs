//! The `MLmodel` file: which flavors a model has, where its graph lies, and its signature.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use volley_onnx::Predictor;

use crate::ModelError;
use crate::signature::Signature;

/// The name of the file, at the top of a model directory.
pub(crate) const FILE: &str = "MLmodel";

/// What an `MLmodel` file says that scoring needs. Written by MLflow 1 to 3; keys it does not name are ignored.
#[derive(Debug)]
pub(crate) struct MlModel {
    /// Relative path of the model's file, as written.
    pub data: String,
    /// What is in it.
    pub format: Format,
    /// Absent when the model was logged without one.
    pub signature: Option<Signature>,
}

/// The form of a model's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Onnx,
    Xgboost(Predictor),
    Lightgbm(Predictor),
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
    /// Reads the file. Fails with `mlmodel_invalid`, `no_flavor`, or `unsupported_flavor` when none of its flavors can be scored.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ModelError> {
        let document: Document = serde_saphyr::from_slice(text).map_err(|error| {
            ModelError::Invalid(format!("the MLmodel file is not what MLflow writes: {}", first_line(&error)))
        })?;
        let signature = document.signature.map(|texts| texts.signature()).transpose()?.flatten();
        let flavors = document.flavors.unwrap_or_default();
        let known = ["onnx", "xgboost", "lightgbm"].into_iter().find_map(|name| Some((name, flavors.get(name)?)));
        let (name, flavor) = known.ok_or_else(|| unsupported(&flavors))?;
        let data = flavor.get("data").and_then(Value::as_str).ok_or_else(|| {
            ModelError::Invalid(format!(
                "the {name} flavor of the MLmodel file names no data file; log the model again"
            ))
        })?;
        check_is_no_pickle(name, data)?;
        let format = match name {
            "xgboost" => Format::Xgboost(predictor(flavor)),
            "lightgbm" => Format::Lightgbm(predictor(flavor)),
            _ => Format::Onnx,
        };
        Ok(Self { data: data.to_owned(), format, signature })
    }
}

/// Whose `predict` MLflow calls: that of the class it was given.
fn predictor(flavor: &Value) -> Predictor {
    match flavor.get("model_class").and_then(Value::as_str) {
        Some(class) if class.contains("sklearn") && class.ends_with("Classifier") => Predictor::Classifier,
        Some(class) if class.contains("sklearn") => Predictor::Estimator,
        _ => Predictor::Booster,
    }
}

/// MLflow writes what is not a booster as Python objects.
fn check_is_no_pickle(flavor: &str, data: &str) -> Result<(), ModelError> {
    let Some(kind) = [".skops", ".pkl", ".pickle", ".joblib"].into_iter().find(|kind| data.ends_with(kind)) else {
        return Ok(());
    };
    let step = match flavor {
        "lightgbm" => "log its booster, `mlflow.lightgbm.log_model(model.booster_, …)`, or convert it to ONNX",
        _ => "log it with mlflow.xgboost, which writes a .ubj file, or convert it to ONNX",
    };
    let reason = format!("the {flavor} model is a {kind} file, which only Python can read; {step}");
    Err(ModelError::Flavor { reason, none: false, converts: true })
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
        Some("spark") => "with onnxmltools and log it with mlflow.onnx",
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
        assert_eq!(code("flavors: {xgboost: {model_class: x}}"), "mlmodel_invalid");
        assert_eq!(code("flavors: {onnx: {data: m}}\nsignature: {inputs: '[{'}"), "mlmodel_invalid");
    }

    fn format(flavors: &str) -> Format {
        MlModel::parse(format!("flavors: {flavors}").as_bytes()).expect("valid").format
    }

    #[test]
    fn the_class_that_was_logged_says_what_predict_gives() {
        assert_eq!(format("{onnx: {data: a}, xgboost: {data: b}}"), Format::Onnx);
        assert_eq!(format("{lightgbm: {data: a}, xgboost: {data: b}}"), Format::Xgboost(Predictor::Booster));
        let of = |class: &str| format(&format!("{{xgboost: {{data: m.ubj, model_class: {class}}}}}"));
        assert_eq!(of("xgboost.core.Booster"), Format::Xgboost(Predictor::Booster));
        assert_eq!(of("xgboost.sklearn.XGBRegressor"), Format::Xgboost(Predictor::Estimator));
        assert_eq!(of("xgboost.sklearn.XGBRFClassifier"), Format::Xgboost(Predictor::Classifier));
        let booster = format("{lightgbm: {data: model.lgb, model_class: lightgbm.basic.Booster}}");
        assert_eq!(booster, Format::Lightgbm(Predictor::Booster));
    }

    #[test]
    fn a_pickle_is_refused_with_the_next_step() {
        let text = "flavors: {lightgbm: {data: model.skops, model_class: lightgbm.sklearn.LGBMClassifier}}";
        let error = MlModel::parse(text.as_bytes()).expect_err("refused");
        assert_eq!(error.code(), "unsupported_flavor");
        assert!(error.to_string().contains("model.booster_"), "{error}");
        assert_eq!(code("flavors: {xgboost: {data: model.pkl}}"), "unsupported_flavor");
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
