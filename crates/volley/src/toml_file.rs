//! Reading a TOML file of the user's, with places in the errors.

use std::fs;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use volley_engine::Place;

use crate::report::Failure;

/// A TOML file of the user's.
#[derive(Debug)]
pub struct TomlFile {
    /// As the user wrote its path.
    pub name: String,
    /// All of it.
    pub text: String,
    /// What its mistakes are called.
    code: &'static str,
}

impl TomlFile {
    /// Reads the file; `code` is what its mistakes are called.
    pub fn read(path: &Path, code: &'static str) -> Result<Self, Failure> {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self { name, text, code }),
            Err(error) => Err(Failure::unreadable(path, &error)),
        }
    }

    /// Its content.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        toml::from_str(&self.text).map_err(|error| self.mistake(self.code, error.message(), error.span()))
    }

    /// A mistake in the file at a range of bytes.
    pub fn mistake(&self, code: &'static str, message: &str, span: Option<Range<usize>>) -> Failure {
        let failure = Failure::new(code, message).in_file(&self.name);
        match span {
            Some(span) => failure.at(self.place(span.start)),
            None => failure,
        }
    }

    /// The place of a byte of the text.
    pub fn place(&self, offset: usize) -> Place {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place { line: before.matches('\n').count() as u64 + 1, column: before[line_start..].chars().count() as u64 + 1 }
    }
}

#[cfg(test)]
impl TomlFile {
    /// A file that is nowhere on disk.
    pub fn in_memory(name: &str, text: &str, code: &'static str) -> Self {
        Self { name: name.to_string(), text: text.to_string(), code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_and_not_bytes() {
        let file = TomlFile::in_memory("a.toml", "a = 1\n'ü' = 2\n", "code");
        assert_eq!(file.place(0), Place { line: 1, column: 1 });
        assert_eq!(file.place(file.text.find("2").unwrap()), Place { line: 2, column: 7 });
    }
}
