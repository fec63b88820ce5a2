//! Which row of the scores belongs to which row of the expected ones.

use std::collections::HashMap;

use crate::report::Failure;

/// Rows that belong together.
#[derive(Debug, PartialEq)]
pub struct Pairing {
    /// Row of the scores, row of the expected ones.
    pub pairs: Vec<(usize, usize)>,
    /// Rows that were scored and have no counterpart.
    pub only_scored: usize,
    /// Rows that were expected and not scored.
    pub only_expected: usize,
}

impl Pairing {
    /// The first with the first, and so on.
    pub fn by_position(scored: usize, expected: usize) -> Self {
        let both = scored.min(expected);
        let pairs = (0..both).map(|row| (row, row)).collect();
        Self { pairs, only_scored: scored - both, only_expected: expected - both }
    }

    /// Those of the same key. A key that several rows share pairs none of them for sure, and is refused.
    pub fn by_key(scored: &[String], expected: &[String]) -> Result<Self, Failure> {
        let rows = rows_by_key(expected, "the expected scores")?;
        rows_by_key(scored, "the input")?;
        let pair = |(row, key): (usize, &String)| rows.get(key.as_str()).map(|counterpart| (row, *counterpart));
        let pairs: Vec<_> = scored.iter().enumerate().filter_map(pair).collect();
        let (only_scored, only_expected) = (scored.len() - pairs.len(), expected.len() - pairs.len());
        Ok(Self { pairs, only_scored, only_expected })
    }
}

fn rows_by_key<'a>(keys: &'a [String], table: &str) -> Result<HashMap<&'a str, usize>, Failure> {
    let mut rows = HashMap::with_capacity(keys.len());
    for (row, key) in keys.iter().enumerate() {
        if let Some(other) = rows.insert(key.as_str(), row) {
            let message = format!(
                "the key is not unique in {table}: rows {} and {} have the same; name a column that tells rows apart",
                other + 1,
                row + 1
            );
            return Err(Failure::new("duplicate_key", message));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn rows_of_the_same_key_are_paired_whatever_their_order() {
        let pairing = Pairing::by_key(&keys("abcx"), &keys("cyba")).unwrap();
        assert_eq!(pairing, Pairing { pairs: vec![(0, 3), (1, 2), (2, 0)], only_scored: 1, only_expected: 1 });
    }

    #[test]
    fn by_position_the_longer_side_has_rows_of_its_own() {
        let pairing = Pairing::by_position(2, 3);
        assert_eq!(pairing, Pairing { pairs: vec![(0, 0), (1, 1)], only_scored: 0, only_expected: 1 });
    }

    #[test]
    fn a_key_of_two_rows_is_refused_without_its_value() {
        let told = Pairing::by_key(&keys("ab"), &keys("zaz")).unwrap_err().text();
        assert!(told.contains("expected scores: rows 1 and 3"), "{told}");
        assert!(Pairing::by_key(&keys("aa"), &keys("a")).is_err());
    }
}
