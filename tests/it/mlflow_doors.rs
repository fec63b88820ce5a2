//! MLflow servers that want to know who asks, that keep their files in a bucket, or that are not there.

use std::path::Path;

use serde_json::json;
use volley_engine::{EngineSettings, Environment};

use crate::harness::{House, fixture, root};
use crate::mlflow_server::MlflowServer;
use crate::process::{Ended, command};
use crate::s3_server::{KEY_ID, S3Server, SECRET};

const AUTHORITY: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";
const CLIENT: &str = "MLFLOW_TRACKING_CLIENT_CERT_PATH";
const SCORE: &str = "SELECT predict('linear@champion', 1.0, 2.0, 3.0, 4.0)";
const ADMIN: [(&str, &str); 2] =
    [("MLFLOW_TRACKING_USERNAME", "admin"), ("MLFLOW_TRACKING_PASSWORD", "CANARY-admin-password")];

/// A certificate of the tests.
fn certificate(name: &str) -> String {
    root().join("tests/data/tls").join(name).display().to_string()
}

/// It wants a name and a password, and the certificate of its clients, over TLS.
fn guarded() -> MlflowServer {
    let variables =
        [("MLFLOW_AUTH_ADMIN_PASSWORD", ADMIN[1].1), ("MLFLOW_FLASK_SERVER_SECRET_KEY", "a key of these tests")];
    let [authority, client] = ["ca.pem", "client.pem"].map(certificate);
    let tls = format!(
        "--ssl-certfile={} --ssl-keyfile={} --ssl-ca-certs={client} --ssl-cert-reqs=2",
        certificate("server.pem"),
        certificate("server.key")
    );
    let arguments = ["--app-name", "basic-auth", "--uvicorn-opts", &tls];
    let certificates = [(AUTHORITY, authority.as_str()), (CLIENT, client.as_str())];
    let mut server = MlflowServer::start_with(&arguments, &variables, &[&ADMIN[..], &certificates].concat());
    server.publish(&["linear"]);
    server
}

/// What a command says to somebody with these variables, and both certificates.
fn asked(server: &MlflowServer, folder: &Path, variables: &[(&str, &str)]) -> Ended {
    let [authority, client] = ["ca.pem", "client.pem"].map(certificate);
    let certificates = [(AUTHORITY, authority.as_str()), (CLIENT, client.as_str())];
    asked_with(server, folder, &[variables, &certificates].concat())
}

/// The same with these variables and no others.
fn asked_with(server: &MlflowServer, folder: &Path, variables: &[(&str, &str)]) -> Ended {
    let mut command = command(folder, &["sql", "-c", SCORE, "--format", "csv"]);
    command.env("MLFLOW_TRACKING_URI", server.url()).env("HOME", folder).envs(variables.iter().copied());
    Ended::from(command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_to_know_who_asks_is_told_as_mlflow_s_own_client_tells_it() {
    let server = guarded();
    let folder = tempfile::tempdir().unwrap();
    let [user, password] = ADMIN;
    let token = ("MLFLOW_TRACKING_TOKEN", "CANARY-token");
    let wrong = (password.0, "CANARY-wrong-password");
    for (variables, sent) in [
        (vec![], "none was sent"),
        (vec![user, wrong], "a user and a password was sent"),
        (vec![token], "a token was sent"),
        (vec![user, wrong, token], "a user and a password was sent"),
    ] {
        let ended = asked(&server, folder.path(), &variables);
        ended.is_error(1, &[sent, "MLFLOW_TRACKING_USERNAME", "[mlflow_unauthenticated]"]);
        assert!(!ended.warned.contains("CANARY"), "{}", ended.warned);
    }
    let [authority, client] = ["ca.pem", "client.pem"].map(certificate);
    let [authority, client] = [(AUTHORITY, authority.as_str()), (CLIENT, client.as_str())];
    let insecure = ("MLFLOW_TRACKING_INSECURE_TLS", "true");
    for (certificates, says, code) in [
        (vec![client], "UnknownIssuer", "[mlflow_unavailable]"),
        (vec![authority], "does not answer", "[mlflow_unavailable]"),
        (vec![authority, client, insecure], "contradict each other", "[mlflow_settings]"),
        (vec![(AUTHORITY, "nowhere.pem")], "MLFLOW_TRACKING_SERVER_CERT_PATH cannot be read", "[mlflow_settings]"),
        (vec![authority, (CLIENT, authority.1)], "no certificate with its key", "[mlflow_settings]"),
    ] {
        asked_with(&server, folder.path(), &[&ADMIN[..], &certificates].concat()).is_error(1, &[says, code]);
    }
    asked(&server, folder.path(), &[user]).is_error(1, &["MLFLOW_TRACKING_PASSWORD", "[mlflow_settings]"]);
    let scored = |ended: Ended| assert_eq!(ended.said, "prediction\n4.0\n", "{}", ended.warned);
    scored(asked(&server, folder.path(), &ADMIN));
    scored(asked_with(&server, folder.path(), &[&ADMIN[..], &[client, insecure]].concat()));
    scored(asked(&server, folder.path(), &[user, password, token]));
    std::fs::create_dir(folder.path().join(".mlflow")).unwrap();
    let file = format!(
        "[mlflow]\n{} = {}\n{} = {}\n",
        "mlflow_tracking_username", user.1, "mlflow_tracking_password", password.1
    );
    std::fs::write(folder.path().join(".mlflow/credentials"), file).unwrap();
    scored(asked(&server, folder.path(), &[]));
    // Nothing of them is kept.
    for entry in std::fs::read_dir(folder.path().join(".volley")).unwrap().flatten() {
        let found = std::process::Command::new("grep").args(["-r", "CANARY"]).arg(entry.path()).output().unwrap();
        assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_a_bucket_come_through_the_server_or_straight_from_the_bucket() {
    let bucket = S3Server::start().await;
    let endpoint = bucket.endpoint();
    let keys = [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("MLFLOW_S3_ENDPOINT_URL", endpoint.as_str()),
    ];
    let (through, straight) = tokio::task::spawn_blocking({
        let keys = keys.map(|(name, value)| (name.to_owned(), value.to_owned()));
        move || {
            let keys: Vec<_> = keys.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let arguments = ["--artifacts-destination", "s3://lake/through", "--enable-workspaces"];
            // A new workspace has no experiment that is there by itself.
            let team = [("MLFLOW_WORKSPACE", "team-a"), ("MLFLOW_EXPERIMENT_NAME", "models")];
            let mut through = MlflowServer::start_with(&arguments, &keys, &team);
            through.call("/api/3.0/mlflow/workspaces", &json!({ "name": "team-a" }));
            through.publish(&["linear", "cancer_mlp"]);
            // This one hands out nothing: its clients reach the bucket themselves.
            let straight = ["--no-serve-artifacts", "--default-artifact-root", "s3://lake/straight"];
            let mut straight = MlflowServer::start_with(&straight, &keys, &keys);
            straight.publish(&["linear"]);
            (through, straight)
        }
    })
    .await
    .unwrap();

    let mut house = House::with(|settings| through.connect(settings)).await;
    assert_eq!(house.number(SCORE).await, 4.0);
    crate::fixtures::check_named(&mut house, &fixture("cancer_onnx_mlp_external"), "cancer_mlp").await;

    let shown = House::with(|settings| through.connect(settings)).await;
    let pin = shown.engine.registry().resolve(&"linear@champion".parse().unwrap()).await.unwrap();
    assert_eq!(pin.mlflow.unwrap().workspace.as_deref(), Some("team-a"));
    // Without its name, the workspace `default` is meant, which has no models; and there is no other.
    for (workspace, code) in [(None, "unknown_model"), (Some("team-b"), "mlflow_workspace")] {
        let named = workspace.map(|name: &str| ("MLFLOW_WORKSPACE".to_owned(), name.to_owned()));
        let bare = [("MLFLOW_TRACKING_URI".to_owned(), through.url())];
        let environment = Environment::of(bare.into_iter().chain(named));
        assert_eq!(House::with(|settings| settings.environment = environment).await.codes(SCORE).await, [code]);
    }

    // With the variables that MLflow's own client takes.
    let mut house = House::with(|settings| straight.connect(settings)).await;
    assert_eq!(house.number(SCORE).await, 4.0);
    // With a connection, where the process has none of them.
    let connected = |settings: &mut EngineSettings| {
        bucket.connect(settings);
        settings.environment = settings.environment.with([("MLFLOW_TRACKING_URI".to_owned(), straight.url())]);
    };
    assert_eq!(House::with(connected).await.number(SCORE).await, 4.0);
    // With neither.
    let bare = |settings: &mut EngineSettings| settings.registry = Some(straight.url());
    let error = House::with(bare).await.try_run(SCORE).await.expect_err("no credentials");
    assert_eq!(error.code(), "mlflow_source", "{error}");
    assert!(error.to_string().contains("s3://lake/straight/"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_on_the_server_s_disk_are_read_where_a_connection_allows_it_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("artifacts").display().to_string();
    let mut server = MlflowServer::start_with(&["--no-serve-artifacts", "--default-artifact-root", &root], &[], &[]);
    server.publish(&["linear"]);
    let mut house = House::with(|settings| server.connect(settings)).await;
    let error = house.try_run(SCORE).await.expect_err("no connection");
    assert_eq!(error.code(), "mlflow_source", "{error}");
    assert!(error.to_string().contains("which no connection allows: add one"), "{error}");

    let connected = |settings: &mut EngineSettings| {
        server.connect(settings);
        let url = format!("file://{root}/");
        let connection = volley_engine::Connection { url, ..Default::default() };
        settings.connections = [("models".to_string(), connection)].into();
    };
    assert_eq!(House::with(connected).await.number(SCORE).await, 4.0);
}
