//! Every exchange with a real server that `tests/mlflow/record.py` wrote down, replayed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::mlflow::answers::*;

#[derive(Debug, Clone, Deserialize)]
struct Exchange {
    name: String,
    request: Request,
    response: Response,
}

#[derive(Debug, Clone, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct Response {
    status: u16,
    json: Option<Value>,
    text: Option<String>,
}

/// What each recorded refusal is told as.
const REFUSALS: [(&str, &[&str]); 8] = [
    (
        "mlflow_missing",
        &[
            "artifact_404",
            "err_model",
            "err_version",
            "err_alias",
            "err_alias_case",
            "err_alias_deleted",
            "err_alias_model",
            "err_alias_set_no_version",
            "err_deleted_version",
            "err_deleted_version_alias",
            "err_logged_model",
            "err_run",
            "err_workspace_default",
            "s3_presigned_missing",
        ],
    ),
    (
        "mlflow_refused",
        &[
            "artifact_escape",
            "artifact_is_dir",
            "err_alias_set_latest",
            "err_alias_set_letters",
            "err_alias_set_version",
            "err_content_type",
            "err_logged_models_search",
            "err_max_results",
            "err_origin",
            "err_page_token",
            "err_publish_colon",
            "err_publish_experiment",
            "err_publish_registered_model",
            "err_publish_slash",
            "err_user_password",
            "err_version_create_abfss",
            "err_version_create_file",
            "err_version_create_model_no_id",
            "err_version_create_path",
            "err_version_create_proxy_no_owner",
            "err_version_missing",
            "err_version_nan",
            "latest_versions_stage_unknown",
            "presigned_unsupported",
        ],
    ),
    (
        "mlflow_workspace",
        &["err_workspace", "err_workspace_artifact", "err_workspace_artifacts", "err_workspace_unknown"],
    ),
    ("mlflow_unauthenticated", &["auth_artifact_none", "auth_bearer", "auth_none", "auth_version", "auth_wrong"]),
    (
        "mlflow_denied",
        &[
            "auth_denied",
            "auth_denied_alias_set",
            "auth_denied_artifact",
            "auth_denied_artifacts",
            "auth_denied_logged_model",
        ],
    ),
    ("mlflow_artifacts_off", &["no_proxy_file", "no_proxy_list"]),
    ("mlflow_unavailable", &["s3_artifact_missing"]),
    ("mlflow_not_found", &["err_endpoint"]),
];

fn exchanges() -> Vec<Exchange> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/mlflow");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the recorded exchanges");
    let parsed = |text: String| serde_json::from_str::<Vec<Exchange>>(&text).expect("a list of exchanges");
    ["exchanges.json", "exchanges_auth.json"].map(|name| parsed(read(name))).concat()
}

fn recorded(response: &Response) -> Answer {
    let body = match (&response.json, &response.text) {
        (Some(json), _) => json.to_string(),
        (None, text) => text.clone().unwrap_or_default(),
    };
    Answer::new(response.status, body)
}

/// The same call again, made by our client of a server that answers as was recorded: what comes of it, and how the
/// server was asked.
async fn replay(exchange: &Exchange) -> (Result<bytes::Bytes, MlflowFault>, Asked) {
    let response = recorded(&exchange.response);
    let last = Arc::new(Mutex::new(None));
    let seen = last.clone();
    let mock = Mock::start(move |asked| {
        *seen.lock().expect("no test panics here") = Some(asked.clone());
        response.clone().with("retry-after", "0")
    })
    .await;
    let workspace = exchange.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-mlflow-workspace"));
    let workspace = workspace.map(|(_, value)| value.clone());
    let client = Client::new(MlflowSettings { workspace, ..settings(&mock) }).expect("good settings");
    let Request { method, path, json, .. } = &exchange.request;
    let answered = client.replayed(method, path, json.as_ref()).await;
    let asked = last.lock().expect("no test panics here").take().expect("it was asked");
    (answered, asked)
}

#[tokio::test]
async fn every_recorded_refusal_is_told_by_its_own_code() {
    let known: BTreeSet<_> = REFUSALS.iter().flat_map(|(_, names)| names.iter().copied()).chain(["err_host"]).collect();
    let refusals: Vec<_> = exchanges().into_iter().filter(|exchange| exchange.response.status >= 300).collect();
    let recorded: BTreeSet<_> = refusals.iter().map(|exchange| exchange.name.as_str()).collect();
    assert_eq!(known, recorded);
    for exchange in &refusals {
        let fault = replay(exchange).await.0.expect_err(&exchange.name);
        let expected = REFUSALS.iter().find(|(_, names)| names.contains(&exchange.name.as_str()));
        let expected = expected.map_or("mlflow_host_refused", |(code, _)| code);
        assert_eq!(fault.code(), expected, "{}: {fault}", exchange.name);
        let told = fault.to_string();
        assert!(!told.contains('\n') && !told.contains("<html"), "{}: {told}", exchange.name);
    }
}

#[tokio::test]
async fn every_recorded_answer_is_read() {
    let mut read = 0;
    for exchange in exchanges().iter().filter(|exchange| exchange.response.status < 300) {
        let (answered, asked) = replay(exchange).await;
        let asked_for = (asked.method.as_str(), asked.path.as_str());
        assert_eq!(asked_for, (exchange.request.method.as_str(), exchange.request.path.as_str()));
        // A range, which our client never asks for, is no whole file.
        if exchange.response.status == 206 {
            answered.expect_err("part of a file");
            continue;
        }
        let body = answered.expect(&exchange.name);
        read += usize::from(reads(exchange, &body));
    }
    assert!(read >= 55, "{read}");
}

/// Reads an answer as the client does, where that makes this call.
fn reads(exchange: &Exchange, body: &[u8]) -> bool {
    fn answer<T: DeserializeOwned>(body: &[u8]) -> T {
        serde_json::from_slice(body).expect("an answer of MLflow")
    }
    let name = exchange.name.as_str();
    let is_empty = exchange.response.json == Some(json!({}));
    let path = exchange.request.path.split('?').next().unwrap_or_default();
    let call = path.strip_prefix("/api/2.0/mlflow/").unwrap_or(path);
    match (exchange.request.method.as_str(), call) {
        ("GET", "registered-models/get") => {
            let model = answer::<OneModel>(body).registered_model;
            assert!(!model.name.is_empty(), "{name}");
            if name == "model_get" {
                let aliases: Vec<_> = model.aliases.iter().map(|alias| (alias.alias.as_str(), alias.version)).collect();
                assert_eq!(aliases, [("challenger", 3), ("champion", 2)]);
            }
        }
        ("GET", "model-versions/get" | "registered-models/alias") => {
            let version = answer::<OneVersion>(body).model_version;
            assert!(version.version > 0 && version.creation_timestamp > 0 && version.status == "READY", "{name}");
            assert!(!version.source.is_empty(), "{name}");
        }
        ("GET", "registered-models/search") => {
            assert_eq!(answer::<Models>(body).registered_models.is_empty(), is_empty, "{name}");
        }
        ("GET", "model-versions/search") | ("POST", "registered-models/get-latest-versions") => {
            let versions = answer::<Versions>(body).model_versions;
            assert!(versions.is_empty() == is_empty && versions.iter().all(|version| version.version > 0), "{name}");
        }
        ("GET", "model-versions/get-download-uri") => {
            let uri = answer::<DownloadUri>(body).artifact_uri;
            let tracking = url::Url::parse("http://127.0.0.1:5000/").expect("a URL");
            Place::parse(&uri, &tracking, name).expect(name);
        }
        ("GET", "runs/get") => {
            let run = answer::<OneRun>(body).run.info;
            assert!(!run.artifact_uri.is_empty() && !run.experiment_id.is_empty() && run.start_time > 0, "{name}");
        }
        ("POST", "logged-models/search") => {
            let models = answer::<LoggedModels>(body).models;
            assert!(models.is_empty() == is_empty, "{name}");
            assert!(models.iter().all(|model| model.info.artifact_uri.contains(&model.info.model_id)), "{name}");
        }
        ("GET", "experiments/get-by-name") => {
            assert!(!answer::<OneExperiment>(body).experiment.experiment_id.is_empty());
        }
        ("POST", "experiments/create") => assert!(!answer::<OneExperiment>(body).experiment_id.is_empty()),
        ("POST" | "DELETE", "registered-models/alias") => drop(answer::<Nothing>(body)),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts") => {
            let files = answer::<Listing>(body).files;
            assert_eq!(files.is_empty(), is_empty, "{name}");
            assert!(files.iter().all(|file| file.is_dir || file.file_size.is_some()), "{name}");
        }
        ("GET", call) if call.starts_with("logged-models/") && !call.ends_with("directories") => {
            let model = answer::<OneLoggedModel>(body).model.info;
            assert!(!model.artifact_uri.is_empty() && model.status == "LOGGED_MODEL_READY", "{name}");
        }
        _ => return false,
    }
    true
}
