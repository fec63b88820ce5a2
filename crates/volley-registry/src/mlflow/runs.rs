//! Runs of MLflow, by which a job tells what it did where its models come from.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::Mlflow;
use super::answers::{Nothing, OneExperiment, OneRun, Runs};
use super::client::Side;
use super::fault::MlflowFault;
use crate::Error;

/// What a server takes in one call, and in one value; older ones take no more of a value.
const PARAMS_OF_CALL: usize = 100;
const VALUE_CHARACTERS_MAX: usize = 500;

/// What there is to tell of a job that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// What the server shows for it.
    pub name: String,
    /// Tells it from all other jobs; one that was told before is not told again.
    pub job: String,
    /// Milliseconds of the epoch.
    pub started_ms: i64,
    /// The same.
    pub ended_ms: i64,
    /// What it was given.
    pub params: BTreeMap<String, String>,
    /// What came of it.
    pub metrics: BTreeMap<String, f64>,
    /// What else is to be found by.
    pub tags: BTreeMap<String, String>,
}

/// The tag that holds [`RunRecord::job`].
const JOB: &str = "volley.job";

impl Mlflow {
    /// The id of an experiment, which is made if it is not there.
    pub async fn experiment(&self, name: &str) -> Result<String, Error> {
        let what = format!("experiment {name}");
        match self.experiment_by_name(name, &what).await {
            Ok(id) => Ok(id),
            Err(MlflowFault::Missing { .. }) => {
                let made: Result<OneExperiment, _> =
                    self.client.create("experiments/create", &json!({ "name": name }), &what).await;
                match made {
                    Ok(made) => Ok(made.experiment_id),
                    // Somebody else made it meanwhile.
                    Err(fault) => Ok(self.experiment_by_name(name, &what).await.map_err(|_| fault)?),
                }
            }
            Err(fault) => Err(fault.into()),
        }
    }

    async fn experiment_by_name(&self, name: &str, what: &str) -> Result<String, MlflowFault> {
        let query = [("experiment_name", name)];
        let found: OneExperiment = self.client.get(Side::Tracking, "experiments/get-by-name", &query, what).await?;
        // It keeps its name, and takes no runs.
        if found.experiment.lifecycle_stage == "deleted" {
            let server = self.client.url(Side::Tracking).to_owned();
            return Err(MlflowFault::Refused {
                server,
                reason: format!("{what} is deleted: restore it, or name another"),
            });
        }
        Ok(found.experiment.experiment_id)
    }

    /// Logs a job as a run of an experiment, and gives the id of the run. A job that is there already is left as it is.
    pub async fn log_run(&self, experiment: &str, record: &RunRecord) -> Result<String, Error> {
        let what = format!("the runs of experiment {experiment}");
        if let Some(known) = self.run_of_job(experiment, &record.job, &what).await? {
            return Ok(known);
        }
        let mut tags = pairs(&record.tags);
        tags.push(json!({ "key": JOB, "value": record.job }));
        let body = json!({
            "experiment_id": experiment,
            "run_name": record.name,
            "start_time": record.started_ms,
            "tags": tags,
        });
        let made: OneRun = self.client.create("runs/create", &body, &what).await?;
        let run = made.run.info.run_id;
        let metric = |(key, value): (&String, &f64)| json!({ "key": key, "value": value, "timestamp": record.ended_ms, "step": 0 });
        let metrics: Vec<_> = record.metrics.iter().map(metric).collect();
        self.update("runs/log-batch", json!({ "run_id": run, "metrics": metrics }), &what).await?;
        for params in pairs(&record.params).chunks(PARAMS_OF_CALL) {
            self.update("runs/log-batch", json!({ "run_id": run, "params": params }), &what).await?;
        }
        let end = json!({ "run_id": run, "status": "FINISHED", "end_time": record.ended_ms });
        self.update("runs/update", end, &what).await?;
        Ok(run)
    }

    async fn run_of_job(&self, experiment: &str, job: &str, what: &str) -> Result<Option<String>, MlflowFault> {
        let filter = format!("tags.`{JOB}` = '{}' AND attributes.status = 'FINISHED'", job.replace('\'', ""));
        let body = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
        let found: Runs = self.client.send(Side::Tracking, Method::POST, "runs/search", &body, what).await?;
        Ok(found.runs.into_iter().next().map(|run| run.info.run_id))
    }

    async fn update(&self, path: &str, body: Value, what: &str) -> Result<(), MlflowFault> {
        let Nothing {} = self.client.send(Side::Tracking, Method::POST, path, &body, what).await?;
        Ok(())
    }
}

fn pairs(values: &BTreeMap<String, String>) -> Vec<Value> {
    let pair = |(key, value): (&String, &String)| json!({ "key": key, "value": cut(value) });
    values.iter().map(pair).collect()
}

fn cut(value: &str) -> String {
    match value.chars().count() <= VALUE_CHARACTERS_MAX {
        true => value.to_owned(),
        false => value.chars().take(VALUE_CHARACTERS_MAX - 1).chain(['…']).collect(),
    }
}
