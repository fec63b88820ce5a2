//! Takes the calls out of expressions, with the conditions under which a row reaches each of them.

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr::{AggregateFunction, Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::bind::{Binder, Bound};
use super::unbound;
use crate::host::ModelHost;
use crate::node::NodeCall;

/// Whether a predict call stands in the expression, inner queries aside.
pub(super) fn holds_call(expr: &Expr) -> bool {
    expr.exists(|inner| Ok(unbound(inner).is_some())).unwrap_or(false)
}

/// The calls taken out of one plan node's expressions.
pub(super) struct Extraction<'a> {
    binder: &'a mut Binder,
    host: &'a Arc<ModelHost>,
    /// Columns that expressions may use: the input's, and the scores taken out so far.
    schema: DFSchema,
    /// Scores that the input already carries.
    given: Vec<NodeCall>,
    /// Calls to be scored. Those of a level use scores of the levels before it only.
    levels: Vec<Vec<NodeCall>>,
    columns: &'a mut usize,
}

/// What there is to score, and what every row will have been scored with.
pub(super) struct Extracted {
    pub levels: Vec<Vec<NodeCall>>,
    pub scored: Vec<NodeCall>,
}

impl<'a> Extraction<'a> {
    pub(super) fn new(
        binder: &'a mut Binder,
        host: &'a Arc<ModelHost>,
        schema: &DFSchemaRef,
        given: Vec<NodeCall>,
        columns: &'a mut usize,
    ) -> Self {
        Self { binder, host, schema: schema.as_ref().clone(), given, levels: Vec::new(), columns }
    }

    /// The expressions with a column in place of each call.
    pub(super) fn take(&mut self, expressions: Vec<Expr>) -> Result<Vec<Expr>> {
        expressions.into_iter().map(|expr| self.expression(expr, &[])).collect()
    }

    pub(super) fn finish(self) -> Extracted {
        let everywhere = self.levels.iter().flatten().filter(|call| call.guards.is_empty());
        let scored = self.given.iter().chain(everywhere).cloned().collect();
        Extracted { levels: self.levels, scored }
    }

    /// Takes the calls out of an expression that is evaluated for the rows which pass all of `guards`.
    fn expression(&mut self, expr: Expr, guards: &[Expr]) -> Result<Expr> {
        if !holds_call(&expr) {
            return Ok(expr);
        }
        match expr {
            Expr::Case(case) => self.case(case, guards),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                self.short_circuit(*left, op, *right, guards)
            }
            Expr::ScalarFunction(call) if takes_first_value(&call) => self.coalesce(call, guards),
            Expr::ScalarFunction(call) if call.func.name() == "nvl2" => self.nvl2(call, guards),
            Expr::AggregateFunction(aggregate) => self.aggregate(aggregate, guards),
            other => {
                let inner = other.map_children(|child| Ok(Transformed::yes(self.expression(child, guards)?)))?;
                self.call(inner.data, guards)
            }
        }
    }

    fn case(&mut self, case: Case, guards: &[Expr]) -> Result<Expr> {
        let operand = case.expr.map(|operand| self.expression(*operand, guards)).transpose()?;
        let mut reached = guards.to_vec();
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in case.when_then_expr {
            let when = self.expression(*when, &reached)?;
            let condition = match &operand {
                Some(operand) => operand.clone().eq(when.clone()),
                None => when.clone(),
            };
            let taken = with(&reached, condition.clone().is_true());
            branches.push((Box::new(when), Box::new(self.expression(*then, &taken)?)));
            reached.push(condition.is_not_true());
        }
        let otherwise = case.else_expr.map(|other| self.expression(*other, &reached)).transpose()?;
        Ok(Expr::Case(Case::new(operand.map(Box::new), branches, otherwise.map(Box::new))))
    }

    fn short_circuit(&mut self, left: Expr, op: Operator, right: Expr, guards: &[Expr]) -> Result<Expr> {
        let left = self.expression(left, guards)?;
        let undecided = if op == Operator::And { left.clone().is_not_false() } else { left.clone().is_not_true() };
        let right = self.expression(right, &with(guards, undecided))?;
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
    }

    fn coalesce(&mut self, call: ScalarFunction, guards: &[Expr]) -> Result<Expr> {
        let mut reached = guards.to_vec();
        let mut arguments = Vec::with_capacity(call.args.len());
        for argument in call.args {
            let argument = self.expression(argument, &reached)?;
            reached.push(argument.clone().is_null());
            arguments.push(argument);
        }
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(call.func, arguments)))
    }

    /// The second argument for the rows where the first is there, the third for the others.
    fn nvl2(&mut self, call: ScalarFunction, guards: &[Expr]) -> Result<Expr> {
        let mut reached = guards.to_vec();
        let mut arguments: Vec<Expr> = Vec::with_capacity(call.args.len());
        for (index, argument) in call.args.into_iter().enumerate() {
            match index {
                1 => reached.push(arguments[0].clone().is_not_null()),
                2 => reached = with(guards, arguments[0].clone().is_null()),
                _ => {}
            }
            arguments.push(self.expression(argument, &reached)?);
        }
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(call.func, arguments)))
    }

    /// Rows that an aggregate's FILTER drops do not reach its arguments.
    fn aggregate(&mut self, mut aggregate: AggregateFunction, guards: &[Expr]) -> Result<Expr> {
        let filter = aggregate.params.filter.take().map(|filter| self.expression(*filter, guards)).transpose()?;
        let reached = match &filter {
            Some(filter) => with(guards, filter.clone().is_true()),
            None => guards.to_vec(),
        };
        aggregate.params.filter = filter.map(Box::new);
        let inner = Expr::AggregateFunction(aggregate).map_children(|child| {
            // The filter is among the children, and holds no call any more.
            Ok(Transformed::yes(self.expression(child, &reached)?))
        })?;
        Ok(inner.data)
    }

    /// The column of a call, or the expression itself when it is none.
    ///
    /// A guard is computed here and in the expression it came from, so a volatile one would come to differ: such a
    /// call stays where it is, as a function.
    fn call(&mut self, expr: Expr, guards: &[Expr]) -> Result<Expr> {
        let Some(bound) = self.binder.bind(&expr, &self.schema)? else { return Ok(expr) };
        if bound.arguments.iter().chain(guards).any(must_stay) || guards.iter().any(Expr::is_volatile) {
            return Ok(bound.into_function(self.host));
        }
        let column = match self.known(&bound, guards) {
            Some(column) => column,
            None => self.add(bound, guards)?,
        };
        Ok(Expr::Column(Column::new_unqualified(column)))
    }

    /// A call on the same arguments that was met before; its rows become those that reach either.
    fn known(&mut self, bound: &Bound, guards: &[Expr]) -> Option<String> {
        if bound.arguments.iter().any(Expr::is_volatile) {
            return None;
        }
        let same = |call: &NodeCall| call.call == bound.call && call.arguments == bound.arguments;
        if let Some(given) = self.given.iter().find(|call| same(call)) {
            return Some(given.column.clone());
        }
        let level = self.level_of(guards);
        let (_, met) = self
            .levels
            .iter_mut()
            .enumerate()
            .flat_map(|(index, calls)| calls.iter_mut().map(move |call| (index, call)))
            .find(|(index, call)| same(call) && level <= *index)?;
        if guards.is_empty() {
            met.guards.clear();
        } else if !met.guards.is_empty() && !met.guards.iter().any(|known| known == guards) {
            met.guards.push(guards.to_vec());
        }
        Some(met.column.clone())
    }

    fn add(&mut self, bound: Bound, guards: &[Expr]) -> Result<String> {
        let column = format!("__predict_{}", self.columns);
        *self.columns += 1;
        let level = self.level_of(bound.arguments.iter().chain(guards));
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let field = Field::new(&column, bound.call.data_type().clone(), true);
        let scores = DFSchema::from_unqualified_fields(vec![field].into(), Default::default())?;
        self.schema.merge(&scores);
        let guards = if guards.is_empty() { Vec::new() } else { vec![guards.to_vec()] };
        self.levels[level].push(NodeCall {
            call: bound.call,
            arguments: bound.arguments,
            guards,
            column: column.clone(),
        });
        Ok(column)
    }

    /// The first level at which expressions can be evaluated: after all the scores they use.
    fn level_of<'e>(&self, expressions: impl IntoIterator<Item = &'e Expr>) -> usize {
        let columns: Vec<_> = expressions.into_iter().flat_map(Expr::column_refs).collect();
        let uses = |calls: &Vec<NodeCall>| {
            calls
                .iter()
                .any(|call| columns.iter().any(|column| column.relation.is_none() && column.name == call.column))
        };
        self.levels.iter().rposition(uses).map_or(0, |index| index + 1)
    }
}

fn with(guards: &[Expr], guard: Expr) -> Vec<Expr> {
    guards.iter().cloned().chain([guard]).collect()
}

fn takes_first_value(call: &ScalarFunction) -> bool {
    matches!(call.func.name(), "coalesce" | "nvl" | "ifnull")
}

/// What cannot be evaluated below the plan node that it stands in: what the node itself makes, and inner queries
/// that DataFusion turns into joins, which it does for the nodes that it knows.
fn must_stay(expr: &Expr) -> bool {
    let stays = |inner: &Expr| match inner {
        Expr::AggregateFunction(_)
        | Expr::WindowFunction(_)
        | Expr::LambdaVariable(_)
        | Expr::InSubquery(_)
        | Expr::Exists(_)
        | Expr::SetComparison(_) => true,
        Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
        _ => false,
    };
    expr.exists(|inner| Ok(stays(inner))).unwrap_or(true)
}
