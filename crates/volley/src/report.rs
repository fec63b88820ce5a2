//! How a command ends when it does not end well: what is printed, and the exit status.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use volley_engine::{EngineError, Place, Problem};
use volley_model::ModelError;
use volley_server::Problem as ServerProblem;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    status: Status,
    file: Option<String>,
    problems: Vec<Problem>,
}

/// The codes of a command that is wrong, or of its arguments, the files that they name, or its settings. Every
/// other code says that the work failed.
const WRONG: [&str; 28] = [
    "bad_state",
    "credentials_in_url",
    "file_not_found",
    "file_unreadable",
    "insecure_listen",
    "invalid_job_file",
    "invalid_model_reference",
    "invalid_name",
    "invalid_null_rule",
    "invalid_parameter",
    "invalid_setting",
    "missing_credentials",
    "model_location_missing",
    "model_location_unreadable",
    "no_statement",
    "not_built",
    "parameter_not_used",
    "runtime_unavailable",
    "unauthenticated",
    "server_invalid",
    "token_invalid",
    "token_required",
    "unknown_file_type",
    "unknown_output",
    "unknown_scheme",
    "unset_parameter",
    "unsupported_location",
    "usage",
];

/// The exit status of a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// The work failed.
    Failed = 1,
    /// The command or its settings are wrong: running it again as it is cannot help.
    Wrong = 2,
}

impl Status {
    fn of(code: &str) -> Self {
        if WRONG.contains(&code) { Self::Wrong } else { Self::Failed }
    }
}

impl Failure {
    /// One problem. Its code says which exit status it ends with.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into().split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        Self { status: Status::of(code), file: None, problems: vec![Problem { code, message, place: None }] }
    }

    /// What a server says went wrong. Codes are few, and a command ends with its failure: they are kept for good.
    pub fn of_server(problems: Vec<ServerProblem>) -> Self {
        let known = |problem: ServerProblem| Problem {
            code: String::leak(problem.code),
            message: problem.message,
            place: problem.line.zip(problem.column).map(|(line, column)| Place { line, column }),
        };
        let problems: Vec<_> = problems.into_iter().map(known).collect();
        Self { status: Status::of(problems.first().map_or("internal", |problem| problem.code)), file: None, problems }
    }

    /// A file that the command names cannot be read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::new("file_not_found", format!("there is no file `{path}`")),
            _ => Self::new("file_unreadable", format!("`{path}` cannot be read: {error}")),
        }
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

    /// The same, with other words for what its reader would not know.
    pub fn reworded(mut self, words: &str, known: &str) -> Self {
        self.problems.iter_mut().for_each(|problem| problem.message = problem.message.replace(words, known));
        self
    }

    /// The same, with what to do about it.
    pub fn followed_by(mut self, next: &str) -> Self {
        self.problems.iter_mut().for_each(|problem| problem.message = format!("{}; {next}", problem.message));
        self
    }

    /// The same, with nothing left to print.
    pub fn already_told(mut self) -> Self {
        self.problems.clear();
        self
    }

    /// The code of the first problem.
    pub fn code(&self) -> Option<&'static str> {
        self.problems.first().map(|problem| problem.code)
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
    pub fn json(&self) -> String {
        let object = ErrorObject { error: self.error() };
        serde_json::to_string(&object).expect("texts and numbers have JSON")
    }

    /// The first problem, and all problems as its details.
    pub fn error(&self) -> Option<Error<'_>> {
        let details: Vec<_> = self.problems.iter().map(|problem| self.told(problem)).collect();
        let problem = details.first().cloned()?;
        Some(Error { problem, details })
    }

    fn told<'a>(&'a self, problem: &'a Problem) -> Told<'a> {
        Told {
            code: problem.code,
            message: &problem.message,
            file: self.file.as_deref(),
            line: problem.place.map(|place| place.line),
            column: problem.place.map(|place| place.column),
        }
    }
}

#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    error: Option<Error<'a>>,
}

/// What `--json` says of a failure.
#[derive(Debug, Clone, Serialize)]
pub struct Error<'a> {
    #[serde(flatten)]
    problem: Told<'a>,
    details: Vec<Told<'a>>,
}

#[derive(Debug, Clone, Serialize)]
struct Told<'a> {
    code: &'a str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<u64>,
    column: Option<u64>,
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self { status: Status::of(error.code()), file: None, problems: error.problems }
    }
}

impl From<volley_registry::Error> for Failure {
    fn from(error: volley_registry::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<io::Error> for Failure {
    /// An error of writing to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Whoever reads us has seen enough, as in `volley sql … | head`.
            io::ErrorKind::BrokenPipe => Self { status: Status::Failed, file: None, problems: vec![] },
            _ => Self::new("output_failed", format!("cannot write to standard output: {error}")),
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
        let failure = Failure::new("execution_failed", "disk\n  full");
        assert_eq!(failure.text(), "disk full [execution_failed]\n");
        assert_eq!(failure.in_file("a.sql").text(), "a.sql: disk full [execution_failed]\n");
    }

    #[test]
    fn json_has_the_first_problem_and_all_as_details() {
        let first = r#""code":"missing_input","message":"no `income`","file":"score.sql","line":12,"column":9"#;
        let second = r#""code":"type_mismatch","message":"no cast","file":"score.sql","line":14,"column":9"#;
        let expected = format!(r#"{{"error":{{{first},"details":[{{{first}}},{{{second}}}]}}}}"#);
        assert_eq!(two_problems().json(), expected);
    }

    #[test]
    fn a_place_that_is_not_known_is_null_in_json() {
        let json = Failure::new("usage", "no").json();
        assert!(json.contains(r#""file":null,"line":null,"column":null"#), "{json}");
    }

    #[test]
    fn a_parameter_that_nobody_set_is_a_mistake_of_the_command() {
        let status = |code| Failure::from(EngineError::new(code, "")).status;
        assert_eq!(status("unset_parameter"), Status::Wrong);
        assert_eq!(status("missing_input"), Status::Failed);
    }

    #[test]
    fn a_code_ends_with_one_status_however_it_comes() {
        for (code, status) in [("model_location_missing", Status::Wrong), ("unknown_model", Status::Failed)] {
            assert_eq!(Failure::new(code, "").status, status, "{code}");
            assert_eq!(Failure::from(EngineError::new(code, "")).status, status, "{code}");
        }
    }
}
