//! The columns of JSON lines and CSV files, which only their text can tell.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::iter::once;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::csv::reader::Format as CsvText;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::reader::infer_json_schema_from_iterator;
use datafusion::common::config::CsvOptions;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use regex::Regex;
use serde_json::Value;
use tokio::runtime::Handle;

use super::columns::other_columns;
use crate::error::{ConnectError, Result};
use crate::format::Format;
use crate::redact::without_values;

/// Rows of each CSV file that its types are told from. A later value that does not fit is an error when
/// the row is read, never another value.
const CSV_ROWS: usize = 1000;

/// A text file that is opened when its turn comes.
pub(super) struct TextFile {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// As messages name it.
    pub(super) name: String,
    pub(super) compression: FileCompressionType,
}

impl TextFile {
    fn open(&self) -> Result<Box<dyn Read + Send>> {
        let opened = Handle::current().block_on(async {
            let found = self.store.get(&self.path).await?;
            Ok::<_, object_store::Error>(match found.payload {
                GetResultPayload::File(file, _) => Box::new(file) as Box<dyn Read + Send>,
                GetResultPayload::Stream(bytes) => {
                    let runtime = Handle::current();
                    Box::new(Arriving { bytes, here: Bytes::new(), runtime }) as Box<dyn Read + Send>
                }
            })
        });
        let reader = opened.map_err(|error| ConnectError::store(&self.name, error))?;
        self.compression.convert_read(reader).map_err(|error| self.bad(error.strip_backtrace()))
    }

    fn bad(&self, reason: impl Into<String>) -> ConnectError {
        ConnectError::BadFile { file: self.name.clone(), reason: reason.into() }
    }
}

/// The bytes of a remote file, read as they arrive: of a large one, only the first rows may be wanted.
struct Arriving {
    bytes: BoxStream<'static, object_store::Result<Bytes>>,
    here: Bytes,
    runtime: Handle,
}

impl Read for Arriving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.here.is_empty() {
            match self.runtime.block_on(self.bytes.next()) {
                Some(bytes) => self.here = bytes.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let bytes = self.here.split_to(self.here.len().min(into.len()));
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// The columns of JSON lines. Every line of every file is read: a field may come late, and a column of
/// whole numbers may have a fraction in its last row, which the reader would cut off without a word.
pub(super) async fn json(files: Vec<TextFile>) -> Result<Schema> {
    blocking(move || json_columns(&files)).await
}

fn json_columns(files: &[TextFile]) -> Result<Schema> {
    let place = Cell::new(None);
    let records = files.iter().flat_map(|file| {
        let lines: Box<dyn Iterator<Item = Result<String>>> = match file.open() {
            Ok(text) => Box::new(BufReader::new(text).lines().map(|line| line.map_err(|e| file.bad(e.to_string())))),
            Err(error) => Box::new(once(Err(error))),
        };
        let place = &place;
        lines.zip(1u64..).filter_map(move |(line, number)| {
            place.set(Some((file, number)));
            let record = line.and_then(|line| json_record(file, number, &line));
            record.map_err(|error| ArrowError::ExternalError(Box::new(error))).transpose()
        })
    });
    infer_json_schema_from_iterator(records).map_err(|error| match (error, place.get()) {
        (ArrowError::ExternalError(error), _) if error.is::<ConnectError>() => {
            *error.downcast::<ConnectError>().expect("asked for just now")
        }
        (error, Some((file, line))) => {
            let reason = without_values(&error.to_string());
            file.bad(format!("line {line} does not go with those before it: {reason}"))
        }
        (error, None) => ConnectError::BadFile { file: String::new(), reason: error.to_string() },
    })
}

/// `None` for a blank line.
fn json_record(file: &TextFile, number: u64, line: &str) -> Result<Option<Value>> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(line) {
        Ok(record @ Value::Object(_)) => Ok(Some(record)),
        Ok(_) => Err(file.bad(format!("line {number} is not a JSON object"))),
        Err(error) => Err(file.bad(format!("line {number} is not valid JSON at column {}", error.column()))),
    }
}

/// The columns of CSV files, each with the types that the first rows of every file allow.
///
/// Rows are read by position, so all files must name the same columns in the same order: `bad_file`.
pub(super) async fn csv(files: Vec<TextFile>, options: CsvOptions) -> Result<Schema> {
    blocking(move || csv_columns(&files, &options)).await
}

fn csv_columns(files: &[TextFile], options: &CsvOptions) -> Result<Schema> {
    let text = csv_text(options)?;
    let rows = options.schema_infer_max_rec.unwrap_or(CSV_ROWS);
    let mut columns: Option<(&TextFile, Vec<Field>)> = None;
    for file in files {
        let (found, _) = text.infer_schema(file.open()?, Some(rows)).map_err(|error| file.bad(csv_reason(error)))?;
        let found: Vec<Field> = found.fields().iter().map(|field| field.as_ref().clone()).collect();
        if let Some(name) = repeated(&found) {
            return Err(file.bad(format!("its header has two columns `{name}`")));
        }
        columns = Some(match columns {
            None => (file, found),
            Some((first, known)) => (first, joined(file, found, first, known)?),
        });
    }
    let fields = columns.map_or(vec![], |(_, fields)| fields);
    // Without a value nothing says which type; as text no later value can get lost.
    let told = |field: Field| match field.data_type() {
        DataType::Null => field.with_data_type(DataType::Utf8),
        _ => field,
    };
    Ok(Schema::new(fields.into_iter().map(told).collect::<Vec<_>>()))
}

fn csv_text(options: &CsvOptions) -> Result<CsvText> {
    let mut text = CsvText::default()
        .with_header(options.has_header.unwrap_or(true))
        .with_delimiter(options.delimiter)
        .with_quote(options.quote)
        .with_truncated_rows(options.truncated_rows.unwrap_or(false));
    if let Some(terminator) = options.terminator {
        text = text.with_terminator(terminator);
    }
    if let Some(escape) = options.escape {
        text = text.with_escape(escape);
    }
    if let Some(comment) = options.comment {
        text = text.with_comment(comment);
    }
    if let Some(null) = &options.null_regex {
        let null = Regex::new(null).map_err(|_| ConnectError::UnknownOption {
            message: "option 'null_regex' is no regular expression".to_owned(),
        })?;
        text = text.with_null_regex(null);
    }
    Ok(text)
}

/// What the reader says, which names lines and counts but no values.
fn csv_reason(error: ArrowError) -> String {
    match error {
        ArrowError::CsvError(reason) => reason,
        error => error.to_string(),
    }
}

fn repeated(fields: &[Field]) -> Option<&str> {
    let is_before = |at: usize| fields[..at].iter().any(|field| field.name() == fields[at].name());
    (0..fields.len()).find(|at| is_before(*at)).map(|at| fields[at].name().as_str())
}

fn joined(file: &TextFile, found: Vec<Field>, first: &TextFile, known: Vec<Field>) -> Result<Vec<Field>> {
    let names = |fields: &[Field]| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    if names(&found) != names(&known) {
        return Err(other_columns(&file.name, &names(&found), &first.name, &names(&known), Format::Csv));
    }
    let both = known.into_iter().zip(found);
    Ok(both
        .map(|(known, found)| {
            let joined = joined_type(known.data_type(), found.data_type());
            known.with_data_type(joined)
        })
        .collect())
}

/// The type that holds the values of both, as within one file.
fn joined_type(one: &DataType, other: &DataType) -> DataType {
    match (one, other) {
        (one, other) if one == other => one.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => DataType::Float64,
        _ => DataType::Utf8,
    }
}

async fn blocking(work: impl FnOnce() -> Result<Schema> + Send + 'static) -> Result<Schema> {
    tokio::task::spawn_blocking(work).await.expect("reading text does not panic")
}
