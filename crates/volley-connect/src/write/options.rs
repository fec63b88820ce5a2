//! The options of a write: which exist, and what they set in the formats' writers.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::file_options::csv_writer::CsvWriterOptions;
use datafusion::config::{ConfigFileType, TableOptions};
use datafusion::error::DataFusionError;
use datafusion::parquet::file::properties::WriterPropertiesBuilder;
use volley_commit::Mode;

use super::rejects::{OPTIONS, RejectOptions};
use crate::error::{ConnectError, Result};
use crate::format::Format;

const PARQUET: &[&str] = &[
    "bloom_filter_fpp",
    "bloom_filter_ndv",
    "bloom_filter_on_write",
    "compression",
    "data_page_row_count_limit",
    "data_pagesize_limit",
    "dictionary_enabled",
    "dictionary_page_size_limit",
    "encoding",
    "max_row_group_size",
    "statistics_enabled",
    "writer_version",
];

const CSV: &[&str] = &[
    "date_format",
    "datetime_format",
    "delimiter",
    "double_quote",
    "escape",
    "has_header",
    "null_value",
    "quote",
    "quote_style",
    "time_format",
    "timestamp_format",
    "timestamp_tz_format",
];

fn known(format: Format) -> &'static [&'static str] {
    match format {
        Format::Parquet => PARQUET,
        Format::Csv => CSV,
        Format::Json | Format::Arrow => &[],
    }
}

/// What `OPTIONS (…)` says.
#[derive(Debug)]
pub(super) struct Given {
    /// Without one it is `error`.
    pub(super) mode: Mode,
    pub(super) of_format: BTreeMap<String, String>,
    pub(super) rejects: RejectOptions,
}

/// Mode, rejects and format options out of `OPTIONS (…)`, whose plain names DataFusion prefixes with `format.`.
pub(super) fn parse(given: &HashMap<String, String>, format: Format) -> Result<Given> {
    let mut mode = Mode::Error;
    let mut rejects = RejectOptions::default();
    let mut options = BTreeMap::new();
    for (name, value) in given {
        let name = name.strip_prefix("format.").unwrap_or(name);
        match name {
            "mode" => mode = value.to_ascii_lowercase().parse()?,
            name if rejects.take(name, value) => {}
            name if known(format).contains(&name) => {
                options.insert(name.to_owned(), value.clone());
            }
            name => return Err(unknown(name, format)),
        }
    }
    check(format, &options)?;
    Ok(Given { mode, of_format: options, rejects })
}

fn unknown(name: &str, format: Format) -> ConnectError {
    let known = known(format);
    let near = known.iter().chain(&OPTIONS).filter(|k| strsim::damerau_levenshtein(k, name) <= 2).min();
    let hint = match (near, known) {
        (Some(near), _) => format!("did you mean '{near}'?"),
        (None, []) => format!("{format} takes only 'mode' and '{}'", OPTIONS.join("', '")),
        (None, known) => format!("{format} takes 'mode', '{}', '{}'", OPTIONS.join("', '"), known.join("', '")),
    };
    ConnectError::UnknownOption { message: format!("unknown option '{name}': {hint}") }
}

/// A value that the writer would refuse later is refused now.
fn check(format: Format, options: &BTreeMap<String, String>) -> Result<()> {
    match format {
        Format::Parquet => parquet_properties(options).map(|_| ()),
        Format::Csv => csv_writer(options).map(|_| ()),
        Format::Json | Format::Arrow => Ok(()),
    }
}

/// Bytes of a column's dictionary in a row group after which it is written without. Scores have as many values as
/// rows: with DataFusion's limit of a megabyte most of a write is a search for repetitions that are not there.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;

/// The Parquet writer's settings, DataFusion's defaults where nothing is given, but for dictionaries.
pub(crate) fn parquet_properties(options: &BTreeMap<String, String>) -> Result<WriterPropertiesBuilder> {
    let global = table_options(ConfigFileType::PARQUET, options)?.parquet.global;
    let properties = global.into_writer_properties_builder().map_err(|error| invalid(&error))?;
    Ok(match options.keys().any(|option| option.ends_with("dictionary_page_size_limit")) {
        true => properties,
        false => properties.set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX),
    })
}

/// The CSV writer's settings.
pub(crate) fn csv_writer(options: &BTreeMap<String, String>) -> Result<CsvWriterOptions> {
    let csv = table_options(ConfigFileType::CSV, options)?.csv;
    CsvWriterOptions::try_from(&csv).map_err(|error| invalid(&error))
}

/// All options of a format, as written files need them and as their readers do.
pub(crate) fn table_options(format: ConfigFileType, options: &BTreeMap<String, String>) -> Result<TableOptions> {
    let mut table = TableOptions::default();
    table.set_config_format(format);
    let prefixed = options.iter().map(|(name, value)| (format!("format.{name}"), value.clone())).collect();
    table.alter_with_string_hash_map(&prefixed).map_err(|error| invalid(&error))?;
    Ok(table)
}

fn invalid(error: &DataFusionError) -> ConnectError {
    let message = error.strip_backtrace();
    let first_line = message.lines().next().unwrap_or_default();
    ConnectError::UnknownOption { message: format!("an option has a value that it does not take: {first_line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(format: Format, options: &[(&str, &str)]) -> Result<(Mode, BTreeMap<String, String>)> {
        let given = options.iter().map(|(k, v)| (format!("format.{k}"), (*v).to_owned())).collect();
        super::parse(&given, format).map(|given| (given.mode, given.of_format))
    }

    #[test]
    fn a_dictionary_is_small_unless_its_size_is_given() {
        let limit = |options: &[(&str, &str)]| {
            let (_, options) = parse(Format::Parquet, options).expect("fine");
            parquet_properties(&options).expect("fine").build().dictionary_page_size_limit()
        };
        assert_eq!(limit(&[]), DICTIONARY_BYTES_MAX);
        assert_eq!(limit(&[("dictionary_page_size_limit", "1000000")]), 1_000_000);
    }

    #[test]
    fn modes_and_format_options_are_told_apart() {
        let (mode, options) =
            parse(Format::Parquet, &[("mode", "Overwrite"), ("compression", "snappy")]).expect("fine");
        assert_eq!(mode, Mode::Overwrite);
        assert_eq!(options, BTreeMap::from([("compression".to_owned(), "snappy".to_owned())]));
        assert_eq!(parse(Format::Csv, &[]).expect("fine").0, Mode::Error);
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        let check = |format, name, value, code, part: &str| {
            let error = parse(format, &[(name, value)]).expect_err(name);
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        };
        check(Format::Parquet, "mode", "replace", "unknown_mode", "'replace'");
        check(Format::Parquet, "mode", "overwrite_partition", "unknown_mode", "'overwrite_partitions'");
        check(Format::Parquet, "max_reject", "1", "unknown_option", "did you mean 'max_rejects'?");
        check(Format::Parquet, "compresion", "zstd", "unknown_option", "did you mean 'compression'?");
        check(Format::Parquet, "compression", "zip", "unknown_option", "zip");
        check(Format::Csv, "compression", "gzip", "unknown_option", "'delimiter'");
        check(Format::Json, "delimiter", ";", "unknown_option", "only 'mode'");
    }
}
