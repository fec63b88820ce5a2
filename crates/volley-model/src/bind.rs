//! How the arguments of a call reach the inputs of a model: decided when the query is planned, by names and types alone.

use std::fmt;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::{Element, InputType, NullRule};

/// One argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The field or column it comes from; for positional arguments only used in messages.
    pub name: Option<String>,
    /// Of the column.
    pub data_type: DataType,
    /// Whether it may hold NULL.
    pub nullable: bool,
}

/// The arguments of a call, without model and params.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// By name: fields of a struct, or columns in scope. An argument without a name is an extra one.
    Named(Vec<Argument>),
    /// In the signature's order. A single list or `F` numbers for one `[N,F]` input are positional.
    Positional(Vec<Argument>),
}

/// What of the coercion table is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoercionMode {
    /// The table as it stands.
    #[default]
    Standard,
    /// Without the cells that round.
    Strict,
}

/// Whose null rules apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NullRules {
    /// Those of the contract.
    #[default]
    Contract,
    /// What MLflow's `spark_udf` gives: NULL is NaN in a float, an error in an integer or bool, the text `None` in a
    /// string; and a NaN score is NULL in its own output only.
    Mlflow,
}

/// Settings of a call.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    /// `volley.coercion`.
    pub coercion: CoercionMode,
    /// `volley.null_rules`.
    pub null_rules: NullRules,
    /// `params => {…}` of the call.
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// How a call feeds a model. It travels in plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// One for each input of the contract, in its order.
    pub inputs: Vec<BoundInput>,
    /// One for each parameter that has an input of the graph.
    pub params: Vec<BoundParam>,
    /// Decides what a NaN score does to the rest of its row.
    pub null_rules: NullRules,
}

/// How one input is fed. Displays as `income <- arg 1: Int64 -> double -> float (rounds), null`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BoundInput {
    /// The input's name.
    pub name: Option<String>,
    /// Where its values come from.
    pub source: Source,
    /// The arguments' type, for people: scoring goes by the arrays it gets.
    pub from: String,
    /// The declared type.
    pub declared: InputType,
    /// What the graph reads.
    pub element: Element,
    /// Whether some values of `from` are rounded on the way.
    pub rounds: bool,
    /// What becomes of NULL, after `volley.null_rules`.
    pub null_rule: NullRule,
}

/// Where the values of an input come from. Arguments are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// One argument: a scalar for a scalar input, a list for a list input.
    Argument(usize),
    /// One value of a list argument that feeds `len` inputs at once.
    Element {
        /// Which argument.
        argument: usize,
        /// Which value of the list.
        index: usize,
        /// How many values each list must have.
        len: usize,
    },
    /// One number from each of these arguments, for a list input.
    Arguments(Vec<usize>),
    /// Nothing: an optional input that the call leaves out is all NULL.
    Missing,
}

/// A parameter that goes into the graph as a constant column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BoundParam {
    /// The parameter's name.
    pub name: String,
    /// Index into `Contract::graph_inputs`.
    pub graph_input: usize,
    /// Checked against the parameter's type.
    pub value: serde_json::Value,
}

/// One thing that is wrong with a call. All of a call are reported at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindProblem {
    /// `missing_input`, `extra_argument`, `type_mismatch`, `lossy_coercion`, `ambiguous_column`, `unnamed_inputs`,
    /// `unknown_parameter` or `unused_parameter`.
    pub code: &'static str,
    /// One line that names the thing and the fix.
    pub message: String,
}

impl fmt::Display for BindProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

impl fmt::Display for BoundInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} <- {}",
            self.name.as_deref().unwrap_or("(unnamed)"),
            self.source
        )?;
        if self.source != Source::Missing {
            write!(f, ": {} -> {}", self.from, self.declared)?;
            if *self.declared.scalar() != self.element.input_type() {
                write!(f, " -> {}", self.element)?;
            }
            if self.rounds {
                f.write_str(" (rounds)")?;
            }
        }
        write!(f, ", {}", self.null_rule)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Argument(argument) => write!(f, "arg {}", argument + 1),
            Source::Element {
                argument, index, ..
            } => write!(f, "arg {}[{}]", argument + 1, index + 1),
            Source::Arguments(arguments) => match (arguments.first(), arguments.last()) {
                (Some(first), Some(last)) => write!(f, "args {}-{}", first + 1, last + 1),
                _ => f.write_str("no args"),
            },
            Source::Missing => f.write_str("left out"),
        }
    }
}

/// The candidate most like `name`, if any is like it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |candidate: &str| strsim::jaro_winkler(&name, &candidate.to_lowercase());
    candidates
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
