//! What can be written on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use volley_model::NullRule;
use volley_registry::ModelRef;

use crate::rows::Format;
use crate::settings::Settings;

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
}

/// `volley run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// FILE.sql, or a job file FILE.toml
    pub file: PathBuf,
    /// Set a parameter: `$NAME` is its value in the SQL, `${NAME}` a part of a path
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<Pair>,
}

/// `volley sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// Run this instead of opening a prompt
    #[arg(short = 'c', long = "command", value_name = "STATEMENT")]
    pub statement: Option<String>,
    /// How to print rows
    #[arg(long, value_enum, conflicts_with = "json")]
    pub format: Option<Format>,
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
}

/// `volley models register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// An MLflow model directory, or an .onnx file
    #[arg(value_name = "DIR|FILE")]
    pub location: String,
    /// The name to register it under
    #[arg(long)]
    pub name: String,
    /// Point this alias at the new version
    #[arg(long)]
    pub alias: Option<String>,
    /// What becomes of NULL in an input: nan, null, error or fill:VALUE
    #[arg(long = "null", value_name = "INPUT=RULE")]
    pub null_rules: Vec<InputRule>,
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
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

/// `volley models alias`.
#[derive(Debug, Args)]
pub struct AliasArgs {
    /// The model
    pub name: String,
    /// The alias
    pub alias: String,
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
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

/// How far a score may be from the expected one: `atol + rtol * |expected|`.
#[derive(Debug, Clone, Copy, Args)]
pub struct ToleranceArgs {
    /// Absolute part of the difference that is allowed
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-5)]
    pub atol: f64,
    /// Part of the difference that is allowed, relative to the expected score
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-5)]
    pub rtol: f64,
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
    let text = error.to_string();
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
    fn what_later_versions_will_do_is_not_pretended() {
        for line in ["volley run a.sql --key k", "volley run a.sql --cluster x", "volley server", "volley jobs list"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
