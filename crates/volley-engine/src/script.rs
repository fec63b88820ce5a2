//! A text of SQL statements, parsed one by one with their places in the whole text.

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{CreateExternalTable, DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use volley_predict::Place;

use crate::error::EngineError;

/// One statement of a script.
#[derive(Debug, Clone)]
pub enum ScriptStatement {
    /// Anything that DataFusion's grammar knows.
    Sql(Box<Statement>),
    /// `CREATE EXTERNAL TABLE … LOCATION … AS SELECT …`: makes the table and fills it.
    CreateTableAs {
        /// The table, as if made without a query.
        table: Box<CreateExternalTable>,
        /// What fills it.
        query: Box<Query>,
    },
}

/// What a statement gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows, for whoever asked.
    Rows,
    /// A result at a destination.
    Write,
    /// Nothing: it changes its session.
    Command,
}

impl ScriptStatement {
    /// What it gives. INSERT into a table in memory counts as a write.
    pub fn kind(&self) -> Kind {
        let statement = match self {
            Self::CreateTableAs { .. } => return Kind::Write,
            Self::Sql(statement) => statement.as_ref(),
        };
        match statement {
            Statement::CopyTo(_) => Kind::Write,
            Statement::CreateExternalTable(_) | Statement::Reset(_) => Kind::Command,
            Statement::Explain(_) => Kind::Rows,
            Statement::Statement(inner) => match inner.as_ref() {
                SqlStatement::Insert(_) => Kind::Write,
                SqlStatement::CreateView(_)
                | SqlStatement::CreateTable(_)
                | SqlStatement::Drop { .. }
                | SqlStatement::Set(_) => Kind::Command,
                _ => Kind::Rows,
            },
        }
    }
}

/// Parses all statements of a text; a syntax error has its place.
pub fn parse_script(text: &str) -> Result<Vec<ScriptStatement>, EngineError> {
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| EngineError::at("syntax", error.message, Some(place(error.location))))?;
    let significant: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect();
    significant
        .split(|token| token.token == Token::SemiColon)
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| parse_statement(text, tokens))
        .collect()
}

/// Whether a text ends a statement, so that a prompt need not ask for another line.
pub fn is_complete(text: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return false };
    tokens.into_iter().rfind(|token| !matches!(token, Token::Whitespace(_) | Token::EOF)) == Some(Token::SemiColon)
}

/// How deep a statement may be, in operators. Statements are walked through level by level, which takes room on a
/// thread's stack: a text without end would end the process.
const DEPTH_MAX: usize = 4_000;
/// A query in a statement, or a table beside another, takes as much room as so many operators.
const QUERY_DEPTH: usize = 8;

/// What stands in a bracket that is open.
#[derive(Debug, Default)]
struct Bracket {
    /// Of the item of a list that is being read: each may lie one deeper than the one before.
    operators: usize,
    is_list_of_tables: bool,
}

/// Refuses a statement that is too deep. How deep brackets lie in brackets is bounded by the parser.
fn check_depth(tokens: &[TokenWithSpan]) -> Result<(), EngineError> {
    // Queries are joined to each other wherever they stand; operators are those of all brackets that are open.
    let (mut queries, mut operators) = (0, 0);
    let mut open = vec![Bracket::default()];
    for (at, token) in tokens.iter().enumerate() {
        let is_test = at > 0 && keyword(&tokens[at - 1]) == Some(Keyword::DISTINCT);
        match (&token.token, open.last_mut()) {
            (Token::LParen, _) => open.push(Bracket::default()),
            (Token::RParen, _) => operators -= open.pop().map_or(0, |bracket| bracket.operators),
            (Token::Comma, Some(bracket)) if bracket.is_list_of_tables => queries += 1,
            (Token::Comma, Some(bracket)) => operators -= std::mem::take(&mut bracket.operators),
            (token, Some(bracket)) => {
                queries += usize::from(is_query(token));
                bracket.operators += usize::from(is_operator(token));
                operators += usize::from(is_operator(token));
                bracket.is_list_of_tables = begins_tables(token, is_test).unwrap_or(bracket.is_list_of_tables);
            }
            // More brackets are closed than were open, as the parser will say.
            (_, None) => {}
        }
        if operators + queries * QUERY_DEPTH > DEPTH_MAX {
            let message = format!(
                "the statement is deeper than {DEPTH_MAX} operators, of which a query or a join counts as {QUERY_DEPTH}: put values into a table, or write IN (…)"
            );
            return Err(EngineError::at("statement_too_deep", message, Some(place(token.span.start))));
        }
    }
    Ok(())
}

/// Whether a list of tables begins or ends at a word; `is_test` if the word ends an IS DISTINCT FROM.
fn begins_tables(token: &Token, is_test: bool) -> Option<bool> {
    match token {
        Token::Word(word) => match word.keyword {
            Keyword::FROM => Some(!is_test),
            Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::SELECT | Keyword::UNION => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn is_query(token: &Token) -> bool {
    use Keyword::{EXCEPT, INTERSECT, JOIN, SELECT, UNION, VALUES};
    matches!(token, Token::Word(word) if [EXCEPT, INTERSECT, JOIN, SELECT, UNION, VALUES].contains(&word.keyword))
}

fn is_operator(token: &Token) -> bool {
    use Keyword::{AND, AT, BETWEEN, CASE, COLLATE, DIV, ILIKE, IN, IS, LIKE, NOT, OR, XOR};
    match token {
        Token::Word(word) => {
            let operators = [AND, AT, BETWEEN, CASE, COLLATE, DIV, ILIKE, IN, IS, LIKE, NOT, OR, XOR];
            word.quote_style.is_none() && operators.contains(&word.keyword)
        }
        Token::Number(..) | Token::Placeholder(_) | Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => {
            false
        }
        token => *token != Token::Period,
    }
}

fn parse_statement(text: &str, tokens: &[TokenWithSpan]) -> Result<ScriptStatement, EngineError> {
    check_depth(tokens)?;
    match position_of_as(tokens) {
        None => parse_one(text, tokens).map(|statement| ScriptStatement::Sql(Box::new(statement))),
        Some(at) => {
            let Statement::CreateExternalTable(table) = parse_one(text, &tokens[..at])? else {
                return Err(EngineError::new("syntax", "CREATE EXTERNAL TABLE … AS needs a table before AS"));
            };
            let query = parse_query(text, &tokens[at + 1..], place(tokens[at].span.start))?;
            Ok(ScriptStatement::CreateTableAs { table: Box::new(table), query })
        }
    }
}

fn parse_one(text: &str, tokens: &[TokenWithSpan]) -> Result<Statement, EngineError> {
    let padded = padded(text, tokens);
    let mut parser: DFParser = DFParserBuilder::new(padded.as_str()).build().map_err(syntax)?;
    let mut statements = parser.parse_statements().map_err(syntax)?;
    statements.pop_front().ok_or_else(|| EngineError::new("syntax", "there is no statement"))
}

fn parse_query(text: &str, tokens: &[TokenWithSpan], after: Place) -> Result<Box<Query>, EngineError> {
    let no_query = || EngineError::at("syntax", "AS must be followed by a query", Some(after));
    if tokens.is_empty() {
        return Err(no_query());
    }
    match parse_one(text, tokens)? {
        Statement::Statement(inner) => match *inner {
            SqlStatement::Query(query) => Ok(query),
            _ => Err(no_query()),
        },
        _ => Err(no_query()),
    }
}

fn syntax(error: DataFusionError) -> EngineError {
    EngineError::from_datafusion(&error, &[])
}

/// Where `AS` stands in a `CREATE [OR REPLACE] EXTERNAL TABLE … AS query`.
fn position_of_as(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is_external = tokens.iter().take(4).any(|token| keyword(token) == Some(Keyword::EXTERNAL));
    if keyword(tokens.first()?) != Some(Keyword::CREATE) || !is_external {
        return None;
    }
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        let is_stored_as = index > 0 && keyword(&tokens[index - 1]) == Some(Keyword::STORED);
        if depth == 0 && keyword(token) == Some(Keyword::AS) && !is_stored_as {
            return Some(index);
        }
    }
    None
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// The text of `tokens` alone, with blanks in place of what stands before, so that places stay true.
fn padded(text: &str, tokens: &[TokenWithSpan]) -> String {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return String::new() };
    let (start, end) = (place(first.span.start), place(last.span.end));
    let mut here = Place { line: 1, column: 1 };
    let mut kept = String::with_capacity(text.len());
    for character in text.chars() {
        if here >= end {
            break;
        }
        kept.push(if here >= start || character == '\n' { character } else { ' ' });
        here = match character {
            '\n' => Place { line: here.line + 1, column: 1 },
            _ => Place { line: here.line, column: here.column + 1 },
        };
    }
    kept
}

fn place(location: Location) -> Place {
    Place { line: location.line, column: location.column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&'static str> {
        parse_script(text)
            .unwrap()
            .iter()
            .map(|statement| match statement {
                ScriptStatement::Sql(_) => "sql",
                ScriptStatement::CreateTableAs { .. } => "create as",
            })
            .collect()
    }

    #[test]
    fn a_script_is_split_at_its_semicolons() {
        assert_eq!(kinds("SELECT 1; -- a; comment\nSELECT ';' AS x;\n"), ["sql", "sql"]);
        assert!(kinds(" ;; -- nothing\n").is_empty());
    }

    #[test]
    fn a_statement_gives_rows_or_writes_or_changes_its_session() {
        let kinds = |text: &str| parse_script(text).unwrap().iter().map(ScriptStatement::kind).collect::<Vec<_>>();
        let rows =
            "SELECT 1; EXPLAIN SELECT 1; EXPLAIN COPY t TO 'x/' STORED AS CSV; SHOW TABLES; DESCRIBE t; VALUES (1)";
        assert_eq!(kinds(rows), [Kind::Rows; 6]);
        let writes = "COPY t TO 'x/' STORED AS CSV; INSERT INTO t SELECT 1; INSERT OVERWRITE t SELECT 1;
                      CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x/' AS SELECT 1 AS a";
        assert_eq!(kinds(writes), [Kind::Write; 4]);
        let commands = "SET a.b = 1; RESET a.b; CREATE VIEW v AS SELECT 1; CREATE TABLE t AS SELECT 1; DROP VIEW v;
                        CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x/'";
        assert_eq!(kinds(commands), [Kind::Command; 6]);
    }

    #[test]
    fn an_external_table_can_be_made_from_a_query() {
        let made = "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'x/' AS SELECT 1 AS a";
        assert_eq!(kinds(made), ["create as"]);
        assert_eq!(kinds("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 'x/'"), ["sql"]);
    }

    #[test]
    fn a_syntax_error_has_its_place_in_the_whole_text() {
        let error = parse_script("SELECT 1;\nSELECT a FORM t").unwrap_err();
        assert_eq!(error.code(), "syntax");
        assert_eq!(error.problems[0].place.map(|place| place.line), Some(2));
    }

    #[test]
    fn a_statement_is_as_long_as_its_lists_are_and_not_as_deep() {
        let many = |item: &str| vec![item; 20_000].join(", ");
        for text in [
            format!("SELECT 1 IN ({})", many("'x'")),
            format!("SELECT {} FROM t", many("CASE WHEN t.a IS NULL THEN -t.b ELSE t.c * 2 + 1 END")),
            format!("SELECT 1 IS DISTINCT FROM a, {}", many("a")),
            format!("SELECT extract(day FROM d), {}", many("a")),
            format!("SELECT 1 FROM t ORDER BY {}", many("a")),
            format!("INSERT INTO t VALUES {}", many("(1, 'x')")),
        ] {
            assert_eq!(kinds(&text), ["sql"], "{}", &text[..40]);
        }
        let deep = |text: String| assert_eq!(parse_script(&text).unwrap_err().code(), "statement_too_deep");
        for operator in ["+", " AND ", " || ", " UNION ALL SELECT ", ") + (", "), (SELECT "] {
            deep(format!("SELECT (({}1))", format!("1{operator}").repeat(4_001)));
        }
        for table in ["(VALUES (1)) t", "t"] {
            deep(format!("SELECT 1 FROM {}", vec![table; 502].join(", ")));
        }
    }

    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        assert!(is_complete("SELECT 1;  "));
        assert!(!is_complete("SELECT ';"));
        assert!(!is_complete("SELECT 1"));
    }
}
