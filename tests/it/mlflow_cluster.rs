//! Models of a real MLflow server on a cluster: each process fetches by digest, checks, and loads once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use volley_cluster::{Cluster, ClusterSettings};
use volley_engine::{Engine, EngineError, Environment, Summary};

use crate::cluster_ground::{Executor, TIMERS, engine_of, run};
use crate::fixtures::compare;
use crate::harness::{House, fixture};
use crate::http::ask;
use crate::mlflow::SCORED;
use crate::mlflow_server::MlflowServer;
use crate::process::command;

const SPLITS: usize = 16;
const ROWS_OF_SPLIT: usize = 2_000;

/// A cluster whose models are those of an MLflow server.
struct Ground {
    folder: TempDir,
    mlflow: &'static MlflowServer,
    cluster: Cluster,
    engine: Engine,
}

impl Ground {
    async fn new(mlflow: fn() -> &'static MlflowServer) -> Self {
        let house = House::with_input(SPLITS, ROWS_OF_SPLIT).await;
        let mlflow = tokio::task::spawn_blocking(mlflow).await.unwrap();
        let cluster = Cluster::start(ClusterSettings { timers: TIMERS, ..ClusterSettings::default() }).await.unwrap();
        let engine = engine(house.folder.path(), mlflow).await.with_driver(cluster.driver());
        Self { folder: house.folder, mlflow, cluster, engine }
    }

    /// An executor for one split at a time, with a folder of its own for models.
    fn executor(&self, name: &str) -> (Executor, String) {
        let address = self.cluster.address().to_string();
        let models = self.models_of(name).display().to_string();
        let arguments = ["executor", "--server", &address, "--cores", "1", "--model-folder", &models];
        let mut command = command(self.folder.path(), &arguments);
        command.args(["--heartbeat-seconds", "1", "--pulse-milliseconds", "100", "--http-listen", "127.0.0.1:0"]);
        command.envs(self.mlflow.environment());
        let executor = Executor::spawn(command);
        let address = executor.told("health and metrics are at http://");
        (executor, address)
    }

    fn models_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("models of {name}"))
    }

    async fn run(&self, key: &str, sql: &str) -> Result<Summary, EngineError> {
        run(&self.engine, key, sql).await
    }

    fn model_id(&self, version: usize) -> &str {
        self.mlflow.published["linear"]["versions"][version - 1]["model_id"].as_str().unwrap()
    }

    /// Puts the bytes of version 1 in the place of those of version 2, as anybody with write access can.
    fn overwrite(&self) {
        let [new, old] = [1, 2].map(|version| self.mlflow.files_of(self.model_id(version)).join("model.onnx"));
        std::fs::copy(new, old).unwrap();
    }
}

async fn engine(folder: &Path, mlflow: &MlflowServer) -> Engine {
    engine_of(folder, ROWS_OF_SPLIT, Environment::of(mlflow.environment())).await
}

fn scored(model: &str, to: &str) -> String {
    format!("COPY (SELECT id, a, b, c, d, predict('{model}') AS score FROM 'input/') TO '{to}' STORED AS PARQUET")
}

/// A number among the metrics of an executor.
fn metric(address: &str, name: &str) -> u64 {
    let told = ask(address, "GET", "/metrics", &[], "").text();
    let line = told.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {told}"));
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// How many rows of a result have the score of version 1, and how many another.
async fn scores(folder: &Path, result: &str) -> (f64, f64) {
    let mut house = House::new().await;
    let result = folder.join(result).display().to_string();
    let mut count = async |condition: &str| {
        let is_first = "abs(score - (1 + 0.1 * a + 0.2 * b + 0.3 * c + 0.4 * d)) < 1e-3 * (1 + abs(score))";
        house.number(&format!("SELECT count(*) FROM '{result}/' WHERE {condition} ({is_first})")).await
    };
    (count("").await, count("NOT").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_partitions_on_two_executors_fetch_and_load_a_model_once_for_each_process() {
    let ground = Ground::new(MlflowServer::counted).await;
    let executors = [ground.executor("one"), ground.executor("two")];
    ground.cluster.has_capacity(2).await;
    let summary = ground.run("all", &scored("linear/1", "out/")).await.unwrap();
    assert_eq!(summary.rows as usize, SPLITS * ROWS_OF_SPLIT);
    let splits = executors.each_ref().map(|(_, address)| metric(address, "volley_executor_splits_sealed_total"));
    assert!(splits.iter().sum::<u64>() == 16 && splits.iter().all(|splits| *splits > 0), "{splits:?}");
    assert_eq!(executors.each_ref().map(|(_, address)| metric(address, "volley_model_loads_total")), [1, 1]);
    // Once by each executor, and once by the server, which pins the model.
    assert_eq!(ground.mlflow.downloads(ground.model_id(1), "model.onnx"), 3);

    // Two with one folder fetch once; the pin of a new job is another time.
    drop(executors);
    let executors = [ground.executor("both"), ground.executor("both")];
    ground.cluster.has_capacity(2).await;
    ground.run("again", &scored("linear/1", "again/")).await.unwrap();
    assert_eq!(executors.each_ref().map(|(_, address)| metric(address, "volley_model_loads_total")), [1, 1]);
    assert_eq!(ground.mlflow.downloads(ground.model_id(1), "model.onnx"), 5);

    // What a process that is new finds in the folder of those that are gone is not fetched again.
    drop(executors);
    let (_new, address) = ground.executor("both");
    ground.run("anew", &scored("linear/1", "anew/")).await.unwrap();
    assert_eq!(metric(&address, "volley_model_loads_total"), 1);
    assert_eq!(ground.mlflow.downloads(ground.model_id(1), "model.onnx"), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_moves_while_a_job_runs_changes_nothing_in_it() {
    let ground = Ground::new(MlflowServer::shared).await;
    ground.mlflow.register_linear_as("moving");
    ground.mlflow.set_alias("moving", "champion", 1);
    let _executor = ground.executor("one");
    let moved = async {
        while sealed(ground.folder.path()) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        ground.mlflow.set_alias("moving", "champion", 2);
        // A process that never saw where the alias was takes over from the one that did.
        sealed(ground.folder.path())
    };
    let statement = scored("moving@champion", "out/");
    let (summary, (sealed, _second)) = tokio::join!(ground.run("all", &statement), async {
        let sealed = moved.await;
        (sealed, ground.executor("two"))
    });
    assert!(sealed < SPLITS, "the job was over before the alias moved");
    let models: Vec<_> = summary.unwrap().models.iter().map(|model| (model.name.clone(), model.version)).collect();
    assert_eq!(models, [("moving".to_string(), Some(1))]);
    let rows = (SPLITS * ROWS_OF_SPLIT) as f64;
    assert_eq!(scores(ground.folder.path(), "out").await, (rows, 0.0));
    ground.run("next", &scored("moving@champion", "next/")).await.unwrap();
    assert_eq!(scores(ground.folder.path(), "next").await, (0.0, rows));
}

fn sealed(folder: &Path) -> usize {
    crate::resume::jobs(folder).last().map_or(0, |job| crate::resume::receipts(job).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_replaced_between_two_loads_are_refused_with_both_digests() {
    let ground = Ground::new(MlflowServer::counted).await;
    let (first, _) = ground.executor("one");
    let statement = scored("linear/2", "out/");
    let (outcome, _second) = tokio::join!(ground.run("all", &statement), async {
        while sealed(ground.folder.path()) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        ground.overwrite();
        drop(first);
        ground.executor("two")
    });
    let error = outcome.expect_err("other bytes");
    assert_eq!(error.code(), "digest_mismatch", "{error}");
    assert!(error.to_string().contains("`linear/2` changed after it was pinned: sha256 was "), "{error}");
    assert!(!ground.folder.path().join("out").exists());

    // Whoever pins it anew is told that it is no longer what it was, and nothing is scored.
    let error = ground.run("again", &statement).await.expect_err("other bytes under the same number");
    assert_eq!(error.code(), "version_changed", "{error}");
    let digests: Vec<_> =
        error.to_string().split("sha256 was ").nth(1).unwrap().split(' ').map(str::to_owned).collect();
    assert_eq!((digests[0].len(), error.to_string().matches(", is ").count()), (12, 1), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_every_flavor_that_is_scored_give_their_expected_scores_on_executors() {
    let mlflow = MlflowServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(ClusterSettings { timers: TIMERS, ..ClusterSettings::default() }).await.unwrap();
    let engine = engine(folder.path(), mlflow).await.with_driver(cluster.driver());
    let address = cluster.address().to_string();
    let mut command = command(folder.path(), &["executor", "--server", &address, "--cores", "2"]);
    command.envs(mlflow.environment());
    let _executor = Executor::spawn(command);
    let by_fixture: BTreeMap<_, _> = SCORED.iter().map(|(model, fixture)| (fixture, model)).collect();
    let mut house = House::new().await;
    for (name, model) in by_fixture {
        let path = |file: &str| fixture(name).join(file).display().to_string();
        let score = format!("SELECT predict('{model}') AS p FROM '{}'", path("input.parquet"));
        let summary = run(&engine, name, &format!("COPY ({score}) TO '{name}/' STORED AS PARQUET")).await.unwrap();
        assert!(summary.rows > 0);
        let scores = house.rows(&format!("SELECT * FROM '{}/'", folder.path().join(name).display())).await;
        let expected = house.rows(&format!("SELECT * FROM '{}'", path("expected.parquet"))).await;
        compare(name, model, &scores, &expected);
    }
}
