//! JSON as XGBoost and LightGBM write it: with `NaN` and `Infinity`, which the standard does not have.

use std::collections::BTreeMap;

use super::document::{DEPTH_MAX, Value, invalid};
use crate::error::Error;

/// The value that `bytes` hold, and nothing but it.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    match reader.next_visible() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("the end")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(invalid("the file is nested too deeply"));
        }
        match self.next_visible() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::Text(self.text()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Ok(Value::Number(self.number()?)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        let mut members = BTreeMap::new();
        self.at += 1;
        if self.accepted(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            if self.next_visible() != Some(b'"') {
                return Err(self.wrong("a name"));
            }
            let name = self.text()?;
            self.expect(b':', "a colon")?;
            members.insert(name, self.value(depth + 1)?);
            if !self.accepted(b',') {
                self.expect(b'}', "a comma or the end of an object")?;
                return Ok(Value::Object(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        self.at += 1;
        if self.accepted(b']') {
            return Ok(Value::Numbers(Vec::new()));
        }
        // Numbers are kept as such while there is nothing else: they are most of the file.
        let mut numbers = Vec::new();
        let mut others = Vec::new();
        loop {
            match self.value(depth + 1)? {
                Value::Number(number) if others.is_empty() => numbers.push(number),
                value => {
                    others.extend(numbers.drain(..).map(Value::Number));
                    others.push(value);
                }
            }
            if !self.accepted(b',') {
                self.expect(b']', "a comma or the end of a list")?;
                return Ok(if others.is_empty() { Value::Numbers(numbers) } else { Value::list_of(others) });
            }
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            let plain = plain.ok_or_else(|| self.wrong("the end of a text"))?;
            text.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return String::from_utf8(text).map_err(|_| self.wrong("UTF-8"));
            }
            let escaped = self.escaped()?;
            text.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn escaped(&mut self) -> Result<char, Error> {
        let letter = self.bytes.get(self.at).copied();
        self.at += 1;
        Ok(match letter {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.wrong("an escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let high = self.hexadecimal()?;
        let is_pair = (0xd800..0xdc00).contains(&high) && self.bytes[self.at..].starts_with(b"\\u");
        let code = if is_pair {
            self.at += 2;
            let low = self.hexadecimal()?;
            0x10000 + ((high - 0xd800) << 10) + low.wrapping_sub(0xdc00) % 0x400
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.wrong("a character"))
    }

    fn hexadecimal(&mut self) -> Result<u32, Error> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.at += 4;
        code.ok_or_else(|| self.wrong("four hexadecimal digits"))
    }

    fn number(&mut self) -> Result<f64, Error> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| !is_of_number(*byte)).unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..len]).unwrap_or_default();
        // Rust's own spellings beyond these, such as `nan`, do no harm.
        let number = text.parse().map_err(|_| self.wrong("a value"))?;
        self.at += len;
        Ok(number)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn next_visible(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn accepted(&mut self, byte: u8) -> bool {
        let found = self.next_visible() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Error> {
        if self.accepted(byte) { Ok(()) } else { Err(self.wrong(what)) }
    }

    fn wrong(&self, expected: &str) -> Error {
        invalid(format!("its JSON lacks {expected} at byte {}", self.at.min(self.bytes.len())))
    }
}

/// The letters are those of `NaN` and `Infinity`.
fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_with_its_escapes_and_its_numbers_that_are_none() {
        let value =
            parse(br#" {"a": [1, -2.5E-1, NaN, -Infinity], "b": [], "c": "\u00e9\ud83d\ude00\n\"", "d": [true, {}]} "#)
                .expect("JSON");
        let numbers = value.numbers("a").expect("numbers");
        assert_eq!(numbers[..2], [1.0, -0.25]);
        assert!(numbers[2].is_nan());
        assert_eq!(numbers[3], f64::NEG_INFINITY);
        assert_eq!(value.member("b"), Ok(&Value::Numbers(vec![])));
        assert_eq!(value.text("c"), Ok("é😀\n\""));
        assert_eq!(value.list("d").expect("a list").len(), 2);
    }

    #[test]
    fn truths_count_as_numbers_where_numbers_are_asked_for() {
        let value = parse(br#"{"default_left": [true, false]}"#).expect("JSON");
        assert_eq!(value.indices("default_left"), Ok(vec![1, 0]));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for text in [
            "",
            "{",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "\"a",
            "tru",
            "1 2",
            "\"\\u12\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "-",
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(error.to_string().contains("at byte"), "{text}: {error}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
