//! The session's views whose definitions score: kept as they were written, so that their models are pinned by
//! the statement that reads them and not when the view was made.

use std::collections::HashMap;

use datafusion::common::{ResolvedTableReference, Result, TableReference};
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{CreateView, Ident, ObjectName, Query, Statement as SqlStatement};
use volley_predict::sql::contains_call;

/// Scoring views by name.
#[derive(Debug, Default)]
pub(crate) struct Views(HashMap<ResolvedTableReference, View>);

/// The definition of a view, as parsed.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// What the view selects; its own views are still names.
    pub query: Query,
    /// Column names given with the view, empty if none were.
    pub columns: Vec<Ident>,
}

/// What a statement does to the views, once it has succeeded.
#[derive(Debug)]
pub(crate) enum ViewChange {
    None,
    Add(ResolvedTableReference, Box<View>),
    Remove(Vec<ResolvedTableReference>),
}

impl Views {
    /// The definition of a view that scores, or reads one that does.
    pub(crate) fn get(&self, name: &ResolvedTableReference) -> Option<&View> {
        self.0.get(name)
    }

    /// The scoring views that a statement names, each once.
    pub(crate) fn read_by(&self, statement: &Statement, state: &SessionState) -> Result<Vec<ResolvedTableReference>> {
        if self.0.is_empty() {
            return Ok(vec![]);
        }
        let names = state.resolve_table_references(statement)?.into_iter().map(|name| resolve(name, state));
        Ok(names.filter(|name| self.0.contains_key(name)).collect())
    }

    /// What `statement` will do. Whatever takes the name of a view ends it.
    pub(crate) fn change(&self, statement: &Statement, state: &SessionState) -> Result<ViewChange> {
        let taken = |name: &ObjectName| Ok(ViewChange::Remove(vec![named(name, state)?]));
        match statement {
            Statement::CreateExternalTable(table) if !table.if_not_exists => taken(&table.name),
            Statement::Statement(inner) => match inner.as_ref() {
                SqlStatement::CreateView(view) if view.if_not_exists && self.exists(&view.name, state)? => {
                    Ok(ViewChange::None)
                }
                SqlStatement::CreateView(view) => match self.scores(view, state)? {
                    true => {
                        let columns = view.columns.iter().map(|column| column.name.clone()).collect();
                        let kept = View { query: view.query.as_ref().clone(), columns };
                        Ok(ViewChange::Add(named(&view.name, state)?, Box::new(kept)))
                    }
                    false => taken(&view.name),
                },
                SqlStatement::CreateTable(table) if !table.if_not_exists => taken(&table.name),
                SqlStatement::Drop { names, .. } => {
                    Ok(ViewChange::Remove(names.iter().map(|name| named(name, state)).collect::<Result<_>>()?))
                }
                _ => Ok(ViewChange::None),
            },
            _ => Ok(ViewChange::None),
        }
    }

    pub(crate) fn apply(&mut self, change: ViewChange) {
        match change {
            ViewChange::None => {}
            ViewChange::Add(name, view) => drop(self.0.insert(name, *view)),
            ViewChange::Remove(names) => names.iter().for_each(|name| drop(self.0.remove(name))),
        }
    }

    fn exists(&self, name: &ObjectName, state: &SessionState) -> Result<bool> {
        Ok(self.0.contains_key(&named(name, state)?))
    }

    fn scores(&self, view: &CreateView, state: &SessionState) -> Result<bool> {
        Ok(contains_call(&view.query) || !self.read_by(&statement_of(view.query.as_ref().clone()), state)?.is_empty())
    }
}

/// The name of the view that a statement makes.
pub(crate) fn view_made_by(statement: &Statement, state: &SessionState) -> Result<Option<ResolvedTableReference>> {
    match statement {
        Statement::Statement(inner) => match inner.as_ref() {
            SqlStatement::CreateView(view) => named(&view.name, state).map(Some),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// A query as a statement of its own.
pub(crate) fn statement_of(query: Query) -> Statement {
    Statement::Statement(Box::new(SqlStatement::Query(Box::new(query))))
}

/// A reference in full, as the session understands it.
pub(crate) fn resolve(reference: TableReference, state: &SessionState) -> ResolvedTableReference {
    let defaults = &state.config_options().catalog;
    reference.resolve(&defaults.default_catalog, &defaults.default_schema)
}

fn named(name: &ObjectName, state: &SessionState) -> Result<ResolvedTableReference> {
    let normalize = state.config_options().sql_parser.enable_ident_normalization;
    Ok(resolve(object_name_to_table_reference(name.clone(), normalize)?, state))
}
