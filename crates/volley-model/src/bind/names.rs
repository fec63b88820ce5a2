//! Likeness of names, and how messages write them.

/// The candidate most like `name` without regard to case, if any is like it: the hint of an error.
pub fn nearest_name<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |candidate: &str| strsim::jaro_winkler(&name, &candidate.to_lowercase());
    candidates
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// As SQL must write a column of this name: in double quotes unless it is plain lowercase.
pub(super) fn identifier(name: &str) -> String {
    let plain = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The first names of a list, and how many are not shown.
pub(super) fn enumeration<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 20;
    let names: Vec<_> = names.collect();
    let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
    match names.len().saturating_sub(SHOWN_MAX) {
        0 if names.is_empty() => "nothing".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_across_case_and_suffixes() {
        let names = ["age", "tenure", "Income_EUR"];
        assert_eq!(nearest_name("income", names.into_iter()), Some("Income_EUR"));
        assert_eq!(nearest_name("tenur", names.into_iter()), Some("tenure"));
        assert_eq!(nearest_name("zip", names.into_iter()), None);
    }

    #[test]
    fn identifiers_are_quoted_where_sql_would_fold_or_split_them() {
        assert_eq!(identifier("income_2"), "income_2");
        assert_eq!(identifier("Income"), "\"Income\"");
        assert_eq!(identifier("mean radius"), "\"mean radius\"");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<_> = (0..23).map(|n| format!("c{n}")).collect();
        assert!(enumeration(names.iter().map(String::as_str)).ends_with("c18, c19 and 3 more"));
        assert_eq!(enumeration([].into_iter()), "nothing");
    }
}
