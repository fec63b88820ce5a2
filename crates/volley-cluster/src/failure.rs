//! The errors of a split on their way from an executor to the server.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use volley_engine::{EngineError, Problem};

/// What went wrong with a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    problems: Vec<(String, String)>,
}

impl Failure {
    pub(crate) fn of(error: &EngineError) -> Self {
        let problem = |problem: &Problem| (problem.code.to_owned(), problem.message.clone());
        Self { problems: error.problems.iter().map(problem).collect() }
    }

    /// The same, with who says it where that is what has to be mended.
    pub(crate) fn told_by(&self, executor: impl std::fmt::Display) -> Self {
        let told = |(code, message): &(String, String)| match OF_ITS_SETTINGS.contains(&code.as_str()) {
            true => (code.clone(), format!("{message} (so says executor {executor})")),
            false => (code.clone(), message.clone()),
        };
        Self { problems: self.problems.iter().map(told).collect() }
    }

    /// The error as the executor had it.
    pub(crate) fn error(&self) -> EngineError {
        let problem =
            |(code, message): &(String, String)| Problem { code: known(code), message: message.clone(), place: None };
        EngineError::all(self.problems.iter().map(problem).collect())
    }
}

/// Errors of the settings and the environment of one executor, which others need not have.
const OF_ITS_SETTINGS: [&str; 6] = [
    "mlflow_denied",
    "mlflow_not_configured",
    "mlflow_settings",
    "mlflow_unauthenticated",
    "model_cache",
    "registry_mismatch",
];

/// How many codes are taken over that were not met before: as many as there may ever be, and no more of a stranger's.
const CODES_MAX: usize = 512;

/// A code as errors hold it. Executors are of the same version, so their codes are ours, once met.
fn known(code: &str) -> &'static str {
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = codes.get(code) {
        return code;
    }
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !is_code || codes.len() >= CODES_MAX {
        return "execution_failed";
    }
    let code: &'static str = Box::leak(code.to_owned().into_boxed_str());
    codes.insert(code);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_with_its_codes() {
        let error = EngineError::new("store_unavailable", "the store does not answer");
        let travelled = serde_json::to_string(&Failure::of(&error)).expect("plain data");
        let failure: Failure = serde_json::from_str(&travelled).expect("plain data");
        assert_eq!(failure.error().problems, error.problems);
        assert!(failure.error().is_transient());
    }

    #[test]
    fn what_is_no_code_becomes_none() {
        let failure = Failure { problems: vec![("DROP TABLE".to_owned(), "x".to_owned())] };
        assert_eq!(failure.error().code(), "execution_failed");
    }
}
