//! Messages without the data that libraries below quote, and without the secrets that users write.

/// What stands in the place of a value.
const HIDDEN: &str = "…";

/// Words before which a quoted text is a name or a type, and not a value.
const NAMING: [&str; 4] = ["type", "column", "field", "file"];

/// Words after which a bare value follows.
const QUOTING: [&str; 3] = ["value", "got", "found"];

/// The message of a failed parse, cast or sum without the values in it: quoted texts, numbers after `value` and
/// `got`, and everything from `Row data:` on.
pub fn without_values(message: &str) -> String {
    let message = ["Row data:", "Overflow happened on:", ", found "]
        .iter()
        .filter_map(|end| message.find(end))
        .min()
        .map_or(message, |end| message[..end].trim_end_matches([' ', ',', ':', '.']));
    let mut told = String::new();
    let mut rest = message;
    while let Some(start) = rest.find(['\'', '"', '`']) {
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else { break };
        let end = start + length + 2;
        told += &rest[..start];
        told += if names_something(&rest[..start]) { &rest[start..end] } else { HIDDEN };
        rest = &rest[end..];
    }
    told += rest;
    let mut previous = "";
    let words = told.split(' ').map(|word| {
        let is_value =
            QUOTING.contains(&previous) && word.starts_with(|c: char| c.is_ascii_digit() || "-+[{".contains(c));
        previous = word;
        if is_value { HIDDEN } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A URL as messages may show it: without user and password, and without what stands behind the path. For
/// texts that are no valid URLs too.
pub(crate) fn without_secrets(url: &str) -> String {
    let place = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = place.split_once("://") else {
        return place.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A password may hold any of these, a host none.
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

fn names_something(before: &str) -> bool {
    before.split_whitespace().next_back().is_some_and(|word| NAMING.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("s3://lake/a/b.csv", "s3://lake/a/b.csv"),
            ("s3://key:pa@ss@lake/a", "s3://lake/a"),
            ("https://h/x?sig=1/2#3", "https://h/x"),
            ("no url?x", "no url"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn values_are_left_out_and_names_stay() {
        for (message, told) in [
            (
                "Parser error: Error while parsing value 'geheim' as type 'Int64' for column 1 at line 3. Row data: '[2,geheim]'",
                "Parser error: Error while parsing value … as type 'Int64' for column 1 at line 3",
            ),
            ("Cannot cast string 'geheim' to value of Int32 type", "Cannot cast string … to value of Int32 type"),
            ("Can't cast value 4711 to type Int32", "Can't cast value … to type Int32"),
            ("expected string got 4711", "expected string got …"),
            ("expected { got \"geheim\"", "expected { got …"),
            (
                "Expected JSON record to be an object, found Array [Number(4711)]",
                "Expected JSON record to be an object",
            ),
            ("Arithmetic overflow: Overflow happened on: 4711 * 4712", "Arithmetic overflow"),
            ("Divide by zero error", "Divide by zero error"),
        ] {
            assert_eq!(without_values(message), told);
        }
    }
}
