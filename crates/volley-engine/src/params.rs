//! Values given to a statement: `$name` is a bound value, `${name}` a checked part of a path.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use volley_model::nearest_name;

use crate::error::EngineError;

/// The parameters of a run, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params(BTreeMap<String, Param>);

/// A parameter in both its forms: a path keeps every letter, `01` and `1.50` among them, where a number
/// would not.
#[derive(Debug, Clone, PartialEq)]
struct Param {
    value: ParamValue,
    text: String,
}

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
    /// taken as such, anything else as text. What only resembles a number, such as `01`, is text.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, ParamValue::of_text(text), text);
    }

    /// Sets a parameter to a value that was written as `text`.
    pub fn set(&mut self, name: &str, value: ParamValue, text: &str) {
        self.0.insert(name.to_string(), Param { value, text: text.to_string() });
    }

    /// The parameters as values for `$name`.
    pub(crate) fn scalars(&self) -> Vec<(String, ScalarValue)> {
        self.0.iter().map(|(name, param)| (name.clone(), param.value.scalar())).collect()
    }

    /// All values by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue)> {
        self.0.iter().map(|(name, param)| (name.as_str(), &param.value))
    }

    /// All values by name, with the text that each was written as.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &ParamValue, &str)> {
        self.0.iter().map(|(name, param)| (name.as_str(), &param.value, param.text.as_str()))
    }

    /// Refuses a parameter that none of the texts of a job uses: its name is a slip, and another one goes
    /// without the value that was meant for it.
    pub fn check_used(&self, texts: &[&str]) -> Result<(), EngineError> {
        let used: BTreeSet<String> = texts.iter().flat_map(|text| names_in(text)).collect();
        match self.0.keys().find(|name| !used.contains(*name)) {
            Some(name) => Err(not_used(name, &used)),
            None => Ok(()),
        }
    }

    /// Puts values in place of every `${name}`. A value may hold letters, digits, `.`, `_`, `-` and `=` only,
    /// so that it can neither end a string nor leave its folder.
    pub fn fill(&self, text: &str) -> Result<String, EngineError> {
        replaced(text, |name| self.path_part(name))
    }

    fn path_part(&self, name: &str) -> Result<String, EngineError> {
        let text = &self.0.get(name).ok_or_else(|| unset(name))?.text;
        let allowed = |character: char| character.is_alphanumeric() || "._-=".contains(character);
        if text.is_empty() || text.starts_with('.') || !text.chars().all(allowed) {
            let message =
                format!("parameter `{name}` cannot be part of a path: use letters, digits, `.`, `_`, `-` and `=` only");
            return Err(EngineError::new("invalid_parameter", message));
        }
        Ok(text.clone())
    }
}

/// A text with something in place of every `${name}`.
fn replaced(text: &str, mut part: impl FnMut(&str) -> Result<String, EngineError>) -> Result<String, EngineError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err(EngineError::new("syntax", "a `${` has no closing `}`"));
        };
        filled.push_str(before);
        filled.push_str(&part(name.trim())?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The names that a text uses as `${name}` or `$name`. What is wrong with the text is told when it is run.
fn names_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let filled = replaced(text, |name| {
        names.insert(name.to_string());
        Ok("x".to_string())
    });
    let tokens = filled.ok().and_then(|text| Tokenizer::new(&GenericDialect {}, &text).tokenize().ok());
    names.extend(tokens.unwrap_or_default().into_iter().filter_map(|token| match token {
        Token::Placeholder(name) => name.strip_prefix('$').map(str::to_string),
        _ => None,
    }));
    names
}

fn not_used(name: &str, used: &BTreeSet<String>) -> EngineError {
    let hint = match nearest_name(name, used.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if used.is_empty() => "the job uses none".to_string(),
        None => format!("it uses {}", used.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    EngineError::new("parameter_not_used", format!("nothing in the job uses parameter `{name}`: {hint}"))
}

/// A parameter that a statement uses and nobody set.
pub(crate) fn unset(name: &str) -> EngineError {
    let message =
        format!("parameter `{name}` is not set: give it with --param {name}=… or in [params] of the job file");
    EngineError::new("unset_parameter", message)
}

impl ParamValue {
    fn of_text(text: &str) -> Self {
        if let Ok(flag) = text.parse() {
            return Self::Boolean(flag);
        }
        let number = Some(text).filter(|text| is_plain_number(text));
        if let Some(integer) = number.and_then(|text| text.parse().ok()) {
            return Self::Integer(integer);
        }
        // A whole number beyond i64 would lose digits as a float.
        let fraction = number.filter(|text| !is_whole(text)).and_then(|text| text.parse().ok());
        match fraction.filter(|float: &f64| float.is_finite()) {
            Some(float) => Self::Float(float),
            None => Self::Text(text.to_string()),
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

/// Whether a text starts as a number is written: `01` is a month or a key, and `+1` may be a telephone.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    !matches!(digits, [b'0', b'0'..=b'9', ..] | [b'+', ..])
}

fn is_whole(text: &str) -> bool {
    text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit())
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

    #[test]
    fn what_only_resembles_a_number_stays_text() {
        for text in
            ["01", "007", "-01", "00.5", "+1", "9223372036854775808", "-9223372036854775809", "1e999", "nan", ""]
        {
            assert_eq!(ParamValue::of_text(text), ParamValue::Text(text.into()), "{text}");
        }
        assert_eq!(ParamValue::of_text("0"), ParamValue::Integer(0));
        assert_eq!(ParamValue::of_text("-0.5"), ParamValue::Float(-0.5));
        assert_eq!(ParamValue::of_text("1e3"), ParamValue::Float(1000.0));
    }

    #[test]
    fn a_path_keeps_every_letter_of_a_parameter() {
        for text in ["01", "1.50", "1e3", "007", "9223372036854775808", "true"] {
            assert_eq!(params(&[("ds", text)]).fill("day=${ds}/").unwrap(), format!("day={text}/"));
        }
    }

    #[test]
    fn a_parameter_that_nothing_uses_is_named_with_the_nearest_that_is_used() {
        let texts = ["SELECT '$quoted', $region -- $comment", "out/day=${ds}/"];
        let check = |name: &str| params(&[(name, "1")]).check_used(&texts);
        assert!(check("region").is_ok() && check("ds").is_ok());
        for (name, told) in
            [("regoin", "did you mean `region`?"), ("quoted", "it uses `ds`, `region`"), ("comment", "")]
        {
            let error = check(name).unwrap_err();
            assert_eq!(error.code(), "parameter_not_used");
            assert!(error.to_string().contains(&format!("`{name}`")) && error.to_string().contains(told), "{error}");
        }
        assert!(params(&[("a", "1")]).check_used(&["SELECT 1"]).unwrap_err().to_string().contains("uses none"));
    }
}
