//! `Tokenizer` of `com.microsoft`: cuts each text into tokens, padded to the longest list.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::node::{strings, values};
use super::super::{Built, Kernel, Signature, kernel};
use super::pattern::Pattern;
use super::{ensure_text, padded};

#[derive(Debug)]
struct Tokenizer {
    way: Way,
    /// A start and an end token around those of each text.
    marked: bool,
    filler: String,
    /// Shorter tokens are left out.
    letters_min: usize,
    tokens: Symbol,
}

#[derive(Debug)]
enum Way {
    Letters,
    /// Tokens are what lies between matches, of one pattern after the other.
    Separators(Vec<Pattern>),
    /// Tokens are matches.
    Tokens(Box<Pattern>),
}

pub(in crate::ops) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let letters_min = node.get_attr::<i64>("mincharnum")?;
    node.expect(letters_min > 0, "a mincharnum above zero")?;
    let tokenizer = Tokenizer {
        way: Way::read(node)?,
        marked: node.get_attr::<i64>("mark")? != 0,
        filler: node.get_attr::<String>("pad_value")?,
        letters_min: letters_min as usize,
        tokens: ctx.template.symbols.new_with_prefix("tokens"),
    };
    node.expect(tokenizer.letters_min == 1 || !matches!(tokenizer.way, Way::Letters), "a mincharnum of one")?;
    kernel(node, 1..=1, tokenizer)
}

impl Way {
    fn read(node: &NodeProto) -> TractResult<Way> {
        let separators = strings(node, "separators")?;
        match &*separators {
            [only] if only.is_empty() => return Ok(Way::Letters),
            [] => {}
            _ => {
                let patterns = separators.iter().map(|separator| Pattern::new(separator));
                return Ok(Way::Separators(patterns.collect::<TractResult<_>>()?));
            }
        }
        match node.get_attr_opt::<&str>("tokenexp")?.unwrap_or_default() {
            "" => node.bail("neither separators nor tokenexp is given"),
            "." => Ok(Way::Letters),
            pattern => Ok(Way::Tokens(Box::new(Pattern::new(pattern)?))),
        }
    }
}

impl Tokenizer {
    fn tokens(&self, text: &str) -> Vec<String> {
        match &self.way {
            Way::Letters => text.chars().map(String::from).collect(),
            Way::Separators(separators) => self.between(separators, text).into_iter().map(str::to_owned).collect(),
            Way::Tokens(pattern) => self.matches(pattern, text).into_iter().map(str::to_owned).collect(),
        }
    }

    fn between<'t>(&self, separators: &[Pattern], text: &'t str) -> Vec<&'t str> {
        separators.iter().fold(vec![text], |parts, separator| {
            parts.into_iter().flat_map(|part| self.split(separator, part)).collect()
        })
    }

    fn split<'t>(&self, separator: &Pattern, text: &'t str) -> Vec<&'t str> {
        let mut parts = Vec::new();
        let mut from = 0;
        while let Some((start, end)) = separator.find(text, from) {
            parts.push(&text[from..start]);
            from = end;
            if start == end {
                // The letter behind an empty match goes with it, in ONNX Runtime.
                let Some(letter) = text[end..].chars().next() else { break };
                from += letter.len_utf8();
            }
        }
        parts.push(&text[from..]);
        parts.retain(|part| self.is_long_enough(part));
        parts
    }

    fn matches<'t>(&self, pattern: &Pattern, text: &'t str) -> Vec<&'t str> {
        let mut tokens = Vec::new();
        let mut from = 0;
        while let Some((start, end)) = pattern.find(text, from) {
            if self.is_long_enough(&text[start..end]) {
                tokens.push(&text[start..end]);
                from = end;
            } else {
                let Some(letter) = text[start..].chars().next() else { break };
                from = start + letter.len_utf8();
            }
        }
        tokens
    }

    fn is_long_enough(&self, token: &str) -> bool {
        token.chars().take(self.letters_min).count() == self.letters_min
    }

    fn marked(&self, tokens: Vec<String>) -> Vec<String> {
        const START: &str = "\u{2}";
        const END: &str = "\u{3}";
        if !self.marked {
            return tokens;
        }
        [START.to_owned()].into_iter().chain(tokens).chain([END.to_owned()]).collect()
    }
}

impl Kernel for Tokenizer {
    fn name(&self) -> &'static str {
        "Tokenizer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_text(&inputs[0])?;
        let shape = &inputs[0].shape;
        ensure!((1..=2).contains(&shape.len()), "texts are needed as a list or a matrix");
        let longer = shape.iter().cloned().chain([self.tokens.to_dim()]);
        Ok(vec![Signature::new(DatumType::String, longer)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let lists: Vec<Vec<String>> = values::<String>(inputs[0])?.iter().map(|text| self.tokens(text)).collect();
        let nothing = lists.iter().all(Vec::is_empty);
        // Where no text has a token there are no marks either.
        let lists = if nothing { lists } else { lists.into_iter().map(|tokens| self.marked(tokens)).collect() };
        Ok(vec![padded(inputs[0].shape(), lists, &self.filler)])
    }
}
