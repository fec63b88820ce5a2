//! What a user writes to name a model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::name::{check_alias, check_model_name};

/// A model reference, parsed and not yet resolved.
///
/// `churn` and `churn/latest` are the newest version, `churn/3` a version, `churn@champion` an alias; the
/// same with `models:/` in front, as MLflow writes them (`models:/churn/latest`, split at the last `@`).
/// What starts with `/`, `./` or `../`, has a scheme, or ends with `.onnx` is a location.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelRef {
    /// The highest version that is not deleted.
    Latest {
        /// The model.
        name: String,
    },
    /// One version.
    Version {
        /// The model.
        name: String,
        /// Its number, from 1.
        version: u64,
    },
    /// The version that an alias points to.
    Alias {
        /// The model.
        name: String,
        /// The alias, case-sensitive.
        alias: String,
    },
    /// A model directory or an `.onnx` file.
    Location(String),
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(path) = after_scheme(text, "models:") {
            return Text(text).mlflow_model(path);
        }
        if after_scheme(text, "runs:").is_some() || after_scheme(text, "mlflow-artifacts:").is_some() {
            return Err(Error::Mlflow { reference: text.to_owned() });
        }
        if is_location(text) {
            return Ok(ModelRef::Location(text.to_owned()));
        }
        Text(text).registered_model()
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelRef::Latest { name } => write!(f, "{name}"),
            ModelRef::Version { name, version } => write!(f, "{name}/{version}"),
            ModelRef::Alias { name, alias } => write!(f, "{name}@{alias}"),
            ModelRef::Location(location) => write!(f, "{location}"),
        }
    }
}

impl TryFrom<String> for ModelRef {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ModelRef> for String {
    fn from(reference: ModelRef) -> Self {
        reference.to_string()
    }
}

/// The whole reference as written, for the messages, with the grammars that it may follow.
struct Text<'a>(&'a str);

impl Text<'_> {
    /// `NAME`, `NAME/VERSION`, `NAME@ALIAS`.
    fn registered_model(&self) -> Result<ModelRef, Error> {
        match self.0.split_once('/') {
            Some((name, suffix)) => match numbered(name, suffix) {
                Some(reference) => self.checked(reference),
                None => Err(self.refused(format!(
                    "`{suffix}` is no version number; an alias is written `{name}@ALIAS`, a folder `./{}`",
                    self.0
                ))),
            },
            None => match self.0.rsplit_once('@') {
                Some((name, alias)) => self.checked(aliased(name, alias)),
                None => self.checked(ModelRef::Latest { name: self.0.to_owned() }),
            },
        }
    }

    /// `models:/NAME/VERSION`, `models:/NAME/latest`, `models:/NAME@ALIAS`. Stages and logged models
    /// (`models:/m-…`) are known to an MLflow server only.
    fn mlflow_model(&self, path: &str) -> Result<ModelRef, Error> {
        let path = path.strip_prefix("//").unwrap_or(path);
        let Some(path) = path.strip_prefix('/').filter(|path| !path.starts_with('/')) else {
            return Err(self.refused("write `models:/NAME/VERSION` or `models:/NAME@ALIAS`".to_owned()));
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            [name, suffix] if !suffix.trim().is_empty() => match numbered(name, suffix) {
                Some(reference) => self.checked(reference),
                None if suffix.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Err(self.refused(format!("`{suffix}` is too large for a version number")))
                }
                None => Err(Error::Mlflow { reference: self.0.to_owned() }),
            },
            [model] => match model.rsplit_once('@') {
                Some((name, alias)) => self.checked(aliased(name, alias)),
                None if is_logged_model(model) => Err(Error::Mlflow { reference: self.0.to_owned() }),
                None => Err(self.refused(format!("it names no version; write `models:/{model}/latest`"))),
            },
            _ => Err(self.refused("write `models:/NAME/VERSION` or `models:/NAME@ALIAS`".to_owned())),
        }
    }

    fn checked(&self, reference: ModelRef) -> Result<ModelRef, Error> {
        match &reference {
            ModelRef::Latest { name } | ModelRef::Version { name, .. } => check_model_name(name),
            ModelRef::Alias { name, alias } => check_model_name(name).and_then(|()| check_alias(alias)),
            ModelRef::Location(_) => Ok(()),
        }
        .map_err(|error| self.refused(error.to_string()))?;
        Ok(reference)
    }

    fn refused(&self, reason: String) -> Error {
        Error::Reference { reference: self.0.to_owned(), reason }
    }
}

fn numbered(name: &str, suffix: &str) -> Option<ModelRef> {
    let name = name.to_owned();
    if suffix.eq_ignore_ascii_case("latest") {
        return Some(ModelRef::Latest { name });
    }
    // u64 would also take a leading `+`.
    let version = suffix.bytes().all(|byte| byte.is_ascii_digit()).then(|| suffix.parse().ok())??;
    Some(ModelRef::Version { name, version })
}

/// MLflow answers to `@latest` although nobody can set that alias.
fn aliased(name: &str, alias: &str) -> ModelRef {
    let name = name.to_owned();
    if alias.eq_ignore_ascii_case("latest") {
        return ModelRef::Latest { name };
    }
    ModelRef::Alias { name, alias: alias.to_owned() }
}

fn is_logged_model(model: &str) -> bool {
    model.strip_prefix("m-").is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_location(text: &str) -> bool {
    let relative = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    relative || text == "." || text == ".." || text.ends_with(".onnx") || has_scheme(text)
}

/// A scheme is followed by `/` here, so that `churn:3` is told that it is no reference, and not that a
/// scheme `churn` is unknown.
pub(crate) fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(":/") else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Whether a text of a settings file, a job file or a command means a URL, and not a path that lies under
/// some folder. `file:x` and `memory:` are meant as URLs too, however short they are.
pub fn is_url(text: &str) -> bool {
    has_scheme(text) || ["file:", "memory:"].iter().any(|scheme| after_scheme(text, scheme).is_some())
}

fn after_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest(name: &str) -> ModelRef {
        ModelRef::Latest { name: name.to_owned() }
    }
    fn version(name: &str, version: u64) -> ModelRef {
        ModelRef::Version { name: name.to_owned(), version }
    }
    fn alias(name: &str, alias: &str) -> ModelRef {
        ModelRef::Alias { name: name.to_owned(), alias: alias.to_owned() }
    }
    fn location(text: &str) -> ModelRef {
        ModelRef::Location(text.to_owned())
    }

    #[test]
    fn a_url_is_told_from_a_path() {
        for url in ["s3://b/r", "file:///r", "file:/r", "file:r", "FILE:r", "memory:", "memory:///", "gs:/x"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["r", "./r", "/r", "a:b", "day=1:2/x", "C:\\r", "filed:x", ""] {
            assert!(!is_url(path), "{path}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: ModelRef) {
        let parsed: ModelRef = text.parse().expect(text);
        assert_eq!(parsed, expected, "{text}");
        assert_eq!(parsed.to_string().parse::<ModelRef>().expect(text), expected, "{text} printed and parsed");
    }

    #[track_caller]
    fn refused(text: &str, code: &str, says: &str) {
        let error = text.parse::<ModelRef>().expect_err(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
        assert!(!error.to_string().contains('\n'), "{text}: {error}");
    }

    #[test]
    fn a_name_is_the_latest_version() {
        check("churn", latest("churn"));
        check("Churn 2.0", latest("Churn 2.0"));
        check("churn/latest", latest("churn"));
        check("churn/LATEST", latest("churn"));
        check("churn@latest", latest("churn"));
    }

    #[test]
    fn a_number_is_a_version_and_a_word_after_at_an_alias() {
        check("churn/3", version("churn", 3));
        check("churn/007", version("churn", 7));
        check("churn@champion", alias("churn", "champion"));
    }

    #[test]
    fn the_forms_of_mlflow_mean_the_same() {
        check("models:/churn/3", version("churn", 3));
        check("models:/churn/latest", latest("churn"));
        check("models:/churn/Latest", latest("churn"));
        check("models:/churn@champion", alias("churn", "champion"));
        check("MODELS:/churn/3", version("churn", 3));
        check("models:///churn/3", version("churn", 3));
    }

    #[test]
    fn paths_urls_and_onnx_files_are_locations() {
        for text in
            ["/m/churn", "./churn", "../churn", ".", "net.onnx", "m/net.onnx", "s3://b/m", "file:///m", "file:/m"]
        {
            check(text, location(text));
        }
    }

    #[test]
    fn what_only_an_mlflow_server_knows_says_so() {
        for text in [
            "models:/churn/Production",
            "models:/m-0123456789abcdef0123456789abcdef",
            "runs:/abc/model",
            "mlflow-artifacts:/1/models",
        ] {
            refused(text, "mlflow_not_configured", "MLflow registries");
            refused(text, "mlflow_not_configured", "not built yet");
        }
    }

    #[test]
    fn an_at_splits_at_the_last_one() {
        // The name `a@b` is MLflow's; ours have no `@`, and the message names the whole name.
        refused("models:/a@b@champion", "invalid_model_reference", "`a@b`");
        refused("a@b@champion", "invalid_model_reference", "`a@b`");
    }

    #[test]
    fn everything_else_is_refused_with_what_to_write() {
        refused("", "invalid_model_reference", "empty");
        refused("churn:3", "invalid_model_reference", "`:`");
        refused("churn/prod", "invalid_model_reference", "`churn@ALIAS`");
        refused("churn/+3", "invalid_model_reference", "no version number");
        refused("churn/", "invalid_model_reference", "no version number");
        refused("a/b/c", "invalid_model_reference", "`./a/b/c`");
        refused("churn@", "invalid_model_reference", "alias");
        refused("churn@v3", "invalid_model_reference", "already mean versions");
        refused("@x", "invalid_model_reference", "empty");
        refused("churn/99999999999999999999", "invalid_model_reference", "version number");
        refused("models:/churn/99999999999999999999", "invalid_model_reference", "too large");
        refused("models:/churn", "invalid_model_reference", "models:/churn/latest");
        refused("models:churn/3", "invalid_model_reference", "models:/NAME/VERSION");
        refused("models://server/churn/3", "invalid_model_reference", "models:/NAME/VERSION");
        refused("models:/churn/3/model.onnx", "invalid_model_reference", "models:/NAME/VERSION");
        refused("models:/", "invalid_model_reference", "");
        refused("models:/churn/", "invalid_model_reference", "");
    }
}
