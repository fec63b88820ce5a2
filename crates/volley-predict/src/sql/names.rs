//! Where a statement names tables and parameters: a plan that fails knows their names and no places.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Value, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::visit;
use crate::problem::Place;

/// The tables and parameters of a statement as they are written, without `$`, each with its place, in the order of
/// the text. The parser keeps no places of tables in single quotes.
pub fn named_places(statement: &mut Statement) -> Vec<(String, Place)> {
    let mut names = Names::default();
    visit(statement, &mut names);
    names.0
}

#[derive(Default)]
struct Names(Vec<(String, Place)>);

impl Names {
    fn add(&mut self, name: &str, start: Location) {
        // What has no place stands at line 0.
        if start.line > 0 {
            self.0.push((name.to_string(), Place { line: start.line, column: start.column }));
        }
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let parts: Vec<_> = relation.0.iter().filter_map(|part| part.as_ident()).collect();
        if let (Some(first), Some(last)) = (parts.first(), parts.last()) {
            self.add(&last.value, first.span.start);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            self.add(name.trim_start_matches('$'), value.span.start);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    #[test]
    fn tables_and_parameters_have_their_places() {
        let sql = "SELECT *\nFROM \"A b\" JOIN s.t ON x = $region";
        let mut statement = DFParser::parse_sql(sql).unwrap().remove(0).unwrap();
        let places: Vec<_> =
            named_places(&mut statement).into_iter().map(|(name, place)| (name, place.line, place.column)).collect();
        let expected = [("A b", 2, 6), ("t", 2, 17), ("region", 2, 28)];
        assert_eq!(places, expected.map(|(name, line, column)| (name.to_string(), line, column)));
    }
}
