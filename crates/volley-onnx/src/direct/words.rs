//! The texts that an encoder knows, found fast.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A code for each known text, and one for all others.
#[derive(Debug)]
pub struct Words {
    known: HashMap<Box<str>, u32, BuildHasherDefault<Folding>>,
    unknown: u32,
}

impl Words {
    /// Known texts with their codes, and the code of all others.
    pub fn new<'w>(known: impl IntoIterator<Item = (&'w str, u32)>, unknown: u32) -> Words {
        Words { known: known.into_iter().map(|(text, code)| (text.into(), code)).collect(), unknown }
    }

    /// The code of a text.
    #[inline]
    pub fn code(&self, text: &str) -> u32 {
        self.known.get(text).copied().unwrap_or(self.unknown)
    }
}

/// Numbers found as fast.
pub(crate) type Numbers = HashMap<u64, u32, BuildHasherDefault<Folding>>;

/// A hash of few instructions. Only what a model knows is ever put in, so rows cannot make tables slow.
#[derive(Debug, Default)]
pub(crate) struct Folding(u64);

impl Folding {
    #[inline]
    fn fold(&mut self, word: u64) {
        // The halves of the product mix all bits of both.
        let product = u128::from(self.0 ^ word ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Folding {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.fold(u64::from_le_bytes(*word)));
        let last = rest.iter().fold(rest.len() as u64, |last, &byte| last << 8 | u64::from(byte));
        self.fold(last);
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        // The end of a text, whose length is already in.
        self.0 ^= u64::from(byte);
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_code_and_all_others_have_one_together() {
        let texts = ["", "a", "b", "ab", "ba", "eight by", "eight byt", "eight byte", "ünïcode", "\0", "\0\0"];
        let words = Words::new(texts.iter().enumerate().map(|(at, text)| (*text, at as u32)), 99);
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(words.code(text), at as u32, "{text}");
        }
        for text in ["A", "aa", "eight", "eight bytes", "\0\0\0"] {
            assert_eq!(words.code(text), 99, "{text}");
        }
    }
}
