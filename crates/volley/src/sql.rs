//! `volley sql`: one statement, a script from standard input, or a prompt.

mod completion;
mod prompt;

use std::io::{self, IsTerminal, Read};

use volley_engine::{EngineSettings, Params};

use crate::args::SqlArgs;
use crate::cluster::{self, Client};
use crate::engine;
use crate::report::Failure;
use crate::runner::{Runner, Show};
use crate::script::without_mark;
use crate::settings::Settings;

/// Runs the statement that was given, or whatever is typed.
pub async fn sql(args: &SqlArgs, settings: Settings, json: bool) -> Result<(), Failure> {
    let settled = settings.settle_with(None)?;
    let show = Show { format: args.format.unwrap_or(Show::new(json).format), json };
    if let Some(url) = &args.cluster {
        let client = Client::new(url, &settled)?;
        return match &args.statement {
            Some(statement) => cluster::sql(&client, statement, show).await,
            None if io::stdin().is_terminal() => {
                let message = "a prompt with `--cluster` is not built yet: give a statement with -c";
                Err(Failure::new("not_built", message))
            }
            None => cluster::sql(&client, &standard_input()?, show).await,
        };
    }
    let settings = settled.engine;
    match &args.statement {
        Some(statement) => run(statement, settings, show).await,
        None if io::stdin().is_terminal() => prompt::run(settings, show).await,
        None => run(&standard_input()?, settings, show).await,
    }
}

async fn run(text: &str, settings: EngineSettings, show: Show) -> Result<(), Failure> {
    engine::with(settings, async |engine| {
        Runner::new(engine.session(), Params::default(), show).run(text, None).await?;
        Ok(())
    })
    .await
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    match io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(without_mark(text)),
        Err(error) => Err(Failure::new("file_unreadable", format!("standard input cannot be read: {error}"))),
    }
}
