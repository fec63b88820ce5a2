//! A cluster in this process with an engine of its own, and executors that are processes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;
use volley_cluster::{Cluster, ClusterSettings, Timers};
use volley_engine::{Answer, Engine, EngineError, EngineSettings, Environment, Params, Request, Summary, parse_script};

use crate::harness::{House, model};
use crate::process::{command, succeed};

pub const SPLITS: usize = 100;
pub const ROWS_OF_SPLIT: usize = 2_000;

/// What is waited for takes so long at most.
pub const TIMERS: Timers = Timers {
    heartbeat: Duration::from_secs(1),
    pulse: Duration::from_millis(100),
    dead_after: Duration::from_secs(3),
    missing_after: Duration::from_secs(3),
    retry: Duration::from_secs(60),
};

/// A folder with `input/`, its state, and the server's side of a cluster.
pub struct Ground {
    pub folder: TempDir,
    rows: usize,
    pub cluster: Cluster,
    pub engine: Engine,
}

/// One `volley executor`, which is killed when it is dropped.
pub struct Executor {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What was read of them.
    told: Mutex<Vec<String>>,
}

impl Ground {
    /// An input of [`SPLITS`] row groups with the ids from 1, in splits of one row group.
    pub async fn new() -> Self {
        Self::of(SPLITS, ROWS_OF_SPLIT, TIMERS).await
    }

    /// The same of another size, or with other patience.
    pub async fn of(splits: usize, rows_of_split: usize, timers: Timers) -> Self {
        Self::with(splits, rows_of_split, ClusterSettings { timers, ..ClusterSettings::default() }).await
    }

    pub async fn with(splits: usize, rows_of_split: usize, settings: ClusterSettings) -> Self {
        let house = House::with_input(splits, rows_of_split).await;
        let cluster = Cluster::start(settings).await.unwrap();
        let engine =
            engine_of(house.folder.path(), rows_of_split, Environment::default()).await.with_driver(cluster.driver());
        Self { folder: house.folder, rows: splits * rows_of_split, cluster, engine }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an executor for one split at a time.
    pub fn executor(&self) -> Executor {
        self.executor_at(&self.cluster.address().to_string())
    }

    /// The same, which finds the server at another address.
    pub fn executor_at(&self, address: &str) -> Executor {
        let arguments = ["executor", "--server", address, "--cores", "1", "--heartbeat-seconds", "1"];
        let mut command = command(self.folder.path(), &arguments);
        command.args(["--pulse-milliseconds", "100"]);
        Executor::spawn(command)
    }

    /// Starts so many executors, and waits until all of them take splits.
    pub async fn executors(&self, count: usize) -> Vec<Executor> {
        let started = (0..count).map(|_| self.executor()).collect();
        self.cluster.has_capacity(count).await;
        started
    }

    /// Runs a statement as the run of a key, on the cluster.
    pub async fn run(&self, key: &str, sql: &str) -> Result<Summary, EngineError> {
        run(&self.engine, key, sql).await
    }

    /// The same in this process.
    pub async fn run_here(&self, key: &str, sql: &str) -> Result<Summary, EngineError> {
        run(&engine(self.folder.path()).await, key, sql).await
    }

    /// Forgets all jobs and what they published, but not which job a key stands for.
    pub fn forget(&self) {
        crate::resume::forget(self.folder.path());
    }

    /// How many receipts the newest job has.
    pub fn sealed(&self) -> usize {
        crate::resume::jobs(self.folder.path()).last().map_or(0, |job| crate::resume::receipts(job).len())
    }

    /// Waits until the newest job has so many receipts.
    pub async fn has_sealed(&self, count: usize) {
        while self.sealed() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// That `out/` holds every id of the input once, as the binary under test reads it.
    pub async fn has_every_id_once(&self) {
        let all = "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM 'out/'";
        let read = succeed(self.folder.path(), &["sql", "-c", all, "--format", "csv"]);
        let rows = self.rows;
        assert_eq!(read.lines().last(), Some(format!("{rows},{rows},1,{rows}").as_str()), "{read}");
    }
}

/// An engine of the folder, whose jobs run in this process.
pub async fn engine(folder: &Path) -> Engine {
    engine_of(folder, ROWS_OF_SPLIT, Environment::default()).await
}

/// The same with splits of so many rows, and with these variables.
pub async fn engine_of(folder: &Path, rows_of_split: usize, environment: Environment) -> Engine {
    let settings = EngineSettings {
        base: folder.to_path_buf(),
        registry_base: folder.to_path_buf(),
        state: folder.join(".volley/state").display().to_string(),
        cores: 2,
        split_rows: rows_of_split as u64,
        environment,
        ..EngineSettings::default()
    };
    Engine::open(settings).await.unwrap()
}

pub async fn run(engine: &Engine, key: &str, sql: &str) -> Result<Summary, EngineError> {
    let mut session = engine.session();
    session.set_run(engine.run_of_key(key, &Request::new(key, sql.as_bytes())).await?);
    let mut published = None;
    for statement in parse_script(sql)? {
        if let Answer::Published(summary) = session.run(&statement, &Params::default()).await? {
            published = Some(summary);
        }
    }
    Ok(published.expect("a statement that writes"))
}

/// Scores the input into `out/`.
pub fn scored() -> String {
    let model = model("linear_onnx_double");
    format!("COPY (SELECT id, d, predict('{model}') AS score FROM 'input/') TO 'out/' STORED AS PARQUET")
}

impl Executor {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines, told: Mutex::default() }
    }

    /// The id that it has told.
    pub fn id(&self) -> String {
        self.told("executor ").split(' ').next().unwrap().to_owned()
    }

    /// What it tells after these words, once it does.
    pub fn told(&self, words: &str) -> String {
        let mut told = self.told.lock().unwrap();
        loop {
            if let Some(rest) = told.iter().find_map(|line| line.strip_prefix(words)) {
                return rest.to_owned();
            }
            match self.lines.recv() {
                Ok(line) => told.push(line),
                Err(_) => panic!("it ended without {words:?}: {told:?}"),
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap().success());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether the process has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end: its status, and what it told last.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let before = self.told.get_mut().unwrap().pop();
        (status.code(), self.lines.iter().last().or(before).unwrap_or_default())
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
