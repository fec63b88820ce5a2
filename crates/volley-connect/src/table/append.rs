//! Whether a result goes with the files that lie at its destination.

use std::collections::BTreeSet;
use std::path::Path as FilePath;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::config::{ConfigFileType, TableOptions};
use datafusion::parquet::arrow::{
    ARROW_SCHEMA_META_KEY, ArrowSchemaConverter, encode_arrow_schema, parquet_to_arrow_schema,
};
use datafusion::parquet::file::metadata::KeyValue;
use serde::Deserialize;
use url::Url;
use volley_commit::Mode;

use super::columns::Columns;
use super::survey::Survey;
use super::{file_format, session_options, settle_csv};
use crate::error::{ConnectError, Result};
use crate::exec::{file_columns, plain_schema};
use crate::format::{FileKind, Format};
use crate::location::{absolute_url, parts, spelled};
use crate::write::{WriteTarget, table_options};

/// Refuses a result beside which files stay, if the destination could not be read as one table then: other
/// columns, another format, other folders than the files there have. To be called before anything is computed.
///
/// Errors: `append_mismatch`, which names the first difference, and those of reading what is there.
pub async fn check_append(target: &WriteTarget, result: &Schema, session: &dyn Session) -> Result<()> {
    if !matches!(target.mode, Mode::Append | Mode::OverwritePartitions) {
        return Ok(());
    }
    let url = absolute_url(FilePath::new("/"), &target.destination)?;
    let destination = format!("{}/", spelled(&url, &parts(&url)?.1));
    let Some(there) = what_is_there(url, &destination, session).await? else {
        return Ok(());
    };
    let mismatch = |difference: String| ConnectError::AppendMismatch { destination: destination.clone(), difference };
    let kind = there.kind_by_names()?;
    if kind != FileKind::plain(target.format) {
        return Err(mismatch(format!("files of another format lie there, the result is {}", target.format)));
    }
    let folders = there.partition_columns()?;
    let folder_names: Vec<&str> = folders.iter().map(|(name, _)| name.as_str()).collect();
    if !folder_names.iter().copied().eq(target.partition_by.iter().map(String::as_str)) {
        let (there, new) = (folder_names.join(", "), target.partition_by.join(", "));
        return Err(mismatch(format!("the files there lie in folders by ({there}), the result in folders by ({new})")));
    }
    let options = reader_options(target, session)?;
    let format = file_format(kind, &options)?;
    let columns = Columns { session, kind, format: format.as_ref(), options: &options };
    let there = columns.of(&[there], &folders).await?;
    let new = file_columns(result, target)?;
    let has_names = target.format != Format::Csv || options.csv.has_header.unwrap_or(true);
    let new = as_read(&new, target.format)?;
    match difference(&plain_schema(&there), &new, target.format, has_names) {
        None => Ok(()),
        Some(difference) => Err(mismatch(difference)),
    }
}

/// `None` if no rows are there: the files of a result without rows make way for the first that has some.
async fn what_is_there(url: Url, destination: &str, session: &dyn Session) -> Result<Option<Survey>> {
    let survey = match Survey::of_url(url, destination, session.runtime_env()).await {
        Err(ConnectError::TableNotFound { .. }) => return Ok(None),
        survey => survey?,
    };
    let without_rows = match survey.read("_SUCCESS", session.runtime_env()).await? {
        Some(marker) => names_without_rows(&marker),
        None => BTreeSet::new(),
    };
    let has_rows = survey.data_files().any(|file| !without_rows.contains(survey.relative_name(&file.location)));
    Ok(has_rows.then_some(survey))
}

fn names_without_rows(marker: &[u8]) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Marker {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        path: String,
        rows: u64,
    }
    let files = serde_json::from_slice::<Marker>(marker).map(|marker| marker.files).unwrap_or_default();
    files.into_iter().filter(|file| file.rows == 0).map(|file| file.path).collect()
}

/// Reads the files there as the new ones will have to be read.
fn reader_options(target: &WriteTarget, session: &dyn Session) -> Result<TableOptions> {
    let mut options = match target.format {
        Format::Csv => table_options(ConfigFileType::CSV, &target.options)?,
        Format::Parquet | Format::Json | Format::Arrow => session_options(session),
    };
    settle_csv(session, &mut options);
    // As the files record them, for so they must go together.
    options.parquet.global.schema_force_view_types = false;
    Ok(options)
}

/// The columns as they come back from new files: Parquet does not hold every type of memory.
fn as_read(new: &SchemaRef, format: Format) -> Result<SchemaRef> {
    if format != Format::Parquet {
        return Ok(new.clone());
    }
    let entries = vec![KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(new))];
    let read =
        ArrowSchemaConverter::new().convert(new).and_then(|stored| parquet_to_arrow_schema(&stored, Some(&entries)));
    let refused = |error| ConnectError::UnsupportedColumns {
        message: format!("Parquet cannot hold a column of the result: {error}"),
    };
    read.map(|read| plain_schema(&read)).map_err(refused)
}

/// The first thing that would keep both from being one table.
fn difference(there: &Schema, new: &Schema, format: Format, has_names: bool) -> Option<String> {
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let (names_there, names_new) = (names(there), names(new));
    if let Some(name) = names_there.iter().find(|name| has_names && !names_new.contains(name)) {
        return Some(format!("the result has no column '{name}', which the files there have"));
    }
    if let Some(name) = names_new.iter().find(|name| has_names && !names_there.contains(name)) {
        return Some(format!("the files there have no column '{name}', which the result has"));
    }
    let other_order = has_names && format.is_read_by_position() && names_there != names_new;
    if other_order || names_there.len() != names_new.len() {
        let (there, new) = (names_there.join(", "), names_new.join(", "));
        return Some(format!("the columns there are ({there}), those of the result ({new})"));
    }
    // CSV has no types: what does not fit is text for its readers.
    let mut fields = new.fields().iter().filter(|_| format != Format::Csv);
    fields.find_map(|field| differs(there.field_with_name(field.name()).ok()?, field, format))
}

fn differs(there: &Field, new: &Field, format: Format) -> Option<String> {
    let same = match format {
        Format::Json => same_json(there.data_type(), new.data_type()),
        _ => same(there.data_type(), new.data_type()),
    };
    (!same)
        .then(|| format!("column '{}' is {} there, {} in the result", new.name(), there.data_type(), new.data_type()))
}

/// Whether types are one but for what readers do not mind: which values may be NULL.
fn same(one: &DataType, other: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Map, Null, Struct};
    match (one, other) {
        (Null, _) | (_, Null) => true,
        (Struct(one), Struct(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.name() == b.name() && field_same(a, b))
        }
        (List(one), List(other)) | (LargeList(one), LargeList(other)) => field_same(one, other),
        (FixedSizeList(one, n), FixedSizeList(other, m)) => n == m && field_same(one, other),
        (Map(one, _), Map(other, _)) => field_same(one, other),
        (one, other) => one == other,
    }
}

fn field_same(one: &Field, other: &Field) -> bool {
    same(one.data_type(), other.data_type())
}

/// Whether values of both are one thing in JSON, which has texts, numbers, truth values, lists and objects.
fn same_json(there: &DataType, new: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Map, Null, Struct};
    match (there, new) {
        (Null, _) | (_, Null) => true,
        (Struct(there), Struct(new)) => new.iter().all(|field| {
            there
                .iter()
                .find(|known| known.name() == field.name())
                .is_none_or(|known| same_json(known.data_type(), field.data_type()))
        }),
        (Struct(_), Map(..)) => true,
        (List(there), List(new) | LargeList(new) | FixedSizeList(new, _)) => {
            same_json(there.data_type(), new.data_type())
        }
        (DataType::Boolean, new) => *new == DataType::Boolean,
        (DataType::Int64 | DataType::Float64, new) => new.is_numeric(),
        (DataType::Utf8, new) => !new.is_nested() && !new.is_numeric() && *new != DataType::Boolean,
        _ => false,
    }
}
