//! Rows whose scores are known.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use volley_registry::Golden;

use crate::report::Failure;

/// Two tables: rows to score, and the scores that they should get.
#[derive(Debug)]
pub struct Sample {
    /// Path or URL of the rows.
    pub input: String,
    /// Path or URL of the scores.
    pub expected: String,
    /// The column that pairs the rows of both; without one they are paired by position.
    pub key: Option<String>,
    /// Holds golden rows as long as they are used.
    _folder: Option<TempDir>,
}

impl Sample {
    /// Two tables of the user's.
    pub fn of_tables(input: &str, expected: &str, key: Option<&str>) -> Self {
        let key = key.map(str::to_string);
        Self { input: input.to_string(), expected: expected.to_string(), key, _folder: None }
    }

    /// Golden rows, written to a folder that goes with the sample: tables are files.
    pub fn of_golden(golden: &Golden) -> Result<Self, Failure> {
        let unwritable = |error| {
            let message = format!("golden rows cannot be written to the folder for temporary files: {error}");
            Failure::failed("io_failed", message)
        };
        let folder = tempfile::tempdir().map_err(unwritable)?;
        let write = |name: &str, bytes: &[u8]| -> Result<String, Failure> {
            let file = folder.path().join(name);
            fs::write(&file, bytes).map_err(unwritable)?;
            Ok(file.display().to_string())
        };
        let (input, expected) = (write("input.parquet", &golden.input)?, write("expected.parquet", &golden.expected)?);
        Ok(Self { input, expected, key: golden.key.clone(), _folder: Some(folder) })
    }
}

/// Golden rows as two files hold them.
pub fn read_golden(input: &Path, expected: &Path, key: Option<&str>) -> Result<Golden, Failure> {
    let read = |path: &Path| fs::read(path).map_err(|error| Failure::unreadable(path, &error));
    Ok(Golden { input: read(input)?.into(), expected: read(expected)?.into(), key: key.map(str::to_string) })
}
