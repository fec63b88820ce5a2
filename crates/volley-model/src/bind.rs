//! How the arguments of a call reach the inputs of a model: decided when the query is planned, by names and types alone.

mod names;
mod params;
mod problem;
mod sources;

pub use names::nearest_name;
pub(crate) use params::param_fill;

use std::fmt;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::coercion::{Fit, Refusal, coerce, list_element};
use crate::{Contract, Element, FillValue, Input, InputType, NullRule};

/// Decides how the arguments of a call reach the inputs of a model, or says all that is wrong with them.
///
/// `model` is how messages call the model. Names match exactly, then without regard to case. Nothing is read but
/// names and types, so the answer holds for every row.
pub fn bind(
    contract: &Contract,
    model: &str,
    arguments: &Arguments,
    options: &BindOptions,
) -> Result<Binding, Vec<BindProblem>> {
    let call = Call { contract, model, arguments, options };
    let mut problems = Vec::new();
    let sources = call.sources(&mut problems);
    let inputs: Vec<_> = sources
        .into_iter()
        .enumerate()
        .filter_map(|(input, source)| call.bound(input, source?, &mut problems))
        .collect();
    let params = call.params(&mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Binding { inputs, params, null_rules: options.null_rules })
}

/// What `bind` was asked.
struct Call<'a> {
    contract: &'a Contract,
    model: &'a str,
    arguments: &'a Arguments,
    options: &'a BindOptions,
}

impl Call<'_> {
    fn bound(&self, index: usize, source: Source, problems: &mut Vec<BindProblem>) -> Option<BoundInput> {
        let input = &self.contract.inputs[index];
        let null_rule = self.null_rule(input);
        if source == Source::Missing && matches!(null_rule, NullRule::Null | NullRule::Error) {
            problems.push(self.optional_input_that_may_not_be_null(index, &null_rule));
        }
        let mut rounds = false;
        for (argument, from, to) in self.pairs(input, &source) {
            match self.fit(from, to, input.element) {
                Ok(fit) => rounds |= fit == Fit::Rounds,
                Err(refusal) => problems.push(self.refused(index, argument, to, refusal)),
            }
        }
        let from = self.source_type(&source);
        let (name, declared, element) = (input.name.clone(), input.declared.clone(), input.element);
        Some(BoundInput { name, source, from, declared, element, rounds, null_rule })
    }

    /// Each argument that feeds an input, with the types to compare.
    fn pairs<'a>(&'a self, input: &'a Input, source: &Source) -> Vec<(usize, &'a DataType, &'a InputType)> {
        let args = self.arguments.list();
        match source {
            Source::Argument(argument) => {
                vec![(*argument, &args[*argument].data_type, &input.declared)]
            }
            Source::Element { argument, .. } => {
                let list = &args[*argument].data_type;
                let item = list_element(list).map_or(list, |(item, _)| item);
                vec![(*argument, item, &input.declared)]
            }
            Source::Arguments(arguments) => arguments
                .iter()
                .map(|&argument| (argument, &args[argument].data_type, input.declared.scalar()))
                .collect(),
            Source::Missing => Vec::new(),
        }
    }

    fn fit(&self, from: &DataType, to: &InputType, element: Element) -> Result<Fit, Refused> {
        match coerce(from, to, element) {
            Ok(Fit::Rounds) if self.options.coercion == CoercionMode::Strict => Err(Refused::Rounding),
            Ok(fit) => Ok(fit),
            Err(refusal) => Err(Refused::Always(refusal)),
        }
    }

    fn null_rule(&self, input: &Input) -> NullRule {
        match self.options.null_rules {
            NullRules::Contract => input.null_rule.clone(),
            NullRules::Mlflow => mlflow_null_rule(&input.declared),
        }
    }

    fn source_type(&self, source: &Source) -> String {
        let args = self.arguments.list();
        match source {
            Source::Argument(argument) | Source::Element { argument, .. } => args[*argument].data_type.to_string(),
            Source::Arguments(arguments) => {
                let mut types: Vec<_> =
                    arguments.iter().map(|&argument| args[argument].data_type.to_string()).collect();
                types.dedup();
                types.join(", ")
            }
            Source::Missing => "nothing".to_owned(),
        }
    }
}

/// Why a column is refused in this call.
#[derive(Clone, Copy)]
enum Refused {
    /// The table refuses it.
    Always(Refusal),
    /// Strict mode does.
    Rounding,
}

/// As pandas carries NULL into `spark_udf`: NaN in a float column, the text `None` in a string column, and a
/// failed conversion in any other.
fn mlflow_null_rule(declared: &InputType) -> NullRule {
    match declared.scalar() {
        InputType::Float16 | InputType::Float32 | InputType::Float64 => NullRule::Nan,
        InputType::String => NullRule::Fill(FillValue::new("None")),
        _ => NullRule::Error,
    }
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Named: the field or column it comes from. Positional: its SQL text, used in messages only.
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

impl Arguments {
    /// In the call's order.
    pub fn list(&self) -> &[Argument] {
        match self {
            Arguments::Named(arguments) | Arguments::Positional(arguments) => arguments,
        }
    }
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
    /// Nothing: an optional input that the call leaves out is NULL in every row, and its rule gives a value for that.
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

impl BoundInput {
    /// The input as its `Display`, with the call's arguments in the place of their numbers:
    /// `income <- t.income: Int64 -> double -> float (rounds), null`.
    pub fn fed_by(&self, arguments: &[String]) -> String {
        self.line(&self.source.told(|argument| arguments[argument].clone()))
    }

    fn line(&self, source: &str) -> String {
        let mut line = format!("{} <- {source}", self.name.as_deref().unwrap_or("(unnamed)"));
        if self.source != Source::Missing {
            line += &format!(": {} -> {}", self.from, self.declared);
            if *self.declared.scalar() != self.element.input_type() {
                line += &format!(" -> {}", self.element);
            }
            if self.rounds {
                line += " (rounds)";
            }
        }
        format!("{line}, {}", self.null_rule)
    }
}

impl fmt::Display for BoundInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(&self.source.to_string()))
    }
}

impl Source {
    /// Reads as `t.income`, `t.embedding[3]`, `t.f0 to t.f29`, given what each argument is called.
    fn told(&self, argument_name: impl Fn(usize) -> String) -> String {
        match self {
            Source::Argument(argument) => argument_name(*argument),
            Source::Element { argument, index, .. } => format!("{}[{}]", argument_name(*argument), index + 1),
            Source::Arguments(arguments) => match arguments.as_slice() {
                [] => "no arguments".to_string(),
                [only] => argument_name(*only),
                [first, .., last] => format!("{} to {}", argument_name(*first), argument_name(*last)),
            },
            Source::Missing => "left out".to_string(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(|argument| format!("arg {}", argument + 1)))
    }
}

#[cfg(test)]
mod tests;
