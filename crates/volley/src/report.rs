//! How a command ends when it does not end well: what is printed, and the exit status.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use volley_engine::{EngineError, Place, Problem};
use volley_model::ModelError;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    status: Status,
    file: Option<String>,
    problems: Vec<Problem>,
}

/// The exit status of a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The work failed.
    Failed = 1,
    /// The command or its settings are wrong: running it again as it is cannot help.
    Wrong = 2,
}

impl Failure {
    /// The work failed.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::one(Status::Failed, code, message.into())
    }

    /// The command or its settings are wrong.
    pub fn wrong(code: &'static str, message: impl Into<String>) -> Self {
        Self::one(Status::Wrong, code, message.into())
    }

    /// A file that the command names cannot be read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::wrong("file_not_found", format!("there is no file `{path}`")),
            _ => Self::wrong("file_unreadable", format!("`{path}` cannot be read: {error}")),
        }
    }

    /// The user stopped the command.
    pub fn interrupted() -> Self {
        Self::failed("interrupted", "stopped: what was not committed is given up, its destination is as it was")
    }

    fn one(status: Status, code: &'static str, message: String) -> Self {
        let message = message.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        Self { status, file: None, problems: vec![Problem { code, message, place: None }] }
    }

    /// The same, about a file. The first file that is named stays.
    pub fn in_file(mut self, file: &str) -> Self {
        self.file.get_or_insert_with(|| file.to_string());
        self
    }

    /// The same, at a place of its file.
    pub fn at(mut self, place: Place) -> Self {
        self.problems.iter_mut().for_each(|problem| problem.place = Some(place));
        self
    }

    /// The same, with every place changed, or taken away where `change` gives none.
    pub fn with_places(mut self, change: impl Fn(Place) -> Option<Place>) -> Self {
        self.problems.iter_mut().for_each(|problem| problem.place = problem.place.and_then(&change));
        self
    }

    /// The same, with nothing left to print.
    pub fn already_told(mut self) -> Self {
        self.problems.clear();
        self
    }

    /// The exit status to end with.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status as u8)
    }

    /// Prints it: one line a problem on standard error, or one JSON object on standard output.
    pub fn print(&self, json: bool) {
        if self.problems.is_empty() {
            return;
        }
        // Nobody is left to be told if this cannot be written.
        let _ = if json { writeln!(io::stdout(), "{}", self.json()) } else { write!(io::stderr(), "{}", self.text()) };
    }

    /// `FILE:LINE:COLUMN: message [code]` for each problem.
    pub fn text(&self) -> String {
        let file = self.file.as_deref().unwrap_or_default();
        let line = |problem: &Problem| match (file, problem.place) {
            ("", _) => format!("{problem}\n"),
            (file, Some(_)) => format!("{file}:{problem}\n"),
            (file, None) => format!("{file}: {problem}\n"),
        };
        self.problems.iter().map(line).collect()
    }

    /// `{"error": {…}}` with the first problem, and all problems as its details.
    pub fn json(&self) -> Value {
        let problem = |problem: &Problem| {
            json!({
                "code": problem.code,
                "message": problem.message,
                "file": self.file,
                "line": problem.place.map(|place| place.line),
                "column": problem.place.map(|place| place.column),
            })
        };
        let details: Vec<_> = self.problems.iter().map(problem).collect();
        let mut error = details.first().cloned().unwrap_or_else(|| json!({}));
        error["details"] = Value::Array(details);
        json!({ "error": error })
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let status = match error.code() {
            // What the command line or the job file left out or got wrong.
            "unset_parameter" | "invalid_parameter" | "invalid_setting" | "bad_state" => Status::Wrong,
            _ => Status::Failed,
        };
        Self { status, file: None, problems: error.problems }
    }
}

impl From<volley_registry::Error> for Failure {
    fn from(error: volley_registry::Error) -> Self {
        Self::failed(error.code(), error.to_string())
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::failed(error.code(), error.to_string())
    }
}

impl From<io::Error> for Failure {
    /// An error of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever reads us has seen enough, as in `volley sql … | head`.
            io::ErrorKind::BrokenPipe => Self { status: Status::Failed, file: None, problems: vec![] },
            _ => Self::failed("output_failed", format!("cannot write to standard output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_problems() -> Failure {
        let problem = |line, code, message: &str| Problem {
            code,
            message: message.to_string(),
            place: Some(Place { line, column: 9 }),
        };
        let problems = vec![problem(12, "missing_input", "no `income`"), problem(14, "type_mismatch", "no cast")];
        Failure::from(EngineError { problems }).in_file("score.sql")
    }

    #[test]
    fn every_problem_is_a_line_with_file_place_and_code() {
        assert_eq!(
            two_problems().text(),
            "score.sql:12:9: no `income` [missing_input]\nscore.sql:14:9: no cast [type_mismatch]\n"
        );
    }

    #[test]
    fn without_a_place_the_file_is_named_and_without_a_file_neither() {
        let failure = Failure::failed("execution_failed", "disk\n  full");
        assert_eq!(failure.text(), "disk full [execution_failed]\n");
        assert_eq!(failure.in_file("a.sql").text(), "a.sql: disk full [execution_failed]\n");
    }

    #[test]
    fn json_has_the_first_problem_and_all_as_details() {
        let json = two_problems().json();
        assert_eq!(json["error"]["code"], "missing_input");
        assert_eq!(json["error"]["line"], 12);
        assert_eq!(json["error"]["file"], "score.sql");
        assert_eq!(json["error"]["details"][1]["code"], "type_mismatch");
        assert_eq!(json["error"]["details"][1]["column"], 9);
    }

    #[test]
    fn a_place_that_is_not_known_is_null_in_json() {
        let json = Failure::wrong("usage", "no").json();
        assert!(json["error"]["file"].is_null());
        assert!(json["error"]["line"].is_null());
    }

    #[test]
    fn a_parameter_that_nobody_set_is_a_mistake_of_the_command() {
        let status = |code| Failure::from(EngineError::new(code, "")).status;
        assert_eq!(status("unset_parameter"), Status::Wrong);
        assert_eq!(status("missing_input"), Status::Failed);
    }
}
