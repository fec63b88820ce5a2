//! A tree of values, as JSON and UBJSON write it, and how to read members of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::Error;

/// Deeper documents are refused: XGBoost's are eight deep, and readers go down recursively.
pub(super) const DEPTH_MAX: usize = 64;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// A list of numbers alone, which nearly all lists are; an empty one too.
    Numbers(Vec<f64>),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// The list of `values` in its shortest form.
    pub(super) fn list_of(values: Vec<Value>) -> Value {
        let numbers = values.iter().map(Value::number).collect::<Option<Vec<f64>>>();
        numbers.map_or(Value::List(values), Value::Numbers)
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A member of an object that may be absent.
    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// A member of an object.
    pub(super) fn member(&self, name: &str) -> Result<&Value, Error> {
        self.find(name).ok_or_else(|| invalid(format!("it has no `{name}`")))
    }

    /// A member that is a text.
    pub(super) fn text(&self, name: &str) -> Result<&str, Error> {
        match self.member(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(invalid(format!("`{name}` is no text"))),
        }
    }

    /// A member that is a list of numbers; truths count as 1 and 0.
    pub(super) fn numbers(&self, name: &str) -> Result<Cow<'_, [f64]>, Error> {
        let list = self.member(name)?;
        list.as_numbers().ok_or_else(|| invalid(format!("`{name}` is no list of numbers")))
    }

    /// The same; nothing where the member is absent, as in files of older releases.
    pub(super) fn numbers_or_none(&self, name: &str) -> Result<Cow<'_, [f64]>, Error> {
        if self.find(name).is_some() { self.numbers(name) } else { Ok(Cow::Borrowed(&[])) }
    }

    /// A member that is a list of whole numbers from 0 on.
    pub(super) fn indices(&self, name: &str) -> Result<Vec<usize>, Error> {
        let wrong = |_| invalid(format!("`{name}` holds what is no index"));
        self.numbers_or_none(name)?.iter().map(|&number| index(number)).collect::<Option<_>>().ok_or(()).map_err(wrong)
    }

    /// A member that is a list of anything.
    pub(super) fn list(&self, name: &str) -> Result<&[Value], Error> {
        match self.member(name)? {
            Value::List(values) => Ok(values),
            Value::Numbers(numbers) if numbers.is_empty() => Ok(&[]),
            _ => Err(invalid(format!("`{name}` is no list of objects"))),
        }
    }

    /// A member that is a list of texts; nothing where it is absent.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, Error> {
        if self.find(name).is_none() {
            return Ok(Vec::new());
        }
        let wrong = || invalid(format!("`{name}` holds what is no text"));
        self.list(name)?.iter().map(|value| value.as_text().ok_or_else(wrong)).collect()
    }

    /// A member that is a count, as a number or written as a text; `None` where it is absent.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, Error> {
        let wrong = || invalid(format!("`{name}` is no count"));
        match self.find(name) {
            None => Ok(None),
            Some(Value::Text(text)) => text.parse().map(Some).map_err(|_| wrong()),
            Some(Value::Number(number)) => index(*number).map(Some).ok_or_else(wrong),
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn as_numbers(&self) -> Option<Cow<'_, [f64]>> {
        match self {
            Value::Numbers(numbers) => Some(Cow::Borrowed(numbers)),
            Value::List(values) => values.iter().map(Value::number_or_truth).collect(),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn number_or_truth(&self) -> Option<f64> {
        match self {
            Value::Bool(truth) => Some(f64::from(*truth)),
            value => value.number(),
        }
    }
}

/// A number that counts or points.
pub(super) fn index(number: f64) -> Option<usize> {
    let whole = number.fract() == 0.0 && (0.0..=u32::MAX.into()).contains(&number);
    whole.then_some(number as usize)
}

pub(super) fn invalid(reason: impl Into<String>) -> Error {
    Error::Invalid(reason.into())
}
