//! The file formats, and how a file's name says which one it is.

use std::fmt;
use std::str::FromStr;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use serde::{Deserialize, Serialize};

use crate::error::ConnectError;

/// A format that tables are read from and results are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object a line.
    Json,
    /// Arrow IPC files.
    Arrow,
}

impl Format {
    /// The ending of written files, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
        }
    }

    /// Whether a file of this format always holds some bytes, so that an empty one is damaged.
    pub(crate) fn has_footer(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }

    /// Whether DataFusion takes the columns of a file in the order of the table's, whatever they are called.
    pub(crate) fn is_read_by_position(self) -> bool {
        matches!(self, Self::Csv | Self::Arrow)
    }

    fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl FromStr for Format {
    type Err = ConnectError;

    /// The format of `STORED AS …`, in any case.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::of_extension(name).ok_or_else(|| ConnectError::UnknownFormat { file: name.to_owned() })
    }
}

/// What a file's name says about its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileKind {
    pub(crate) format: Format,
    pub(crate) compression: FileCompressionType,
}

impl FileKind {
    pub(crate) fn plain(format: Format) -> Self {
        Self { format, compression: FileCompressionType::UNCOMPRESSED }
    }

    /// `None` for a name without a known ending, and for formats that compress by themselves.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        if let Some(format) = Format::of_extension(extension) {
            return Some(Self::plain(format));
        }
        let compression = match extension.to_ascii_lowercase().as_str() {
            "gz" => FileCompressionType::GZIP,
            "zst" => FileCompressionType::ZSTD,
            _ => return None,
        };
        let format = Format::of_extension(stem.rsplit_once('.')?.1)?;
        matches!(format, Format::Csv | Format::Json).then_some(Self { format, compression })
    }
}

/// The part of a file's name that its siblings must share: `.csv.gz`, `.parquet`, or nothing.
pub(crate) fn ending(name: &str) -> &str {
    let known = |dots: usize| name.rmatch_indices('.').nth(dots).map(|(at, _)| &name[at..]);
    match FileKind::of(name) {
        Some(kind) if kind.compression != FileCompressionType::UNCOMPRESSED => known(1).unwrap_or(""),
        Some(_) => known(0).unwrap_or(""),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_format_and_compression() {
        let check = |name, expected: Option<(Format, FileCompressionType)>| {
            let kind = FileKind::of(name).map(|kind| (kind.format, kind.compression));
            assert_eq!(kind, expected, "{name}");
        };
        check("a.parquet", Some((Format::Parquet, FileCompressionType::UNCOMPRESSED)));
        check("a.b.CSV", Some((Format::Csv, FileCompressionType::UNCOMPRESSED)));
        check("a.jsonl.gz", Some((Format::Json, FileCompressionType::GZIP)));
        check("a.csv.zst", Some((Format::Csv, FileCompressionType::ZSTD)));
        check("a.parquet.gz", None);
        check("a.txt", None);
        check("_SUCCESS", None);
    }

    #[test]
    fn siblings_share_the_whole_ending() {
        assert_eq!(ending("x.y.csv.gz"), ".csv.gz");
        assert_eq!(ending("x.y.Parquet"), ".Parquet");
        assert_eq!(ending("part-0"), "");
    }
}
