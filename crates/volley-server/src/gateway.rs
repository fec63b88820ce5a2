//! What may be asked of a server, whichever door it is asked through: jobs, and statements that are answered at once.

mod counts;
mod facts;
mod runner;
mod statement;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use volley_cluster::{Cluster, ClusterError, ExecutorStatus};
use volley_engine::{
    Checked, Draw, EngineSettings, Forgotten, Intent, Kind, Opened, Progress, ScriptStatement, parse_script,
};
use volley_jobs::{Follower, Home, Job, Jobs, Recorded, Submission, Submitted};

use counts::Answering;
pub use counts::Counts;
use facts::InState;
use runner::{Runner, job_id};
pub use statement::{Reply, StatementRows};

use crate::error::ServerError;
use crate::job_request::{JobRequest, StatementRequest};

/// The folder of the records of jobs, in the engine's state.
const FOLDER: &str = "server";

/// What a gateway is told by whoever opens it.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Of its engine.
    pub engine: EngineSettings,
    /// How many jobs are under way at a time; the others wait.
    pub jobs_at_once: NonZeroUsize,
    /// A folder of this machine for the index of jobs, where their state lies in a bucket.
    pub index: PathBuf,
    /// Who runs the splits of jobs; without one, this process does.
    pub cluster: Option<Arc<Cluster>>,
}

/// The server behind its doors.
#[derive(Clone)]
pub struct Gateway {
    runner: Arc<Runner>,
    jobs: Jobs,
    cluster: Option<Arc<Cluster>>,
}

impl Gateway {
    /// Opens engine and jobs, and goes on with those that have not ended.
    ///
    /// Errors: those of the engine, `state_in_use`, `bad_state`.
    pub async fn open(settings: GatewaySettings) -> Result<Self, ServerError> {
        // Before the state is taken over: another server may be at work with this folder.
        let home = Home::open(&settings.index_folder())?;
        let opened = Opened::open(settings.engine).await?;
        let recorded = Recorded::read(Arc::new(InState(opened.facts(FOLDER)))).await?;
        // What was cut off of these is gone on with, and must not be given up before.
        let mine = Intent::Runs(recorded.unfinished().iter().filter_map(|id| id.parse().ok()).collect());
        let mut engine = opened.engine(&mine).await?;
        if let Some(cluster) = &settings.cluster {
            engine = engine.with_driver(cluster.driver());
        }
        let runner = Arc::new(Runner::new(engine));
        let jobs = Jobs::open(recorded, home, runner.clone(), settings.jobs_at_once).await?;
        Ok(Self { runner, jobs, cluster: settings.cluster })
    }

    /// What became of jobs that processes left unfinished which are dead by now: one line each.
    pub fn recovered(&self) -> &[String] {
        self.runner.engine().recovered()
    }

    /// The same for what could not be seen to at once, because the server before may still act; returns when it is done.
    pub async fn recovered_later(&self) -> Vec<String> {
        self.runner.engine().recovered_later().await
    }

    /// Ends when another server has taken over the state, and says so.
    pub async fn replaced(&self) -> ServerError {
        self.runner.engine().replaced().await.into()
    }

    /// Accepts a job: once this returns, it survives whatever dies.
    ///
    /// Errors: those of its text and its parameters, `rows_in_job`, `no_statement`, `key_reused`.
    pub async fn submit(&self, request: JobRequest) -> Result<Submitted, ServerError> {
        let script = request.script()?;
        let filled = script.filled()?;
        let statements = parse_script(&filled.text)?;
        check_statements(&statements, filled.output.is_some())?;
        let digest = self.runner.request(&request.name, &script.params, &filled).digest().to_owned();
        let (name, key) = (request.name.clone(), request.key.clone());
        let body = serde_json::to_value(&request).expect("a plain struct has JSON");
        let submitted = self.jobs.submit(Submission { name, key, digest, body }).await?;
        if submitted.is_new {
            self.counts().job_accepted();
        }
        Ok(submitted)
    }

    /// Answers a statement. Who drops the answer, or stops waiting for it, cancels it.
    ///
    /// Errors: those of the statement, `one_answer`, `no_statement`.
    pub async fn statement(&self, request: &StatementRequest) -> Result<Reply, ServerError> {
        statement::answer(self.runner.engine(), request, Answering::begin(self.runner.counts())).await
    }

    /// A job, by its id or by that of a statement of it that is published. Error: `unknown_job`.
    pub fn job(&self, id: &str) -> Result<Job, ServerError> {
        Ok(self.jobs.job(id)?)
    }

    /// How far a job is that is under way.
    pub fn progress(&self, id: &str) -> Option<serde_json::Value> {
        self.jobs.progress(id)
    }

    /// The newest jobs, in order of age.
    pub fn jobs(&self, max: u32) -> Result<Vec<Job>, ServerError> {
        Ok(self.jobs.newest(max)?)
    }

    /// How many jobs wait, and how many are under way.
    pub fn waiting_and_running(&self) -> Result<(usize, usize), ServerError> {
        Ok(self.jobs.waiting_and_running()?)
    }

    /// Follows a job from after an event on. Error: `unknown_job`.
    pub fn follow(&self, id: &str, after: u64) -> Result<Follower, ServerError> {
        Ok(self.jobs.follow(id, after)?)
    }

    /// Asks a job to stop. What is decided by then is published all the same. Errors: `unknown_job`, `job_over`.
    pub async fn cancel(&self, id: &str) -> Result<Job, ServerError> {
        Ok(self.jobs.cancel(id).await?)
    }

    /// Goes on with a job that failed or was canceled. Errors: `unknown_job`, `job_over`, `job_running`.
    pub async fn resume(&self, id: &str) -> Result<Job, ServerError> {
        Ok(self.jobs.resume(id).await?)
    }

    /// The executors that there are.
    pub fn executors(&self) -> Vec<ExecutorStatus> {
        self.cluster.as_ref().map_or_else(Vec::new, |cluster| cluster.executors())
    }

    /// How often a split was given to executors, since the server began.
    pub fn splits_begun(&self) -> u64 {
        self.cluster.as_ref().map_or(0, |cluster| cluster.splits_begun())
    }

    /// Asks an executor to take no more splits, to end those that it has, and to leave. Error: `unknown_executor`.
    pub fn drain(&self, executor: &str) -> Result<ExecutorStatus, ServerError> {
        let unknown = || ClusterError::UnknownExecutor(executor.to_owned());
        let cluster = self.cluster.as_ref().ok_or_else(unknown)?;
        Ok(cluster.drain(executor)?)
    }

    /// Checks the files of a published job, and scores some splits again if that is asked for.
    ///
    /// Errors: `unknown_job`, those of [`Engine::check`](volley_engine::Engine::check).
    pub async fn verify(&self, id: &str, draw: Option<Draw>) -> Result<Checked, ServerError> {
        Ok(self.runner.engine().check(job_id(id)?, draw, &Progress::default()).await?)
    }

    /// Forgets the runs of which every job is over for so long: see [`Engine::forget`](volley_engine::Engine::forget).
    pub async fn forget(&self, age: Duration) -> Result<Forgotten, ServerError> {
        Ok(self.runner.engine().forget(age).await?)
    }

    /// What was counted since the server began.
    pub fn counts(&self) -> &Counts {
        self.runner.counts()
    }

    /// Accepts nothing more, and ends once what is under way has stopped in order: the next server goes on with it.
    pub async fn stop(&self) {
        let engine = self.runner.engine();
        let stopping = engine.stop();
        self.jobs.stop().await;
        // Where this fails, the next server waits as if this one had died.
        let _ = engine.close().await;
        drop(stopping);
    }
}

impl GatewaySettings {
    /// One for each state: beside the records where they lie on this machine.
    fn index_folder(&self) -> PathBuf {
        let name = |state: &str| state.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        match self.engine.state_folder() {
            Some(state) => state.join(FOLDER),
            None => self.engine.base.join(&self.index).join(name(&self.engine.state)),
        }
    }
}

/// Refuses a job that gives rows to nobody.
fn check_statements(statements: &[ScriptStatement], has_output: bool) -> Result<(), ServerError> {
    let Some((last, others)) = statements.split_last() else {
        return Err(ServerError::new("no_statement", "there is no statement to run"));
    };
    let kept = if has_output { others } else { statements };
    if let Some(at) = kept.iter().position(|statement| statement.kind() == Kind::Rows) {
        let message = format!(
            "statement {} of the job gives rows, and nobody would see them: publish them with COPY, or ask for them with `volley sql`",
            at + 1
        );
        return Err(ServerError::new("rows_in_job", message));
    }
    match has_output && last.kind() != Kind::Rows {
        true => Err(ServerError::new(
            "not_a_query",
            "a job with an output needs a SELECT at its end: this statement says itself what it writes",
        )),
        false => Ok(()),
    }
}
