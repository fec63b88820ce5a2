//! What a model and an alias may be called.

use std::fmt;
use std::str::FromStr;

use crate::Error;

const CHARACTERS_MAX: usize = 255;

/// A name that a model may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName(String);

/// A name that an alias may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasName(String);

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AliasName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        check_model_name(text).map(|()| Self(text.to_owned()))
    }
}

impl FromStr for AliasName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        check_alias(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Accepts what a reference can name again: no `/`, `:` or `@`, and nothing that reads as a location.
pub(crate) fn check_model_name(name: &str) -> Result<(), Error> {
    let refused = |reason| Err(Error::Name { name: name.to_owned(), what: "a model", reason });
    if name.trim().is_empty() {
        return refused("it is empty");
    }
    if name.chars().count() > CHARACTERS_MAX {
        return refused("it has more than 255 characters");
    }
    if name.contains(['/', ':', '@']) {
        return refused("`/`, `:` and `@` separate a name from its version, scheme and alias");
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return refused("it has control characters, or spaces at an end");
    }
    if name == "." || name == ".." || name.ends_with(".onnx") {
        return refused("it would be read as a file");
    }
    Ok(())
}

/// Accepts what a model on an MLflow server may be called: all but nothing, `/` and `:`.
pub(crate) fn check_mlflow_name(name: &str) -> Result<(), Error> {
    let refused = |reason| Err(Error::Name { name: name.to_owned(), what: "a model", reason });
    if name.trim().is_empty() {
        return refused("it is empty");
    }
    if name.contains(['/', ':']) || name.chars().any(char::is_control) {
        return refused("`/` and `:` separate a name from its version and scheme");
    }
    Ok(())
}

/// Accepts letters, digits, `_` and `-`, except what already means a version.
pub(crate) fn check_alias(alias: &str) -> Result<(), Error> {
    let refused = |reason| Err(Error::Name { name: alias.to_owned(), what: "an alias", reason });
    if alias.is_empty() || alias.chars().any(|c| !c.is_alphanumeric() && c != '_' && c != '-') {
        return refused("it takes letters, digits, `_` and `-`");
    }
    if alias.chars().count() > CHARACTERS_MAX {
        return refused("it has more than 255 characters");
    }
    if alias.eq_ignore_ascii_case("latest") || is_version_word(alias) {
        return refused("`latest` and `v1`, `v2`, … already mean versions");
    }
    Ok(())
}

fn is_version_word(alias: &str) -> bool {
    let digits = alias.strip_prefix(['v', 'V']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_reference_can_name_again_are_accepted() {
        for name in ["churn", "Churn 2.0", "modèle", "a.b-c_d", "m-1", ".hidden", &"n".repeat(255)] {
            assert!(check_model_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_read_as_something_else_are_refused() {
        for name in ["", " ", "a/b", "a:b", "a@b", ".", "..", "net.onnx", " a", "a\n", &"n".repeat(256)] {
            let error = check_model_name(name).expect_err(name);
            assert_eq!(error.code(), "invalid_name", "{name}");
        }
    }

    #[test]
    fn aliases_are_words() {
        for alias in ["champion", "A-1", "v", "v1a", "2026-11", "übung"] {
            assert!(check_alias(alias).is_ok(), "{alias}");
        }
        for alias in ["", "a b", "a.b", "latest", "LATEST", "v1", "V22", &"a".repeat(256)] {
            let error = check_alias(alias).expect_err(alias);
            assert_eq!(error.code(), "invalid_name", "{alias}");
        }
    }
}
