//! Fills a call without inputs from the columns in scope: `predict('m')` becomes
//! `predict('m', named_struct('age', "t"."age", …))`.

use std::ops::ControlFlow;

use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Function as SqlFunction, FunctionArg, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, OrderBy, Query, Select, SelectFlavor, SelectItem, SetExpr, TableWithJoins, Value, VisitMut, VisitorMut,
    WildcardAdditionalOptions, With,
};
use volley_model::{Contract, Function, nearest_name};

use super::shallow::{Shallow, Walk, walk};
use super::{called_function, contains_call, place_of, plain_arguments, string_literal, text_value, unnamed, visit};
use crate::pins::Pins;
use crate::problem::Problem;

/// Fills every call without inputs in a statement whose calls were collected.
///
/// `schema_of` plans a query and gives its columns; it is asked once for each SELECT that holds such a call.
/// What cannot be filled is returned; an error of `schema_of` ends the search.
pub fn fill_inputs(
    statement: &mut Statement,
    pins: &Pins,
    schema_of: &mut dyn FnMut(Query) -> Result<DFSchema>,
) -> Result<Vec<Problem>> {
    let mut filler =
        Filler { pins, schema_of, ctes: Vec::new(), recursive: false, problems: Vec::new(), failure: None };
    visit(statement, &mut Walk { steps: &mut QueryFinder { filler: &mut filler }, depth: 0 });
    visit(statement, &mut LeftOpen { filler: &mut filler });
    let Filler { mut problems, failure, .. } = filler;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let mut told = Vec::new();
    problems.retain(|problem| {
        !told.contains(problem) && {
            told.push(problem.clone());
            true
        }
    });
    Ok(problems)
}

struct Filler<'a> {
    pins: &'a Pins,
    schema_of: &'a mut dyn FnMut(Query) -> Result<DFSchema>,
    /// The common table expressions in scope, outermost first, already filled.
    ctes: Vec<Cte>,
    /// Whether one of them may be recursive.
    recursive: bool,
    problems: Vec<Problem>,
    failure: Option<datafusion::error::DataFusionError>,
}

impl Filler<'_> {
    fn fill_query(&mut self, query: &mut Query) {
        let outer = (self.ctes.len(), self.recursive);
        if let Some(with) = &mut query.with {
            self.recursive |= with.recursive;
            for cte in &mut with.cte_tables {
                self.fill_cte(cte, with.recursive);
                self.ctes.push(cte.clone());
            }
        }
        self.fill_body(&mut query.body);
        if let Some(order_by) = &mut query.order_by {
            self.fill_order(order_by, &query.body);
        }
        self.fill_inner_queries(&mut query.limit_clause);
        self.ctes.truncate(outer.0);
        self.recursive = outer.1;
    }

    /// The second half of a recursive expression sees the columns of the first under the expression's name.
    fn fill_cte(&mut self, cte: &mut Cte, recursive: bool) {
        let anchor = cte.clone();
        match cte.query.body.as_mut() {
            SetExpr::SetOperation { left, right, .. } if recursive && cte.query.with.is_none() => {
                self.fill_body(left);
                self.ctes.push(Cte { query: Box::new(query_of(left.as_ref().clone())), ..anchor });
                self.fill_body(right);
                self.ctes.pop();
            }
            _ => self.fill_query(&mut cte.query),
        }
    }

    fn fill_body(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.fill_select(select),
            SetExpr::Query(query) => self.fill_query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.fill_body(left);
                self.fill_body(right);
            }
            other => self.fill_inner_queries(other),
        }
    }

    fn fill_select(&mut self, select: &mut Select) {
        // Inner queries first: the scope below is planned from them.
        self.fill_inner_queries(&mut select.from);
        if !has_open_call(select) {
            self.fill_inner_queries(select);
            return;
        }
        if let Some(scope) = self.scope_of(&select.from) {
            walk(select, &mut CallFiller { filler: self, scope: &scope });
        }
    }

    /// ORDER BY of a SELECT sees its FROM; of a UNION, the columns that come out.
    fn fill_order(&mut self, order_by: &mut OrderBy, body: &SetExpr) {
        if !has_open_call(order_by) {
            return self.fill_inner_queries(order_by);
        }
        let scope = match body {
            SetExpr::Select(select) => self.scope_of(&select.from),
            other => self.schema(query_of(other.clone())),
        };
        if let Some(scope) = scope {
            walk(order_by, &mut CallFiller { filler: self, scope: &scope });
        }
    }

    fn fill_inner_queries<T: VisitMut>(&mut self, node: &mut T) {
        walk(node, &mut QueryFinder { filler: self });
    }

    fn scope_of(&mut self, from: &[TableWithJoins]) -> Option<DFSchema> {
        if from.is_empty() {
            return Some(DFSchema::empty());
        }
        let mut from = from.to_vec();
        walk(&mut from, &mut ConditionRemover);
        self.schema(query_of(SetExpr::Select(Box::new(select_all(from)))))
    }

    fn schema(&mut self, mut query: Query) -> Option<DFSchema> {
        if !self.ctes.is_empty() {
            let cte_tables = self.ctes.clone();
            query.with = Some(With { with_token: AttachedToken::empty(), recursive: self.recursive, cte_tables });
        }
        match (self.schema_of)(query) {
            Ok(schema) => Some(schema),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    fn fill_call(&mut self, function: Function, call: &mut SqlFunction, scope: &DFSchema) {
        let place = Some(place_of(call));
        let Some(model) = open_model(call).map(str::to_string) else { return };
        let Some(pin) = self.pins.get(&model) else { return };
        match struct_from_scope(function, &model, &pin.contract, scope) {
            Ok(inputs) => plain_arguments(call).into_iter().for_each(|arguments| arguments.extend(inputs.clone())),
            Err(problems) => {
                let placed = problems.into_iter().map(|(code, message)| Problem { code, message, place });
                self.problems.extend(placed);
            }
        }
    }
}

/// The model of a collected call without inputs.
fn open_model(call: &SqlFunction) -> Option<&str> {
    let FunctionArguments::List(list) = &call.args else { return None };
    let [FunctionArg::Unnamed(model), FunctionArg::Unnamed(_)] = list.args.as_slice() else { return None };
    match model {
        datafusion::sql::sqlparser::ast::FunctionArgExpr::Expr(expr) => string_literal(expr),
        _ => None,
    }
}

fn is_open_call(expr: &Expr) -> bool {
    called_function(expr).is_some_and(|(_, call)| open_model(call).is_some())
}

/// Whether a call without inputs stands in the node itself, inner queries aside.
fn has_open_call<T: VisitMut + Clone>(node: &T) -> bool {
    struct Finder;
    impl Shallow for Finder {
        fn enter(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if is_open_call(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    walk(&mut node.clone(), &mut Finder)
}

/// Hands the inner queries of a node to the filler, which goes on inside them by itself.
struct QueryFinder<'f, 'a> {
    filler: &'f mut Filler<'a>,
}

impl Shallow for QueryFinder<'_, '_> {
    fn query(&mut self, query: &mut Query) {
        self.filler.fill_query(query);
    }
}

/// Fills the calls of one SELECT from its scope, and its inner queries from theirs.
struct CallFiller<'f, 'a, 's> {
    filler: &'f mut Filler<'a>,
    scope: &'s DFSchema,
}

impl Shallow for CallFiller<'_, '_, '_> {
    fn query(&mut self, query: &mut Query) {
        self.filler.fill_query(query);
    }

    fn leave(&mut self, expr: &mut Expr) {
        if let Some((function, _)) = called_function(expr)
            && let Expr::Function(call) = expr
        {
            self.filler.fill_call(function, call, self.scope);
        }
    }
}

/// Tells of calls that got no inputs because they stand where no columns are in scope.
struct LeftOpen<'f, 'a> {
    filler: &'f mut Filler<'a>,
}

impl VisitorMut for LeftOpen<'_, '_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Some((function, call)) = called_function(expr) else { return ControlFlow::Continue(()) };
        let place = place_of(call);
        let told = self.filler.problems.iter().any(|problem| problem.place == Some(place));
        if let Some(model) = open_model(call)
            && let Some(pin) = self.filler.pins.get(model)
            && let Some(input) = pin.contract.inputs.iter().find(|input| input.required)
            && !told
        {
            let (name, input) = (function.name(), input.name.as_deref().unwrap_or("input"));
            let message = format!(
                "model `{model}` cannot take its inputs from scope here: name them, {name}('{model}', {{'{input}': …}})"
            );
            self.filler.problems.push(Problem { code: "missing_input", message, place: Some(place) });
        }
        ControlFlow::Continue(())
    }
}

/// Makes join conditions with open calls true: a scope does not depend on them.
struct ConditionRemover;

impl Shallow for ConditionRemover {
    fn enter(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if contains_call(expr) {
            *expr = Expr::Value(Value::Boolean(true).into());
        }
        ControlFlow::Continue(())
    }
}

type InputProblem = (&'static str, String);

fn struct_from_scope(
    function: Function,
    model: &str,
    contract: &Contract,
    scope: &DFSchema,
) -> std::result::Result<Option<FunctionArg>, Vec<InputProblem>> {
    let columns = scope.columns();
    let mut fields = Vec::new();
    let mut problems = Vec::new();
    for input in &contract.inputs {
        let Some(name) = &input.name else {
            return Err(vec![unnamed_inputs(function, model, contract.inputs.len())]);
        };
        match candidates(name, &columns).as_slice() {
            [] if !input.required => {}
            [] => {
                let given: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
                problems.push(("missing_input", missing_input(model, name, &given)));
            }
            [column] => fields.extend([text_value(name), identifier(column)]),
            several => problems.push(ambiguous_column(model, name, several)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok((!fields.is_empty()).then(|| unnamed(named_struct(fields))))
}

/// Columns of exactly that name, else those that differ in case alone.
fn candidates<'a>(name: &str, columns: &'a [Column]) -> Vec<&'a Column> {
    let exact: Vec<_> = columns.iter().filter(|column| column.name == name).collect();
    if !exact.is_empty() {
        return exact;
    }
    let folded = name.to_lowercase();
    columns.iter().filter(|column| column.name.to_lowercase() == folded).collect()
}

/// Columns of a scope that an error names; a wide table would drown the message.
const COLUMNS_NAMED_MAX: usize = 20;

fn missing_input(model: &str, input: &str, given: &[String]) -> String {
    let named: Vec<&str> = given.iter().map(String::as_str).take(COLUMNS_NAMED_MAX).collect();
    let more = if given.len() > named.len() { ", …" } else { "" };
    let nearest = nearest_name(input, given.iter().map(String::as_str));
    let hint = nearest.map_or(String::new(), |name| format!("; did you mean \"{name}\"?"));
    format!("model `{model}` needs column `{input}`: the query gives {}{more}{hint}", named.join(", "))
}

fn unnamed_inputs(function: Function, model: &str, count: usize) -> InputProblem {
    let message = format!(
        "model `{model}` has no input names, so nothing can be taken from scope: give its {count} inputs in order, \
         {}('{model}', a, b, …)",
        function.name()
    );
    ("unnamed_inputs", message)
}

fn ambiguous_column(model: &str, input: &str, columns: &[&Column]) -> InputProblem {
    let names: Vec<_> = columns.iter().map(|column| column.quoted_flat_name()).collect();
    let message = format!(
        "model `{model}` needs column `{input}`, and {} match it: name one, {{'{input}': {}}}",
        names.join(" and "),
        names[0]
    );
    ("ambiguous_column", message)
}

fn identifier(column: &Column) -> Expr {
    let quoted = |part: &str| Ident::with_quote('"', part);
    let Some(relation) = &column.relation else { return Expr::Identifier(quoted(&column.name)) };
    let mut parts = match relation {
        TableReference::Bare { table } => vec![quoted(table)],
        TableReference::Partial { schema, table } => vec![quoted(schema), quoted(table)],
        TableReference::Full { catalog, schema, table } => vec![quoted(catalog), quoted(schema), quoted(table)],
    };
    parts.push(quoted(&column.name));
    Expr::CompoundIdentifier(parts)
}

fn named_struct(fields: Vec<Expr>) -> Expr {
    let args = fields.into_iter().map(unnamed).collect();
    Expr::Function(SqlFunction {
        name: ObjectName::from(vec![Ident::new("named_struct")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}

fn select_all(from: Vec<TableWithJoins>) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: vec![],
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from,
        lateral_views: vec![],
        prewhere: None,
        selection: None,
        connect_by: vec![],
        group_by: GroupByExpr::Expressions(vec![], vec![]),
        cluster_by: vec![],
        distribute_by: vec![],
        sort_by: vec![],
        having: None,
        named_window: vec![],
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}
