//! What may stand at the cursor: keywords, functions, tables, columns, models.

use std::collections::BTreeMap;

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FALSE",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "PARQUET",
    "PARTITION",
    "PARTITIONED",
    "RIGHT",
    "SELECT",
    "SET",
    "SHOW",
    "STORED",
    "TABLE",
    "TABLES",
    "THEN",
    "TO",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Each is followed by its parenthesis, and the first argument is a model.
const PREDICT_FUNCTIONS: [&str; 3] = ["predict(", "predict_proba(", "predict_label("];

const FUNCTIONS: [&str; 14] = [
    "abs(",
    "array_agg(",
    "avg(",
    "coalesce(",
    "concat(",
    "count(",
    "date_part(",
    "date_trunc(",
    "lower(",
    "max(",
    "min(",
    "round(",
    "sum(",
    "upper(",
];

/// The names that a session knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    /// Columns by table.
    pub tables: BTreeMap<String, Vec<String>>,
    /// In the registry.
    pub models: Vec<String>,
}

impl Names {
    /// Where the word before the cursor begins, and what it may become.
    pub fn complete(&self, text: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &text[..cursor];
        if let Some(model) = model_in_quotes(before) {
            return (cursor - model.len(), starting_with(model, self.models.iter().map(String::as_str)));
        }
        let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if word.is_empty() || is_in_string(before) {
            return (cursor, vec![]);
        }
        (cursor - word.len(), self.words(word))
    }

    /// The session's own names come first: there are fewer of them, and they are harder to remember.
    fn words(&self, word: &str) -> Vec<String> {
        let columns = self.tables.values().flatten();
        let mut words = starting_with(word, self.tables.keys().chain(columns).map(String::as_str));
        words.dedup();
        words.extend(starting_with(word, PREDICT_FUNCTIONS.into_iter().chain(FUNCTIONS)));
        words
            .extend(starting_with(word, KEYWORDS.iter().copied()).into_iter().map(|keyword| in_case_of(word, keyword)));
        words
    }
}

fn starting_with<'a>(start: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let start = start.to_lowercase();
    let mut names: Vec<_> =
        names.into_iter().filter(|name| name.to_lowercase().starts_with(&start)).map(str::to_string).collect();
    names.sort();
    names
}

/// Who types in lower case wants keywords in lower case.
fn in_case_of(word: &str, keyword: String) -> String {
    match word.chars().any(char::is_uppercase) {
        true => keyword,
        false => keyword.to_lowercase(),
    }
}

/// What has been typed of a model's name: the open string that is the first argument of a predict call.
fn model_in_quotes(before: &str) -> Option<&str> {
    if !is_in_string(before) {
        return None;
    }
    let (code, name) = before.rsplit_once('\'')?;
    let code = code.trim_end().to_lowercase();
    PREDICT_FUNCTIONS.iter().any(|function| code.ends_with(function)).then_some(name)
}

fn is_in_string(before: &str) -> bool {
    before.matches('\'').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let columns = ["origin", "dep_delay"].map(String::from).to_vec();
        Names { tables: [("flights".to_string(), columns)].into(), models: vec!["churn".into(), "flights".into()] }
    }

    fn check(text: &str, completed: &[&str]) {
        let (start, candidates) = names().complete(text, text.len());
        let completed_texts: Vec<_> = candidates.iter().map(|word| format!("{}{word}", &text[..start])).collect();
        assert_eq!(completed_texts, completed, "{text}");
    }

    #[test]
    fn keywords_follow_the_case_of_what_is_typed() {
        check("sel", &["select"]);
        check("SELECT 1 WHE", &["SELECT 1 WHEN", "SELECT 1 WHERE"]);
    }

    #[test]
    fn tables_and_columns_come_before_keywords() {
        check("SELECT or", &["SELECT origin", "SELECT or", "SELECT order"]);
        check("SELECT * FROM fl", &["SELECT * FROM flights"]);
    }

    #[test]
    fn the_first_argument_of_predict_is_a_model() {
        check("SELECT predict('", &["SELECT predict('churn", "SELECT predict('flights"]);
        check("SELECT PREDICT_PROBA( 'fl", &["SELECT PREDICT_PROBA( 'flights"]);
        check("SELECT predict('flights', fl", &["SELECT predict('flights', flights"]);
    }

    #[test]
    fn other_strings_are_left_alone() {
        check("SELECT 'sel", &[]);
        check("SELECT ", &[]);
    }
}
