//! Values given to a statement: `$name` is a bound value, `${name}` a checked part of a path.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;

use crate::error::EngineError;

/// The parameters of a run, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(BTreeMap<String, ParamValue>);

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamValue {
    /// TRUE or FALSE.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Params {
    /// Sets a parameter from text, as a command line gives it: a whole number, a number, true or false are
    /// taken as such, anything else as text.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, ParamValue::of_text(text));
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: &str, value: ParamValue) {
        self.0.insert(name.to_string(), value);
    }

    /// The parameters as values for `$name`.
    pub(crate) fn scalars(&self) -> Vec<(String, ScalarValue)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.scalar())).collect()
    }

    /// All parameters by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Puts values in place of every `${name}`. A value may hold letters, digits, `.`, `_`, `-` and `=` only,
    /// so that it can neither end a string nor leave its folder.
    pub fn fill(&self, text: &str) -> Result<String, EngineError> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(EngineError::new("syntax", "a `${` has no closing `}`"));
            };
            filled.push_str(before);
            filled.push_str(&self.path_part(name.trim())?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn path_part(&self, name: &str) -> Result<String, EngineError> {
        let value = self.0.get(name).ok_or_else(|| unset(name))?.to_string();
        let allowed = |character: char| character.is_alphanumeric() || "._-=".contains(character);
        if value.is_empty() || value.starts_with('.') || !value.chars().all(allowed) {
            let message =
                format!("parameter `{name}` cannot be part of a path: use letters, digits, `.`, `_`, `-` and `=` only");
            return Err(EngineError::new("invalid_parameter", message));
        }
        Ok(value)
    }
}

/// A parameter that a statement uses and nobody set.
pub(crate) fn unset(name: &str) -> EngineError {
    let message =
        format!("parameter `{name}` is not set: give it with --param {name}=… or in [params] of the job file");
    EngineError::new("unset_parameter", message)
}

impl ParamValue {
    fn of_text(text: &str) -> Self {
        if let Ok(integer) = text.parse() {
            return Self::Integer(integer);
        }
        match text {
            "true" => Self::Boolean(true),
            "false" => Self::Boolean(false),
            _ => match text.parse::<f64>() {
                Ok(float) if float.is_finite() => Self::Float(float),
                _ => Self::Text(text.to_string()),
            },
        }
    }

    fn scalar(&self) -> ScalarValue {
        match self {
            Self::Boolean(flag) => ScalarValue::from(*flag),
            Self::Integer(integer) => ScalarValue::from(*integer),
            Self::Float(float) => ScalarValue::from(*float),
            Self::Text(text) => ScalarValue::from(text.as_str()),
        }
    }
}

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(flag) => flag.fmt(f),
            Self::Integer(integer) => integer.fmt(f),
            Self::Float(float) => float.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let mut params = Params::default();
        pairs.iter().for_each(|(name, text)| params.set_text(name, text));
        params
    }

    #[test]
    fn a_path_part_is_filled_in() {
        let params = params(&[("ds", "2026-11-22"), ("n", "7")]);
        assert_eq!(params.fill("TO 'x/day=${ds}/${ n }/'").unwrap(), "TO 'x/day=2026-11-22/7/'");
    }

    #[test]
    fn a_path_part_cannot_leave_its_folder_or_its_string() {
        for value in ["../x", "a/b", "a'b", "", ".."] {
            assert_eq!(params(&[("ds", value)]).fill("'${ds}'").unwrap_err().code(), "invalid_parameter", "{value}");
        }
    }

    #[test]
    fn an_unset_parameter_is_named() {
        let error = params(&[]).fill("'${ds}'").unwrap_err();
        assert_eq!(error.code(), "unset_parameter");
        assert!(error.problems[0].message.contains("`ds`"));
    }

    #[test]
    fn text_from_a_command_line_gets_the_type_it_looks_like() {
        let params = params(&[("a", "3"), ("b", "0.5"), ("c", "true"), ("d", "south")]);
        let values: Vec<_> = params.iter().map(|(_, value)| value.clone()).collect();
        use ParamValue::*;
        assert_eq!(values, [Integer(3), Float(0.5), Boolean(true), Text("south".into())]);
    }
}
