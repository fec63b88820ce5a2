//! `volley jobs --cluster`: the jobs of a server.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use volley_engine::Checked;

use super::client::Client;
use super::follow::{follow, summary, text};
use crate::answer::print;
use crate::args::JobsCommand;
use crate::engine::stopped;
use crate::jobs::print_forgotten;
use crate::outcome;
use crate::report::Failure;
use crate::text_table::aligned;

/// Runs one of the commands.
pub async fn jobs(command: &JobsCommand, client: &Client, json: bool) -> Result<(), Failure> {
    match command {
        JobsCommand::List => {
            let listed = client.get("v1/jobs?limit=1000").await?;
            print(&listed["jobs"], || table(listed["jobs"].as_array().map_or(&[], Vec::as_slice)), json)
        }
        JobsCommand::Show { job } => {
            let shown = client.get(&format!("v1/jobs/{job}")).await?;
            print(&shown, || lines(&shown), json)
        }
        JobsCommand::Watch { job } => follow(client, &job.to_string(), json, stopped()).await.map(drop),
        JobsCommand::Cancel { job } => {
            let canceled = client.post(&format!("v1/jobs/{job}/cancel"), &Value::Null).await?;
            print(&canceled, || format!("job {} is {}\n", text(&canceled["id"]), text(&canceled["state"])), json)
        }
        JobsCommand::Resume { job } => {
            let resumed = client.post(&format!("v1/jobs/{job}/resume"), &Value::Null).await?;
            follow(client, &text(&resumed["id"]), json, stopped()).await.map(drop)
        }
        JobsCommand::Verify { job, rescore, seed } => {
            let asked = json!({ "rescore": rescore, "seed": seed });
            let checked: Checked = read(client.post(&format!("v1/jobs/{job}/verify"), &asked).await?)?;
            print(&checked, || format!("{checked}\n"), json)
        }
        JobsCommand::Expire { older_than: Some(age), .. } => {
            let asked = json!({ "older_than_hours": age.as_secs() / 3600 });
            print_forgotten(&read(client.post("v1/jobs/forget", &asked).await?)?, json)
        }
        JobsCommand::Expire { .. } => {
            let message = "a job of a server is given up with `volley jobs cancel`: what was cut off goes on by itself";
            Err(Failure::new("usage", message))
        }
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::new("server_unreachable", format!("the answer of the server cannot be read: {error}"))
    })
}

fn table(jobs: &[Value]) -> String {
    if jobs.is_empty() {
        return "no jobs\n".to_owned();
    }
    let heading = ["JOB", "STATE", "ROWS", "NAME", "DESTINATION"].map(String::from);
    let row = |job: &Value| {
        let results = job["results"].as_array().map_or(&[][..], Vec::as_slice);
        let rows: u64 = results.iter().filter_map(|result| result["rows"].as_u64()).sum();
        let rows = if results.is_empty() { String::new() } else { rows.to_string() };
        let destination =
            results.last().map_or_else(String::new, |result| outcome::shown(&text(&result["destination"])));
        [text(&job["id"]), text(&job["state"]), rows, text(&job["name"]), destination]
    };
    aligned(&[heading].into_iter().chain(jobs.iter().map(row)).collect::<Vec<_>>())
}

fn lines(job: &Value) -> String {
    let mut lines: Vec<[String; 2]> = [
        ("job", "id"),
        ("state", "state"),
        ("name", "name"),
        ("key", "key"),
        ("accepted", "accepted_at"),
        ("began", "began_at"),
        ("ended", "ended_at"),
    ]
    .into_iter()
    .map(|(what, field)| [what.to_owned(), text(&job[field])])
    .collect();
    if let Some(progress) = job["progress"].as_object() {
        let (done, total) = (&progress["splits_done"], &progress["splits_total"]);
        lines.push(["splits".to_owned(), format!("{done} of {total} done")]);
    }
    for result in job["results"].as_array().into_iter().flatten() {
        lines.push(["published".to_owned(), outcome::line(&summary(result))]);
    }
    for problem in job["problems"].as_array().into_iter().flatten() {
        lines.push(["reason".to_owned(), format!("{} [{}]", text(&problem["message"]), text(&problem["code"]))]);
    }
    lines.retain(|[_, value]| !value.is_empty());
    aligned(&lines)
}
