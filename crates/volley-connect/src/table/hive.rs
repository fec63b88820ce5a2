//! `name=value/` folders to partition columns.

use datafusion::arrow::datatypes::DataType;
use object_store::path::PathPart;

use crate::error::{ConnectError, Result};
use crate::location::NULL_FOLDER;

/// Names and types of partition columns, the outermost folder first.
pub(super) type PartitionColumns = Vec<(String, DataType)>;

/// The partition columns that folders spell, and every value found for each.
#[derive(Debug, Default)]
pub(super) struct Folders {
    names: Vec<String>,
    values: Vec<Vec<String>>,
    files: usize,
}

impl Folders {
    /// Takes in the folders of one file, outermost first. All files must lie in the same ones.
    pub(super) fn add(&mut self, file: &str, folders: &[&str]) -> Result<()> {
        let pairs: Vec<(&str, &str)> = folders.iter().filter_map(|folder| folder.split_once('=')).collect();
        if self.files == 0 {
            self.names = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
            self.values = vec![vec![]; pairs.len()];
        }
        self.files += 1;
        if !self.names.iter().map(String::as_str).eq(pairs.iter().map(|(name, _)| *name)) {
            let reason = format!("other files of the table lie in folders by ({}), it does not", self.names.join(", "));
            return Err(ConnectError::BadFile { file: file.to_owned(), reason });
        }
        for (values, (name, raw)) in self.values.iter_mut().zip(&pairs) {
            check_spelling(file, name, raw)?;
            if values.last().is_none_or(|last| last != raw) {
                values.push((*raw).to_owned());
            }
        }
        Ok(())
    }

    /// A column is Int64 if every value is a number written as numbers are, else Utf8.
    pub(super) fn columns(&self) -> PartitionColumns {
        let type_of = |values: &[String]| match values.iter().all(|value| is_integer(value)) {
            true => DataType::Int64,
            false => DataType::Utf8,
        };
        self.names.iter().zip(&self.values).map(|(name, values)| (name.clone(), type_of(values))).collect()
    }
}

/// `7` but not `07`: a filter `month = 7` looks for a folder `month=7`.
fn is_integer(value: &str) -> bool {
    value.parse::<i64>().is_ok_and(|number| number.to_string() == value)
}

/// DataFusion looks for a value's folder under the spelling it would choose, and silently finds nothing
/// when a writer chose another, such as `10%3A00`. It looks into all folders where it knows of several.
fn check_spelling(file: &str, name: &str, raw: &str) -> Result<()> {
    if raw == NULL_FOLDER {
        let what = format!("reading '{file}', whose folder '{name}={raw}' stands for NULL,");
        let hint = ": move those files to a folder with a value".to_owned();
        return Err(ConnectError::NotBuilt { what, hint });
    }
    let value = decoded(raw);
    let folder = format!("{name}={raw}");
    let sought = PathPart::from(format!("{name}={value}"));
    let sought_everywhere = value.bytes().any(|b| b.is_ascii_control() || !b.is_ascii() || b" %/?#".contains(&b));
    let name_is_plain = PathPart::from(name).as_ref() == name;
    if sought.as_ref() == folder || (name_is_plain && sought_everywhere) {
        return Ok(());
    }
    let reason = format!("its folder is spelled '{folder}' where '{}' is looked for: rename it", sought.as_ref());
    Err(ConnectError::BadFile { file: file.to_owned(), reason })
}

fn decoded(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| raw.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| raw.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(files: &[&[&str]]) -> Result<PartitionColumns> {
        let mut folders = Folders::default();
        for file in files {
            folders.add("x.parquet", file)?;
        }
        Ok(folders.columns())
    }

    #[test]
    fn columns_are_numbers_only_when_every_value_is_written_as_one() {
        let check = |files: &[&[&str]], expected: &[(&str, DataType)]| {
            let expected: Vec<_> = expected.iter().map(|(name, t)| ((*name).to_owned(), t.clone())).collect();
            assert_eq!(columns(files).expect("columns"), expected);
        };
        check(&[&["y=2024", "m=1"], &["y=2025", "m=12"]], &[("y", DataType::Int64), ("m", DataType::Int64)]);
        check(&[&["m=01"], &["m=12"]], &[("m", DataType::Utf8)]);
        check(&[&["day=2026-11-22"]], &[("day", DataType::Utf8)]);
        check(&[&["t=a%5Bb"], &["t=a b"], &["t=a%20b"]], &[("t", DataType::Utf8)]);
        check(&[&[]], &[]);
    }

    #[test]
    fn files_that_do_not_go_together_are_refused() {
        let check = |files: &[&[&str]], part: &str| {
            let error = columns(files).expect_err("refused");
            assert!(error.to_string().contains(part), "{error}");
        };
        check(&[&["y=1"], &[]], "folders by (y)");
        check(&[&["y=1"], &["m=1"]], "folders by (y)");
        check(&[&["t=10%3A00"]], "'t=10:00'");
        check(&[&["t=a[b"]], "'t=a%5Bb'");
        check(&[&["é=1"]], "'%C3%A9=1'");
        check(&[&["n=1"], &["n=__HIVE_DEFAULT_PARTITION__"]], "stands for NULL");
    }
}
