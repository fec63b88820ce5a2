//! Regular expressions as RE2 reads them, which ONNX names as its own.

use regex_automata::meta::{Config, Regex};
use regex_automata::{Anchored, Input, MatchKind};
use tract_onnx::tract_hir::internal::*;

/// Bytes that one expression may take when compiled: it may come from anyone.
const SIZE_MAX: usize = 10 << 20;

/// An expression that matches at the leftmost place, and there as much as it can.
#[derive(Debug)]
pub(super) struct Pattern {
    leftmost: Regex,
    longest: Regex,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> TractResult<Pattern> {
        let pattern = translated(pattern)?;
        let build = |kind| {
            let config = Config::new().match_kind(kind).nfa_size_limit(Some(SIZE_MAX));
            Regex::builder().configure(config).build(&pattern).ok()
        };
        let (Some(leftmost), Some(longest)) = (build(MatchKind::LeftmostFirst), build(MatchKind::All)) else {
            bail!("the regular expression cannot be read");
        };
        Ok(Pattern { leftmost, longest })
    }

    /// Whether all of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.end(text, 0) == Some(text.len())
    }

    /// Where the first match at or behind `from` starts and ends.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let start = self.leftmost.find(Input::new(text).range(from..))?.start();
        Some((start, self.end(text, start)?))
    }

    /// Where the longest match that starts at `start` ends.
    fn end(&self, text: &str, start: usize) -> Option<usize> {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        Some(self.longest.find(input)?.end())
    }
}

/// The expression in the syntax of the crate `regex`, in which classes such as `\w` and `\b` are of all of Unicode,
/// and brackets have more meanings.
fn translated(pattern: &str) -> TractResult<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut in_brackets = false;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let escaped = rest.next().context("the regular expression ends in a backslash")?;
                push_escape(&mut out, escaped, in_brackets);
            }
            '[' if !in_brackets => {
                in_brackets = true;
                out.push('[');
                out.extend(rest.next_if_eq(&'^'));
                // As the first of a class it stands for itself.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if rest.peek() == Some(&':') => push_named_class(&mut out, &mut rest)?,
            ']' => {
                in_brackets = false;
                out.push(']');
            }
            '[' | '&' | '~' if in_brackets => out.extend(['\\', c]),
            '-' if in_brackets && rest.peek() == Some(&'-') => bail!("the range in the regular expression is unclear"),
            _ => out.push(c),
        }
    }
    Ok(out)
}

fn push_escape(out: &mut String, escaped: char, in_brackets: bool) {
    match escaped {
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'b' | 'B' if !in_brackets => out.extend(["(?-u:\\", if escaped == 'b' { "b" } else { "B" }, ")"]),
        _ => out.extend(['\\', escaped]),
    }
}

/// `[:alpha:]` and its like within brackets, up to its end.
fn push_named_class(out: &mut String, rest: &mut impl Iterator<Item = char>) -> TractResult<()> {
    out.push('[');
    for c in rest {
        out.push(c);
        if c == ']' {
            return Ok(());
        }
    }
    bail!("a bracket in the regular expression is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: Option<&str>) {
        let pattern = Pattern::new(pattern).expect("a sound pattern");
        assert_eq!(pattern.find(text, 0).map(|(start, end)| &text[start..end]), expected);
    }

    #[test]
    fn the_longest_of_several_matches_is_taken() {
        check("a|ab", "xab", Some("ab"));
        check("a+?", "aaa", Some("aaa"));
        check("(a?)(ab)?", "ab", Some("ab"));
    }

    #[test]
    fn classes_are_of_ascii_and_the_rest_is_not() {
        check(r"\w+", "é1_é", Some("1_"));
        check(r"[^\W\d]+", "1ab2", Some("ab"));
        check(r"\bc", "éc", Some("c"));
        check(".", "é", Some("é"));
        check(r"\S+", "\u{b}x y", Some("\u{b}x"));
    }

    #[test]
    fn brackets_mean_what_they_say() {
        check("[a[&&b]+", "x[&b", Some("[&b"));
        check("[]a]+", "x]a", Some("]a"));
        check("[[:digit:]x]+", "a1x", Some("1x"));
        check("[^]]", "]y", Some("y"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for pattern in ["(", "[a", "a\\", "(?u)a(", "[[:alpha"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
