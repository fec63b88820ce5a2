//! Universal Binary JSON, draft 12, as far as XGBoost writes it: numbers are big-endian, and a list of numbers is one
//! block with its type and its length before it.

use std::collections::BTreeMap;

use super::document::{DEPTH_MAX, Value, index, invalid};
use crate::error::Error;

/// The value that `bytes` hold, and nothing but it.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { rest: bytes };
    let marker = reader.byte()?;
    let value = reader.value(marker, 0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(invalid("its UBJSON goes on behind its end")) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, marker: u8, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(invalid("the file is nested too deeply"));
        }
        Ok(match marker {
            b'{' => self.object(depth)?,
            b'[' => self.list(depth)?,
            b'S' => Value::Text(self.text()?),
            b'C' => Value::Text(char::from(self.byte()?).to_string()),
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'Z' => Value::Null,
            marker => Value::Number(self.number(Number::of(marker)?)?),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        let mut members = BTreeMap::new();
        while self.rest.first() != Some(&b'}') {
            let name = self.text()?;
            let marker = self.byte()?;
            members.insert(name, self.value(marker, depth + 1)?);
        }
        self.byte()?;
        Ok(Value::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        if self.accepted(b'$') {
            return self.block();
        }
        if self.accepted(b'#') {
            // Each value takes a byte at least, so a length that lies ends with the file; nothing is reserved for it.
            let len = self.length()?;
            let values = (0..len).map(|_| self.next(depth)).collect::<Result<_, _>>()?;
            return Ok(Value::list_of(values));
        }
        let mut values = Vec::new();
        while !self.accepted(b']') {
            values.push(self.next(depth)?);
        }
        Ok(Value::list_of(values))
    }

    fn next(&mut self, depth: usize) -> Result<Value, Error> {
        let marker = self.byte()?;
        self.value(marker, depth + 1)
    }

    /// Numbers of one type. Other types have values without bytes, of which a length could promise any number.
    fn block(&mut self) -> Result<Value, Error> {
        let number = Number::of(self.byte()?)?;
        if !self.accepted(b'#') {
            return Err(invalid("a list of its UBJSON has a type and no length"));
        }
        let len = self.length()?;
        let bytes = self.take(len.checked_mul(number.bytes()).ok_or_else(truncated)?)?;
        Ok(Value::Numbers(bytes.chunks_exact(number.bytes()).map(|bytes| number.read(bytes)).collect()))
    }

    fn text(&mut self) -> Result<String, Error> {
        let len = self.length()?;
        let text = std::str::from_utf8(self.take(len)?);
        text.map(str::to_owned).map_err(|_| invalid("a text of its UBJSON is not UTF-8"))
    }

    fn length(&mut self) -> Result<usize, Error> {
        let number = Number::of(self.byte()?)?;
        index(self.number(number)?).ok_or_else(|| invalid("a length of its UBJSON is none"))
    }

    fn number(&mut self, number: Number) -> Result<f64, Error> {
        Ok(number.read(self.take(number.bytes())?))
    }

    fn accepted(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn truncated() -> Error {
    invalid("its UBJSON ends too early")
}

/// The types of numbers.
#[derive(Clone, Copy)]
enum Number {
    I8,
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Number {
    fn of(marker: u8) -> Result<Number, Error> {
        Ok(match marker {
            b'i' => Number::I8,
            b'U' => Number::U8,
            b'I' => Number::I16,
            b'l' => Number::I32,
            b'L' => Number::I64,
            b'd' => Number::F32,
            b'D' => Number::F64,
            _ => return Err(invalid("its UBJSON has a marker that does not belong there")),
        })
    }

    fn bytes(self) -> usize {
        match self {
            Number::I8 | Number::U8 => 1,
            Number::I16 => 2,
            Number::I32 | Number::F32 => 4,
            Number::I64 | Number::F64 => 8,
        }
    }

    /// The number in exactly [`Number::bytes`] bytes.
    fn read(self, bytes: &[u8]) -> f64 {
        let big = bytes.iter().fold(0u64, |big, &byte| big << 8 | u64::from(byte));
        match self {
            Number::I8 => f64::from(big as i8),
            Number::U8 => f64::from(big as u8),
            Number::I16 => f64::from(big as i16),
            Number::I32 => f64::from(big as i32),
            Number::I64 => big as i64 as f64,
            Number::F32 => f64::from(f32::from_bits(big as u32)),
            Number::F64 => f64::from_bits(big),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_with_its_blocks() {
        let bytes = b"{i\x01aT i\x01b[$d#i\x02\x3f\x80\0\0\xc0\0\0\0U\x01c[U\x05SU\x02hiI\xff\xfe]L\0\0\0\0\0\0\0\x01d[#i\x01Z}";
        let bytes: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b' ').collect();
        let value = parse(&bytes).expect("UBJSON");
        assert_eq!(value.member("a"), Ok(&Value::Bool(true)));
        assert_eq!(value.numbers("b").expect("numbers")[..], [1.0, -2.0]);
        let mixed = vec![Value::Number(5.0), Value::Text("hi".into()), Value::Number(-2.0)];
        assert_eq!(value.member("c"), Ok(&Value::List(mixed)));
        assert_eq!(value.member("d"), Ok(&Value::List(vec![Value::Null])));
    }

    #[test]
    fn a_length_that_lies_reserves_nothing() {
        let billions = b"L\0\0\0\xe8\xd4\xa5\x10\0";
        for head in [&b"[#"[..], b"[$L#", b"[$U#", b"S", b"{"] {
            let bytes = [head, billions].concat();
            assert!(parse(&bytes).is_err());
        }
        for marker in [b'Z', b'T', b'N', b'[', b'{'] {
            assert!(parse(&[&b"[$"[..], &[marker], b"#l\x7f\xff\xff\xff"].concat()).is_err(), "{}", char::from(marker));
        }
        let below_zero = b"Si\xff";
        assert!(parse(below_zero).is_err());
    }

    #[test]
    fn a_document_that_goes_too_deep_is_refused() {
        assert!(parse(&[b'['; 1_000_000]).is_err());
    }
}
