//! What went wrong with a statement, told with place and stable code.

use std::error::Error as StdError;

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use volley_connect::{ConnectError, StoreFault, without_values};
use volley_model::nearest_name;
use volley_predict::{Place, PredictError, Problem, Site};

/// An error that a user of the engine sees: one problem, or all problems of one statement.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", one_per_line(problems))]
pub struct EngineError {
    /// At least one, in the order of the text.
    pub problems: Vec<Problem>,
}

fn one_per_line(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl EngineError {
    /// One problem without a place.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::at(code, message, None)
    }

    /// One problem at a place of the text.
    pub fn at(code: &'static str, message: impl Into<String>, place: Option<Place>) -> Self {
        Self { problems: vec![Problem { code, message: one_line(&message.into()), place }] }
    }

    /// All of several problems, in the order of the text.
    pub fn all(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        Self { problems }
    }

    /// The same problems; one without a place that names a table or a parameter of the statement stands there.
    pub(crate) fn at_names(mut self, places: &[(String, Place)]) -> Self {
        for problem in &mut self.problems {
            let is_named = |name: &str| ['\'', '`'].iter().any(|q| problem.message.contains(&format!("{q}{name}{q}")));
            problem.place =
                problem.place.or_else(|| places.iter().find(|(name, _)| is_named(name)).map(|(_, place)| *place));
        }
        self
    }

    /// The same problems, found in a view's definition, of which the statement at hand has no text.
    pub(crate) fn in_view(self, name: &str) -> Self {
        let problems = self.problems.into_iter();
        let told = problems.map(|problem| Problem {
            message: format!("in view `{name}`: {}", problem.message),
            place: None,
            ..problem
        });
        Self { problems: told.collect() }
    }

    /// Whether the same statement may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        TRANSIENT.contains(&self.code())
    }

    /// The code of the first problem.
    pub fn code(&self) -> &'static str {
        self.problems.first().map_or("internal", |problem| problem.code)
    }

    /// Turns an error of DataFusion, in which ours travel, into what a user can act on. `sites` are the
    /// predict calls of the statement, to give binding problems their places.
    pub(crate) fn from_datafusion(error: &DataFusionError, sites: &[Site]) -> Self {
        if let Some(ours) = find::<EngineError>(error) {
            return ours.clone();
        }
        if let Some(predict) = find::<PredictError>(error) {
            return match predict {
                PredictError::Binding(problems) => {
                    Self::all(problems.iter().map(|problem| problem.clone().placed(sites)).collect())
                }
                other => Self::new(other.code(), other.to_string()),
            };
        }
        if let Some(connect) = find::<ConnectError>(error) {
            return connect.into();
        }
        if let Some(commit) = find::<volley_commit::Error>(error) {
            return commit.into();
        }
        if let Some(fault) = find::<StoreFault>(error) {
            return Self::new(fault.code(), fault.to_string());
        }
        let (code, message) = told(error);
        Self::at(code, message, place_of(error))
    }
}

/// What passes by itself: a store or a registry that does not answer, a machine that is too busy, another job's turn.
/// Where files are only put in place, what is left to do is done.
const TRANSIENT: [&str; 6] = [
    "destination_busy",
    "mlflow_unavailable",
    "model_load_timeout",
    "publish_pending",
    "registry_unavailable",
    "store_unavailable",
];

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        Self::from_datafusion(&error, &[])
    }
}

impl From<&volley_commit::Error> for EngineError {
    fn from(error: &volley_commit::Error) -> Self {
        match (error.code(), StoreFault::find(error)) {
            // What the store says is more than that it failed. Outcomes lie on this machine: what is not known of a
            // bucket is whether a turn was written there, and the next command asks for it.
            ("store_failed" | "location_unreachable" | "outcome_unknown", Some(fault)) => {
                Self::new(fault.code(), fault.to_string())
            }
            (code, _) => Self::new(code, error.to_string()),
        }
    }
}

impl From<volley_commit::Error> for EngineError {
    fn from(error: volley_commit::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&ConnectError> for EngineError {
    fn from(error: &ConnectError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ConnectError> for EngineError {
    fn from(error: ConnectError) -> Self {
        Self::from(&error)
    }
}

impl From<volley_registry::Error> for EngineError {
    fn from(error: volley_registry::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// The error of a type among an error and its causes.
fn find<T: StdError + 'static>(error: &DataFusionError) -> Option<&T> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(all)) => all.first().map(|first| first as _),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            _ => match error.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                // An I/O error names the cause of what it holds, and not that itself.
                _ => match error.downcast_ref::<std::io::Error>() {
                    Some(io) => io.get_ref().map(|inner| inner as _),
                    None => error.source(),
                },
            },
        };
    }
    None
}

fn told(error: &DataFusionError) -> (&'static str, String) {
    match error.find_root() {
        DataFusionError::SQL(parser, _) => ("syntax", without_position(&parser.to_string())),
        DataFusionError::SchemaError(schema, _) => schema_error(schema),
        DataFusionError::Plan(message) if message.starts_with("Projections require unique expression names") => {
            ("duplicate_column", "two columns of a SELECT have the same name: name one of them with AS".to_string())
        }
        DataFusionError::Plan(message) => ("plan", without_values_of_casts(&as_written(message))),
        DataFusionError::NotImplemented(message) => ("not_supported", message.clone()),
        DataFusionError::ResourcesExhausted(message) => {
            ("out_of_memory", format!("more memory is needed than the setting memory_bytes gives: {message}"))
        }
        DataFusionError::Execution(message) => ("execution_failed", without_values_of_casts(message)),
        DataFusionError::ArrowError(arrow, _) => ("execution_failed", without_values(&arrow.to_string())),
        DataFusionError::ObjectStore(store) => ("store_failed", store.to_string()),
        DataFusionError::IoError(io) => ("io_failed", io.to_string()),
        DataFusionError::Configuration(message) => ("invalid_setting", message.clone()),
        DataFusionError::Internal(message) => ("internal", message.clone()),
        other => ("execution_failed", other.strip_backtrace()),
    }
}

/// The name of the table that DataFusion did not find, if that is what went wrong: it says
/// `table 'datafusion.public.name' not found`.
pub(crate) fn missing_table(error: &DataFusionError) -> Option<String> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("table '")?.strip_suffix("' not found")?;
    Some(name.strip_prefix("datafusion.public.").unwrap_or(name).to_string())
}

impl EngineError {
    /// A table that is not there, among those that are.
    pub(crate) fn no_table(name: &str, error: &DataFusionError, known: &[String]) -> Self {
        let hint = match known {
            [] => "a file or a folder is named by its path in quotes, such as 'file.parquet' or 'folder/'".to_string(),
            known => there_is(known, name),
        };
        Self::at("table_not_found", format!("there is no table `{name}`: {hint}"), place_of(error))
    }
}

/// Lists what there is, and what is nearest to a name that is not among it.
fn there_is(names: &[String], wanted: &str) -> String {
    let nearest = nearest_name(wanted, names.iter().map(String::as_str));
    let hint = nearest.map(|name| format!("; did you mean \"{name}\"?"));
    if names.is_empty() {
        return "there are no columns here".to_string();
    }
    let some: Vec<_> = names.iter().take(20).map(String::as_str).collect();
    format!("there is {}{}", some.join(", "), hint.unwrap_or_default())
}

/// Functions report a value that they cannot take, and literals are cast while planning; other messages quote
/// names only, which stay.
fn without_values_of_casts(message: &str) -> String {
    let quotes_values = ["Cannot cast", "Can't cast", "parsing", "Row data"].iter().any(|sign| message.contains(sign));
    if quotes_values { without_values(message) } else { message.to_string() }
}

fn schema_error(error: &SchemaError) -> (&'static str, String) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<_> = valid_fields.iter().map(|column| column.name.clone()).collect();
            ("unknown_column", format!("there is no column `{}`: {}", field.name, there_is(&names, &field.name)))
        }
        SchemaError::AmbiguousReference { field } => (
            "ambiguous_column",
            format!("column `{}` is in several tables: put the table's name before it", field.name),
        ),
        other => ("plan", other.to_string()),
    }
}

fn place_of(error: &DataFusionError) -> Option<Place> {
    if let DataFusionError::SQL(parser, _) = error.find_root() {
        return position(&parser.to_string());
    }
    let start = error.diagnostic()?.span?.start;
    Some(Place { line: start.line, column: start.column })
}

/// sqlparser puts the place at the end of its message: `… at Line: 3, Column: 7`.
fn position(message: &str) -> Option<Place> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Place { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

fn without_position(message: &str) -> String {
    let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
    message.rsplit_once(" at Line: ").map_or(message, |(message, _)| message).to_string()
}

/// DataFusion writes expressions into its messages as it holds them: texts become SQL's again, and the empty
/// parameters that a call is given on its way go.
fn as_written(message: &str) -> String {
    let mut pieces = message.split("Utf8(\"");
    let mut written = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        match piece.split_once("\")") {
            Some((text, rest)) => written += &format!("'{text}'{rest}"),
            None => written += piece,
        }
    }
    written.replace(", '{}'", "").replace(",'{}'", "")
}

fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_syntax_error_is_taken_from_its_message() {
        let message = "sql parser error: Expected: an expression, found: FROM at Line: 3, Column: 7";
        assert_eq!(position(message), Some(Place { line: 3, column: 7 }));
        assert_eq!(without_position(message), "Expected: an expression, found: FROM");
    }

    #[test]
    fn a_call_in_a_message_reads_as_sql() {
        let message = r#"'sum(predict(Utf8("lin"), Utf8("{}"), t.a, Utf8("x")))' is nested"#;
        assert_eq!(as_written(message), "'sum(predict('lin', t.a, 'x'))' is nested");
    }

    #[test]
    fn too_little_memory_names_the_setting_that_gives_more() {
        let error = EngineError::from(DataFusionError::ResourcesExhausted("a sort".to_string()));
        assert_eq!(error.code(), "out_of_memory");
        assert!(error.to_string().contains("memory_bytes") && error.to_string().contains("a sort"), "{error}");
    }

    #[test]
    fn where_there_is_no_column_none_is_listed() {
        assert_eq!(there_is(&[], "foo"), "there are no columns here");
        assert_eq!(there_is(&["fob".to_string()], "foo"), "there is fob; did you mean \"fob\"?");
    }

    #[test]
    fn an_error_of_ours_is_found_under_wrappers() {
        let ours = DataFusionError::External(Box::new(EngineError::new("some_code", "what")));
        let wrapped = DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(ours))), None);
        assert_eq!(EngineError::from_datafusion(&wrapped.context("while"), &[]).code(), "some_code");
    }
}
