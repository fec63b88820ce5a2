//! Finds the predict calls of a statement and gives each its plain form: model, parameters, inputs.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function as SqlFunction, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select,
    SelectItem, Subscript, UnaryOperator, Value, Visit, Visitor, VisitorMut,
};
use serde_json::{Map, Value as Json};
use volley_model::Function;

use super::{called_function, place_of, string_literal, text_value, unnamed, visit};
use crate::problem::{Problem, Site};

/// The calls of a statement and what is wrong with their form.
#[derive(Debug, Default)]
pub struct Calls {
    /// Every well-formed call, in the order of the text.
    pub sites: Vec<Site>,
    /// Calls whose form is wrong: no literal model, unknown named argument.
    pub problems: Vec<Problem>,
}

/// Collects the statement's calls and rewrites each to its plain form `predict('model', '{params}', inputs…)`.
///
/// A select item that holds a call and has no alias gets one: `prediction`, `prediction_2` for a call by
/// itself, its own text for an expression around a call.
pub fn collect_calls(statement: &mut Statement) -> Calls {
    let mut collector = Collector::default();
    visit(statement, &mut collector);
    collector.calls
}

/// Whether an expression, query or statement part holds a predict call anywhere.
pub fn contains_call<T: Visit>(node: &T) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match called_function(expr) {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        }
    }
    node.visit(&mut Finder).is_break()
}

#[derive(Default)]
struct Collector {
    calls: Calls,
}

impl VisitorMut for Collector {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_items(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundFieldAccess { root, access_chain } = expr
            && called_function(root).is_some()
        {
            access_chain.iter_mut().for_each(dot_to_subscript);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Some((function, call)) = called_function(expr) else { return ControlFlow::Continue(()) };
        let place = place_of(call);
        match PlainForm::of(function, call) {
            Ok(form) => {
                let words = form.inputs.iter().flat_map(words).collect();
                self.calls.sites.push(Site { function, model: form.model.clone(), place, words });
                form.write_to(expr);
            }
            Err((code, message)) => self.calls.problems.push(Problem { code, message, place: Some(place) }),
        }
        ControlFlow::Continue(())
    }
}

fn words(input: &Expr) -> Vec<String> {
    let text = input.to_string().to_lowercase();
    let words = text.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.filter(|word| !word.is_empty()).map(str::to_string).collect()
}

/// `predict('m').probabilities` reads better than a subscript and means the same.
fn dot_to_subscript(access: &mut AccessExpr) {
    if let AccessExpr::Dot(Expr::Identifier(field)) = access {
        let index = text_value(field.value.clone());
        *access = AccessExpr::Subscript(Subscript::Index { index });
    }
}

fn name_items(items: &mut [SelectItem]) {
    let taken: Vec<String> = items.iter().filter_map(given_name).collect();
    let mut names = (1..).map(|n| if n == 1 { "prediction".to_string() } else { format!("prediction_{n}") });
    let mut next_name = || names.find(|name| !taken.contains(name)).unwrap_or_default();
    for item in items {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if !contains_call(expr) {
            continue;
        }
        let alias = if called_function(expr).is_some() { next_name() } else { expr.to_string() };
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', alias) };
    }
}

/// The name that a select item has by itself: its alias, or that of its column.
fn given_name(item: &SelectItem) -> Option<String> {
    let ident = match item {
        SelectItem::ExprWithAlias { alias, .. } => alias,
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => column,
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last()?,
        _ => return None,
    };
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
}

struct PlainForm {
    model: String,
    params: Map<String, Json>,
    inputs: Vec<Expr>,
}

type FormError = (&'static str, String);

impl PlainForm {
    fn of(function: Function, call: &SqlFunction) -> Result<Self, FormError> {
        let name = function.name();
        let FunctionArguments::List(list) = &call.args else {
            return Err(not_literal(name));
        };
        if call.over.is_some() || call.filter.is_some() || list.duplicate_treatment.is_some() {
            return Err(("invalid_call", format!("{name}() takes no DISTINCT, FILTER or OVER: it scores row by row")));
        }
        let mut form = Self { model: String::new(), params: Map::new(), inputs: Vec::new() };
        let mut arguments = list.args.iter();
        form.model = model_literal(name, arguments.next())?;
        for argument in arguments {
            form.take(name, argument)?;
        }
        Ok(form)
    }

    fn take(&mut self, function: &str, argument: &FunctionArg) -> Result<(), FormError> {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.inputs.push(expr.clone()),
            FunctionArg::Unnamed(_) => {
                let message =
                    format!("{function}() takes no `*`: leave the inputs out to take them from scope by name");
                return Err(("invalid_call", message));
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
                if name.value.eq_ignore_ascii_case("params") =>
            {
                self.params = params_literal(value)?;
            }
            FunctionArg::Named { name, .. } => return Err(unknown_argument(function, &name.value)),
            FunctionArg::ExprNamed { name, .. } => return Err(unknown_argument(function, &name.to_string())),
        }
        Ok(())
    }

    fn write_to(self, expr: &mut Expr) {
        let Expr::Function(call) = expr else { return };
        let FunctionArguments::List(list) = &mut call.args else { return };
        list.args = [text_value(self.model), text_value(Json::Object(self.params).to_string())]
            .into_iter()
            .chain(self.inputs)
            .map(unnamed)
            .collect();
    }
}

fn model_literal(function: &str, argument: Option<&FunctionArg>) -> Result<String, FormError> {
    match argument {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => {
            string_literal(expr).map(str::to_string).ok_or_else(|| not_literal(function))
        }
        _ => Err(not_literal(function)),
    }
}

fn not_literal(function: &str) -> FormError {
    let message = format!(
        "the model of {function}() must be a quoted name such as 'churn', 'churn/3' or 'churn@champion', \
         because its version is pinned before the query runs"
    );
    ("model_not_literal", message)
}

fn unknown_argument(function: &str, argument: &str) -> FormError {
    let message = format!(
        "{function}() has no argument `{argument}`: inputs by name go into one struct, \
         {function}('model', {{'{argument}': …}}), parameters into params => {{…}}"
    );
    ("unknown_argument", message)
}

fn params_literal(value: &Expr) -> Result<Map<String, Json>, FormError> {
    let Expr::Dictionary(fields) = value else { return Err(params_not_literal()) };
    fields.iter().map(|field| Ok((field.key.value.clone(), json_literal(&field.value)?))).collect()
}

fn json_literal(expr: &Expr) -> Result<Json, FormError> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(Json::String(text.clone())),
            Value::Boolean(flag) => Ok(Json::Bool(*flag)),
            Value::Null => Ok(Json::Null),
            Value::Number(number, _) => serde_json::from_str(&number.to_string()).map_err(|_| params_not_literal()),
            _ => Err(params_not_literal()),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            serde_json::from_str(&format!("-{}", json_literal(expr)?)).map_err(|_| params_not_literal())
        }
        Expr::Array(array) => array.elem.iter().map(json_literal).collect::<Result<Vec<_>, _>>().map(Json::Array),
        _ => Err(params_not_literal()),
    }
}

fn params_not_literal() -> FormError {
    let message = "params must be written out, such as params => {'threshold': 0.5}: a value per call, not per row";
    ("params_not_literal", message.to_string())
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use crate::problem::Place;

    use super::*;

    fn collected(sql: &str) -> (String, Calls) {
        let mut statement = DFParser::parse_sql(sql).unwrap().remove(0).unwrap();
        let calls = collect_calls(&mut statement);
        (statement.to_string(), calls)
    }

    fn check(sql: &str, expected: &str) {
        assert_eq!(collected(sql).0, expected);
    }

    #[test]
    fn a_bare_call_becomes_a_column_called_prediction() {
        check(
            "SELECT id, predict('m'), predict('m', a) FROM t",
            "SELECT id, predict('m', '{}') AS \"prediction\", predict('m', '{}', a) AS \"prediction_2\" FROM t",
        );
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_again() {
        check(
            "SELECT predict('m'), 1 AS prediction, t.prediction_2 FROM t",
            "SELECT predict('m', '{}') AS \"prediction_3\", 1 AS prediction, t.prediction_2 FROM t",
        );
    }

    #[test]
    fn an_expression_around_a_call_keeps_its_text_as_name() {
        check("SELECT predict('m') + 1 FROM t", "SELECT predict('m', '{}') + 1 AS \"predict('m') + 1\" FROM t");
    }

    #[test]
    fn params_are_taken_out_of_the_inputs() {
        check(
            "SELECT predict('m', a, params => {'k': 3, 'neg': -1.5, 'on': true}) AS p FROM t",
            "SELECT predict('m', '{\"k\":3,\"neg\":-1.5,\"on\":true}', a) AS p FROM t",
        );
    }

    #[test]
    fn a_dot_after_a_call_is_a_field() {
        check(
            "SELECT predict('m').probabilities AS p FROM t",
            "SELECT predict('m', '{}')['probabilities'] AS p FROM t",
        );
    }

    #[test]
    fn each_call_has_its_place() {
        let (_, calls) = collected("SELECT a,\n  predict('m') AS p\nFROM t WHERE predict_label('n') = 1");
        let places: Vec<_> = calls.sites.iter().map(|s| (s.model.as_str(), s.place.line, s.place.column)).collect();
        assert_eq!(places, [("m", 2, 3), ("n", 3, 14)]);
    }

    #[test]
    fn a_model_that_is_not_a_literal_is_refused() {
        for sql in ["SELECT predict(name) FROM t", "SELECT predict('a' || 'b') FROM t", "SELECT predict() FROM t"] {
            let (_, calls) = collected(sql);
            assert_eq!(calls.problems.len(), 1, "{sql}");
            assert_eq!(calls.problems[0].code, "model_not_literal");
            assert_eq!(calls.problems[0].place, Some(Place { line: 1, column: 8 }));
        }
    }

    #[test]
    fn a_named_argument_other_than_params_is_refused() {
        let (_, calls) = collected("SELECT predict('m', age => 3) FROM t");
        assert_eq!(calls.problems[0].code, "unknown_argument");
    }

    #[test]
    fn copy_and_explain_are_searched_too() {
        let (_, calls) = collected("COPY (SELECT predict('m') FROM t) TO 'x/' STORED AS PARQUET");
        assert_eq!(calls.sites.len(), 1);
        let (_, calls) = collected("EXPLAIN SELECT predict('m') FROM t");
        assert_eq!(calls.sites.len(), 1);
    }
}
