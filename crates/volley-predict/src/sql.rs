//! The front half of predict(): what is done to parsed SQL before it is planned.
//!
//! In this order: the calls get names and their plain form and are collected ([`collect_calls`]), their models
//! are pinned, and a call without inputs is filled from the columns in scope ([`fill_inputs`]). From there on
//! scope, ambiguity, GROUP BY and ORDER BY are DataFusion's own.

mod calls;
mod names;
mod scope;
mod shallow;

pub use calls::{Calls, collect_calls, contains_call};
pub use names::named_places;
pub use scope::fill_inputs;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function as SqlFunction, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Value, VisitMut,
    VisitorMut,
};
use volley_model::Function;

use crate::problem::Place;

/// The three functions by their SQL names.
pub(crate) const FUNCTIONS: [Function; 3] = [Function::Predict, Function::PredictProba, Function::PredictLabel];

/// Lets `visitor` see every query and expression of a statement, EXPLAIN and COPY included.
pub(crate) fn visit<V: VisitorMut>(statement: &mut Statement, visitor: &mut V) {
    match statement {
        Statement::Statement(inner) => {
            let _ = inner.visit(visitor);
        }
        Statement::CopyTo(copy) => {
            if let CopyToSource::Query(query) = &mut copy.source {
                let _ = query.visit(visitor);
            }
        }
        Statement::Explain(explain) => visit(&mut explain.statement, visitor),
        Statement::CreateExternalTable(_) | Statement::Reset(_) => {}
    }
}

/// The predict function that an expression calls, if it calls one.
fn called_function(expr: &Expr) -> Option<(Function, &SqlFunction)> {
    let Expr::Function(call) = expr else { return None };
    let [ObjectNamePart::Identifier(name)] = call.name.0.as_slice() else { return None };
    let function = FUNCTIONS.into_iter().find(|function| name.value.eq_ignore_ascii_case(function.name()))?;
    Some((function, call))
}

/// The positional arguments of a collected call: model literal, parameters as JSON, inputs.
fn plain_arguments(call: &mut SqlFunction) -> Option<&mut Vec<FunctionArg>> {
    match &mut call.args {
        FunctionArguments::List(list) => Some(&mut list.args),
        FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    }
}

fn string_literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn text_value(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).into())
}

/// Where a call begins in the text.
fn place_of(call: &SqlFunction) -> Place {
    let start = call.name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.span.start);
    start.map_or(Place { line: 1, column: 1 }, |start| Place { line: start.line, column: start.column })
}
