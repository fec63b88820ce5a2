//! Servers, buckets and names as they are seldom, and as somebody might want them to be.

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::*;

/// The call of an address: what follows the API's path, without the query.
fn call(asked: &Asked) -> &str {
    asked.path.split('?').next().unwrap_or_default().rsplit("mlflow/").next().unwrap_or_default()
}

fn missing(message: &str) -> Answer {
    Answer::new(404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": message }).to_string())
}

const LOGGED: &str = "models:/m-0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn places_that_lead_on_and_on_are_refused() {
    let run = |uri: &str| ok(&json!({ "run": { "info": { "experiment_id": "1", "artifact_uri": uri } } }));
    let answer = move |asked: &Asked| match call(asked) {
        "runs/get" if asked.path.contains("run_id=a") => run("runs:/b/m"),
        "runs/get" => run("models:/m-2"),
        "model-versions/get" => ok(&json!({ "model_version": { "name": "m", "version": "1" } })),
        "model-versions/get-download-uri" => ok(&json!({ "artifact_uri": "runs:/a/m" })),
        call if call.starts_with("logged-models/") => {
            ok(&json!({ "model": { "info": { "artifact_uri": "models:/m-2" } } }))
        }
        _ => Answer::new(500, ""),
    };
    let ground = Ground::new(answer).await;
    for reference in ["runs:/a/m", "runs:/b/m", "models:/m/1", LOGGED] {
        let error = ground.pin(reference).await.expect_err(reference);
        assert_eq!(error.code(), "mlflow_source", "{reference}: {error}");
        assert!(error.to_string().contains("on and on"), "{reference}: {error}");
    }
}

#[tokio::test]
async fn a_model_that_a_run_is_still_logging_is_refused() {
    let answer = |asked: &Asked| match call(asked) {
        "runs/get" => ok(&json!({ "run": { "info": { "artifact_uri": "mlflow-artifacts:/1/r/artifacts" } } })),
        "logged-models/search" => ok(&json!({ "models": [{ "info": {
            "name": "m", "source_run_id": "r", "status": "LOGGED_MODEL_PENDING", "artifact_uri": "mlflow-artifacts:/1/m"
        } }] })),
        _ if asked.path.contains("1%2Fm") => listing("model.onnx", json!(crate_model(0).len())),
        _ if asked.path.ends_with("model.onnx") => Answer::new(200, crate_model(0)),
        _ => ok(&json!({})),
    };
    let error = Ground::new(answer).await.pin("runs:/r/m").await.expect_err("pending");
    assert_eq!(error.code(), "model_not_ready", "{error}");
}

/// A bucket whose keys are not encoded, as MLflow writes them.
#[derive(Debug, Default)]
struct Bucket(Arc<InMemory>);

impl Bucket {
    async fn put(&self, key: &str, bytes: Vec<u8>) {
        self.0.put(&Path::parse(key).expect("a key"), bytes.into()).await.expect("in memory");
    }
}

impl Sources for Bucket {
    fn open(&self, url: &url::Url) -> Result<(Arc<dyn ObjectStore>, Path), String> {
        Ok((self.0.clone(), Path::from_url_path(url.path()).expect("a path")))
    }
}

/// A server of runs whose artifacts lie in a bucket, as do the models that they logged.
fn of_bucket(asked: &Asked) -> Answer {
    match call(asked) {
        "runs/get" => ok(&json!({ "run": { "info": { "artifact_uri": "s3://bucket/run" } } })),
        "logged-models/search" => ok(&json!({ "models": [{ "info": {
            "name": "outside", "source_run_id": "r", "status": "LOGGED_MODEL_READY", "artifact_uri": "s3://bucket/models/o"
        } }] })),
        _ => Answer::new(500, ""),
    }
}

#[tokio::test]
async fn a_name_with_signs_of_a_url_is_the_folder_of_that_name() {
    let bucket = Bucket::default();
    for (folder, last) in [("run/m", 0), ("run/m#2", 1), ("run/m?2", 2), ("run/m%20", 3)] {
        bucket.put(&format!("{folder}/model.onnx"), crate_model(last)).await;
    }
    let ground = Ground::with(of_bucket, bucket).await;
    for (path, last) in [("m", 0), ("m#2", 1), ("m?2", 2), ("m%20", 3)] {
        let pin = ground.pin(&format!("runs:/r/{path}")).await.expect(path);
        let expected = Artifact::new(BTreeMap::from([("model.onnx".to_owned(), crate_model(last).into())]));
        assert_eq!(pin.sha256, expected.digest(), "{path}");
    }
}

#[tokio::test]
async fn files_of_a_bucket_are_read_by_the_keys_that_they_have() {
    let bucket = Bucket::default();
    for key in ["run/m/model.onnx", "run/m/100%.txt", "run/m/a#1/~b [c].txt"] {
        bucket.put(key, if key.ends_with("onnx") { crate_model(0) } else { vec![] }).await;
    }
    let fetched = Ground::with(of_bucket, bucket).await;
    let fetched = fetched.mlflow.fetched(&reference_to("runs:/r/m"), &Limits::default()).await.expect("read");
    let files: Vec<_> = fetched.artifact.files().keys().collect();
    assert_eq!(files, ["100%.txt", "a#1/~b [c].txt", "model.onnx"]);
    let bucket = Bucket::default();
    bucket.put("run/m/a%2fb", vec![]).await;
    let error = Ground::with(of_bucket, bucket).await.pin("runs:/r/m").await.expect_err("a path for a name");
    assert_eq!(error.code(), "mlflow_files", "{error}");
}

#[tokio::test]
async fn a_model_that_a_run_logged_into_a_bucket_is_found_by_its_name() {
    let bucket = Bucket::default();
    bucket.put("models/o/model.onnx", crate_model(0)).await;
    let ground = Ground::with(of_bucket, bucket).await;
    assert_eq!(ground.pin("runs:/r/outside").await.expect("found").location, "s3://bucket/models/o/");
    assert_eq!(ground.pin("runs:/r/other").await.expect_err("nothing").code(), "mlflow_missing");
}

#[tokio::test]
async fn files_without_sizes_take_no_more_room_together_than_a_model_may() {
    let files: Vec<_> = (0..9).map(|n| json!({ "path": format!("f{n}") })).collect();
    let files = json!({ "files": files });
    let answer = one_version(move |asked| match asked.path.contains("?path=") {
        true => ok(&files),
        false => Answer::new(200, [0; 600]),
    });
    let ground = Ground::new(answer).await;
    let limits = Limits { file_bytes_max: 1_000, ..Limits::default() };
    let error = ground.mlflow.fetched(&reference_to("models:/m/1"), &limits).await.expect_err("too large");
    assert!(error.to_string().contains("more lie here"), "{error}");
    assert_eq!(ground.asked("artifacts/1/"), 2);
}

#[tokio::test]
async fn folders_without_files_come_to_an_end_too() {
    let answer = one_version(|asked| {
        let depth = asked.path.matches("d0").count();
        let folders = if depth > 1 { 0 } else { 5_000 + depth };
        let folders: Vec<_> = (0..folders).map(|n| json!({ "path": format!("d0{n}"), "is_dir": true })).collect();
        ok(&json!({ "files": folders }))
    });
    let ground = Ground::new(answer).await;
    let error = ground.pin("models:/m/1").await.expect_err("no end");
    assert!(error.to_string().contains("10000 files"), "{error}");
    assert_eq!(ground.asked("?path="), 2);
}

#[tokio::test]
async fn an_answer_to_another_question_is_none() {
    for (answer, says) in [
        (json!({}), "holds none"),
        (json!({ "model_version": { "name": "m", "version": "three" } }), "holds none"),
        (json!({ "model_version": { "name": "m", "version": "2" } }), "is version 2"),
    ] {
        let error = Ground::new(move |_| ok(&answer)).await.pin("models:/m/1").await.expect_err(says);
        assert_eq!(error.code(), "mlflow_not_found", "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_name_with_quotes_has_its_versions() {
    let versions = |names: &[&str]| {
        let versions: Vec<_> = names.iter().map(|name| json!({ "name": name, "version": "2" })).collect();
        ok(&json!({ "model_versions": versions }))
    };
    let answer = move |asked: &Asked| match call(asked) {
        "registered-models/get" => ok(&json!({})),
        // As MLflow does it: what stands between the quotes is the name.
        "model-versions/search" if asked.path.contains("filter=name%3D%22it%27s%22") => versions(&["it's"]),
        "model-versions/search" if asked.path.contains("filter=") => versions(&[]),
        "model-versions/search" => versions(&["other", "a\"b'c"]),
        _ => missing("no such version"),
    };
    let ground = Ground::new(answer).await;
    for reference in ["models:/it's/9", "models:/a\"b'c/9"] {
        let error = ground.pin(reference).await.expect_err(reference);
        assert_eq!(error.code(), "unknown_version");
        assert!(error.to_string().ends_with("it has 2"), "{error}");
    }
}

#[tokio::test]
async fn what_is_listed_twice_or_is_gone_meanwhile_is_a_model_once_or_none() {
    let page = |names: [&str; 2], token: &str| {
        let versions = names.map(|name| json!({ "name": name, "version": "1" }));
        let models = names.map(|name| json!({ "name": name }));
        ok(&json!({ "model_versions": versions, "registered_models": models, "next_page_token": token }))
    };
    let answer = move |asked: &Asked| match call(asked) {
        "registered-models/get" if asked.path.contains("gone") => missing("gone"),
        "registered-models/get" => ok(&json!({})),
        _ if asked.path.contains("page_token") => page(["b", "gone"], ""),
        _ => page(["a", "b"], "more"),
    };
    let ground = Ground::new(answer).await;
    assert_eq!(ground.mlflow.names().await.expect("names"), ["a", "b", "gone"]);
    let models = ground.mlflow.models().await.expect("models");
    let models: Vec<_> = models.iter().map(|model| (model.name.as_str(), model.versions.as_slice())).collect();
    assert_eq!(models, [("a", &[1][..]), ("b", &[1])]);
}

#[tokio::test]
async fn a_model_that_is_called_like_a_workspace_is_a_model() {
    let mock = Mock::start(|_| missing("Registered Model with name=workspace-churn not found")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = MlflowSettings { workspace: Some("team-a".to_owned()), ..settings(&mock) };
    let cache = ModelCache::new(folder.path(), 1 << 20);
    let mlflow = Mlflow::new(settings, cache, Arc::new(NoSources)).expect("good settings");
    let reference = reference_to("models:/workspace-churn/1");
    let error = mlflow.fetched(&reference, &Limits::default()).await.expect_err("none");
    assert_eq!(error.code(), "unknown_model", "{error}");
}

#[tokio::test]
async fn what_is_fetched_for_a_plan_is_written_by_one_process_at_a_time() {
    let model = crate_model(0);
    let artifact = Artifact::new(BTreeMap::from([("model.onnx".to_owned(), model.clone().into())]));
    let answer = one_version(move |asked| match asked.path.contains("?path=") {
        true => listing("model.onnx", json!(model.len())),
        false => Answer::new(200, model.clone()),
    });
    let ground = Ground::new(answer).await;
    let other = ModelCache::new(ground.folder.path(), 1 << 20);
    let lock = other.lock(&artifact.digest()).await.expect("free");
    let waits = tokio::time::timeout(Duration::from_secs(1), ground.pin("models:/m/1")).await;
    waits.expect_err("another process writes it");
    drop(lock);
    ground.pin("models:/m/1").await.expect("written");
}

#[tokio::test]
async fn an_experiment_that_was_deleted_is_told_before_the_job_begins() {
    let answer = |_: &Asked| ok(&json!({ "experiment": { "experiment_id": "7", "lifecycle_stage": "deleted" } }));
    let ground = Ground::new(answer).await;
    let error = ground.mlflow.experiment("nightly").await.expect_err("it takes no runs");
    assert!(error.to_string().contains("experiment nightly is deleted"), "{error}");
    assert_eq!((error.code(), ground.asked("create")), ("mlflow_refused", 0));
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_a_wrong_setting() {
    let mock = Mock::start(|_| ok(&json!({}))).await;
    let settings = MlflowSettings { credentials: Credentials::Bearer("a\nCANARY".to_owned()), ..settings(&mock) };
    let fault = Client::new(settings).expect_err("no header");
    assert_eq!(fault.code(), "mlflow_settings");
    assert!(!fault.to_string().contains("CANARY"), "{fault}");
}
