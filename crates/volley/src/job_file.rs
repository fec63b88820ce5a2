//! What `volley run` is given: an SQL file, or a job file that names one or holds it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Spanned, Value};
use volley_engine::{Filled, Output, ParamValue, Params};
use volley_registry::is_url;

use crate::args::Pair;
use crate::report::Failure;
use crate::script::Script;
use crate::toml_file::TomlFile;

const INVALID: &str = "invalid_job_file";

/// A job as its author wrote it.
#[derive(Debug, PartialEq)]
pub struct Job {
    /// The SQL file or job file, as it was named.
    pub file: String,
    /// What it runs.
    pub script: Script,
    /// Values for the script.
    pub params: Params,
    /// Where the rows of a bare SELECT go.
    pub output: Option<Output>,
    /// How often a statement is tried that failed for a reason that may pass.
    pub attempts: NonZeroU32,
}

impl Job {
    /// Reads a `.sql` file or a `.toml` job file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sql") => Ok(Self {
                file: path.display().to_string(),
                script: Script::read(path)?,
                params: Params::default(),
                output: None,
                attempts: NonZeroU32::MIN,
            }),
            Some("toml") => JobFile::job(&TomlFile::read(path, INVALID)?, path.parent().unwrap_or(Path::new(""))),
            _ => {
                let message = format!("`{}` is neither an SQL file (.sql) nor a job file (.toml)", path.display());
                Err(Failure::new("unknown_file_type", message))
            }
        }
    }

    /// What it runs, without its places in files.
    pub fn as_script(&self) -> volley_engine::Script {
        volley_engine::Script {
            text: self.script.text.clone(),
            params: self.params.clone(),
            output: self.output.clone(),
        }
    }

    /// The same with its parameters filled in. Errors have their places.
    pub fn filled(&self) -> Result<Filled, Failure> {
        let script = self.as_script();
        let in_file = |error| Failure::from(error).in_file(&self.file);
        script.check_params().map_err(in_file)?;
        let text = script.filled_text().map_err(|error| self.script.located(error))?;
        Ok(Filled { text, output: script.filled_output().map_err(in_file)? })
    }

    /// Sets parameters as the command line gives them. One that the job file sets as a text stays a text.
    pub fn set_params(&mut self, pairs: &[Pair]) {
        for Pair { name, value } in pairs {
            let is_text = |(known, old): (&str, &ParamValue)| known == name && matches!(old, ParamValue::Text(_));
            let stays_text = self.params.iter().any(is_text);
            match stays_text {
                true => self.params.set(name, ParamValue::Text(value.clone()), value),
                false => self.params.set_text(name, value),
            }
        }
    }
}

/// A job file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    /// For people alone, as long as there is no history of jobs.
    #[serde(rename = "name")]
    _name: Option<String>,
    /// A path that ends in `.sql`, or SQL.
    sql: Spanned<String>,
    #[serde(default)]
    params: BTreeMap<String, Spanned<Value>>,
    output: Option<OutputTable>,
    #[serde(default)]
    retry: RetryTable,
    schedule: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryTable {
    attempts: Option<NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputTable {
    to: Spanned<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    format: FileFormat,
    #[serde(default)]
    partitioned_by: Vec<String>,
    rejects: Option<Spanned<String>>,
    max_rejects: Option<Spanned<u64>>,
    reject_values: Option<Spanned<bool>>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// A destination that holds data is somebody's until its owner says otherwise.
    #[default]
    Error,
    Append,
    Overwrite,
    OverwritePartitions,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileFormat {
    #[default]
    Parquet,
    Csv,
    Json,
    Arrow,
}

impl JobFile {
    /// The job of a file that lies in `folder`.
    fn job(file: &TomlFile, folder: &Path) -> Result<Job, Failure> {
        let job: Self = file.parse()?;
        job.refuse_what_is_not_built(file)?;
        job.refuse_an_empty_destination(file)?;
        job.refuse_rejects_without_a_place(file)?;
        Ok(Job {
            script: job.script(file, folder)?,
            params: job.params(file)?,
            output: job.output.map(|output| output.engine(folder)),
            attempts: job.retry.attempts.unwrap_or(NonZeroU32::MIN),
            file: file.name.clone(),
        })
    }

    fn refuse_what_is_not_built(&self, file: &TomlFile) -> Result<(), Failure> {
        let span = |value: Option<&Spanned<Value>>| value.map(Spanned::span);
        let keys: [(&str, Option<Range<usize>>); 1] = [("[schedule]", span(self.schedule.as_ref()))];
        for (key, span) in keys {
            if span.is_some() {
                let message = format!("`{key}` is not built yet: remove it from the job file");
                return Err(file.mistake("not_built", &message, span));
            }
        }
        Ok(())
    }

    /// Put beside the job file, it would be the folder that holds the job itself.
    fn refuse_an_empty_destination(&self, file: &TomlFile) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Ok(()) };
        let folders = [("to", Some(&output.to)), ("rejects", output.rejects.as_ref())];
        let named = folders.into_iter().filter_map(|(key, folder)| Some((key, folder?)));
        match { named }.find(|(_, folder)| folder.get_ref().trim().is_empty()) {
            Some((key, folder)) => {
                Err(file.mistake(INVALID, &format!("`{key}` is empty: name a folder"), Some(folder.span())))
            }
            None => Ok(()),
        }
    }

    fn refuse_rejects_without_a_place(&self, file: &TomlFile) -> Result<(), Failure> {
        let Some(output) = self.output.as_ref().filter(|output| output.rejects.is_none()) else { return Ok(()) };
        let max = output.max_rejects.as_ref().map(|max| (max.span(), "max_rejects"));
        let values = output.reject_values.as_ref().map(|values| (values.span(), "reject_values"));
        match max.or(values) {
            Some((span, key)) => {
                let message = format!("`{key}` is set and `rejects` is not: add `rejects`, or remove `{key}`");
                Err(file.mistake(INVALID, &message, Some(span)))
            }
            None => Ok(()),
        }
    }

    fn script(&self, file: &TomlFile, folder: &Path) -> Result<Script, Failure> {
        let text = self.sql.get_ref();
        if text.trim_end().ends_with(".sql") && !text.trim().contains('\n') {
            let path = folder.join(text.trim());
            return Script::read(&path)
                .map_err(|failure| failure.in_file(&file.name).at(file.place(self.sql.span().start)));
        }
        Ok(Script::within(file, text, self.sql.span()))
    }

    fn params(&self, file: &TomlFile) -> Result<Params, Failure> {
        let mut params = Params::default();
        for (name, value) in &self.params {
            let typed = match value.get_ref() {
                Value::Boolean(flag) => ParamValue::Boolean(*flag),
                Value::Integer(integer) => ParamValue::Integer(*integer),
                Value::Float(float) => ParamValue::Float(*float),
                Value::String(text) => ParamValue::Text(text.clone()),
                Value::Datetime(time) => ParamValue::Text(time.to_string()),
                Value::Array(_) | Value::Table(_) => {
                    let message =
                        format!("parameter `{name}` must be one value: a text, a number, a date or true or false");
                    return Err(file.mistake(INVALID, &message, Some(value.span())));
                }
            };
            let text = match &typed {
                // As it is written: 1.50 is not 1.5 in a path.
                ParamValue::Float(_) => file.text[value.span()].to_string(),
                typed => typed.to_string(),
            };
            params.set(name, typed, &text);
        }
        Ok(params)
    }
}

impl OutputTable {
    fn engine(self, folder: &Path) -> Output {
        let rejects = self.rejects.map(|rejects| in_folder(rejects.into_inner(), folder));
        let max = self.max_rejects.map(|max| max.into_inner().to_string());
        let values = self.reject_values.map(|values| values.into_inner().to_string());
        let options = [("rejects", rejects), ("max_rejects", max), ("reject_values", values)];
        Output {
            options: options.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect(),
            to: in_folder(self.to.into_inner(), folder),
            mode: self.mode.name().to_string(),
            format: self.format.name().to_string(),
            partitioned_by: self.partitioned_by,
        }
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Append => "append",
            Self::Overwrite => "overwrite",
            Self::OverwritePartitions => "overwrite_partitions",
        }
    }
}

impl FileFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
        }
    }
}

/// A path of a job file is relative to the file; a URL is not.
fn in_folder(to: String, folder: &Path) -> String {
    match is_url(&to) {
        true => to,
        false => PathBuf::from(folder).join(to).display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn job(text: &str) -> Result<Job, Failure> {
        JobFile::job(&TomlFile::in_memory("jobs/daily.toml", text, INVALID), Path::new("jobs"))
    }

    fn error(text: &str) -> String {
        job(text).unwrap_err().text()
    }

    #[test]
    fn a_job_file_says_what_to_run_with_what_and_where_to() {
        let job = job(r#"
            name = "daily"
            sql = "SELECT 1 AS a"
            [params]
            region = "south"
            n = 3
            ds = 2026-11-22
            [output]
            to = "out/day=${ds}/"
            mode = "overwrite"
            partitioned_by = ["a"]
            [retry]
            attempts = 3
        "#)
        .unwrap();
        assert_eq!(job.attempts.get(), 3);
        assert_eq!(job.file, "jobs/daily.toml");
        assert_eq!(job.script.text, "SELECT 1 AS a");
        let values: Vec<_> = job.params.iter().map(|(name, value)| (name, value.to_string())).collect();
        assert_eq!(values, [("ds", "2026-11-22".into()), ("n", "3".into()), ("region", "south".to_string())]);
        let output = job.output.unwrap();
        assert_eq!(output.to, "jobs/out/day=${ds}/");
        assert_eq!((output.mode.as_str(), output.format.as_str()), ("overwrite", "parquet"));
        assert_eq!(output.partitioned_by, ["a"]);
    }

    #[test]
    fn an_output_of_a_url_or_of_an_absolute_path_stays_as_it_is() {
        for to in ["s3://lake/scores/", "/lake/scores/"] {
            let job = job(&format!("sql = 'SELECT 1'\noutput.to = '{to}'")).unwrap();
            assert_eq!(job.output.unwrap().to, to);
        }
    }

    #[test]
    fn the_sql_of_a_job_file_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("score.sql"), "SELECT 7").unwrap();
        fs::write(folder.path().join("daily.toml"), "sql = 'score.sql'").unwrap();
        let job = Job::read(&folder.path().join("daily.toml")).unwrap();
        assert_eq!(job.script, Script::read(&folder.path().join("score.sql")).unwrap());
    }

    #[test]
    fn an_sql_file_that_is_not_there_is_told_at_its_place() {
        let expected = "jobs/daily.toml:2:7: there is no file `jobs/no.sql` [file_not_found]\n";
        assert_eq!(error("name = 'a'\nsql = 'no.sql'"), expected);
    }

    #[test]
    fn keys_that_are_not_known_are_refused_with_their_place() {
        assert!(error("sql = 'SELECT 1'\nsqll = 'x'").starts_with("jobs/daily.toml:2:1: unknown field `sqll`"));
        assert!(error("sql = 'SELECT 1'\n[output]\nto = 'x'\nmod = 'append'").starts_with("jobs/daily.toml:4:1: "));
        assert!(error("sql = 'SELECT 1'\n[output]\nto = 'x'\nmode = 'replace'").starts_with("jobs/daily.toml:4:8: "));
        assert!(error("name = 'a'").contains("missing field `sql`"));
        assert!(error("sql = 'SELECT 1'\n[retry]\nattempts = 0").starts_with("jobs/daily.toml:3:12: "));
        assert!(error("sql = 'SELECT 1'\n[retry]\ntimes = 3").starts_with("jobs/daily.toml:3:1: "));
    }

    #[test]
    fn what_is_not_built_yet_is_refused_by_name() {
        for (key, text) in [("[schedule]", "[schedule]\ncron = '0 6 * * *'")] {
            let error = error(&format!("sql = 'SELECT 1'\n{text}"));
            assert!(error.contains(&format!("`{key}` is not built yet")), "{error}");
            assert!(error.ends_with("[not_built]\n"), "{error}");
        }
    }

    #[test]
    fn a_parameter_of_the_command_line_keeps_a_text_of_the_job_file_a_text() {
        let mut job = job("sql = 'SELECT 1'\n[params]\nzip = '01234'\nn = 1").unwrap();
        let pair = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
        job.set_params(&[pair("zip", "00501"), pair("n", "2"), pair("new", "3")]);
        let values: Vec<_> = job.params.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(values, [ParamValue::Integer(2), ParamValue::Integer(3), ParamValue::Text("00501".into())]);
    }

    #[test]
    fn a_path_has_a_number_of_the_job_file_as_it_is_written() {
        let job = job("sql = 'SELECT 1'\n[params]\nrate = 1.50\nn = 1_000\nds = 2026-01-02").unwrap();
        assert_eq!(job.params.fill("${rate}/${n}/${ds}").unwrap(), "1.50/1000/2026-01-02");
    }

    #[test]
    fn an_empty_destination_is_refused_with_its_place() {
        let told = error("sql = 'SELECT 1'\n[output]\nto = ''");
        assert_eq!(told, "jobs/daily.toml:3:6: `to` is empty: name a folder [invalid_job_file]\n");
    }

    #[test]
    fn rejects_go_to_a_folder_beside_the_job_file_and_nothing_is_said_of_them_without_one() {
        let text = "sql = 'SELECT 1'\n[output]\nto = 'x'\nrejects = 'bad/${ds}'\nmax_rejects = 3\nreject_values = true";
        let options = job(text).unwrap().output.unwrap().options;
        let expected = [("rejects", "jobs/bad/${ds}"), ("max_rejects", "3"), ("reject_values", "true")];
        assert_eq!(options, expected.map(|(name, value)| (name.to_string(), value.to_string())));
        let output = |keys: &str| error(&format!("sql = 'SELECT 1'\n[output]\nto = 'x'\n{keys}"));
        assert!(
            output("max_rejects = 3").starts_with("jobs/daily.toml:4:15: `max_rejects` is set and `rejects` is not")
        );
        assert!(output("reject_values = true").contains("`rejects` is not"));
        assert!(output("rejects = ''").starts_with("jobs/daily.toml:4:11: `rejects` is empty"));
        assert!(output("rejects = 'y'\nmax_rejects = -1").starts_with("jobs/daily.toml:5:15: "));
    }

    #[test]
    fn a_parameter_is_one_value() {
        assert!(error("sql = 'SELECT 1'\nparams.a = [1]").starts_with("jobs/daily.toml:2:12: parameter `a`"));
    }

    #[test]
    fn other_files_are_no_jobs() {
        assert!(Job::read(Path::new("score.txt")).unwrap_err().text().ends_with("[unknown_file_type]\n"));
    }
}
