//! `volley run`: a job from its file to its published result.

use std::io::{self, Write};
use std::time::Instant;

use volley_engine::{Engine, Output};

use crate::args::RunArgs;
use crate::job_file::Job;
use crate::report::Failure;
use crate::runner::{Runner, Show, Shown};
use crate::settings::Settings;
use crate::{engine, outcome};

/// Runs a job to its end.
pub async fn run(args: &RunArgs, settings: Settings, show: Show) -> Result<(), Failure> {
    let mut job = Job::read(&args.file)?;
    job.set_params(&args.params);
    let settings = settings.settle(args.file.parent())?;
    engine::with(settings, async |engine| run_job(&job, engine, show).await).await
}

async fn run_job(job: &Job, engine: &Engine, show: Show) -> Result<(), Failure> {
    let start = Instant::now();
    let used = [Some(job.script.text.as_str()), job.output.as_ref().map(|output| output.to.as_str())];
    let used: Vec<_> = used.into_iter().flatten().collect();
    job.params.check_used(&used).map_err(|error| Failure::from(error).in_file(&job.file))?;
    let text = job.params.fill(&job.script.text).map_err(|error| job.script.located(error))?;
    let output = output(job)?;
    let mut runner = Runner::new(engine.session(), job.params.clone(), show);
    let shown = runner.run(&text, output.as_ref()).await.map_err(|failure| job.script.located(failure))?;
    // Whoever reads JSON finds an object on the whole job last, whether it published something or not.
    let rows = match shown {
        Shown::Published => return Ok(()),
        Shown::Rows(rows) => rows,
        Shown::Nothing => 0,
    };
    if show.json {
        writeln!(io::stdout(), "{}", outcome::Object::of_rows(rows, start.elapsed().as_secs_f64()))?;
    }
    Ok(())
}

/// The job's output, with parameters filled in.
fn output(job: &Job) -> Result<Option<Output>, Failure> {
    let Some(output) = &job.output else { return Ok(None) };
    let to = job.params.fill(&output.to).map_err(|error| Failure::from(error).in_file(&job.file))?;
    Ok(Some(Output { to, ..output.clone() }))
}
