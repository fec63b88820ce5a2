//! The command line of Volley: arguments, settings, exit codes, progress.

mod answer;
mod args;
mod cluster;
mod engine;
mod executor;
mod job_file;
mod jobs;
mod log_run;
mod models;
mod outcome;
mod panics;
mod progress;
mod report;
mod rows;
mod run;
mod runner;
mod script;
mod server;
mod settings;
mod sql;
mod text_table;
mod toml_file;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::args::{Cli, Command};
use crate::report::Failure;
use crate::runner::Show;

// Scoring allocates and frees large buffers on every thread: the system's allocator was up to three times
// slower on wide batches.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What a stopped command may still be doing: at most a slice of rows in a model.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Statements are walked through and dropped level by level: room for the deepest that are parsed. Only what is used
/// of it is taken.
const STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_a_command(&error),
    };
    let json = cli.json;
    match panics::contained(|| execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(json);
            failure.exit_code()
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    if matches!(cli.command, Command::TryModel) {
        return models::trial::answer();
    }
    // The main thread has the stack that the system gives it.
    let roomy = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(|| execute_here(cli));
    match roomy.map_err(no_threads)?.join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn no_threads(error: std::io::Error) -> Failure {
    Failure::new("no_threads", format!("threads cannot be started: {error}"))
}

fn execute_here(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(no_threads)?;
    let done = runtime.block_on(dispatch(cli));
    runtime.shutdown_timeout(STOP_TIME_MAX);
    done
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { command, settings, json } = cli;
    match command {
        Command::Run(args) => run::run(&args, settings, Show::new(json)).await,
        Command::Sql(args) => sql::sql(&args, settings, json).await,
        Command::Models(command) => models::models(&command, settings, json).await,
        Command::Jobs(args) => jobs::jobs(&args, settings, json).await,
        Command::Server(args) => server::server(&args, settings).await,
        Command::TryModel => unreachable!("it was answered before anything was set up"),
        Command::Executor(args) => executor::executor(args, settings).await,
        Command::Up(args) => up::up(args, settings).await,
        Command::Executors(args) => cluster::executors(&args, settings, json).await,
    }
}

/// Help and version as asked for, or what is wrong with the command line.
fn not_a_command(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody is left to be told if this cannot be written.
            let _ = error.print();
            ExitCode::from(error.exit_code() as u8)
        }
        _ => {
            let failure = Failure::new("usage", args::one_line(error));
            failure.print(args::wants_json(std::env::args_os()));
            failure.exit_code()
        }
    }
}
