//! What is settled about a statement that names files before DataFusion plans it.

use datafusion::sql::parser::Statement;

use crate::error::Result;
use crate::format::Format;

/// Takes the quotes off the names in PARTITIONED BY, which DataFusion would take for a part of them, and
/// refuses a format that does not exist, of which it would only say that none is set. To be called on each
/// parsed statement. Errors: `unknown_format`.
pub fn settle_statement(statement: &mut Statement) -> Result<()> {
    match statement {
        Statement::CopyTo(copy) => {
            copy.partitioned_by.iter_mut().for_each(unquote);
            copy.stored_as.as_deref().map_or(Ok(()), check_format)
        }
        Statement::CreateExternalTable(table) => {
            table.table_partition_cols.iter_mut().for_each(unquote);
            check_format(&table.file_type)
        }
        Statement::Explain(explain) => settle_statement(&mut explain.statement),
        Statement::Statement(_) | Statement::Reset(_) => Ok(()),
    }
}

fn check_format(name: &str) -> Result<()> {
    name.parse::<Format>().map(|_| ())
}

fn unquote(name: &mut String) {
    for quote in ['"', '`'] {
        let inner = name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
            *name = inner.replace(&format!("{quote}{quote}"), &quote.to_string());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn settled(sql: &str) -> Result<Statement> {
        let mut statement = DFParser::parse_sql(sql).expect(sql).pop_front().expect("a statement");
        settle_statement(&mut statement).map(|()| statement)
    }

    #[test]
    fn quotes_are_no_part_of_a_name() {
        let sql = "COPY t TO 'x/' STORED AS CSV PARTITIONED BY (\"Region\", day, \"a\"\"b\")";
        let Statement::CopyTo(copy) = settled(sql).expect("settled") else { panic!("{sql}") };
        assert_eq!(copy.partitioned_by, ["Region", "day", "a\"b"]);
        let sql = "CREATE EXTERNAL TABLE t STORED AS CSV PARTITIONED BY (\"Region\") LOCATION 'x/'";
        let Statement::CreateExternalTable(table) = settled(sql).expect("settled") else { panic!("{sql}") };
        assert_eq!(table.table_partition_cols, ["Region"]);
    }

    #[test]
    fn a_format_that_does_not_exist_is_named() {
        for sql in ["COPY t TO 'x/' STORED AS AVRO", "CREATE EXTERNAL TABLE t STORED AS AVRO LOCATION 'x/'"] {
            let error = settled(&format!("EXPLAIN {sql}")).or_else(|_| settled(sql)).expect_err(sql);
            assert_eq!(error.code(), "unknown_format");
            assert!(error.to_string().contains("'AVRO'"), "{error}");
        }
    }
}
