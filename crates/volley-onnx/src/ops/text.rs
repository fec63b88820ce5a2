//! Operators on text: `StringNormalizer`, `Tokenizer`, `TfIdfVectorizer`, `RegexFullMatch`, `StringConcat`,
//! `StringSplit`.

mod concat;
mod full_match;
mod ngrams;
mod normalizer;
mod pattern;
mod split;
mod tokenizer;

use tract_onnx::tract_hir::internal::*;

use super::Signature;

pub(super) use concat::build as build_concat;
pub(super) use full_match::build as build_full_match;
pub(super) use ngrams::build as build_tf_idf_vectorizer;
pub(super) use normalizer::build as build_normalizer;
pub(super) use split::build as build_split;
pub(super) use tokenizer::build as build_tokenizer;

fn ensure_text(input: &Signature) -> TractResult<()> {
    match input.element {
        DatumType::String => Ok(()),
        other => bail!("text is needed, not {other:?}"),
    }
}

/// A tensor with one more dimension than `shape`, as long as the longest list; `filler` stands behind the shorter
/// ones.
fn padded(shape: &[usize], lists: Vec<Vec<String>>, filler: &str) -> Tensor {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut texts = Vec::with_capacity(lists.len() * longest);
    for mut list in lists {
        list.resize(longest, filler.to_owned());
        texts.append(&mut list);
    }
    let shape: TVec<usize> = shape.iter().copied().chain([longest]).collect();
    crate::tensor_from(&shape, texts)
}
