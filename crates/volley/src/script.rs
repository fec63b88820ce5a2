//! A text of SQL, with the file and the place where it stands.

use std::fs;
use std::path::Path;

use volley_engine::Place;

use crate::report::Failure;
use crate::toml_file::TomlFile;

/// A text of SQL statements.
#[derive(Debug, PartialEq)]
pub struct Script {
    /// All of it.
    pub text: String,
    file: String,
    /// The place of its first character in the file, if it stands there letter by letter.
    start: Option<Place>,
}

impl Script {
    /// Reads an SQL file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let text = without_mark(text);
                Ok(Self { text, file: path.display().to_string(), start: Some(Place { line: 1, column: 1 }) })
            }
            Err(error) => Err(Failure::unreadable(path, &error)),
        }
    }

    /// A text whose quoted form takes `span` of a TOML file.
    pub fn within(file: &TomlFile, text: &str, span: std::ops::Range<usize>) -> Self {
        // Escapes make the text differ from the file; then its places are not known.
        let start = file.text[span.clone()].find(text).map(|offset| file.place(span.start + offset));
        Self { text: text.to_string(), file: file.name.clone(), start }
    }

    /// The same failure with the places that they have in the file.
    pub fn located(&self, failure: impl Into<Failure>) -> Failure {
        failure.into().in_file(&self.file).with_places(|place| self.in_file(place))
    }

    fn in_file(&self, place: Place) -> Option<Place> {
        let start = self.start?;
        let column = if place.line == 1 { start.column + place.column - 1 } else { place.column };
        Some(Place { line: start.line + place.line - 1, column })
    }
}

/// A text without the mark of byte order that editors of Windows put before it: it belongs to no statement.
pub fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use volley_engine::EngineError;

    use super::*;

    fn told(toml: &str, text: &str, line: u64, column: u64) -> String {
        let file = TomlFile::in_memory("daily.toml", toml, "code");
        let mistake = EngineError::at("syntax", "no", Some(Place { line, column }));
        Script::within(&file, text, "sql = ".len()..toml.len()).located(mistake).text()
    }

    #[test]
    fn a_mistake_in_inline_sql_has_its_place_in_the_job_file() {
        assert_eq!(told("sql = '''\nSELECT\n  1 +'''", "SELECT\n  1 +", 2, 3), "daily.toml:3:3: no [syntax]\n");
        assert_eq!(told("sql = 'SELECT 1 +'", "SELECT 1 +", 1, 8), "daily.toml:1:15: no [syntax]\n");
    }

    #[test]
    fn a_text_with_escapes_has_no_places() {
        assert_eq!(told(r#"sql = "SELECT \u0031""#, "SELECT 1", 1, 8), "daily.toml: no [syntax]\n");
    }

    #[test]
    fn a_mark_of_byte_order_is_no_part_of_the_sql() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("score.sql");
        fs::write(&file, "\u{feff}SELECT 1").unwrap();
        assert_eq!(Script::read(&file).unwrap().text, "SELECT 1");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = Script::read(Path::new("no.sql")).unwrap_err();
        assert_eq!(failure.text(), "there is no file `no.sql` [file_not_found]\n");
    }
}
