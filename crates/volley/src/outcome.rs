//! What a published statement says at its end: a line for people, an object for programs.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;
use url::Url;
use volley_engine::{ModelUse, Summary};

use crate::progress::rate;
use crate::report::Failure;

/// Digits of a digest that people see.
const DIGEST_DIGITS: usize = 12;

/// `27,004 rows in 1.2 s (22,503 rows/s) with flights/1 sha256:0123456789ab -> examples/flights/out/scores/`.
pub fn line(summary: &Summary) -> String {
    let rows = HumanCount(summary.rows);
    let speed = HumanCount(rate(summary.rows, summary.seconds));
    let into = summary.rejects.as_deref().map_or_else(String::new, |rejects| format!(" into {}", shown(rejects)));
    let rejected = format!("rejected{into}");
    let without: String = [(summary.null_scores, "without a score"), (summary.rejected, rejected.as_str())]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {} {what}", HumanCount(count)))
        .collect();
    let models: Vec<_> = summary.models.iter().map(model).collect();
    let with = if models.is_empty() { String::new() } else { format!(" with {}", models.join(", ")) };
    let to = shown(&summary.destination);
    let unit = if summary.rows == 1 { "row" } else { "rows" };
    format!("{rows} {unit} in {:.1} s ({speed} rows/s){without}{with} -> {to}", summary.seconds)
}

/// `flights/1 sha256:0123456789ab`.
pub fn model(model: &ModelUse) -> String {
    let digest = &model.sha256[..DIGEST_DIGITS.min(model.sha256.len())];
    match model.version {
        Some(version) => format!("{}/{version} sha256:{digest}", model.name),
        None => format!("{} sha256:{digest}", model.name),
    }
}

/// The object that `--json` prints: the keys stay what they are, programs read them.
#[derive(Debug, Serialize)]
pub struct Object<'a> {
    job: Option<&'a str>,
    state: &'static str,
    rows: u64,
    rejected: Option<u64>,
    null_scores: Option<u64>,
    seconds: f64,
    rows_per_second: u64,
    models: Option<&'a [ModelUse]>,
    destination: Option<&'a str>,
    files: usize,
}

impl<'a> Object<'a> {
    /// A statement that published something.
    pub fn of(summary: &'a Summary) -> Self {
        Self {
            job: Some(&summary.job),
            rejected: Some(summary.rejected),
            null_scores: Some(summary.null_scores),
            models: Some(&summary.models),
            destination: Some(&summary.destination),
            files: summary.files,
            ..Self::of_rows(summary.rows, summary.seconds)
        }
    }

    /// Statements that published nothing: what is not known of them is null.
    pub fn of_rows(rows: u64, seconds: f64) -> Self {
        Self {
            job: None,
            state: "done",
            rows,
            rejected: None,
            null_scores: None,
            seconds,
            rows_per_second: rate(rows, seconds),
            models: None,
            destination: None,
            files: 0,
        }
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Prints, for programs, how many rows there were where nothing was published last.
pub fn print_rows(rows: u64, elapsed: Duration, json: bool) -> Result<(), Failure> {
    if json {
        writeln!(io::stdout(), "{}", Object::of_rows(rows, elapsed.as_secs_f64()))?;
    }
    Ok(())
}

/// Prints what was published. The work is done by then: a command that ended as failed, because nobody reads this,
/// would be run again.
pub fn print(summary: &Summary, json: bool) {
    let told = if json { Object::of(summary).to_string() } else { line(summary) };
    if let Err(error) = writeln!(io::stdout(), "{told}") {
        let _ = writeln!(io::stderr(), "published, but standard output cannot be written ({error}): {told}");
    }
}

/// A folder of this machine as a path, below the working folder as a relative one; any other URL as it is.
pub fn shown(destination: &str) -> String {
    let path = Url::parse(destination).ok().and_then(|url| url.to_file_path().ok());
    let Some(path) = path else { return destination.to_string() };
    let folder = std::env::current_dir().unwrap_or_default();
    let shown = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
    format!("{}/", shown.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(destination: String) -> Summary {
        Summary {
            job: "0197".into(),
            rows: 27_004,
            rejected: 0,
            null_scores: 0,
            seconds: 1.2,
            models: vec![ModelUse { name: "flights".into(), version: Some(1), sha256: "0123456789abcdef".into() }],
            destination,
            rejects: None,
            files: 1,
        }
    }

    #[test]
    fn the_last_line_names_rows_speed_model_and_destination() {
        let expected = "27,004 rows in 1.2 s (22,503 rows/s) with flights/1 sha256:0123456789ab -> s3://lake/scores/";
        assert_eq!(line(&summary("s3://lake/scores/".into())), expected);
    }

    #[test]
    fn a_destination_below_the_working_folder_is_shown_relative_to_it() {
        let folder = std::env::current_dir().unwrap();
        let below = format!("file://{}/out/scores/", folder.display());
        assert!(line(&summary(below)).ends_with(" -> out/scores/"));
        assert!(line(&summary("file:///elsewhere/".into())).ends_with(" -> /elsewhere/"));
    }

    #[test]
    fn rows_without_a_score_are_counted() {
        let summary = Summary { null_scores: 3, models: vec![], ..summary("s3://x/".into()) };
        assert_eq!(line(&summary), "27,004 rows in 1.2 s (22,503 rows/s), 3 without a score -> s3://x/");
    }

    #[test]
    fn rejected_rows_are_counted_and_their_place_is_named() {
        let rejects = Some("s3://x/bad/".to_string());
        let summary = Summary { rejected: 1, rejects, models: vec![], ..summary("s3://x/".into()) };
        assert_eq!(line(&summary), "27,004 rows in 1.2 s (22,503 rows/s), 1 rejected into s3://x/bad/ -> s3://x/");
    }

    #[test]
    fn the_object_has_the_keys_that_programs_read() {
        let expected = r#"{"job":"0197","state":"done","rows":27004,"rejected":0,"null_scores":0,"seconds":1.2,"rows_per_second":22503,"models":[{"name":"flights","version":1,"sha256":"0123456789abcdef"}],"destination":"s3://lake/","files":1}"#;
        assert_eq!(Object::of(&summary("s3://lake/".into())).to_string(), expected);
        let expected = r#"{"job":null,"state":"done","rows":4,"rejected":null,"null_scores":null,"seconds":2.0,"rows_per_second":2,"models":null,"destination":null,"files":0}"#;
        assert_eq!(Object::of_rows(4, 2.0).to_string(), expected);
    }
}
