//! `volley executors`: the executors of a server.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::Client;
use super::follow::text;
use crate::answer::print;
use crate::report::Failure;
use crate::settings::Settings;
use crate::text_table::aligned;

/// `volley executors`.
#[derive(Debug, Args)]
pub struct ExecutorsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ExecutorsCommand,
    /// The server, by its URL
    #[arg(long, global = true, value_name = "URL")]
    pub cluster: Option<String>,
}

/// The commands of `volley executors`.
#[derive(Debug, Subcommand)]
pub enum ExecutorsCommand {
    /// List the executors, and what they run
    List,
    /// Have an executor end the splits that it runs, take no more, and leave
    Drain {
        /// Its id
        executor: String,
        /// Come back once it has left
        #[arg(long)]
        wait: bool,
    },
}

/// Between two looks whether an executor has left.
const LOOK: Duration = Duration::from_millis(200);

/// Runs one of the commands.
pub async fn executors(args: &ExecutorsArgs, settings: Settings, json: bool) -> Result<(), Failure> {
    let ExecutorsArgs { command, cluster } = args;
    let Some(url) = cluster else {
        return Err(Failure::new("usage", "only a server has executors: name it with --cluster URL"));
    };
    let client = Client::new(url, &settings.settle_with(None)?)?;
    match command {
        ExecutorsCommand::List => {
            let executors = list(&client).await?;
            print(&json!(executors), || table(&executors), json)
        }
        ExecutorsCommand::Drain { executor, wait } => {
            let asked = client.post(&format!("v1/executors/{executor}/drain"), &Value::Null).await?;
            while *wait && list(&client).await?.iter().any(|one| one["id"] == asked["id"]) {
                tokio::time::sleep(LOOK).await;
            }
            let did = if *wait { "has left" } else { "ends what it runs, and leaves" };
            print(&asked, || format!("executor {} {did}\n", text(&asked["id"])), json)
        }
    }
}

async fn list(client: &Client) -> Result<Vec<Value>, Failure> {
    let listed = client.get("v1/executors").await?;
    Ok(listed["executors"].as_array().cloned().unwrap_or_default())
}

fn table(executors: &[Value]) -> String {
    if executors.is_empty() {
        return "no executors\n".to_owned();
    }
    let heading = ["EXECUTOR", "STATE", "ADDRESS", "CORES", "RUNNING", "ROWS"].map(String::from);
    let row = |executor: &Value| {
        let running = executor["running"].as_array().map_or(&[][..], Vec::as_slice);
        let rows: u64 = running.iter().filter_map(|split| split["rows"].as_u64()).sum();
        let own = |field: &str| text(&executor[field]);
        [own("id"), own("state"), own("address"), own("vcores"), running.len().to_string(), rows.to_string()]
    };
    aligned(&[heading].into_iter().chain(executors.iter().map(row)).collect::<Vec<_>>())
}
