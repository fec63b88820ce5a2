//! What becomes of a NULL in an input.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What becomes of a row whose value for an input is NULL.
/// Written `nan`, `null`, `error` or `fill:VALUE`, in settings, in contracts and in plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NullRule {
    /// It goes in as NaN; only for inputs that the graph reads as floats.
    Nan,
    /// The row is not scored and its result is NULL.
    Null,
    /// The query fails.
    Error,
    /// It goes in as this value.
    Fill(FillValue),
}

/// The value of a `fill:` rule as it was written. [`crate::Contract::set_null_rule`] checks that it is one of the input's type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FillValue(String);

impl FillValue {
    /// The text as it was written: compared and hashed as text, so NaN and -0 are no trouble.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NullRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NullRule::Nan => f.write_str("nan"),
            NullRule::Null => f.write_str("null"),
            NullRule::Error => f.write_str("error"),
            NullRule::Fill(value) => write!(f, "fill:{}", value.0),
        }
    }
}

/// A text that is no null rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no null rule: write nan, null, error or fill:VALUE")]
pub struct InvalidNullRule(String);

impl FromStr for NullRule {
    type Err = InvalidNullRule;

    fn from_str(text: &str) -> Result<Self, InvalidNullRule> {
        match text {
            "nan" => Ok(NullRule::Nan),
            "null" => Ok(NullRule::Null),
            "error" => Ok(NullRule::Error),
            _ => match text.strip_prefix("fill:") {
                Some(value) => Ok(NullRule::Fill(FillValue::new(value))),
                None => Err(InvalidNullRule(text.to_owned())),
            },
        }
    }
}

impl TryFrom<String> for NullRule {
    type Error = InvalidNullRule;

    fn try_from(text: String) -> Result<Self, InvalidNullRule> {
        text.parse()
    }
}

impl From<NullRule> for String {
    fn from(rule: NullRule) -> String {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_what_it_prints() {
        for text in ["nan", "null", "error", "fill:0", "fill:", "fill:a:b", "fill:-1.5e3"] {
            assert_eq!(text.parse::<NullRule>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn another_text_is_refused_with_the_rules_there_are() {
        let problem = "zero".parse::<NullRule>().expect_err("zero is no rule");
        assert_eq!(problem.to_string(), "`zero` is no null rule: write nan, null, error or fill:VALUE");
    }
}
