//! `volley run`: a job from its file to its published result.

use volley_engine::{Engine, Output};

use crate::args::RunArgs;
use crate::engine;
use crate::job_file::Job;
use crate::report::Failure;
use crate::runner::{Runner, Show};
use crate::settings::Settings;

/// Runs a job to its end.
pub async fn run(args: &RunArgs, settings: Settings, show: Show) -> Result<(), Failure> {
    let mut job = Job::read(&args.file)?;
    job.set_params(&args.params);
    let settings = settings.settle(args.file.parent())?;
    engine::with(settings, async |engine| run_job(&job, engine, show).await).await
}

async fn run_job(job: &Job, engine: &Engine, show: Show) -> Result<(), Failure> {
    let text = job.params.fill(&job.script.text).map_err(|error| job.script.located(error))?;
    let output = output(job)?;
    let mut runner = Runner::new(engine.session(), job.params.clone(), show);
    runner.run(&text, output.as_ref()).await.map_err(|failure| job.script.located(failure))
}

/// The job's output, with parameters filled in.
fn output(job: &Job) -> Result<Option<Output>, Failure> {
    let Some(output) = &job.output else { return Ok(None) };
    Ok(Some(Output { to: job.params.fill(&output.to)?, ..output.clone() }))
}
