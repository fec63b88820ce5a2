//! The `params` of a call against those of the signature.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use serde_json::Value;

use super::{BindProblem, BoundParam, Call, nearest_name};
use crate::fill::{Fill, float_fill, integer_fill};
use crate::{Element, InputType, Param};

impl Call<'_> {
    /// A value for each parameter that the graph reads.
    pub(super) fn params(&self, problems: &mut Vec<BindProblem>) -> Vec<BoundParam> {
        problems.extend(self.options.params.keys().filter_map(|name| self.refused_param(name)));
        self.contract.params.iter().filter_map(|param| self.bound_param(param, problems)).collect()
    }

    fn refused_param(&self, name: &str) -> Option<BindProblem> {
        let names = || self.contract.params.iter().map(|param| param.name.as_str());
        match self.contract.params.iter().find(|param| param.name == name) {
            Some(Param { graph_input: Some(_), .. }) => None,
            Some(_) => Some(BindProblem {
                code: "unused_parameter",
                message: format!(
                    "parameter `{name}` would have no effect: the graph of model `{}` has no input of that name; leave it out",
                    self.model
                ),
            }),
            None => {
                let hint = match nearest_name(name, names()) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => "; leave it out".to_owned(),
                };
                let message = format!("model `{}` has no parameter `{name}`{hint}", self.model);
                Some(BindProblem { code: "unknown_parameter", message })
            }
        }
    }

    fn bound_param(&self, param: &Param, problems: &mut Vec<BindProblem>) -> Option<BoundParam> {
        let graph_input = param.graph_input?;
        let given = self.options.params.get(&param.name);
        let value = given.unwrap_or(&param.default);
        if given.is_none() && value.is_null() {
            problems.push(self.missing_param(param));
            return None;
        }
        let declared = param.declared.as_ref()?;
        let element = self.contract.graph_inputs[graph_input].element;
        if param_fill(declared, element, value).is_none() {
            problems.push(self.mistyped_param(param, declared, value));
            return None;
        }
        Some(BoundParam { name: param.name.clone(), graph_input, value: value.clone() })
    }

    fn missing_param(&self, param: &Param) -> BindProblem {
        let message = format!(
            "model `{}` needs parameter `{name}`, which has no default: write params => {{'{name}': …}}",
            self.model,
            name = param.name
        );
        BindProblem { code: "missing_input", message }
    }

    fn mistyped_param(&self, param: &Param, declared: &InputType, value: &Value) -> BindProblem {
        let message = format!(
            "parameter `{}` of model `{}` is {declared}: the call gives {}",
            param.name,
            self.model,
            kind(declared, value)
        );
        BindProblem { code: "type_mismatch", message }
    }
}

fn kind(declared: &InputType, value: &Value) -> &'static str {
    let float = matches!(declared, InputType::Float16 | InputType::Float32 | InputType::Float64);
    match value {
        Value::Number(_) if float => "more than the graph holds",
        Value::Null => "NULL",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a struct",
    }
}

/// The values of one row of a parameter's tensor; `None` where the JSON value is not of the type, or more than the
/// graph's type holds.
pub(crate) fn param_fill(declared: &InputType, element: Element, value: &Value) -> Option<Vec<Fill>> {
    match (declared, value) {
        (InputType::List { element: item, len }, Value::Array(values)) => {
            let fills: Vec<_> = values.iter().map(|value| scalar_fill(item, element, value)).collect::<Option<_>>()?;
            len.is_none_or(|len| len == fills.len()).then_some(fills)
        }
        (InputType::List { .. }, _) => None,
        (scalar, value) => scalar_fill(scalar, element, value).map(|fill| vec![fill]),
    }
}

fn scalar_fill(declared: &InputType, element: Element, value: &Value) -> Option<Fill> {
    match declared {
        InputType::Boolean => value.as_bool().map(Fill::Boolean),
        InputType::String => value.as_str().map(|text| Fill::Text(text.to_owned())),
        InputType::Float16 | InputType::Float32 | InputType::Float64 => float_fill(declared, element, value.as_f64()?),
        InputType::Datetime => string_to_timestamp_nanos(value.as_str()?).ok().map(|nanos| Fill::Integer(nanos.into())),
        InputType::Binary | InputType::List { .. } => None,
        integer => {
            let value = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
            integer_fill(integer, element, value)
        }
    }
}
