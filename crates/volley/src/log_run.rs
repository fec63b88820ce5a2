//! `volley run --log-run`: what a job did, as a run of an MLflow experiment.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use volley_engine::{EngineSettings, Summary};
use volley_registry::{Mlflow, ModelCache, NoSources, RunRecord};

use crate::job_file::Job;
use crate::outcome;
use crate::report::Failure;

/// The experiment to which runs are logged.
pub struct RunLog {
    mlflow: Mlflow,
    experiment: String,
}

impl RunLog {
    /// Finds the experiment, or makes it: before the job begins, so that a server that is not there, or that does not
    /// let us, is told before rows are scored.
    ///
    /// Errors: `mlflow_not_configured`, and those of the server.
    pub async fn open(experiment: &str, settings: &EngineSettings) -> Result<Self, Failure> {
        let found = settings.mlflow().map_err(volley_registry::Error::from)?.ok_or_else(|| {
            let message = "--log-run needs an MLflow server: set MLFLOW_TRACKING_URI to its URL";
            Failure::new("mlflow_not_configured", message)
        })?;
        // Nothing is fetched.
        let cache = ModelCache::new(&settings.model_folder, settings.model_folder_bytes);
        let mlflow = Mlflow::new(found, cache, Arc::new(NoSources)).map_err(volley_registry::Error::from)?;
        let experiment = mlflow.experiment(experiment).await?;
        Ok(Self { mlflow, experiment })
    }

    /// Logs a run for each result that the job published. That a run cannot be logged is told and no more: the results
    /// are published, and a job that failed for it would be run again.
    pub async fn log(&self, job: &Job, published: &[Summary]) {
        for summary in published {
            let told = match self.mlflow.log_run(&self.experiment, &record(job, summary)).await {
                Ok(run) => format!("logged as run {run} of experiment {}", self.experiment),
                Err(error) => format!("the run of job {} is not logged: {error} [{}]", summary.job, error.code()),
            };
            // Whether anybody reads it changes nothing.
            let _ = writeln!(io::stderr(), "{told}");
        }
    }
}

fn record(job: &Job, summary: &Summary) -> RunRecord {
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let ended_ms = i64::try_from(ended).unwrap_or(i64::MAX);
    let name = Path::new(&job.file).file_stem().map(|name| name.to_string_lossy().into_owned());
    let seconds = summary.seconds;
    let rates = [("seconds", seconds), ("rows_per_second", summary.rows as f64 / seconds.max(1e-9))];
    let counts = [("rows", summary.rows), ("rejected", summary.rejected), ("null_scores", summary.null_scores)];
    let counts = counts.map(|(name, count)| (name, count as f64));
    let models: Vec<_> = summary.models.iter().map(outcome::model).collect();
    let mut tags = BTreeMap::from([
        ("mlflow.source.name".to_owned(), job.file.clone()),
        ("mlflow.source.type".to_owned(), "JOB".to_owned()),
        ("volley.destination".to_owned(), summary.destination.clone()),
        ("volley.models".to_owned(), models.join(", ")),
    ]);
    tags.extend(summary.rejects.iter().map(|rejects| ("volley.rejects".to_owned(), rejects.clone())));
    RunRecord {
        name: name.unwrap_or_else(|| job.file.clone()),
        job: summary.job.clone(),
        started_ms: ended_ms - (seconds * 1e3) as i64,
        ended_ms,
        params: job.params.texts().map(|(name, _, text)| (name.to_owned(), text.to_owned())).collect(),
        metrics: rates.into_iter().chain(counts).map(|(name, value)| (name.to_owned(), value)).collect(),
        tags,
    }
}
