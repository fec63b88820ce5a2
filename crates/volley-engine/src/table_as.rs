//! `CREATE EXTERNAL TABLE … AS SELECT …`: which write fills the table, and which table is made over its files.

use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::{CopyToSource, CopyToStatement, CreateExternalTable, Statement};
use datafusion::sql::sqlparser::ast::Query;

use crate::error::EngineError;

/// Options that say nothing of the files.
const OF_THE_WRITE: [&str; 4] = ["max_rejects", "mode", "reject_values", "rejects"];

/// The write that fills the table. The columns are the query's.
pub(crate) fn filling(table: &CreateExternalTable, query: &Query) -> Result<Statement, EngineError> {
    if !table.columns.is_empty() {
        let message = "CREATE EXTERNAL TABLE … AS takes its columns from the query: leave the list out";
        return Err(EngineError::new("not_supported", message));
    }
    Ok(Statement::CopyTo(CopyToStatement {
        source: CopyToSource::Query(Box::new(query.clone())),
        target: table.locations.first().cloned().unwrap_or_default(),
        partitioned_by: table.table_partition_cols.clone(),
        stored_as: Some(table.file_type.clone()),
        options: table.options.clone(),
    }))
}

/// The table over the files of the write, with the options that reading them needs: a Parquet or Arrow file
/// says everything itself.
pub(crate) fn over_files(table: &CreateExternalTable) -> Statement {
    let mut table = table.clone();
    match is_text(&table) {
        true => table.options.retain(|(name, _)| !OF_THE_WRITE.contains(&name.as_str())),
        false => table.options.clear(),
    }
    Statement::CreateExternalTable(table)
}

/// The columns that a write gets, if its files do not say them all: those of a folder's name have no type, and
/// a JSON file without rows has none. CSV says its own: a struct is several columns there.
pub(crate) fn columns_of(filling: &LogicalPlan, table: &CreateExternalTable) -> Option<DFSchemaRef> {
    match filling {
        LogicalPlan::Copy(copy) if !table.file_type.eq_ignore_ascii_case("csv") => {
            let schema = copy.input.schema();
            DFSchema::try_from(schema.as_arrow().clone()).ok().map(Arc::new)
        }
        _ => None,
    }
}

/// The plan of [`over_files`] with the columns of the write.
pub(crate) fn with_columns(plan: LogicalPlan, columns: Option<DFSchemaRef>) -> LogicalPlan {
    match (plan, columns) {
        (LogicalPlan::Ddl(DdlStatement::CreateExternalTable(mut table)), Some(columns)) => {
            table.schema = columns;
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table))
        }
        (plan, _) => plan,
    }
}

fn is_text(table: &CreateExternalTable) -> bool {
    !["parquet", "arrow", "feather", "ipc"].iter().any(|format| table.file_type.eq_ignore_ascii_case(format))
}
