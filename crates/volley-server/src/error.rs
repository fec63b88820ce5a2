//! What goes wrong with what was asked for, told with place and stable code.

use volley_cluster::ClusterError;
use volley_engine::EngineError;
use volley_jobs::Problem;

/// Why something is not done: one problem, or all problems of one statement.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", problems.iter().map(|problem| format!("{} [{}]", problem.message, problem.code)).collect::<Vec<_>>().join("\n"))]
pub struct ServerError {
    /// At least one.
    pub problems: Vec<Problem>,
    /// Whether the same may succeed later without anyone changing anything.
    pub is_transient: bool,
}

impl ServerError {
    /// One problem, which does not pass by itself.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { problems: vec![Problem::new(code, message)], is_transient: false }
    }

    /// The code of the first problem.
    pub fn code(&self) -> &str {
        self.problems.first().map_or("internal", |problem| problem.code.as_str())
    }
}

impl From<EngineError> for ServerError {
    fn from(error: EngineError) -> Self {
        let is_transient = error.is_transient();
        Self { problems: problems(error), is_transient }
    }
}

impl From<ClusterError> for ServerError {
    fn from(error: ClusterError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<volley_jobs::Error> for ServerError {
    fn from(error: volley_jobs::Error) -> Self {
        let is_transient = error.is_transient();
        let problem = match error {
            volley_jobs::Error::Engine(problem) => problem,
            error => Problem::new(error.code(), error.to_string()),
        };
        Self { problems: vec![problem], is_transient }
    }
}

/// The problems of an error of the engine, as they are kept and sent.
pub(crate) fn problems(error: EngineError) -> Vec<Problem> {
    let told = |problem: volley_engine::Problem| Problem {
        code: problem.code.to_owned(),
        message: problem.message,
        line: problem.place.map(|place| place.line),
        column: problem.place.map(|place| place.column),
    };
    error.problems.into_iter().map(told).collect()
}
