//! `volley run`: a job from its file to its published result.

use std::time::Instant;

use volley_engine::{Filled, Intent, Run, Session};

use crate::args::RunArgs;
use crate::cluster::{self, Client};
use crate::job_file::Job;
use crate::log_run::RunLog;
use crate::report::Failure;
use crate::runner::{Runner, Show, Shown};
use crate::settings::Settings;
use crate::{engine, outcome};

/// Runs a job to its end.
pub async fn run(args: &RunArgs, settings: Settings, show: Show) -> Result<(), Failure> {
    let mut job = Job::read(&args.file)?;
    job.set_params(&args.params);
    let settled = settings.settle_with(args.file.parent())?;
    let log = match &args.log_run {
        Some(experiment) => Some(RunLog::open(experiment, &settled.engine).await?),
        None => None,
    };
    if let Some(url) = &args.cluster {
        return cluster::run(&job, args, &Client::new(url, &settled)?, log.as_ref(), show).await;
    }
    let settings = settled.engine;
    let filled = job.filled()?;
    let request = filled.request(&job.file, &job.params, &settings.base);
    let goes_on = args.key.is_some() || args.resume.is_some();
    let intent = if goes_on { Intent::Request(request.clone()) } else { Intent::Anything };
    engine::with_for(settings, &intent, async |engine| {
        let run = match (&args.key, &args.resume) {
            (Some(key), _) => engine.run_of_key(key, &request).await?,
            (None, Some(Some(id))) => engine.run_of_job(*id, &request).await?,
            (None, Some(None)) => engine.run_cut_off(&request).await?,
            (None, None) => Run::new(&request),
        };
        run_job(&job, &filled, engine.session(), run, log.as_ref(), show).await
    })
    .await
}

async fn run_job(
    job: &Job,
    filled: &Filled,
    mut session: Session,
    run: Run,
    log: Option<&RunLog>,
    show: Show,
) -> Result<(), Failure> {
    let start = Instant::now();
    session.set_run(run);
    let mut runner = Runner::new(session, job.params.clone(), show).with_attempts(job.attempts);
    let shown = runner.run(&filled.text, filled.output.as_ref()).await;
    // Also of a job that failed at a later statement: what is published is published.
    if let Some(log) = log {
        log.log(job, runner.published()).await;
    }
    let shown = shown.map_err(|failure| job.script.located(failure))?;
    // Whoever reads JSON finds an object on the whole job last, whether it published something or not.
    let rows = match shown {
        Shown::Published => return Ok(()),
        Shown::Rows(rows) => rows,
        Shown::Nothing => 0,
    };
    outcome::print_rows(rows, start.elapsed(), show.json)
}
