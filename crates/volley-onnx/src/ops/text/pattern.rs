//! Regular expressions as RE2 reads them, which ONNX names as its own.

use regex_automata::meta::{Config, Regex};
use regex_automata::{Anchored, Input, MatchKind};
use tract_onnx::tract_hir::internal::*;

/// Bytes that one expression may take when compiled: it may come from anyone.
const SIZE_MAX: usize = 10 << 20;

/// An expression that matches at the leftmost place, and there as much as it can.
#[derive(Debug)]
pub(super) struct Pattern {
    /// For a run of one or more letters of ASCII, what they may be: no search is as fast as a look at each byte.
    run: Option<[bool; 256]>,
    leftmost: Regex,
    longest: Regex,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> TractResult<Pattern> {
        let run = letters_of_run(pattern);
        let pattern = translated(pattern)?;
        let build = |kind| {
            let config = Config::new().match_kind(kind).nfa_size_limit(Some(SIZE_MAX));
            Regex::builder().configure(config).build(&pattern).ok()
        };
        let (Some(leftmost), Some(longest)) = (build(MatchKind::LeftmostFirst), build(MatchKind::All)) else {
            bail!("the regular expression cannot be read");
        };
        Ok(Pattern { run, leftmost, longest })
    }

    /// Whether all of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.end(text, 0) == Some(text.len())
    }

    /// Where the first match at or behind `from` starts and ends.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        if let Some(letters) = &self.run {
            let bytes = &text.as_bytes()[from..];
            let start = bytes.iter().position(|&byte| letters[usize::from(byte)])?;
            let len = bytes[start..].iter().take_while(|&&byte| letters[usize::from(byte)]).count();
            return Some((from + start, from + start + len));
        }
        let start = self.leftmost.find(Input::new(text).range(from..))?.start();
        Some((start, self.end(text, start)?))
    }

    /// Where the longest match that starts at `start` ends.
    fn end(&self, text: &str, start: usize) -> Option<usize> {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        Some(self.longest.find(input)?.end())
    }
}

/// The letters of an expression such as `[a-z_]+`: a class of letters, digits and underscores of ASCII, one or more
/// times.
fn letters_of_run(pattern: &str) -> Option<[bool; 256]> {
    let mut class = pattern.strip_prefix('[')?.strip_suffix("]+")?.bytes().peekable();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut letters = [false; 256];
    class.peek()?;
    while let Some(first) = class.next() {
        let last = match class.next_if_eq(&b'-') {
            Some(_) => class.next()?,
            None => first,
        };
        if !is_plain(first) || !is_plain(last) || first > last {
            return None;
        }
        letters[usize::from(first)..=usize::from(last)].fill(true);
    }
    Some(letters)
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
    fn runs_of_letters_are_found_among_others() {
        check("[a-c_9]+", "éx9_abcd", Some("9_abc"));
        check("[a-c]+", "xyz", None);
        assert!(letters_of_run("[a-c_9]+").is_some());
        for other in ["[^a]+", "[a-]+", "[]+", "[z-a]+", "[a]", "[a]+b]+", r"[\d]+", "[é]+"] {
            assert!(letters_of_run(other).is_none(), "{other}");
        }
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
