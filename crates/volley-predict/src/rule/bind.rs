//! Binds one predict call of a plan to its model: argument expressions, coercions, result type.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::functions::expr_fn::get_field;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};
use volley_model::{Argument, Arguments, BindOptions};

use super::unbound;
use crate::call::BoundCall;
use crate::error::PredictError;
use crate::function::{BoundPredict, UnboundPredict};
use crate::host::ModelHost;
use crate::options::PredictOptions;
use crate::problem::UnplacedProblem;

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
        let constant = self.arguments.iter().all(|argument| argument.column_refs().is_empty());
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
        let (Some(model), Some(params)) = (text(model), text(params)) else {
            return plan_err!("the model of {}() must be a quoted name", function.function().name());
        };
        let Some(pin) = function.pins().get(model) else {
            return plan_err!("model `{model}` was not pinned before planning");
        };
        let (arguments, expressions) = arguments_of(inputs, schema)?;
        let mut options = self.options.clone();
        options.params = serde_json::from_str(params).unwrap_or_default();
        match volley_model::bind(&pin.contract, model, &arguments, &options) {
            Ok(binding) => {
                let call = BoundCall::new(pin.clone(), function.function(), binding).map_err(PredictError::from)?;
                Ok(Some(Bound { call: Arc::new(call), arguments: expressions }))
            }
            Err(problems) => {
                let columns = columns_of(inputs);
                self.record(function, model, &columns, problems);
                Ok(None)
            }
        }
    }

    fn record(
        &mut self,
        function: &UnboundPredict,
        model: &str,
        columns: &[String],
        problems: Vec<volley_model::BindProblem>,
    ) {
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
    if let Expr::ScalarFunction(call) = expr
        && call.func.name() == "named_struct"
    {
        let pairs = call.args.chunks_exact(2).map(|pair| Some((text(&pair[0])?.to_string(), pair[1].clone())));
        return Ok(pairs.collect());
    }
    match expr.get_type(schema)? {
        DataType::Struct(fields) => {
            let field = |name: &String| (name.clone(), get_field(expr.clone(), name.clone()));
            Ok(Some(fields.iter().map(|f| field(f.name())).collect()))
        }
        _ => Ok(None),
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Some(text),
        Expr::Alias(alias) => text(&alias.expr),
        _ => None,
    }
}

fn columns_of(inputs: &[Expr]) -> Vec<String> {
    let names: BTreeSet<String> =
        inputs.iter().flat_map(|expr| expr.column_refs()).map(|column| column.name.to_lowercase()).collect();
    names.into_iter().collect()
}
