//! Puts a view that holds predict calls in place of its name, so that its models are pinned with the
//! statement that reads it and not when the view was made.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, TableAlias, TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
};

use super::visit;

/// The definition of a view, as parsed.
#[derive(Debug, Clone)]
pub struct View {
    /// What the view selects; its own views are still names.
    pub query: Query,
    /// Column names given with the view, empty if none were.
    pub columns: Vec<Ident>,
}

/// Replaces every name of a view in `views` by its definition, recursively.
///
/// A common table expression hides a view of its name in the whole statement.
pub fn inline_views(statement: &mut Statement, views: &HashMap<String, View>) {
    if views.is_empty() {
        return;
    }
    let mut inliner = Inliner { views, hidden: HashSet::new() };
    visit(statement, &mut inliner);
}

struct Inliner<'a> {
    views: &'a HashMap<String, View>,
    hidden: HashSet<String>,
}

impl VisitorMut for Inliner<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let names = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| normal(&cte.alias.name));
        self.hidden.extend(names);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && let Some((name, view)) = self.view(name)
        {
            let mut query = view.query.clone();
            let _ = query.visit(&mut Inliner { views: self.views, hidden: HashSet::new() });
            let alias = alias.take().unwrap_or_else(|| alias_of(name, view));
            *factor =
                TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
        }
        ControlFlow::Continue(())
    }
}

impl Inliner<'_> {
    fn view(&self, name: &ObjectName) -> Option<(Ident, &View)> {
        let [part] = name.0.as_slice() else { return None };
        let ident = part.as_ident()?;
        let key = normal(ident);
        if self.hidden.contains(&key) {
            return None;
        }
        self.views.get(&key).map(|view| (ident.clone(), view))
    }
}

/// The name under which an identifier is looked up: lower case unless quoted.
fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn alias_of(name: Ident, view: &View) -> TableAlias {
    let columns = view.columns.iter().map(|name| TableAliasColumnDef { name: name.clone(), data_type: None });
    TableAlias { explicit: true, name, columns: columns.collect(), at: None }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;
    use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

    use super::*;

    fn query(sql: &str) -> Query {
        let Statement::Statement(inner) = DFParser::parse_sql(sql).unwrap().remove(0).unwrap() else {
            panic!("not SQL")
        };
        let SqlStatement::Query(query) = *inner else { panic!("not a query") };
        *query
    }

    fn check(sql: &str, expected: &str) {
        let scored = View { query: query("SELECT predict('m') AS p FROM t"), columns: vec![] };
        let nested = View { query: query("SELECT p FROM scored"), columns: vec![Ident::new("q")] };
        let views = HashMap::from([("scored".to_string(), scored), ("nested".to_string(), nested)]);
        let mut statement = DFParser::parse_sql(sql).unwrap().remove(0).unwrap();
        inline_views(&mut statement, &views);
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn a_view_is_read_as_its_definition() {
        check("SELECT * FROM Scored s", "SELECT * FROM (SELECT predict('m') AS p FROM t) s");
    }

    #[test]
    fn a_view_of_a_view_keeps_its_column_names() {
        check(
            "SELECT * FROM nested",
            "SELECT * FROM (SELECT p FROM (SELECT predict('m') AS p FROM t) AS scored) AS nested (q)",
        );
    }

    #[test]
    fn a_common_table_expression_hides_a_view() {
        check("WITH scored AS (SELECT 1) SELECT * FROM scored", "WITH scored AS (SELECT 1) SELECT * FROM scored");
    }
}
