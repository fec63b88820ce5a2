//! `volley jobs`: the jobs of the embedded engine's state, or of a server.

use std::io::{self, Write};

use serde_json::json;
use volley_engine::{Draw, Engine, Forgotten, Intent, JobId, JobStatus, NotForgotten, Progress};

use crate::answer::print;
use crate::args::{JobsArgs, JobsCommand};
use crate::cluster::{self, Client};
use crate::report::Failure;
use crate::settings::Settings;
use crate::text_table::aligned;
use crate::{engine, outcome, progress};

/// Runs one of the commands.
pub async fn jobs(args: &JobsArgs, settings: Settings, json: bool) -> Result<(), Failure> {
    let JobsArgs { command, cluster } = args;
    let settled = settings.settle_with(None)?;
    if let Some(url) = cluster {
        return cluster::jobs(command, &Client::new(url, &settled)?, json).await;
    }
    if let JobsCommand::Watch { .. } | JobsCommand::Cancel { .. } = command {
        let message = "only a job of a server is watched or canceled: name the server with --cluster URL";
        return Err(Failure::new("usage", message));
    }
    let settings = settled.engine;
    // Whoever asks about a job or gives it up must find it as it was left.
    let intent = match command {
        JobsCommand::Resume { job } | JobsCommand::Show { job } | JobsCommand::Expire { job: Some(job), .. } => {
            Intent::Job(*job)
        }
        _ => Intent::Anything,
    };
    let only_looks = matches!(command, JobsCommand::List | JobsCommand::Show { .. } | JobsCommand::Verify { .. });
    let work = async |engine: &Engine| match command {
        JobsCommand::List => list(engine, json).await,
        JobsCommand::Show { job } => show(&engine.job(*job).await?, json),
        JobsCommand::Resume { job } => resume(engine, *job, json).await,
        JobsCommand::Verify { job, rescore, seed } => {
            verify(engine, *job, rescore.map(|splits| Draw::of(splits, *seed)), json).await
        }
        JobsCommand::Expire { older_than: Some(age), .. } => print_forgotten(&engine.forget(*age).await?, json),
        JobsCommand::Expire { job, .. } => expire(engine, *job, json).await,
        JobsCommand::Watch { .. } | JobsCommand::Cancel { .. } => unreachable!("they were refused"),
    };
    match settings.state_folder() {
        None if only_looks => engine::looking(settings, work).await,
        _ => engine::with_for(settings, &intent, work).await,
    }
}

async fn list(engine: &Engine, json: bool) -> Result<(), Failure> {
    let jobs = engine.jobs().await?;
    print(&jobs, || table(&jobs), json)
}

fn table(jobs: &[JobStatus]) -> String {
    if jobs.is_empty() {
        return "no jobs\n".to_owned();
    }
    let heading = ["JOB", "STATE", "SPLITS", "ROWS", "NAME", "DESTINATION"].map(String::from);
    let row = |job: &JobStatus| {
        let rows = job.rows.map_or_else(String::new, |rows| rows.to_string());
        let splits = format!("{}/{}", job.splits_done, job.splits);
        let destination = outcome::shown(&job.destination);
        [job.job.to_string(), job.state.to_string(), splits, rows, job.name.clone(), destination]
    };
    aligned(&[heading].into_iter().chain(jobs.iter().map(row)).collect::<Vec<_>>())
}

fn show(job: &JobStatus, json: bool) -> Result<(), Failure> {
    let models = job.models.iter().map(outcome::model).collect::<Vec<_>>().join(", ");
    let told = |what: &str, value: String| [what.to_owned(), value];
    let lines = || {
        let mut lines = vec![
            told("job", job.job.to_string()),
            told("state", job.state.to_string()),
            told("name", job.name.clone()),
            told("splits", format!("{} of {} done", job.splits_done, job.splits)),
            told("mode", job.mode.clone()),
            told("destination", outcome::shown(&job.destination)),
            told("models", models.clone()),
        ];
        lines.extend(job.rows.map(|rows| told("rows", rows.to_string())));
        lines.extend(job.rejects.as_ref().map(|rejects| told("rejects", outcome::shown(rejects))));
        lines.extend(job.rejected.filter(|_| job.rejects.is_some()).map(|rows| told("rejected", rows.to_string())));
        lines.extend(job.files.map(|files| told("files", files.to_string())));
        lines.extend(job.reason.clone().map(|reason| told("reason", reason)));
        lines.retain(|[_, value]| !value.is_empty());
        aligned(&lines)
    };
    print(job, lines, json)
}

async fn resume(engine: &Engine, job: JobId, json: bool) -> Result<(), Failure> {
    let watched = Progress::default();
    let summary = progress::watched(&watched, engine.go_on(job, &watched)).await?;
    outcome::print(&summary, json);
    Ok(())
}

/// The draw is none where nothing is to be scored again.
async fn verify(engine: &Engine, job: JobId, draw: Option<Draw>, json: bool) -> Result<(), Failure> {
    let watched = Progress::default();
    let checked = progress::watched(&watched, engine.check(job, draw, &watched)).await?;
    print(&checked, || format!("{checked}\n"), json)
}

async fn expire(engine: &Engine, job: Option<JobId>, json: bool) -> Result<(), Failure> {
    let expired = engine.expire(job).await?;
    let told = || match expired.is_empty() {
        true => "no job was cut off\n".to_owned(),
        false => expired.iter().map(|job| format!("job {job} is given up\n")).collect(),
    };
    print(&json!({ "expired": expired }), told, json)
}

/// Tells which jobs are forgotten, and which are not and why.
pub fn print_forgotten(told: &Forgotten, json: bool) -> Result<(), Failure> {
    let Forgotten { jobs, kept } = told;
    for NotForgotten { job, reason } in kept {
        // Told for information: whether anybody reads it changes nothing.
        let _ =
            writeln!(io::stderr(), "job {job} is not forgotten, because of what it may have left in staging: {reason}");
    }
    let lines = || match jobs.is_empty() {
        true => "no job is over for so long\n".to_owned(),
        false => jobs.iter().map(|job| format!("job {job} is forgotten\n")).collect(),
    };
    print(&json!({ "forgotten": jobs }), lines, json)
}
