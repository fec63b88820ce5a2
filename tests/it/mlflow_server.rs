//! Real MLflow servers, as processes of their own, with models that MLflow's own client has logged.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use volley_engine::{EngineSettings, Environment};

use crate::harness::root;
use crate::http::{Answered, ask};

/// Two cores may be busy with other tests.
const START_MAX: Duration = Duration::from_secs(180);

/// A server, until it is dropped; one that is never dropped ends with these tests.
pub struct MlflowServer {
    process: Child,
    folder: TempDir,
    scheme: &'static str,
    address: String,
    /// With whose name its client and these tests ask it.
    variables: Vec<(String, String)>,
    /// What `tests/mlflow/publish.py` told of the models that it has.
    pub published: Value,
}

impl MlflowServer {
    /// The server that most tests share, with all models of `tests/mlflow/publish.py`.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MlflowServer> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut server = Self::start();
            server.publish(&[]);
            server
        })
    }

    /// A server for those tests alone that count its answers, or replace its files.
    pub fn counted() -> &'static Self {
        static COUNTED: OnceLock<MlflowServer> = OnceLock::new();
        COUNTED.get_or_init(|| {
            let mut server = Self::start();
            server.publish(&["linear"]);
            server
        })
    }

    /// An empty server that hands out its artifacts from a folder.
    pub fn start() -> Self {
        Self::start_with(&[], &[], &[])
    }

    /// One with other arguments and variables; `client` are the variables of those who ask it.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)], client: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free now: MLflow takes no port 0. Who takes it meanwhile fails the test, and no other.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = File::create(folder.path().join("log")).unwrap();
        // The shell ends the server, and all that it has started, when nobody holds its standard input any more: a server
        // that many tests share is never dropped.
        let mut command = Command::new("sh");
        command.process_group(0).args(["-c", "\"$@\" </dev/null & cat; kill -- -$$", "sh"]).arg(python());
        command.args(["-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", &port]);
        command.args(["--backend-store-uri", &format!("sqlite:///{}", at("mlflow.db"))]);
        if !arguments.iter().any(|argument| argument.contains("artifact")) {
            command.args(["--artifacts-destination", &at("artifacts")]);
        }
        command.args(arguments).current_dir(folder.path());
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false").env("MLFLOW_DISABLE_TELEMETRY", "true");
        command.envs(variables.iter().copied());
        let process = command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let variables = client.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let scheme = if arguments.iter().any(|argument| argument.contains("ssl-")) { "https" } else { "http" };
        let address = format!("127.0.0.1:{port}");
        let server = Self { process, folder, scheme, address, variables, published: Value::Null };
        server.is_healthy();
        server
    }

    fn is_healthy(&self) {
        let start = Instant::now();
        // Behind TLS, what is told is that it listens, which it does once it is ready.
        let answers = || self.scheme == "https" || self.get("/health").status == 200;
        while !std::net::TcpStream::connect(&self.address).is_ok_and(|_| answers()) {
            assert!(start.elapsed() < START_MAX, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What a client of the server is told by its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables = self.variables.clone();
        variables.push(("MLFLOW_TRACKING_URI".to_owned(), self.url()));
        variables
    }

    /// Lets an engine find its models here.
    pub fn connect(&self, settings: &mut EngineSettings) {
        settings.environment = Environment::of(self.environment());
    }

    /// Logs and registers models with MLflow's own client: these, or all.
    pub fn publish(&mut self, names: &[&str]) {
        let mut command = Command::new(python());
        command.arg(root().join("tests/mlflow/publish.py")).envs(self.environment()).current_dir(self.folder.path());
        if !names.is_empty() {
            command.args(["--only", &names.join(",")]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.published = serde_json::from_slice(&output.stdout).unwrap();
    }

    /// `GET PATH`.
    pub fn get(&self, path: &str) -> Answered {
        ask(&self.address, "GET", path, &[], "")
    }

    /// Calls a method of the REST API that succeeds.
    pub fn call(&self, path: &str, body: &Value) -> Value {
        let answered = ask(&self.address, "POST", path, &[], &body.to_string());
        assert!(answered.status < 300, "{path}: {}", answered.text());
        answered.json()
    }

    /// Registers the logged models of `linear` under another name too, with the same numbers.
    pub fn register_linear_as(&self, name: &str) {
        self.call("/api/2.0/mlflow/registered-models/create", &json!({ "name": name }));
        for version in self.published["linear"]["versions"].as_array().unwrap() {
            let body = json!({ "name": name, "source": version["source"], "model_id": version["model_id"] });
            self.call("/api/2.0/mlflow/model-versions/create", &body);
        }
    }

    /// Points an alias at a version.
    pub fn set_alias(&self, name: &str, alias: &str, version: u64) {
        let body = json!({ "name": name, "alias": alias, "version": version.to_string() });
        self.call("/api/2.0/mlflow/registered-models/alias", &body);
    }

    /// Where the server keeps the files of a logged model.
    pub fn files_of(&self, model_id: &str) -> PathBuf {
        let found = std::fs::read_dir(self.folder.path().join("artifacts")).unwrap().flatten();
        let found = found.map(|experiment| experiment.path().join("models").join(model_id).join("artifacts"));
        found.into_iter().find(|folder| folder.is_dir()).unwrap()
    }

    /// How often a file of a logged model was handed out.
    pub fn downloads(&self, model_id: &str, file: &str) -> usize {
        let asked = format!("/{model_id}/artifacts/{file} HTTP");
        self.log().lines().filter(|line| line.contains("\"GET ") && line.contains(&asked)).count()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for MlflowServer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The Python that has MLflow.
pub fn python() -> PathBuf {
    std::env::var_os("PYTHON_UNDER_TEST").expect("./test names the Python that has the packages").into()
}
