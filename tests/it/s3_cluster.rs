//! A server whose state lies in a bucket, and executors that show that they have the same: what dies on one machine is
//! gone on with on another.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::cluster_ground::Executor;
use crate::harness::House;
use crate::process::{Ended, command};
use crate::s3_server::{KEY_ID, S3Server, SECRET};
use crate::server::{Server, until};

const SPLITS: usize = 40;
const ROWS_OF_SPLIT: usize = 2_000;
const TOKEN: &str = "a-token-of-all-users";
const CLUSTER_TOKEN: &str = "a-token-of-all-executors";
const VARIABLES: [(&str, &str); 5] = [
    ("LAKE_KEY_ID", KEY_ID),
    ("LAKE_SECRET", SECRET),
    ("USERS", TOKEN),
    ("VOLLEY_TOKEN", TOKEN),
    ("CLUSTER", CLUSTER_TOKEN),
];

/// A bucket with a table, and the machines that reach it.
struct Ground {
    bucket: S3Server,
}

impl Ground {
    async fn new() -> Self {
        let bucket = S3Server::start().await;
        let house = House::with_input(SPLITS, ROWS_OF_SPLIT).await;
        bucket.upload(&house.path("input"), "lake", "in");
        house.register("line", "linear_onnx_double", None).await;
        bucket.upload(&house.path(".volley/registry"), "lake", "registry");
        Self { bucket }
    }

    /// A machine: a folder with nothing but settings.
    fn machine(&self, lease_seconds: u64) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "state = 's3://lake/state/'\nregistry = 's3://lake/registry/'\nsplit_rows = {ROWS_OF_SPLIT}\ncores = 1\n\
             store_retry_seconds = 2\nstore_timeout_seconds = 2\n{}\n[server]\nlease_seconds = {lease_seconds}\n\
             token = {{ env = 'USERS' }}\ncluster_token = {{ env = 'CLUSTER' }}\n",
            self.bucket.settings()
        );
        std::fs::write(folder.path().join("volley.toml"), settings).unwrap();
        folder
    }

    /// The receipts of splits of all jobs.
    fn receipts(&self) -> BTreeMap<String, Vec<u8>> {
        self.bucket.objects("state").into_iter().filter(|(name, _)| name.contains("/splits/")).collect()
    }

    async fn has_every_id_once(&self) {
        let mut house = House::with(|settings| self.bucket.connect(settings)).await;
        let rows = (SPLITS * ROWS_OF_SPLIT) as f64;
        for counted in ["count(*)", "count(DISTINCT id)", "max(id)", "count(score)"] {
            assert_eq!(house.number(&format!("SELECT {counted} FROM 's3://lake/out/'")).await, rows, "{counted}");
        }
    }
}

fn server(machine: &Path) -> Server {
    Server::start_with(machine, &["--cluster-listen", "127.0.0.1:0"], &VARIABLES).with_token(TOKEN)
}

fn executor_command(machine: &Path, server: &Server) -> Command {
    let mut command = command(machine, &["executor", "--server", &server.cluster(), "--pulse-milliseconds", "100"]);
    command.envs(VARIABLES).env("VOLLEY_CLUSTER_TOKEN", CLUSTER_TOKEN).stderr(Stdio::piped());
    command
}

fn executor(machine: &Path, server: &Server) -> Executor {
    Executor::spawn(executor_command(machine, server))
}

fn job() -> serde_json::Value {
    let sql = "COPY (SELECT id, predict('line') AS score FROM 's3://lake/in/') TO 's3://lake/out/' STORED AS PARQUET";
    json!({ "name": "job.sql", "sql": sql, "key": "k" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_of_a_machine_that_is_lost_is_gone_on_with_on_another() {
    let ground = Ground::new().await;
    let (here, there) = (ground.machine(1), ground.machine(1));
    let first = server(here.path());
    let mut lost = [executor(here.path(), &first), executor(here.path(), &first)];
    let id = first.submit(&job());
    until(|| Some(()).filter(|()| ground.receipts().len() >= 5));
    first.kill();
    lost.iter_mut().for_each(Executor::kill);
    let before = ground.receipts();
    assert!(before.len() < SPLITS && ground.bucket.objects("out").is_empty(), "{} were sealed", before.len());

    let next = server(there.path());
    let _executors = [executor(there.path(), &next), executor(there.path(), &next)];
    let ended = next.wait(&id);
    assert_eq!((&ended["state"], &ended["key"]), (&json!("succeeded"), &json!("k")), "{ended}\n{}", next.said());
    let now = ground.receipts();
    assert!(before.iter().all(|(name, receipt)| now[name] == *receipt), "what was done is not done again");
    ground.has_every_id_once().await;
    assert_eq!(next.submit(&job()), id, "the key stands for it there too");
    let looked = |arguments: &[&str]| {
        let ended = Ended::from(command(here.path(), arguments).envs(VARIABLES).output().unwrap());
        assert_eq!(ended.status, Some(0), "{}", ended.warned);
        ended
    };
    assert!(looked(&["jobs", "list"]).said.contains(&format!("{id}  published")));
    let verified = looked(&["jobs", "verify", &id, "--rescore", "2", "--json"]).json();
    assert_eq!(
        (&verified["rows"], &verified["rescored"]["rows"]),
        (&json!(SPLITS * ROWS_OF_SPLIT), &json!(2 * ROWS_OF_SPLIT))
    );
    assert!(!here.path().join(".volley/state").exists() && !there.path().join(".volley/state").exists());
    let left: Vec<_> = ground.bucket.objects("state").into_keys().filter(|name| name.starts_with("proofs/")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_executor_that_has_another_state_than_its_server_is_refused() {
    let ground = Ground::new().await;
    let machine = ground.machine(60);
    let server = server(machine.path());
    let mut other = executor_command(machine.path(), &server);
    other.args(["--state", "s3://lake/another/"]);
    let (status, told) = Executor::spawn(other).ended().await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.ends_with("[state_mismatch]") && told.contains("s3://lake/state"), "{told}");
    assert!(ground.bucket.objects("another").keys().all(|name| name.starts_with("proofs/")));

    let folder = tempfile::tempdir().unwrap();
    let mut other = executor_command(machine.path(), &server);
    other.args(["--state", &folder.path().display().to_string()]);
    let (_, told) = Executor::spawn(other).ended().await;
    assert!(told.ends_with("[state_mismatch]"), "{told}");

    let mut denied = executor_command(machine.path(), &server);
    denied.env("LAKE_SECRET", "wrong");
    let (status, told) = Executor::spawn(denied).ended().await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.ends_with("[store_access_denied]"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_whose_state_is_taken_over_accepts_nothing_more_and_ends() {
    let ground = Ground::new().await;
    let (here, there) = (ground.machine(2), ground.machine(2));
    let mut first = server(here.path());
    let _executor = executor(here.path(), &first);
    assert_eq!(first.wait(&first.submit(&job()))["state"], "succeeded");

    let next = server(there.path());
    let refused = first.try_post("/v1/jobs", &json!({ "name": "j", "sql": "COPY (SELECT 1 AS a) TO 's3://lake/x/'" }));
    if let Some(refused) = refused {
        assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("owner_replaced")), "{}", refused.text());
    }
    assert_eq!(first.ended(), Some(1));
    assert!(first.said().trim_end().ends_with("[owner_replaced]"), "{}", first.said());
    let sql = "COPY (SELECT 1 AS a) TO 's3://lake/y/' STORED AS PARQUET";
    let _executor = executor(there.path(), &next);
    let id = next.submit(&json!({ "name": "j", "sql": sql }));
    assert_eq!(next.wait(&id)["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_stops_in_order_leaves_the_state_to_the_next_at_once() {
    let ground = Ground::new().await;
    // A server that waited for the one before would publish in ten minutes.
    let machine = ground.machine(600);
    let first = server(machine.path());
    let _executor = executor(machine.path(), &first);
    assert_eq!(first.wait(&first.submit(&job()))["state"], "succeeded");
    first.stop();
    let next = server(machine.path());
    let id = next.submit(&json!({ "name": "j", "sql": "COPY (SELECT 1 AS a) TO 's3://lake/y/' STORED AS PARQUET" }));
    let _executor = executor(machine.path(), &next);
    assert_eq!(next.wait(&id)["state"], "succeeded");
    assert_eq!(next.get("/v1/jobs").json()["jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_but_a_server_reads_or_takes_over_its_state() {
    let ground = Ground::new().await;
    let machine = ground.machine(60);
    let server = server(machine.path());
    let asked = |arguments: &[&str]| Ended::from(command(machine.path(), arguments).envs(VARIABLES).output().unwrap());
    for place in ["s3://lake/state/", "s3://lake/state/owners/", "s3a://lake/state"] {
        let statement = format!("SELECT * FROM '{place}'");
        asked(&["sql", "-c", &statement, "--cluster", &server.url]).is_error(1, &["[location_not_allowed]"]);
    }
    let all = "CREATE EXTERNAL TABLE t STORED AS JSON LOCATION 's3://lake/'";
    let all = asked(&["sql", "-c", all, "--cluster", &server.url]);
    assert_eq!(all.status, Some(1), "nothing that a table could have is open there: {}{}", all.said, all.warned);
    for arguments in [["jobs", "expire", "--all"].as_slice(), &["sql", "-cSELECT 1"]] {
        asked(arguments).is_error(2, &["--cluster", "[invalid_setting]"]);
    }
    assert_eq!(ground.bucket.objects("state").keys().filter(|name| name.starts_with("owners/")).count(), 1);
    let models = asked(&["models", "list"]);
    assert_eq!(models.status, Some(0), "the registry is no part of it: {}", models.warned);
}

/// `EVERY_CALL=1` kills at every change, one after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_at_any_change_of_the_bucket_ends_its_job_right_when_it_is_back() {
    const ROWS: u64 = 6000;
    let step = if std::env::var_os("EVERY_CALL").is_some() { 1 } else { 9 };
    let ground = Ground::new().await;
    let machine = ground.machine(1);
    let server = || Server::start_with(machine.path(), &[], &VARIABLES).with_token(TOKEN);
    let (mut undecided, mut decided) = (0, 0);
    for change in (1..).step_by(step) {
        let running = server();
        let out = format!("s3://lake/out{change}/");
        let sql = format!(
            "COPY (SELECT id, predict('line') AS score FROM 's3://lake/in/' WHERE id <= {ROWS}) TO '{out}' STORED AS PARQUET"
        );
        let changed = ground.bucket.weather.changes(change);
        let id = running.submit(&json!({ "name": "job.sql", "sql": sql }));
        let is_over = async {
            while running.get(&format!("/v1/jobs/{id}")).json()["ended_at"].is_null() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let is_over = tokio::select! {
            biased;
            () = changed => false,
            () = is_over => true,
        };
        running.kill();
        if is_over {
            break;
        }
        let parts = |folder: &str| ground.bucket.objects(folder).keys().filter(|name| name.contains("part-")).count();
        let is_decided = ground.bucket.objects(&format!("state/jobs/{id}")).contains_key("outcome.json");
        assert!(is_decided || parts(&format!("out{change}")) == 0, "change {change}: something is visible too early");
        match is_decided {
            true => decided += 1,
            false => undecided += 1,
        }
        let next = server();
        let ended = next.wait(&id);
        assert_eq!(ended["state"], "succeeded", "change {change}: {ended}\n{}", next.said());
        next.stop();
        let mut house = House::with(|settings| ground.bucket.connect(settings)).await;
        for counted in ["count(*)", "count(DISTINCT id)", "max(id)"] {
            assert_eq!(house.number(&format!("SELECT {counted} FROM '{out}'")).await, ROWS as f64, "change {change}");
        }
        assert!(ground.bucket.objects(&format!("out{change}")).contains_key("_SUCCESS"));
        assert!(ground.bucket.objects(".volley-staging").is_empty(), "change {change}: staging is left");
    }
    assert!(undecided > 0 && decided > 0, "{undecided} kills before the decision, {decided} after it");
}
