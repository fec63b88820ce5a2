//! The client against a server that answers as recorded, or as no server should.

mod mock;
mod replays;
mod strange;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use volley_model::Limits;

use super::*;
use crate::ModelCache;
use mock::{Answer, Asked, Mock};

/// A server of the settings of a test, and its folder of models.
struct Ground {
    mlflow: Mlflow,
    mock: Mock,
    folder: TempDir,
}

fn settings(mock: &Mock) -> MlflowSettings {
    MlflowSettings {
        tracking: mock.url.clone(),
        registry: mock.url.clone(),
        credentials: Credentials::None,
        workspace: None,
        server_certificates: None,
        client_certificate: None,
        insecure_tls: false,
        timeout: Duration::from_secs(10),
        retries_max: 3,
    }
}

impl Ground {
    async fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(answer, NoSources).await
    }

    async fn with(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static, sources: impl Sources + 'static) -> Self {
        let mock = Mock::start(answer).await;
        let folder = tempfile::tempdir().expect("a folder");
        let cache = ModelCache::new(folder.path(), 1 << 20);
        let mlflow = Mlflow::new(settings(&mock), cache, Arc::new(sources)).expect("good settings");
        Ground { mlflow, mock, folder }
    }

    async fn pin(&self, reference: &str) -> Result<Pin, Error> {
        self.mlflow.pin("as written", &reference_to(reference), &Limits::default()).await
    }

    #[track_caller]
    fn asked(&self, part: &str) -> usize {
        self.mock.asked().iter().filter(|asked| asked.path.contains(part)).count()
    }
}

fn reference_to(text: &str) -> MlflowRef {
    match text.parse() {
        Ok(crate::ModelRef::Mlflow(reference)) => reference,
        other => panic!("{text} is MLflow's: {other:?}"),
    }
}

fn ok(body: &Value) -> Answer {
    Answer::new(200, body.to_string())
}

/// A server with one version, whose files are listed and sent as `files` says.
fn one_version(files: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> impl Fn(&Asked) -> Answer {
    move |asked: &Asked| {
        let version =
            json!({ "name": "m", "version": "1", "creation_timestamp": 5, "status": "READY", "source": "models:/m-1" });
        match asked.path.split('?').next().unwrap_or_default().rsplit("mlflow/").next().unwrap_or_default() {
            "model-versions/get" => ok(&json!({ "model_version": version })),
            "model-versions/get-download-uri" => ok(&json!({ "artifact_uri": "mlflow-artifacts:/1/m-1/artifacts" })),
            _ => files(asked),
        }
    }
}

/// A model directory with one file besides `MLmodel`, listed with these sizes.
fn listing(name: &str, size: Value) -> Answer {
    ok(&json!({ "files": [{ "path": name, "is_dir": false, "file_size": size }] }))
}

#[tokio::test]
async fn what_may_be_answered_a_moment_later_is_asked_again_and_nothing_else_is() {
    for (status, body, calls) in [
        (503, "", 4),
        (502, "<html>", 4),
        (429, "", 4),
        (408, "", 4),
        (504, "", 4),
        (500, r#"{"error_code": "INTERNAL_ERROR"}"#, 4),
        (500, "<html>", 4),
        (500, r#"{"error_code": "FEATURE_DISABLED"}"#, 1),
        (503, r#"{"detail": "Artifact serving is disabled. Run with `--serve-artifacts`"}"#, 1),
        (400, r#"{"error_code": "INVALID_PARAMETER_VALUE"}"#, 1),
        (401, "", 1),
        (403, "", 1),
        (404, "<html>", 1),
        (302, "", 1),
    ] {
        let ground = Ground::new(move |_| Answer::new(status, body).with("retry-after", "0")).await;
        let error = ground.mlflow.names().await.expect_err("refused");
        assert_eq!(ground.mock.asked().len(), calls, "{status} {body}: {error}");
        assert_eq!(error.is_transient(), calls > 1, "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn a_moment_s_silence_is_not_noticed_and_a_run_is_not_made_twice() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let answer = move |_: &Asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Answer::new(503, ""),
        _ => ok(&json!({ "registered_models": [{ "name": "m" }] })),
    };
    let ground = Ground::new(answer).await;
    assert_eq!(ground.mlflow.names().await.expect("the third time"), ["m"]);

    // It may have been carried out.
    let ground = Ground::new(|asked| match asked.path.contains("create") {
        true => Answer::new(503, ""),
        false => Answer::new(404, r#"{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}"#),
    })
    .await;
    ground.mlflow.experiment("nightly").await.expect_err("503");
    assert_eq!(ground.asked("experiments/create"), 1);
}

#[tokio::test]
async fn nobody_leads_us_and_our_credentials_elsewhere() {
    let elsewhere = Mock::start(|_| ok(&json!({}))).await;
    let url = elsewhere.url.clone();
    let mock = Mock::start(move |_| Answer::new(302, "").with("location", url.as_str())).await;
    let folder = tempfile::tempdir().expect("a folder");
    let credentials = Credentials::Basic { user: "ann".to_owned(), password: "CANARY".to_owned() };
    let settings = MlflowSettings { credentials, workspace: Some("team-a".to_owned()), ..settings(&mock) };
    let cache = ModelCache::new(folder.path(), 1 << 20);
    let mlflow = Mlflow::new(settings, cache, Arc::new(NoSources)).expect("good settings");
    let error = mlflow.names().await.expect_err("a redirect");
    assert_eq!(error.code(), "mlflow_not_found");
    assert!(!error.to_string().contains("CANARY") && !format!("{mlflow:?}").contains("CANARY"));
    assert!(elsewhere.asked().is_empty());
    let asked = &mock.asked()[0];
    assert_eq!(asked.header("authorization"), Some("Basic YW5uOkNBTkFSWQ=="));
    assert_eq!(asked.header("x-mlflow-workspace"), Some("team-a"));
    assert_eq!(asked.header("origin"), None);
}

#[tokio::test]
async fn a_listing_names_files_in_the_folder_and_no_others() {
    for name in ["../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "%2e%2e", "%252e%252e", "a%2fb", "a\nb"] {
        let ground = Ground::new(one_version(move |asked| match asked.path.contains("?path=") {
            true => listing(name, json!(3)),
            false => Answer::new(200, "abc"),
        }))
        .await;
        let error = ground.pin("models:/m/1").await.expect_err(name);
        assert_eq!(error.code(), "mlflow_files", "{name}: {error}");
        assert_eq!(ground.asked("artifacts/1/"), 0, "{name}: nothing is fetched");
    }
}

#[tokio::test]
async fn a_listing_that_goes_on_and_on_or_is_too_large_ends() {
    let deeper = |asked: &Asked| match asked.path.contains("?path=") {
        true => ok(&json!({ "files": [{ "path": "d", "is_dir": true }] })),
        false => Answer::new(200, ""),
    };
    let error = Ground::new(one_version(deeper)).await.pin("models:/m/1").await.expect_err("no end");
    assert!(error.to_string().contains("lies too deep"), "{error}");
    let error = Ground::new(one_version(|_| listing("model.onnx", json!(1u64 << 40)))).await.pin("models:/m/1").await;
    assert!(error.expect_err("a terabyte").to_string().contains("more lie here"));
    let many: Vec<_> = (0..20_000).map(|n| json!({ "path": format!("f{n}"), "file_size": 1 })).collect();
    let many = json!({ "files": many });
    let error = Ground::new(one_version(move |_| ok(&many))).await.pin("models:/m/1").await.expect_err("many");
    assert!(error.to_string().contains("10000 files"), "{error}");
    let pages = Ground::new(|_| ok(&json!({ "next_page_token": "again" }))).await;
    assert!(pages.mlflow.names().await.expect("an end").is_empty());
    assert_eq!(pages.mock.asked().len(), PAGES_MAX);
}

#[tokio::test]
async fn a_file_that_is_not_as_long_as_it_is_listed_is_refused() {
    for (body, promised, says) in [("ab", 2, "less"), ("abcd", 4, "more"), ("", 0, "less")] {
        let ground = Ground::new(one_version(move |asked| match asked.path.contains("?path=") {
            true => listing("model.onnx", json!(3)),
            false => Answer { promised, ..Answer::new(200, body) },
        }))
        .await;
        let error = ground.pin("models:/m/1").await.expect_err(body);
        assert_eq!(error.code(), "mlflow_files", "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // A connection that is cut is tried again, and told as what it is.
    let cut = |asked: &Asked| match asked.path.contains("?path=") {
        true => listing("model.onnx", json!(3)),
        false => Answer::new(200, "abc").cut_after(1),
    };
    let ground = Ground::new(one_version(cut)).await;
    let error = ground.pin("models:/m/1").await.expect_err("cut");
    assert_eq!((error.code(), ground.asked("artifacts/1/")), ("mlflow_unavailable", 4), "{error}");
}

#[tokio::test]
async fn a_version_that_is_not_finished_or_has_no_files_is_refused() {
    let pending = |asked: &Asked| match asked.path.contains("model-versions/get?") {
        true => ok(&json!({ "model_version": { "name": "m", "version": "1", "status": "PENDING_REGISTRATION" } })),
        false => Answer::new(500, ""),
    };
    let error = Ground::new(pending).await.pin("models:/m/1").await.expect_err("pending");
    assert_eq!(error.code(), "model_not_ready");
    assert!(error.to_string().contains("PENDING_REGISTRATION"), "{error}");
    let error = Ground::new(one_version(|_| ok(&json!({})))).await.pin("models:/m/1").await.expect_err("empty");
    assert!(error.to_string().contains("there are none"), "{error}");
}

#[tokio::test]
async fn what_is_no_mlflow_server_is_told_as_that() {
    for body in ["<html>hello</html>", "[]", "42"] {
        let error = Ground::new(move |_| Answer::new(200, body)).await.mlflow.names().await.expect_err(body);
        assert_eq!(error.code(), "mlflow_not_found", "{body}: {error}");
        assert!(error.to_string().contains("MLFLOW_TRACKING_URI"), "{error}");
    }
}

#[tokio::test]
async fn a_model_keeps_the_bytes_that_it_had_first() {
    let turn = Arc::new(AtomicUsize::new(0));
    let now = turn.clone();
    let files = move |asked: &Asked| {
        // `y = x * factor` as an ONNX file, of which the last byte of the factor differs.
        let model = crate_model(now.load(Ordering::SeqCst) as u8);
        match asked.path.contains("?path=") {
            true => listing("model.onnx", json!(model.len())),
            false => Answer::new(200, model),
        }
    };
    let ground = Ground::new(one_version(files)).await;
    let pin = ground.pin("models:/m/1").await.expect("a pin");
    assert_eq!((pin.name.as_str(), pin.version, pin.label().as_str()), ("m", Some(1), "m/1"));
    let origin = pin.mlflow.clone().expect("of MLflow");
    assert_eq!((origin.created_ms, origin.source.as_str()), (5, "models:/m-1"));
    let bounds = Bounds::from(&Limits::default());
    let before = ground.asked("artifacts/1/");
    assert_eq!(ground.mlflow.fetch(&pin, bounds).await.expect("cached").digest(), pin.sha256);
    assert_eq!(ground.asked("artifacts/1/"), before, "it is here already");

    turn.store(1, Ordering::SeqCst);
    let error = ground.pin("models:/m/1").await.expect_err("replaced");
    assert_eq!(error.code(), "version_changed");
    assert!(error.to_string().contains(pin.sha256.short()), "{error}");
    // What was pinned is what is scored, and a process that does not have it is told both digests.
    assert_eq!(ground.mlflow.fetch(&pin, bounds).await.expect("cached").digest(), pin.sha256);
    let empty = tempfile::tempdir().expect("a folder");
    let cache = ModelCache::new(empty.path(), 1 << 20);
    let other = Mlflow::new(settings(&ground.mock), cache, Arc::new(NoSources)).expect("good settings");
    let error = other.fetch(&pin, bounds).await.expect_err("other bytes");
    assert_eq!(error.code(), "digest_mismatch", "{error}");
    // A plan of another server, or of another workspace, is not asked of this one.
    let origin = Origin { workspace: Some("team-b".to_owned()), ..origin };
    let error = other.fetch(&Pin { mlflow: Some(origin), ..pin }, bounds).await.expect_err("foreign");
    assert_eq!(error.code(), "registry_mismatch", "{error}");
}

/// An ONNX file: one float input `x`, one float output `y`, both `[N,1]`.
fn crate_model(last: u8) -> Vec<u8> {
    let field = |tag: u8, value: &[u8]| [&[tag << 3 | 2, value.len() as u8], value].concat();
    let number = |tag: u8, value: u8| vec![tag << 3, value];
    let shape = [field(1, &field(2, b"N")), field(1, &number(1, 1))].concat();
    let tensor = [number(1, 1), field(2, &shape)].concat();
    let port = |name: &[u8]| [field(1, name), field(2, &field(1, &tensor))].concat();
    let factor = [number(1, 1), number(2, 1), field(8, b"f"), field(9, &[last, 0, 128, 63])].concat();
    let node = [field(1, b"x"), field(1, b"f"), field(2, b"y"), field(4, b"Mul")].concat();
    let graph = [field(1, &node), field(2, b"g"), field(5, &factor), field(11, &port(b"x")), field(12, &port(b"y"))];
    let opset = [field(1, b""), number(2, 17)].concat();
    [number(1, 8), field(7, &graph.concat()), field(8, &opset)].concat()
}
