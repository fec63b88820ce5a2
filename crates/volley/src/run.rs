//! `volley run`: a job from its file to its published result.

use std::io::{self, Write};
use std::time::Instant;

use volley_engine::{EngineSettings, Intent, Output, Request, Run, Session};

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
    let filled = Filled::of(&job)?;
    let request = filled.request(&job, &settings);
    let goes_on = args.key.is_some() || args.resume.is_some();
    let intent = if goes_on { Intent::Request(request.clone()) } else { Intent::Anything };
    engine::with_for(settings, &intent, async |engine| {
        let run = match (&args.key, &args.resume) {
            (Some(key), _) => engine.run_of_key(key, &request).await?,
            (None, Some(Some(id))) => engine.run_of_job(*id, &request).await?,
            (None, Some(None)) => engine.run_cut_off(&request).await?,
            (None, None) => Run::new(&request),
        };
        run_job(&job, &filled, engine.session(), run, show).await
    })
    .await
}

async fn run_job(job: &Job, filled: &Filled, mut session: Session, run: Run, show: Show) -> Result<(), Failure> {
    let start = Instant::now();
    session.set_run(run);
    let mut runner = Runner::new(session, job.params.clone(), show).with_attempts(job.attempts);
    let shown = runner.run(&filled.text, filled.output.as_ref()).await;
    let shown = shown.map_err(|failure| job.script.located(failure))?;
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

/// What a job says, with its parameters filled in.
struct Filled {
    text: String,
    output: Option<Output>,
}

impl Filled {
    fn of(job: &Job) -> Result<Self, Failure> {
        let outputs = job.output.iter().flat_map(|output| {
            [output.to.as_str()].into_iter().chain(output.options.iter().map(|(_, value)| value.as_str()))
        });
        let used: Vec<_> = [job.script.text.as_str()].into_iter().chain(outputs).collect();
        job.params.check_used(&used).map_err(|error| Failure::from(error).in_file(&job.file))?;
        let text = job.params.fill(&job.script.text).map_err(|error| job.script.located(error))?;
        Ok(Self { text, output: output(job)? })
    }

    /// What makes it the same job when it is run again: its statements and values, where it writes, and where its
    /// paths begin. Neither its file's name, nor how many cores run it.
    fn request(&self, job: &Job, settings: &EngineSettings) -> Request {
        let params: Vec<_> = job.params.iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
        let output = self.output.as_ref().map(|output| {
            let Output { to, mode, format, partitioned_by, options } = output;
            (to, mode, format, partitioned_by, options)
        });
        let base = std::path::absolute(&settings.base).unwrap_or_else(|_| settings.base.clone());
        let body = serde_json::json!({ "text": self.text, "params": params, "output": output, "base": base });
        Request::new(&job.file, body.to_string().as_bytes())
    }
}

/// The job's output, with parameters filled in.
fn output(job: &Job) -> Result<Option<Output>, Failure> {
    let Some(output) = &job.output else { return Ok(None) };
    let fill = |text: &str| job.params.fill(text).map_err(|error| Failure::from(error).in_file(&job.file));
    let options = output.options.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
    let options = options.collect::<Result<_, Failure>>()?;
    Ok(Some(Output { to: fill(&output.to)?, options, ..output.clone() }))
}
