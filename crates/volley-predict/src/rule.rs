//! The analyzer rule: binds every predict call and moves it out of its expression into a [`PredictNode`].
//!
//! It runs before any optimizer rule, so that no call with literal inputs is ever evaluated while planning,
//! and it names all binding problems of a plan at once. A call that only some rows reach (under CASE,
//! COALESCE, AND or OR) takes the conditions with it as guards.
//!
//! Where no node can stand, a call becomes a bound function in its place: in the condition of a join, and from
//! the lowest column of an outer query upwards, since DataFusion takes correlated conditions up through the
//! nodes that it knows and not through ours.

mod bind;
mod extract;
mod grouping;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, Extension, Filter, LogicalPlan, Projection};
use datafusion::optimizer::AnalyzerRule;

use crate::error::PredictError;
use crate::function::UnboundPredict;
use crate::host::ModelHost;
use crate::node::{NodeCall, PredictNode};

use bind::Binder;
use extract::{Extracted, Extraction, holds_call};

/// Turns predict calls into nodes that score with one host.
#[derive(Debug)]
pub struct PredictRule {
    host: Arc<ModelHost>,
}

impl PredictRule {
    /// A rule whose fallback functions score with `host`.
    pub fn new(host: Arc<ModelHost>) -> Self {
        Self { host }
    }
}

impl AnalyzerRule for PredictRule {
    fn name(&self) -> &str {
        "predict"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut rewriter = Rewriter { binder: Binder::new(config)?, host: self.host.clone(), columns: 0 };
        let rewritten = rewriter.rewrite(plan)?.restored()?;
        let problems = rewriter.binder.into_problems();
        if problems.is_empty() { Ok(rewritten) } else { Err(PredictError::Binding(problems).into()) }
    }
}

/// A rewritten plan, and the scores that its output carries beyond the columns it had before.
struct Rewritten {
    plan: LogicalPlan,
    /// How many leading columns are the plan's own.
    width: usize,
    /// Calls that every output row was scored with, by their columns.
    scored: Vec<NodeCall>,
}

impl Rewritten {
    fn plain(plan: LogicalPlan) -> Self {
        Self { width: plan.schema().fields().len(), plan, scored: Vec::new() }
    }

    /// The plan with its own columns only.
    fn restored(self) -> Result<LogicalPlan> {
        if self.plan.schema().fields().len() == self.width {
            return Ok(self.plan);
        }
        let own = self.plan.schema().columns().into_iter().take(self.width).map(Expr::Column).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(own, Arc::new(self.plan))?))
    }
}

struct Rewriter {
    binder: Binder,
    host: Arc<ModelHost>,
    /// Counter for the names of score columns, unique in the statement.
    columns: usize,
}

impl Rewriter {
    fn rewrite(&mut self, plan: LogicalPlan) -> Result<Rewritten> {
        let plan = grouping::calls_below_sets(plan)?;
        let plan = plan.map_subqueries(|inner| Ok(Transformed::yes(self.rewrite(inner)?.restored()?)))?.data;
        if plan.inputs().into_iter().any(correlates) {
            return self.functions(plan);
        }
        match plan {
            LogicalPlan::Filter(filter) => self.filter(filter),
            plan if plan.contains_outer_reference() => self.functions(plan),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Sort(_) => self.sort(plan),
            LogicalPlan::Limit(_) => self.limit(plan),
            LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => self.over_input(plan),
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            other => self.functions(other),
        }
    }

    fn projection(&mut self, projection: Projection) -> Result<Rewritten> {
        let input = self.rewrite(Arc::unwrap_or_clone(projection.input))?;
        let width = projection.expr.len();
        let (input, mut expr) = self.extract(input, projection.expr, &NamePreserver::new_for_projection())?;
        let mut scored = Vec::new();
        for call in input.scored {
            // A score goes on upwards only where its arguments are still there to recognise it by.
            if call.arguments.iter().all(|argument| only_passes(argument, &expr[..width])) {
                expr.push(Expr::Column(Column::new_unqualified(&call.column)));
                scored.push(call);
            }
        }
        let plan = LogicalPlan::Projection(Projection::try_new(expr, Arc::new(input.plan))?);
        Ok(Rewritten { plan, width, scored })
    }

    /// Conditions without a call first, then those with one, each over the rows that the last one left, and those
    /// that correlate a subquery in one filter on top.
    fn filter(&mut self, filter: Filter) -> Result<Rewritten> {
        let mut input = self.rewrite(Arc::unwrap_or_clone(filter.input))?;
        let (correlating, own): (Vec<_>, Vec<_>) =
            split_conjunction_owned(filter.predicate).into_iter().partition(Expr::contains_outer);
        let (scoring, plain): (Vec<_>, Vec<_>) = own.into_iter().partition(holds_call);
        input.plan = filtered(input.plan, plain)?;
        for condition in scoring {
            let (scored, condition) = self.extract(input, vec![condition], &NamePreserver::new_for_projection())?;
            input = scored;
            input.plan = filtered(input.plan, condition.into_iter().map(Expr::unalias).collect())?;
        }
        if correlating.is_empty() {
            return Ok(input);
        }
        let plan = input.restored()?;
        let correlating = correlating.into_iter().map(|condition| self.bound_function(condition, plan.schema()));
        let correlating = correlating.collect::<Result<_>>()?;
        Ok(Rewritten::plain(filtered(plan, correlating)?))
    }

    fn sort(&mut self, plan: LogicalPlan) -> Result<Rewritten> {
        let input = self.rewrite(plan.inputs()[0].clone())?;
        let (input, expressions) = self.extract(input, plan.expressions(), &NamePreserver::new(&plan))?;
        let expressions = expressions.into_iter().map(Expr::unalias).collect();
        let Rewritten { plan: below, width, scored } = input;
        Ok(Rewritten { plan: plan.with_new_exprs(expressions, vec![below])?, width, scored })
    }

    /// Scores go on upwards; the numbers of LIMIT and OFFSET cannot be scores themselves.
    fn limit(&mut self, plan: LogicalPlan) -> Result<Rewritten> {
        let expressions = plan.expressions();
        self.binder.refuse_in_limit(&expressions)?;
        let Rewritten { plan: below, width, scored } = self.rewrite(plan.inputs()[0].clone())?;
        Ok(Rewritten { plan: plan.with_new_exprs(expressions, vec![below])?, width, scored })
    }

    fn over_input(&mut self, plan: LogicalPlan) -> Result<Rewritten> {
        let input = self.rewrite(plan.inputs()[0].clone())?;
        let (input, expressions) = self.extract(input, plan.expressions(), &NamePreserver::new(&plan))?;
        let width = plan.schema().fields().len();
        match plan {
            // A window keeps its input's columns in front, so they must be its own only.
            LogicalPlan::Window(_) if input.plan.schema().fields().len() != input.width => {
                let own: Vec<_> = plan.schema().columns().into_iter().map(Expr::Column).collect();
                let window = plan.with_new_exprs(expressions, vec![input.plan])?;
                let restored = LogicalPlan::Projection(Projection::try_new(own, Arc::new(window))?);
                Ok(Rewritten { plan: restored, width, scored: Vec::new() })
            }
            _ => Ok(Rewritten::plain(plan.with_new_exprs(expressions, vec![input.plan])?)),
        }
    }

    /// Only what is selected keeps its name: the keys of ON must equal the first ones of ORDER BY.
    fn distinct_on(&mut self, distinct: DistinctOn) -> Result<Rewritten> {
        let DistinctOn { on_expr, select_expr, sort_expr, input, schema: _ } = distinct;
        let input = self.rewrite(Arc::unwrap_or_clone(input))?;
        let (ons, selected, sorted) = (on_expr.len(), select_expr.len(), sort_expr.is_some());
        let (keys, orders): (Vec<_>, Vec<_>) =
            sort_expr.into_iter().flatten().map(|sort| (sort.expr, (sort.asc, sort.nulls_first))).unzip();
        let all = on_expr.into_iter().chain(select_expr).chain(keys).collect();
        let (input, all) = self.extract(input, all, &NamePreserver::new_for_projection())?;
        let mut all = all.into_iter();
        let on_expr = all.by_ref().take(ons).map(Expr::unalias).collect();
        let select_expr = all.by_ref().take(selected).collect();
        let keys = all.map(Expr::unalias).zip(orders);
        let sort_expr = keys.map(|(key, (asc, nulls_first))| SortExpr::new(key, asc, nulls_first)).collect();
        let distinct = DistinctOn::try_new(on_expr, select_expr, sorted.then_some(sort_expr), Arc::new(input.plan))?;
        Ok(Rewritten::plain(LogicalPlan::Distinct(Distinct::On(distinct))))
    }

    /// A node with no place for a Predict node below it: its calls become bound functions.
    fn functions(&mut self, plan: LogicalPlan) -> Result<Rewritten> {
        let plan = plan.map_children(|input| Ok(Transformed::yes(self.rewrite(input)?.restored()?)))?.data;
        if !plan.expressions().iter().any(holds_call) {
            return Ok(Rewritten::plain(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let is_sort = matches!(plan, LogicalPlan::Sort(_));
        let bound = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = self.bound_function(expr, &schema)?;
            Ok(Transformed::yes(if is_sort { expr } else { name.restore(expr) }))
        })?;
        Ok(Rewritten::plain(bound.data.recompute_schema()?))
    }

    fn bound_function(&mut self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let (binder, host) = (&mut self.binder, &self.host);
        let bound = expr.transform_up(|expr| match binder.bind(&expr, schema)? {
            Some(bound) => Ok(Transformed::yes(bound.into_function(host))),
            None => Ok(Transformed::no(expr)),
        })?;
        Ok(bound.data)
    }

    /// Moves the calls of `expressions` into nodes over `input`, and gives both back; names stay.
    fn extract(
        &mut self,
        input: Rewritten,
        expressions: Vec<Expr>,
        names: &NamePreserver,
    ) -> Result<(Rewritten, Vec<Expr>)> {
        if !expressions.iter().any(holds_call) {
            return Ok((input, expressions));
        }
        let Rewritten { plan, width, scored } = input;
        let saved: Vec<_> = expressions.iter().map(|expr| names.save(expr)).collect();
        let mut extraction = Extraction::new(&mut self.binder, &self.host, plan.schema(), scored, &mut self.columns);
        let expressions = extraction.take(expressions)?;
        let Extracted { levels, scored } = extraction.finish();
        let mut plan = plan;
        for calls in levels {
            let node = Arc::new(PredictNode::new(plan, calls)?);
            plan = LogicalPlan::Extension(Extension { node });
        }
        let expressions = saved.into_iter().zip(expressions).map(|(name, expr)| name.restore(expr)).collect();
        Ok((Rewritten { plan, width, scored }, expressions))
    }
}

/// Whether a column of an outer query stands in `plan` or below it, inner queries aside.
fn correlates(plan: &LogicalPlan) -> bool {
    !matches!(plan, LogicalPlan::Subquery(_))
        && (plan.contains_outer_reference() || plan.inputs().into_iter().any(correlates))
}

fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

/// Whether every column of `argument` comes out of a projection under its own name.
fn only_passes(argument: &Expr, projected: &[Expr]) -> bool {
    let mut passes = true;
    let _ = argument.apply(|expr| {
        if let Expr::Column(_) = expr
            && !projected.contains(expr)
        {
            passes = false;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    passes
}

/// The unbound function that an expression calls.
fn unbound(expr: &Expr) -> Option<(&UnboundPredict, &[Expr])> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let function = call.func.inner().downcast_ref::<UnboundPredict>()?;
    Some((function, &call.args))
}
