//! Runs the jobs of a server: the statements of each, in a session of its own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::TryStreamExt;
use serde_json::{Value, json};
use volley_engine::{
    Answer, Engine, EngineError, Filled, JobId, Output, Params, Patience, Progress, Reach, Request, Run,
    ScriptStatement, Session, Summary, parse_script,
};
use volley_jobs::{Ended, Job, Problem, Teller, Work};

use super::Counts;
use crate::error::ServerError;
use crate::job_request::JobRequest;

/// The engine as jobs see it.
pub(crate) struct Runner {
    engine: Engine,
    /// Where the relative paths of requests begin, as far as requests have any.
    base: PathBuf,
    counts: Arc<Counts>,
    /// Of the jobs that are under way.
    progress: Mutex<BTreeMap<String, Arc<Progress>>>,
}

impl Runner {
    pub(super) fn new(engine: Engine) -> Self {
        let base = match engine.reach() {
            // The same request means the same on another machine.
            Reach::Only(places) if places.folders.is_empty() => PathBuf::from("/"),
            _ => engine.base().to_owned(),
        };
        Self { engine, base, counts: Arc::default(), progress: Mutex::default() }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// What a request is to the engine: the same as for `volley run` with the same text, in the same folder if its
    /// statements reach one.
    pub(super) fn request(&self, name: &str, params: &Params, filled: &Filled) -> Request {
        filled.request(name, params, &self.base)
    }

    async fn run_statements(
        &self,
        job: &Job,
        session: &mut Session,
        teller: &Arc<dyn Teller>,
    ) -> Result<Vec<Summary>, ServerError> {
        let request: JobRequest = parsed(job)?;
        let (script, attempts) = (request.script()?, request.attempts.unwrap_or(NonZeroU32::MIN));
        let filled = script.filled()?;
        session.set_run(Run::named(job_id(&job.id)?, &self.request(&request.name, &script.params, &filled)));
        let statements = parse_script(&filled.text)?;
        let mut summaries = vec![];
        for (at, statement) in statements.iter().enumerate() {
            let output = filled.output.as_ref().filter(|_| at + 1 == statements.len());
            match patiently(session, statement, &script.params, output, attempts).await? {
                Answer::Published(summary) => {
                    self.counts.published(summary.rows);
                    teller.published(json!(summary)).await;
                    summaries.push(summary);
                }
                // How many rows came into a table in memory.
                Answer::Rows(rows) => drop(rows.stream.try_collect::<Vec<_>>().await.map_err(EngineError::from)?),
                Answer::Done => {}
            }
        }
        Ok(summaries)
    }

    /// The statements of a job, until they are done, or the job is asked to stop. What is being written then is
    /// waited for: it gives itself up in order, or is decided and is published.
    async fn run_until_stopped(&self, job: &Job, work: &Work) -> Result<Option<Vec<Summary>>, ServerError> {
        let mut session = self.engine.session();
        let (stopper, progress) = (session.stopper(), session.progress());
        self.under_way().insert(job.id.clone(), progress.clone());
        let mut done = pin!(self.run_statements(job, &mut session, work.teller()));
        let mut is_stopping = false;
        let done = loop {
            tokio::select! {
                done = &mut done => break done,
                note = progress.next_note() => work.teller().note(note).await,
                () = work.stopped(), if !is_stopping => {
                    is_stopping = true;
                    stopper.stop();
                    if !stopper.is_writing() {
                        return Ok(None);
                    }
                }
            }
        };
        while let Some(note) = progress.take_note() {
            work.teller().note(note).await;
        }
        match done {
            Err(error) if error.code() == "interrupted" => Ok(None),
            done => done.map(Some),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Progress>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn give_up_all(&self, job: &Job) -> Result<Option<Vec<Value>>, EngineError> {
        let id = job_id(&job.id)?;
        let mut published = vec![];
        for status in self.engine.jobs_of_run(id).await? {
            match status.state {
                "cut_off" => drop(self.engine.expire(Some(status.job)).await?),
                // Decided: to be published, or told what was.
                "committed" | "published" => {
                    published.push(json!(self.engine.go_on(status.job, &Progress::default()).await?));
                }
                _ => {}
            }
        }
        let request: JobRequest = parsed(job)?;
        let filled = request.script().and_then(|script| Ok(script.filled()?)).map_err(not_readable)?;
        let statements = parse_script(&filled.text)?;
        let of_output = usize::from(filled.output.is_some());
        let writes = statements.iter().filter(|statement| statement.kind() == volley_engine::Kind::Write).count();
        Ok((published.len() == writes + of_output).then_some(published))
    }
}

#[async_trait]
impl volley_jobs::Engine for Runner {
    async fn name_run(&self, key: Option<&str>, _digest: &str, body: &Value) -> Result<String, Problem> {
        let Some(key) = key else { return Ok(JobId::new().to_string()) };
        let request: JobRequest =
            serde_json::from_value(body.clone()).map_err(|error| Problem::new("invalid_request", error.to_string()))?;
        let script = request.script().map_err(first)?;
        let filled = script.filled().map_err(|error| first(error.into()))?;
        let request = self.request(&request.name, &script.params, &filled);
        let run = self.engine.run_of_key(key, &request).await.map_err(|error| first(error.into()))?;
        Ok(run.id().to_string())
    }

    async fn run(&self, job: &Job, work: Work) -> Ended {
        self.counts.job_begun();
        let done = self.run_until_stopped(job, &work).await;
        self.under_way().remove(&job.id);
        let ended = match done {
            Ok(Some(summaries)) => Ended::Done(summaries.iter().map(|summary| json!(summary)).collect()),
            Ok(None) => Ended::Stopped,
            Err(error) => Ended::Failed(error.problems),
        };
        self.counts.job_ended(&ended);
        ended
    }

    async fn give_up(&self, job: &Job) -> Result<Option<Vec<Value>>, Problem> {
        self.give_up_all(job).await.map_err(|error| first(error.into()))
    }

    fn progress(&self, id: &str) -> Option<Value> {
        let moment = self.under_way().get(id)?.moment()?;
        Some(json!({
            "rows": moment.rows,
            "rows_total": moment.rows_total,
            "splits_done": moment.splits_done,
            "splits_total": moment.splits_total,
            "seconds": moment.elapsed.as_secs_f64(),
            "rows_per_second": moment.rows_per_second(),
            "seconds_left": moment.left().map(|left| left.as_secs_f64()),
            "executors": moment.executors,
        }))
    }
}

/// Tries a statement again while it fails for a reason that may pass.
async fn patiently(
    session: &mut Session,
    statement: &ScriptStatement,
    params: &Params,
    output: Option<&Output>,
    attempts: NonZeroU32,
) -> Result<Answer, EngineError> {
    let mut patience = Patience::new(attempts);
    loop {
        let answered = run(session, statement, params, output).await;
        let Some(next) = answered.as_ref().err().and_then(|error| patience.after(error)) else { return answered };
        session.progress().note(next.told);
        tokio::time::sleep(next.pause).await;
    }
}

async fn run(
    session: &mut Session,
    statement: &ScriptStatement,
    params: &Params,
    output: Option<&Output>,
) -> Result<Answer, EngineError> {
    match output {
        None => session.run(statement, params).await,
        Some(output) => session.run_into(statement, params, output).await,
    }
}

/// The name of a job of the engine, or of a run.
pub(super) fn job_id(text: &str) -> Result<JobId, EngineError> {
    text.parse().map_err(|_| EngineError::new("unknown_job", format!("no job {text} is known here")))
}

fn parsed(job: &Job) -> Result<JobRequest, EngineError> {
    serde_json::from_value(job.body.clone()).map_err(|error| {
        EngineError::new("not_resumable", format!("the request of job {} cannot be read: {error}", job.id))
    })
}

fn not_readable(error: ServerError) -> EngineError {
    EngineError::new("not_resumable", error.to_string())
}

fn first(error: ServerError) -> Problem {
    let mut problems = error.problems;
    problems.drain(..).next().unwrap_or_else(|| Problem::new("internal", "no reason is known"))
}
