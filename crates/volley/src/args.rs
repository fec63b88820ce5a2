//! What can be written on the command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use volley_engine::JobId;
use volley_model::{NullRule, Runtime};
use volley_registry::{AliasName, ModelName, ModelRef};

use crate::cluster::ExecutorsArgs;
use crate::executor::ExecutorArgs;
use crate::models::trial;
use crate::rows::Format;
use crate::server::ServerArgs;
use crate::settings::{Settings, above_zero};
use crate::up::UpArgs;

/// Scores tables with registered models, in SQL.
#[derive(Debug, Parser)]
#[command(name = "volley", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON instead of text, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// Settings that win over the environment and `volley.toml`.
    #[command(flatten, next_help_heading = "Settings")]
    pub settings: Settings,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job: an SQL file, or a job file that names one
    Run(RunArgs),
    /// Run one statement, or open a prompt
    Sql(SqlArgs),
    /// Work with the registry of models
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Loads and runs the model that comes through standard input: how `models register` tries one out
    #[command(hide = true, name = trial::COMMAND)]
    TryModel,
    /// Serve jobs and statements of others: the front door of a cluster
    Server(ServerArgs),
    /// Run splits of the jobs of a server
    Executor(ExecutorArgs),
    /// Look at the executors of a server, and have them leave
    Executors(ExecutorsArgs),
    /// Serve, and run splits by executors of this machine
    Up(UpArgs),
    /// Look at jobs, and go on with those that were cut off
    Jobs(JobsArgs),
}

/// `volley run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// FILE.sql, or a job file FILE.toml
    pub file: PathBuf,
    /// Set a parameter: `$NAME` is its value in the SQL, `${NAME}` a part of a path
    #[arg(long = "param", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub params: Vec<Pair>,
    /// Run it once under this name: again, it goes on with what is not done, and does not repeat what is
    #[arg(long, value_name = "KEY", conflicts_with = "resume", value_parser = NonEmptyStringValueParser::new())]
    pub key: Option<String>,
    /// Go on with what was cut off: the last run of this file, or the run of a job
    #[arg(long, value_name = "JOB", num_args = 0..=1)]
    pub resume: Option<Option<JobId>>,
    /// Run it on the server at this URL, which reads and writes where it is
    #[arg(long, value_name = "URL")]
    pub cluster: Option<String>,
    /// Leave it to the server once that has accepted it, and print its id
    #[arg(long, requires = "cluster")]
    pub detach: bool,
    /// Log what it published as runs of an experiment on the MLflow server [default: volley]
    #[arg(long, value_name = "EXPERIMENT", num_args = 0..=1, default_missing_value = "volley", conflicts_with = "detach")]
    pub log_run: Option<String>,
}

/// `volley jobs`.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: JobsCommand,
    /// Look at the jobs of the server at this URL
    #[arg(long, global = true, value_name = "URL")]
    pub cluster: Option<String>,
}

/// The commands of `volley jobs`.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List the jobs of the state
    List,
    /// Show one job
    Show {
        /// Its id
        job: JobId,
    },
    /// Go on with a job that was cut off, by the plan that it was begun with
    Resume {
        /// Its id
        job: JobId,
    },
    /// Check every file that a job published against what it wrote
    Verify {
        /// Its id
        job: JobId,
        /// Score so many splits again too, drawn by chance, and compare
        #[arg(long, value_name = "SPLITS", value_parser = above_zero::<NonZeroUsize>)]
        rescore: Option<NonZeroUsize>,
        /// Draw the same splits as the verification that named this seed
        #[arg(long, value_name = "NUMBER", requires = "rescore")]
        seed: Option<u64>,
    },
    /// Give up jobs that were cut off, this one or all of them; or forget those that are long over
    Expire {
        /// Its id
        #[arg(required_unless_present_any = ["all", "older_than"])]
        job: Option<JobId>,
        /// All that were cut off
        #[arg(long, conflicts_with = "job")]
        all: bool,
        /// Forget what is over for so long, as 30d or 12h: plans, receipts of splits, keys
        #[arg(long, value_name = "AGE", value_parser = age, conflicts_with_all = ["job", "all"])]
        older_than: Option<Duration>,
    },
    /// Show what happens to a job of a server, until it is over
    Watch {
        /// Its id
        job: JobId,
    },
    /// Stop a job of a server; its destination stays as it was, unless it is decided already
    Cancel {
        /// Its id
        job: JobId,
    },
}

/// `volley sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// Run this instead of opening a prompt
    #[arg(short = 'c', long = "command", value_name = "STATEMENT", allow_hyphen_values = true)]
    pub statement: Option<String>,
    /// How to print rows
    #[arg(long, value_enum, conflicts_with = "json")]
    pub format: Option<Format>,
    /// Run it on the server at this URL
    #[arg(long, value_name = "URL")]
    pub cluster: Option<String>,
}

/// `volley models`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the registered models
    List,
    /// Show the contract of a version: inputs, outputs, null rules, operators, digest
    Show {
        /// NAME, NAME/VERSION, NAME@ALIAS, or a location
        model: ModelRef,
    },
    /// Register a model directory or an .onnx file as the next version of a name
    Register(RegisterArgs),
    /// Point an alias at a version, or remove it
    Alias(AliasArgs),
    /// Score rows whose scores are known, and compare
    Check(CheckArgs),
    /// Delete a version, or a model with all its versions
    Delete {
        /// NAME, or NAME/VERSION
        model: String,
    },
    /// Copy a model of an MLflow server into the embedded registry
    Import(ImportArgs),
    /// Tell by which road each model can be scored, and why not
    Audit {
        /// A folder of model directories and .onnx files, instead of the registry
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// `volley models register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// An MLflow model directory, or a model file (.onnx, .json, .ubj, .txt, .lgb)
    #[arg(value_name = "DIR|FILE")]
    pub location: String,
    /// The name to register it under
    #[arg(long)]
    pub name: ModelName,
    #[command(flatten)]
    pub terms: TermsArgs,
    /// A note to keep with the version
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    pub tags: Vec<Pair>,
    /// Golden rows (Parquet) that the model has to score as --expected says; kept with the version
    #[arg(long, value_name = "FILE", requires = "expected")]
    pub golden: Option<PathBuf>,
    /// The scores of the golden rows (Parquet)
    #[arg(long, value_name = "FILE", requires = "golden")]
    pub expected: Option<PathBuf>,
    /// The column that pairs golden rows with their scores; without one they are paired by position
    #[arg(long, value_name = "COLUMN", requires = "golden")]
    pub key: Option<String>,
    /// Compare this output of the model alone; may be given several times
    #[arg(long = "output", value_name = "NAME", requires = "golden")]
    pub outputs: Vec<String>,
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

/// How a new version is scored, and what points to it.
#[derive(Debug, Args)]
pub struct TermsArgs {
    /// Point this alias at the new version
    #[arg(long)]
    pub alias: Option<AliasName>,
    /// Score it with this runtime for good: tract, native or ort [default: as the model's files say]
    #[arg(long, value_name = "RUNTIME", value_parser = runtime)]
    pub runtime: Option<Runtime>,
    /// What becomes of NULL in an input: nan, null, error or fill:VALUE
    #[arg(long = "null", value_name = "INPUT=RULE")]
    pub null_rules: Vec<InputRule>,
}

/// `volley models import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-…, runs:/RUN/PATH
    #[arg(value_name = "MODEL")]
    pub model: ModelRef,
    /// The name to register it under [default: its name there]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<ModelName>,
    #[command(flatten)]
    pub terms: TermsArgs,
}

/// `volley models alias`.
#[derive(Debug, Args)]
pub struct AliasArgs {
    /// The model
    pub name: ModelName,
    /// The alias
    pub alias: AliasName,
    /// The version that it is to point to
    #[arg(required_unless_present = "delete")]
    pub version: Option<u64>,
    /// Remove the alias
    #[arg(long, conflicts_with = "version")]
    pub delete: bool,
}

/// `volley models check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// NAME, NAME/VERSION, NAME@ALIAS, or a location
    pub model: ModelRef,
    /// The table to score, instead of the version's golden rows
    #[arg(long, value_name = "TABLE", requires = "expected")]
    pub input: Option<String>,
    /// The table with the expected scores, in columns named like the model's outputs
    #[arg(long, value_name = "TABLE", requires = "input")]
    pub expected: Option<String>,
    /// The column that pairs the rows of both tables; without one they are paired by position
    #[arg(long, value_name = "COLUMN", requires = "input")]
    pub key: Option<String>,
    /// Compare this output of the model alone; may be given several times
    #[arg(long = "output", value_name = "NAME")]
    pub outputs: Vec<String>,
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

/// How far a score may be from the expected one: `atol + rtol * |expected|`.
#[derive(Debug, Clone, Copy, Args)]
pub struct ToleranceArgs {
    /// Absolute part of the difference that is allowed
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-5, value_parser = tolerance, allow_hyphen_values = true)]
    pub atol: f64,
    /// Part of the difference that is allowed, relative to the expected score
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-5, value_parser = tolerance, allow_hyphen_values = true)]
    pub rtol: f64,
}

/// Every difference is within infinity, and none is outside what is no number.
fn tolerance(text: &str) -> Result<f64, &'static str> {
    let number: Result<f64, _> = text.parse();
    number.ok().filter(|number| number.is_finite() && *number >= 0.0).ok_or("write a finite number from 0 upwards")
}

/// `30d` or `12h`.
fn age(text: &str) -> Result<Duration, &'static str> {
    let hours = |number: &str, each: u64| number.parse::<u32>().ok().map(|number| u64::from(number) * each);
    let hours = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => hours(days, 24),
        (_, Some(number)) => hours(number, 1),
        _ => None,
    };
    let hours =
        hours.filter(|hours| *hours > 0).ok_or("write days or hours, one hour at the least, as in 30d or 12h")?;
    Ok(Duration::from_secs(hours * 3600))
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Before the first `=`.
    pub name: String,
    /// After it.
    pub value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.to_string(), value: value.to_string() }),
            _ => Err("write NAME=VALUE"),
        }
    }
}

/// `INPUT=RULE`.
#[derive(Debug, Clone, PartialEq)]
pub struct InputRule {
    /// Name of the input, or its number from 1 where the signature has no names.
    pub input: String,
    /// What becomes of NULL.
    pub rule: NullRule,
}

fn runtime(text: &str) -> Result<Runtime, &'static str> {
    Runtime::ALL.into_iter().find(|runtime| runtime.to_string() == text).ok_or("it is one of tract, native and ort")
}

impl FromStr for InputRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Names of columns and filled-in values may both hold `=`: only a filled-in value follows `=fill:`.
        let at = text.find("=fill:").or_else(|| text.rfind('='));
        let (input, rule) = at.map(|at| (&text[..at], &text[at + 1..])).ok_or("write INPUT=RULE")?;
        let rule = rule.parse().map_err(|error: volley_model::InvalidNullRule| error.to_string())?;
        Ok(Self { input: input.to_string(), rule })
    }
}

/// Whether the arguments ask for JSON, although they could not be parsed.
pub fn wants_json(args: impl IntoIterator<Item = std::ffi::OsString>) -> bool {
    args.into_iter().any(|arg| arg == "--json")
}

/// The text of an error of the command line, without its heading and usage, in one line.
pub fn one_line(error: &clap::Error) -> String {
    let mut text = error.to_string();
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue] {
        if let Some(ContextValue::String(value)) = error.get(kind)
            && let Some((first, _)) = value.split_once('\n')
        {
            text = text.replace(value.as_str(), &format!("{first} …"));
        }
    }
    let told = text.split("\n\nUsage:").next().unwrap_or_default();
    let told = told.split("\n\nFor more information").next().unwrap_or_default();
    let words: Vec<_> = told.strip_prefix("error: ").unwrap_or(told).split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_rule_is_split_from_its_input() {
        let rule = |text: &str| text.parse::<InputRule>().unwrap();
        assert_eq!(rule("a=nan"), InputRule { input: "a".into(), rule: NullRule::Nan });
        assert_eq!(rule("a=b=null"), InputRule { input: "a=b".into(), rule: NullRule::Null });
        assert_eq!(rule("a=fill:x=y").rule.to_string(), "fill:x=y");
        assert!("a".parse::<InputRule>().is_err());
        assert!("a=nothing".parse::<InputRule>().is_err());
    }

    #[test]
    fn an_error_of_the_command_line_is_one_line() {
        let error = parse("volley run a.sql --parm x=1").unwrap_err();
        assert_eq!(one_line(&error), "unexpected argument '--parm' found tip: a similar argument exists: '--param'");
        let error = parse("volley run a.sql --param x").unwrap_err();
        assert_eq!(one_line(&error), "invalid value 'x' for '--param <NAME=VALUE>': write NAME=VALUE");
    }

    #[test]
    fn golden_rows_need_their_scores() {
        assert!(parse("volley models register m --name n --golden a.parquet").is_err());
        assert!(parse("volley models register m --name n --golden a.parquet --expected b.parquet").is_ok());
    }

    #[test]
    fn a_run_is_gone_on_with_by_its_file_or_by_a_job() {
        let resume = |line: &str| match parse(line).unwrap().command {
            Command::Run(args) => args.resume.map(|job| job.map(|job| job.to_string())),
            other => panic!("{other:?}"),
        };
        let job = "0197c6f0-0000-7000-8000-000000000001";
        assert_eq!(resume("volley run a.sql"), None);
        assert_eq!(resume("volley run a.sql --resume"), Some(None));
        assert_eq!(resume(&format!("volley run a.sql --resume {job}")), Some(Some(job.to_string())));
        assert!(parse("volley run a.sql --resume nothing").is_err());
        assert!(parse("volley run a.sql --resume --key k").is_err());
        assert!(parse("volley jobs expire").is_err());
    }

    #[test]
    fn an_age_is_a_number_of_days_or_hours() {
        assert_eq!((age("30d"), age("12h")), (Ok(Duration::from_secs(2_592_000)), Ok(Duration::from_secs(43_200))));
        for text in ["", "d", "30", "0d", "-1d", "1.5h", "30m", "4294967296d"] {
            assert!(age(text).is_err(), "{text}");
        }
        assert!(parse("volley jobs expire --older-than 30d").is_ok());
        assert!(parse("volley jobs expire --all --older-than 30d").is_err());
    }

    #[test]
    fn a_value_may_start_with_a_hyphen() {
        let parsed = Cli::try_parse_from(["volley", "sql", "-c", "-- a comment\nSELECT 1"]).unwrap();
        let Command::Sql(args) = parsed.command else { panic!("{parsed:?}") };
        assert_eq!(args.statement.as_deref(), Some("-- a comment\nSELECT 1"));
        let error = parse("volley models check m --atol -1").unwrap_err();
        assert!(one_line(&error).starts_with("invalid value '-1' for '--atol"), "{}", one_line(&error));
    }

    #[test]
    fn a_tolerance_is_a_finite_number_from_zero_upwards() {
        for number in ["nan", "inf", "-inf", "-0.1", "x", ""] {
            assert!(tolerance(number).is_err(), "{number}");
        }
        assert_eq!((tolerance("0"), tolerance("1e-5")), (Ok(0.0), Ok(1e-5)));
    }

    #[test]
    fn a_name_that_no_model_may_have_is_told_before_anything_is_read() {
        for line in ["--name a/b", "--name m --alias latest", "--name m --alias v3"] {
            assert!(parse(&format!("volley models register nowhere {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn of_a_long_value_one_line_is_told() {
        let error = Cli::try_parse_from(["volley", "run", "a.sql", "--param", "SELECT\nsecret"]).unwrap_err();
        assert_eq!(one_line(&error), "invalid value 'SELECT …' for '--param <NAME=VALUE>': write NAME=VALUE");
    }
}
