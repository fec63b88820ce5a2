//! `StringNormalizer`: changes case and leaves out stop words.

use std::collections::HashSet;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::{refuse, strings, values};
use super::super::{Built, Kernel, Signature, kernel};
use super::ensure_text;

#[derive(Debug)]
struct StringNormalizer {
    change: Case,
    /// The case in which words are compared with the stop words.
    compared: Case,
    /// In the case of comparison.
    stop_words: HashSet<String>,
    /// How many words are left.
    left: Symbol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
    Kept,
}

pub(in crate::ops) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let change = match node.get_attr_opt::<&str>("case_change_action")?.unwrap_or("NONE") {
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        "NONE" => Case::Kept,
        _ => return node.bail_attr("case_change_action", "is unknown"),
    };
    let case_sensitive = node.get_attr_opt::<i64>("is_case_sensitive")?.unwrap_or(0) != 0;
    let compared = match (case_sensitive, change) {
        (true, _) => Case::Kept,
        (false, Case::Upper) => Case::Upper,
        (false, Case::Lower | Case::Kept) => Case::Lower,
    };
    if !node.get_attr_opt::<&str>("locale")?.is_none_or(has_plain_cases) {
        return node.bail_attr("locale", "is not supported: its letters change case in ways of their own");
    }
    let stop_words = strings(node, "stopwords")?.iter().map(|word| compared.of(word)).collect();
    let left = ctx.template.symbols.new_with_prefix("words");
    kernel(node, 1..=1, StringNormalizer { change, compared, stop_words, left })
}

/// Turkish, Azeri and Lithuanian are the ones that do not.
fn has_plain_cases(locale: &str) -> bool {
    !["tr", "az", "lt"].iter().any(|language| {
        let rest = locale.strip_prefix(language);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
    })
}

impl Case {
    fn of(self, text: &str) -> String {
        match self {
            Case::Lower if text.is_ascii() => text.to_ascii_lowercase(),
            Case::Upper if text.is_ascii() => text.to_ascii_uppercase(),
            Case::Lower => text.chars().map(lower).collect(),
            Case::Upper => text.chars().map(upper).collect(),
            Case::Kept => text.to_owned(),
        }
    }
}

/// Letter by letter, as C does: a letter for which that takes several stays.
fn lower(c: char) -> char {
    match c {
        '\u{130}' => 'i',
        _ => alone(c.to_lowercase()).unwrap_or(c),
    }
}

fn upper(c: char) -> char {
    // Greek with iota beneath: one letter for titles, two where all is in upper case.
    match u32::from(c) {
        at @ 0x1F80..=0x1FAF if at & 8 == 0 => char::from_u32(at + 8).unwrap_or(c),
        at @ (0x1FB3 | 0x1FC3 | 0x1FF3) => char::from_u32(at + 9).unwrap_or(c),
        _ => alone(c.to_uppercase()).unwrap_or(c),
    }
}

fn alone(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

impl StringNormalizer {
    /// The words that are left; one empty word if none is.
    fn words(&self, texts: &[String]) -> Vec<String> {
        let kept = texts.iter().filter(|text| !self.is_stop_word(text));
        let words: Vec<String> = kept.map(|text| self.change.of(text)).collect();
        if words.is_empty() { vec![String::new()] } else { words }
    }

    fn is_stop_word(&self, text: &str) -> bool {
        !self.stop_words.is_empty() && self.stop_words.contains(&self.compared.of(text))
    }
}

impl Kernel for StringNormalizer {
    fn name(&self) -> &'static str {
        "StringNormalizer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_text(&inputs[0])?;
        let one = 1.to_dim();
        let outer = match &*inputs[0].shape {
            [_] => tvec!(),
            [rows, _] if *rows == one => tvec!(one),
            _ => bail!("words are needed as a list, or as one row"),
        };
        if self.stop_words.is_empty() {
            return Ok(inputs.to_vec());
        }
        Ok(vec![Signature::new(DatumType::String, outer.into_iter().chain([self.left.to_dim()]))])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let texts = values::<String>(inputs[0])?;
        if self.stop_words.is_empty() {
            return Ok(vec![crate::tensor_from(shape, texts.iter().map(|text| self.change.of(text)).collect())]);
        }
        let words = self.words(texts);
        match shape {
            [_] => Ok(vec![crate::tensor_from(&[words.len()], words)]),
            [1, _] => Ok(vec![crate::tensor_from(&[1, words.len()], words)]),
            _ => refuse("words are needed as a list, or as one row"),
        }
    }
}
