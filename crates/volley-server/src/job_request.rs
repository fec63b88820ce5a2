//! What is asked for, as JSON: a job, or a statement.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use volley_engine::{Output, ParamValue, Params, Script};

use crate::error::ServerError;

/// A job: the statements of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// The statements.
    pub sql: String,
    /// Values for their parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamJson>,
    /// Where the rows of a bare SELECT at the end go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Destination>,
    /// What people know it by, such as its file.
    #[serde(default)]
    pub name: String,
    /// The caller's own name for it: however often it is asked for, it runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How often a statement is tried that failed for a reason that may pass. Default: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<NonZeroU32>,
}

/// A script whose last statement is answered at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementRequest {
    /// The statement; before it there may be others that only change the session.
    pub sql: String,
    /// Values for its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, ParamJson>,
}

/// The value of a parameter: plain, or with the text that it has in a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParamJson {
    /// TRUE or FALSE.
    Boolean(bool),
    /// A number, whole or not.
    Number(Number),
    /// A text.
    Text(String),
    /// A value that was written in a way of its own: `1.50`.
    Written {
        /// The value.
        value: Value,
        /// How it was written.
        text: String,
    },
}

/// Where rows go, as `[output]` of a job file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The folder.
    pub to: String,
    /// `error`, `append`, `overwrite` or `overwrite_partitions`.
    #[serde(default = "of_mode")]
    pub mode: String,
    /// `parquet`, `csv`, `json` or `arrow`.
    #[serde(default = "of_format")]
    pub format: String,
    /// Columns whose values become folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitioned_by: Vec<String>,
    /// What else it says, as in `OPTIONS (…)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, String)>,
}

fn of_mode() -> String {
    "error".to_owned()
}

fn of_format() -> String {
    "parquet".to_owned()
}

impl JobRequest {
    /// The script that it is. Error: `invalid_parameter`.
    pub fn script(&self) -> Result<Script, ServerError> {
        let output = self.output.clone().map(|output| Output {
            to: output.to,
            mode: output.mode,
            format: output.format,
            partitioned_by: output.partitioned_by,
            options: output.options,
        });
        Ok(Script { text: self.sql.clone(), params: params(&self.params)?, output })
    }

    /// The request of a script.
    pub fn of(script: &Script) -> Self {
        let output = script.output.clone().map(|output| Destination {
            to: output.to,
            mode: output.mode,
            format: output.format,
            partitioned_by: output.partitioned_by,
            options: output.options,
        });
        Self { sql: script.text.clone(), params: params_of(script), output, ..Self::default() }
    }
}

impl StatementRequest {
    /// The script that it is. Error: `invalid_parameter`.
    pub fn script(&self) -> Result<Script, ServerError> {
        Ok(Script { text: self.sql.clone(), params: params(&self.params)?, output: None })
    }

    /// The request of a script, whose output it has no word for.
    pub fn of(script: &Script) -> Self {
        Self { sql: script.text.clone(), params: params_of(script) }
    }
}

impl ParamJson {
    fn of(value: &ParamValue, text: &str) -> Self {
        let plain = match value {
            ParamValue::Boolean(flag) => Self::Boolean(*flag),
            ParamValue::Integer(integer) => Self::Number((*integer).into()),
            ParamValue::Text(text) => Self::Text(text.clone()),
            // JSON has no infinity: as a text it would be another value.
            ParamValue::Float(float) => {
                Number::from_f64(*float).map_or_else(|| Self::Text(text.to_owned()), Self::Number)
            }
        };
        match value.to_string() == text {
            true => plain,
            false => Self::Written { value: serde_json::to_value(plain).unwrap_or_default(), text: text.to_owned() },
        }
    }
}

fn params_of(script: &Script) -> BTreeMap<String, ParamJson> {
    script.params.texts().map(|(name, value, text)| (name.to_owned(), ParamJson::of(value, text))).collect()
}

fn params(of: &BTreeMap<String, ParamJson>) -> Result<Params, ServerError> {
    let mut params = Params::default();
    for (name, json) in of {
        let (value, text) = match json {
            ParamJson::Boolean(flag) => (ParamValue::Boolean(*flag), None),
            ParamJson::Number(number) => (number_of(name, number)?, None),
            ParamJson::Text(text) => (ParamValue::Text(text.clone()), None),
            ParamJson::Written { value, text } => (value_of(name, value)?, Some(text.clone())),
        };
        params.set(name, value.clone(), &text.unwrap_or_else(|| value.to_string()));
    }
    Ok(params)
}

fn value_of(name: &str, value: &Value) -> Result<ParamValue, ServerError> {
    match value {
        Value::Bool(flag) => Ok(ParamValue::Boolean(*flag)),
        Value::Number(number) => number_of(name, number),
        Value::String(text) => Ok(ParamValue::Text(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(no_value(name)),
    }
}

fn number_of(name: &str, number: &Number) -> Result<ParamValue, ServerError> {
    match (number.as_i64(), number.is_f64().then(|| number.as_f64()).flatten()) {
        (Some(integer), _) => Ok(ParamValue::Integer(integer)),
        (None, Some(float)) => Ok(ParamValue::Float(float)),
        (None, None) => Err(no_value(name)),
    }
}

fn no_value(name: &str) -> ServerError {
    let message = format!("parameter `{name}` must be one value: a text, a number of at most 64 bits, true or false");
    ServerError::new("invalid_parameter", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_travels_as_json_with_every_letter_of_its_parameters() {
        let mut script = Script { text: "SELECT $a".into(), ..Script::default() };
        for (name, text) in [("a", "1.50"), ("b", "007"), ("c", "7"), ("d", "true"), ("e", "1e3"), ("f", "-0.5")] {
            script.params.set_text(name, text);
        }
        script.params.set("g", ParamValue::Text("9".into()), "9");
        script.output = Some(Output {
            to: "out/".into(),
            mode: "append".into(),
            format: "csv".into(),
            partitioned_by: vec!["a".into()],
            options: vec![("rejects".into(), "bad/".into())],
        });
        let json = serde_json::to_string(&JobRequest::of(&script)).unwrap();
        let back: JobRequest = serde_json::from_str(&json).unwrap();
        assert_eq!(back.script().unwrap(), script, "{json}");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(serde_json::from_str::<JobRequest>(r#"{"sql": "SELECT 1", "sqll": 1}"#).is_err());
        let request: JobRequest =
            serde_json::from_str(r#"{"sql": "", "params": {"a": 18446744073709551615}}"#).unwrap();
        assert_eq!(request.script().unwrap_err().code(), "invalid_parameter");
        let output: Destination = serde_json::from_str(r#"{"to": "x/"}"#).unwrap();
        assert_eq!((output.mode.as_str(), output.format.as_str()), ("error", "parquet"));
    }
}
