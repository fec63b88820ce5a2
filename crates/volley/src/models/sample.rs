//! Rows whose scores are known.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use volley_registry::Golden;

use crate::report::Failure;

/// Two tables: rows to score, and the scores that they should get.
#[derive(Debug)]
pub struct Sample {
    /// The rows.
    pub input: Table,
    /// The scores.
    pub expected: Table,
    /// The column that pairs the rows of both; without one they are paired by position.
    pub key: Option<String>,
    /// Holds golden rows as long as they are used.
    _folder: Option<TempDir>,
}

/// A table in files.
#[derive(Debug)]
pub struct Table {
    /// Path or URL.
    pub path: String,
    /// What the user calls it.
    pub label: String,
}

impl Table {
    /// The failure of reading the table, in the user's words: golden rows lie in a file that has another name.
    pub fn named(&self, failure: Failure) -> Failure {
        if self.path == self.label {
            return failure.in_file(&self.label);
        }
        // Stores name their files without the first slash.
        let path = self.path.trim_start_matches('/');
        failure.reworded(&self.path, &self.label).reworded(path, &self.label).in_file(&self.label)
    }

    /// A table under the name that the user gave.
    pub fn of_user(path: &str) -> Self {
        Self { path: path.to_string(), label: path.to_string() }
    }
}

impl Sample {
    /// Two tables of the user's.
    pub fn of_tables(input: &str, expected: &str, key: Option<&str>) -> Self {
        let (input, expected) = (Table::of_user(input), Table::of_user(expected));
        Self { input, expected, key: key.map(str::to_string), _folder: None }
    }

    /// Golden rows, written to a folder that goes with the sample: tables are files.
    pub fn of_golden(golden: &Golden) -> Result<Self, Failure> {
        let unwritable = |error| {
            let message = format!("golden rows cannot be written to the folder for temporary files: {error}");
            Failure::new("io_failed", message)
        };
        let folder = tempfile::tempdir().map_err(unwritable)?;
        let table = |name: &str, bytes: &[u8], label: &str| -> Result<Table, Failure> {
            let file = folder.path().join(name);
            fs::write(&file, bytes).map_err(unwritable)?;
            Ok(Table { path: file.display().to_string(), label: label.to_string() })
        };
        let input = table("input.parquet", &golden.input, "golden rows")?;
        let expected = table("expected.parquet", &golden.expected, "scores of the golden rows")?;
        Ok(Self { input, expected, key: golden.key.clone(), _folder: Some(folder) })
    }
}

/// Golden rows as two files hold them.
pub fn read_golden(input: &Path, expected: &Path, key: Option<&str>) -> Result<Golden, Failure> {
    let read = |path: &Path| fs::read(path).map_err(|error| Failure::unreadable(path, &error));
    Ok(Golden { input: read(input)?.into(), expected: read(expected)?.into(), key: key.map(str::to_string) })
}
