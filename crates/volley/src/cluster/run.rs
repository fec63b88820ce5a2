//! `volley run --cluster`: a job file is read here and run there.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Instant;

use serde_json::{Value, json};
use volley_engine::{Kind, parse_script};
use volley_server::JobRequest;

use super::client::Client;
use super::follow::follow;
use super::sql;
use crate::args::RunArgs;
use crate::engine::stopped;
use crate::job_file::Job;
use crate::log_run::RunLog;
use crate::outcome;
use crate::report::Failure;
use crate::runner::Show;

/// Runs a job on a server, to its end unless it is to be left there.
pub async fn run(job: &Job, args: &RunArgs, client: &Client, log: Option<&RunLog>, show: Show) -> Result<(), Failure> {
    let start = Instant::now();
    // What is wrong with the file is told here, with its places.
    let filled = job.filled()?;
    let statements = parse_script(&filled.text).map_err(|error| job.script.located(error))?;
    let writes = statements.iter().any(|statement| statement.kind() == Kind::Write);
    let located = |failure: Failure| job.script.located(failure);
    if !writes && job.output.is_none() {
        if args.detach || args.key.is_some() || args.resume.is_some() {
            let message = "nothing in it is published: --detach, --key and --resume are for jobs that write";
            return Err(Failure::new("usage", message).in_file(&job.file));
        }
        let rows = sql::answer(client, &job.as_script(), show).await.map_err(located)?;
        return outcome::print_rows(rows, start.elapsed(), show.json);
    }
    // From here on: who stops this must know what became of the job.
    let mut stopped = pin!(stopped());
    let submitted = tokio::select! {
        submitted = submit(job, args, client) => submitted.map_err(located)?,
        () = &mut stopped => {
            let message = "stopped: whether the server has the job, `volley jobs list --cluster URL` tells";
            return Err(Failure::new("interrupted", message));
        }
    };
    let id = submitted["id"].as_str().unwrap_or_default();
    if args.detach {
        let told =
            if show.json { json!({ "job": id, "state": submitted["state"] }).to_string() } else { id.to_owned() };
        writeln!(io::stdout(), "{told}")?;
        return Ok(());
    }
    let published = follow(client, id, show.json, stopped).await.map_err(located)?;
    if let Some(log) = log {
        log.log(job, &published).await;
    }
    let publishes_last = job.output.is_some() || statements.last().is_some_and(|last| last.kind() == Kind::Write);
    if publishes_last { Ok(()) } else { outcome::print_rows(0, start.elapsed(), show.json) }
}

/// Submits a job, or goes on with the one that is named. One that failed or was canceled under this key before goes on, as it does in process.
async fn submit(job: &Job, args: &RunArgs, client: &Client) -> Result<Value, Failure> {
    match &args.resume {
        None => {}
        Some(Some(id)) => return client.post(&format!("v1/jobs/{id}/resume"), &Value::Null).await,
        Some(None) => {
            let message = "with --cluster, --resume names the job: `volley jobs list --cluster URL` shows them";
            return Err(Failure::new("usage", message));
        }
    }
    let mut request = JobRequest::of(&job.as_script());
    request.name = job.file.clone();
    request.key = args.key.clone();
    request.attempts = Some(job.attempts);
    let request = serde_json::to_value(&request).expect("a plain struct has JSON");
    let submitted = client.post("v1/jobs", &request).await?;
    match submitted["state"].as_str() {
        Some("failed" | "canceled") if args.key.is_some() => {
            let id = submitted["id"].as_str().unwrap_or_default();
            client.post(&format!("v1/jobs/{id}/resume"), &Value::Null).await
        }
        _ => Ok(submitted),
    }
}
