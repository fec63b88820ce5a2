//! What a user writes to name a model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::Error;
use crate::name::{check_alias, check_mlflow_name, check_model_name};

/// A model reference, parsed and not yet resolved.
///
/// `churn` and `churn/latest` are the newest version, `churn/3` a version, `churn@champion` an alias, in the registry
/// of the settings. What MLflow writes, `models:/…` and `runs:/…`, is asked of an MLflow server where there is one.
/// What starts with `/`, `./` or `../`, has another scheme, or ends with `.onnx` is a location.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelRef {
    /// A version of a registered model.
    Registered {
        /// The model.
        name: String,
        /// Its version.
        which: Which,
    },
    /// As MLflow writes it.
    Mlflow(MlflowRef),
    /// A model directory or a model file.
    Location(String),
}

/// One of the versions of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    /// The highest that is not deleted.
    Latest,
    /// That of a number, from 1.
    Number(u64),
    /// The one that an alias points to; case-sensitive.
    Alias(String),
}

/// A reference by the grammar of MLflow, which takes names that ours does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MlflowRef {
    /// `models:/NAME/3`, `models:/NAME/latest`, `models:/NAME@ALIAS` (at the last `@`).
    Registered {
        /// The model.
        name: String,
        /// Its version.
        which: Which,
    },
    /// `models:/NAME/STAGE`: the newest version in a stage, which MLflow deprecates.
    Stage {
        /// The model.
        name: String,
        /// The stage, such as `Production`.
        stage: String,
    },
    /// `models:/m-…`: a model that was logged, whether it is registered or not.
    Logged(String),
    /// `runs:/RUN/PATH`: what a run logged under a path.
    Run {
        /// The id of the run.
        run: String,
        /// Below its artifacts, or the name of the model that it logged.
        path: String,
    },
}

impl MlflowRef {
    /// A version of a registered model.
    pub(crate) fn version(name: &str, version: u64) -> Self {
        MlflowRef::Registered { name: name.to_owned(), which: Which::Number(version) }
    }
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(path) = after_scheme(text, "models:") {
            return Text(text).mlflow_model(path).map(ModelRef::Mlflow);
        }
        if let Some(path) = after_scheme(text, "runs:") {
            return Text(text).run(path).map(ModelRef::Mlflow);
        }
        if after_scheme(text, "mlflow-artifacts:").is_some() {
            return Err(Text(text).refused("name the model, `models:/NAME/VERSION`, or `models:/m-…`".to_owned()));
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
            ModelRef::Registered { name, which: Which::Latest } => write!(f, "{name}"),
            ModelRef::Registered { name, which: Which::Number(version) } => write!(f, "{name}/{version}"),
            ModelRef::Registered { name, which: Which::Alias(alias) } => write!(f, "{name}@{alias}"),
            ModelRef::Mlflow(reference) => write!(f, "{reference}"),
            ModelRef::Location(location) => write!(f, "{location}"),
        }
    }
}

impl fmt::Display for MlflowRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MlflowRef::Registered { name, which: Which::Latest } => write!(f, "models:/{name}/latest"),
            MlflowRef::Registered { name, which: Which::Number(version) } => write!(f, "models:/{name}/{version}"),
            MlflowRef::Registered { name, which: Which::Alias(alias) } => write!(f, "models:/{name}@{alias}"),
            MlflowRef::Stage { name, stage } => write!(f, "models:/{name}/{stage}"),
            MlflowRef::Logged(id) => write!(f, "models:/{id}"),
            MlflowRef::Run { run, path } => write!(f, "runs:/{run}/{path}"),
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
        let (name, which) = match self.0.split_once('/') {
            Some((name, suffix)) => match numbered(suffix) {
                Some(which) => (name, which),
                None => {
                    return Err(self.refused(format!(
                        "`{suffix}` is no version number; an alias is written `{name}@ALIAS`, a folder `./{}`",
                        self.0
                    )));
                }
            },
            None => match self.0.rsplit_once('@') {
                Some((name, alias)) => (name, aliased(alias)),
                None => (self.0, Which::Latest),
            },
        };
        self.checked(check_model_name(name))?;
        self.checked(check_which(&which))?;
        Ok(ModelRef::Registered { name: name.to_owned(), which })
    }

    /// `models:/NAME/VERSION`, `models:/NAME/latest`, `models:/NAME/STAGE`, `models:/NAME@ALIAS`, `models:/m-…`.
    fn mlflow_model(&self, path: &str) -> Result<MlflowRef, Error> {
        let wrong = || self.refused("write `models:/NAME/VERSION` or `models:/NAME@ALIAS`".to_owned());
        let parts: Vec<&str> = self.absolute(path).ok_or_else(wrong)?.split('/').collect();
        match parts[..] {
            [name, suffix] if !suffix.trim().is_empty() => match numbered(suffix) {
                Some(which) => self.mlflow_version(name, which),
                None if suffix.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Err(self.refused(format!("`{suffix}` is too large for a version number")))
                }
                None => {
                    self.checked(check_mlflow_name(name))?;
                    Ok(MlflowRef::Stage { name: name.to_owned(), stage: suffix.to_owned() })
                }
            },
            [model] => match model.rsplit_once('@') {
                Some((name, alias)) => self.mlflow_version(name, aliased(alias)),
                None if is_logged_model(model) => Ok(MlflowRef::Logged(model.to_owned())),
                None => Err(self.refused(format!("it names no version; write `models:/{model}/latest`"))),
            },
            _ => Err(wrong()),
        }
    }

    fn mlflow_version(&self, name: &str, which: Which) -> Result<MlflowRef, Error> {
        self.checked(check_mlflow_name(name))?;
        self.checked(check_which(&which))?;
        Ok(MlflowRef::Registered { name: name.to_owned(), which })
    }

    /// `runs:/RUN/PATH`.
    fn run(&self, path: &str) -> Result<MlflowRef, Error> {
        let parts = self.absolute(path).and_then(|path| path.split_once('/'));
        let is_id = |run: &str| !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match parts {
            Some((run, path)) if is_id(run) && is_inner_path(path) => {
                Ok(MlflowRef::Run { run: run.to_owned(), path: path.to_owned() })
            }
            _ => Err(self.refused("write `runs:/RUN/PATH`, with the id of a run and the name of its model".to_owned())),
        }
    }

    /// What follows one slash, or three: a host has no meaning here.
    fn absolute<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = path.strip_prefix("//").unwrap_or(path);
        path.strip_prefix('/').filter(|path| !path.starts_with('/'))
    }

    fn checked(&self, check: Result<(), Error>) -> Result<(), Error> {
        check.map_err(|error| self.refused(error.to_string()))
    }

    fn refused(&self, reason: String) -> Error {
        Error::Reference { reference: self.0.to_owned(), reason }
    }
}

fn numbered(suffix: &str) -> Option<Which> {
    if suffix.eq_ignore_ascii_case("latest") {
        return Some(Which::Latest);
    }
    // u64 would also take a leading `+`.
    suffix.bytes().all(|byte| byte.is_ascii_digit()).then(|| suffix.parse().ok().map(Which::Number))?
}

/// MLflow answers to `@latest` although nobody can set that alias.
fn aliased(alias: &str) -> Which {
    match alias.eq_ignore_ascii_case("latest") {
        true => Which::Latest,
        false => Which::Alias(alias.to_owned()),
    }
}

fn check_which(which: &Which) -> Result<(), Error> {
    match which {
        Which::Alias(alias) => check_alias(alias),
        Which::Latest | Which::Number(_) => Ok(()),
    }
}

/// Parts that stay where they are: none is empty, `.` or `..`.
fn is_inner_path(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\\'))
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

/// Whether a URL leads to this machine. A proxy of the environment is for hosts beyond it.
pub fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a registry of the settings is an MLflow server.
pub fn is_mlflow(registry: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| after_scheme(registry, scheme).is_some())
}

fn after_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest(name: &str) -> ModelRef {
        registered(name, Which::Latest)
    }
    fn registered(name: &str, which: Which) -> ModelRef {
        ModelRef::Registered { name: name.to_owned(), which }
    }
    fn mlflow(name: &str, which: Which) -> ModelRef {
        ModelRef::Mlflow(MlflowRef::Registered { name: name.to_owned(), which })
    }
    fn version(name: &str, version: u64) -> ModelRef {
        registered(name, Which::Number(version))
    }
    fn alias(name: &str, alias: &str) -> ModelRef {
        registered(name, Which::Alias(alias.to_owned()))
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
    fn what_mlflow_writes_is_asked_of_mlflow() {
        check("models:/churn/3", mlflow("churn", Which::Number(3)));
        check("models:/churn/latest", mlflow("churn", Which::Latest));
        check("models:/churn/Latest", mlflow("churn", Which::Latest));
        check("models:/churn@champion", mlflow("churn", Which::Alias("champion".to_owned())));
        check("MODELS:/churn/3", mlflow("churn", Which::Number(3)));
        check("models:///churn/3", mlflow("churn", Which::Number(3)));
        check(
            "models:/churn/Production",
            ModelRef::Mlflow(MlflowRef::Stage { name: "churn".to_owned(), stage: "Production".to_owned() }),
        );
        let id = "m-0123456789abcdef0123456789abcdef";
        check(&format!("models:/{id}"), ModelRef::Mlflow(MlflowRef::Logged(id.to_owned())));
        let run = MlflowRef::Run { run: "abc12".to_owned(), path: "models/churn".to_owned() };
        check("runs:/abc12/models/churn", ModelRef::Mlflow(run));
    }

    #[test]
    fn an_at_splits_at_the_last_one() {
        // Names of MLflow may hold one; ours have none, and the message names the whole name.
        check("models:/a@b@champion", mlflow("a@b", Which::Alias("champion".to_owned())));
        refused("a@b@champion", "invalid_model_reference", "`a@b`");
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
        refused("models:/a:b/3", "invalid_model_reference", "`:`");
        refused("mlflow-artifacts:/1/models", "invalid_model_reference", "models:/NAME/VERSION");
        for run in ["runs:/abc", "runs:/abc/", "runs:/a-b/m", "runs:/abc/../m", "runs:/abc/m//x", "runs:abc/m"] {
            refused(run, "invalid_model_reference", "runs:/RUN/PATH");
        }
    }
}
