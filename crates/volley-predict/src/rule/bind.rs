//! Binds one predict call of a plan to its model: argument expressions, coercions, result type.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::functions::expr_fn::get_field;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};
use volley_model::{Argument, Arguments, BindOptions, BindProblem, Function, ModelError};
use volley_registry::Pin;

use super::unbound;
use crate::call::BoundCall;
use crate::error::PredictError;
use crate::function::{BoundPredict, UnboundPredict};
use crate::host::ModelHost;
use crate::options::PredictOptions;
use crate::problem::UnplacedProblem;
use crate::written::{literal_text, named_fields};

/// Binds calls under one session's settings and collects what does not fit.
pub(super) struct Binder {
    options: BindOptions,
    problems: Vec<UnplacedProblem>,
}

/// A call with the expressions of its arguments, in the order of the binding.
pub(super) struct Bound {
    pub call: Arc<BoundCall>,
    pub arguments: Vec<Expr>,
}

impl Bound {
    pub(super) fn into_function(self, host: &Arc<ModelHost>) -> Expr {
        let is_constant = |argument: &Expr| argument.column_refs().is_empty() && !argument.contains_outer();
        let constant = self.arguments.iter().all(is_constant);
        let function = BoundPredict::new(self.call, host.clone(), constant);
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), self.arguments))
    }
}

impl Binder {
    pub(super) fn new(config: &ConfigOptions) -> Result<Self> {
        let settings = PredictOptions::of(config);
        let options = BindOptions {
            coercion: settings.coercion_mode(),
            null_rules: settings.null_rule_set(),
            params: Default::default(),
        };
        Ok(Self { options, problems: Vec::new() })
    }

    pub(super) fn into_problems(self) -> Vec<UnplacedProblem> {
        self.problems
    }

    /// The call that `expr` is, bound; none if it is something else or does not fit, which is then recorded.
    pub(super) fn bind(&mut self, expr: &Expr, schema: &DFSchema) -> Result<Option<Bound>> {
        let Some((function, arguments)) = unbound(expr) else { return Ok(None) };
        let [model, params, inputs @ ..] = arguments else {
            return plan_err!("{}() was not collected before planning", function.function().name());
        };
        let (Some(model), Some(params)) = (literal_text(model), literal_text(params)) else {
            return plan_err!("the model of {}() must be a quoted name", function.function().name());
        };
        let Some(pin) = function.pins().get(model) else {
            return plan_err!("model `{model}` was not pinned before planning");
        };
        let (arguments, expressions) = arguments_of(inputs, schema)?;
        let mut options = self.options.clone();
        options.params = serde_json::from_str(params).unwrap_or_default();
        let mut problems = lacking(function.function(), model, pin);
        match volley_model::bind(&pin.contract, model, &arguments, &options) {
            Ok(binding) if problems.is_empty() => {
                let call = BoundCall::new(pin.clone(), function.function(), binding).map_err(PredictError::from)?;
                return Ok(Some(Bound { call: Arc::new(call), arguments: expressions }));
            }
            Ok(_) => {}
            Err(unfit) => problems.extend(unfit),
        }
        self.record(function, model, &columns_of(inputs), problems);
        Ok(None)
    }

    /// Records every call among the numbers of LIMIT and OFFSET.
    pub(super) fn refuse_in_limit(&mut self, expressions: &[Expr]) -> Result<()> {
        let message = "LIMIT and OFFSET are fixed before any row is read: no model can decide them";
        for expr in expressions {
            expr.apply(|inner| {
                if let Some((function, arguments)) = unbound(inner) {
                    let model = arguments.first().and_then(literal_text).unwrap_or_default();
                    let problem = BindProblem { code: "call_in_limit", message: message.to_string() };
                    self.record(function, model, &columns_of(arguments), vec![problem]);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(())
    }

    fn record(&mut self, function: &UnboundPredict, model: &str, columns: &[String], problems: Vec<BindProblem>) {
        for problem in problems {
            let problem = UnplacedProblem {
                function: function.function(),
                model: model.to_string(),
                columns: columns.to_vec(),
                code: problem.code,
                message: problem.message,
            };
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }
}

/// What a model lacks of the function that is called.
fn lacking(function: Function, model: &str, pin: &Pin) -> Vec<BindProblem> {
    let told = |error: ModelError| BindProblem {
        code: error.code(),
        message: format!("{}('{model}'): {error}", function.name()),
    };
    pin.contract.result_type(function).err().map(told).into_iter().collect()
}

/// One struct is arguments by name, anything else is arguments in order.
fn arguments_of(inputs: &[Expr], schema: &DFSchema) -> Result<(Arguments, Vec<Expr>)> {
    if let [single] = inputs
        && let Some(fields) = struct_fields(single, schema)?
    {
        let arguments =
            fields.iter().map(|(name, expr)| argument(Some(name.clone()), expr, schema)).collect::<Result<_>>()?;
        return Ok((Arguments::Named(arguments), fields.into_iter().map(|(_, expr)| expr).collect()));
    }
    let arguments = inputs.iter().map(|expr| argument(column_name(expr), expr, schema)).collect::<Result<_>>()?;
    Ok((Arguments::Positional(arguments), inputs.to_vec()))
}

fn argument(name: Option<String>, expr: &Expr, schema: &DFSchema) -> Result<Argument> {
    let (_, field) = expr.to_field(schema)?;
    Ok(Argument { name, data_type: field.data_type().clone(), nullable: field.is_nullable() })
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        _ => None,
    }
}

/// The fields of a struct argument: those written out, or each field of a struct column.
fn struct_fields(expr: &Expr, schema: &DFSchema) -> Result<Option<Vec<(String, Expr)>>> {
    if let Some(fields) = named_fields(expr) {
        return Ok(Some(fields.into_iter().map(|(name, value)| (name.to_string(), value.clone())).collect()));
    }
    match expr.get_type(schema)? {
        DataType::Struct(fields) => {
            let field = |name: &String| (name.clone(), get_field(expr.clone(), name.clone()));
            Ok(Some(fields.iter().map(|f| field(f.name())).collect()))
        }
        _ => Ok(None),
    }
}

fn columns_of(inputs: &[Expr]) -> Vec<String> {
    let names: BTreeSet<String> =
        inputs.iter().flat_map(|expr| expr.column_refs()).map(|column| column.name.to_lowercase()).collect();
    names.into_iter().collect()
}
