//! predict() as a SQL function: first by name and without a body, then bound to one pinned model.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;
use volley_model::Function;

use crate::call::BoundCall;
use crate::host::ModelHost;
use crate::pins::Pins;
use crate::written::written_call;

/// The function as the SQL planner sees it: knows the pinned models of a statement, so that each call has a
/// type, and cannot run. The analyzer rule replaces it; one that is left is an error.
#[derive(Debug)]
pub struct UnboundPredict {
    function: Function,
    pins: Arc<Pins>,
    signature: Signature,
}

impl UnboundPredict {
    /// The three functions over the models of one statement.
    pub fn all(pins: &Arc<Pins>) -> Vec<Arc<ScalarUDF>> {
        crate::sql::FUNCTIONS
            .into_iter()
            .map(|function| {
                let signature = Signature::variadic_any(Volatility::Stable);
                Arc::new(ScalarUDF::from(Self { function, pins: pins.clone(), signature }))
            })
            .collect()
    }

    pub(crate) fn function(&self) -> Function {
        self.function
    }

    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }
}

impl PartialEq for UnboundPredict {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function && self.pins == other.pins
    }
}

impl Eq for UnboundPredict {}

impl Hash for UnboundPredict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for UnboundPredict {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {}() depends on its model", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let model = match args.scalar_arguments.first() {
            Some(Some(ScalarValue::Utf8(Some(model)) | ScalarValue::Utf8View(Some(model)))) => model,
            _ => return plan_err!("the model of {}() must be a quoted name", self.name()),
        };
        let Some(pin) = self.pins.get(model) else {
            return plan_err!("model `{model}` was not pinned before planning");
        };
        // What the model lacks is told by the analyzer, with the other problems of the statement; until then a
        // NULL fits wherever the score stands.
        let data_type = pin.contract.result_type(self.function).unwrap_or(DataType::Null);
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(written_call(self.name(), args, |arg| arg.schema_name().to_string()))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{}() reached execution without a pinned model", self.name())
    }
}

/// The function bound to one pinned model: the road for places where no node can stand, such as a join
/// condition. Its arguments are the bound inputs, in the order of the binding.
#[derive(Debug)]
pub struct BoundPredict {
    call: Arc<BoundCall>,
    /// Names the model and its digest: plans show no more of a function than its name and its arguments.
    name: String,
    host: Arc<ModelHost>,
    signature: Signature,
}

impl BoundPredict {
    /// A function that scores with `host`.
    ///
    /// With `constant` it has no column among its arguments; it is then called volatile, because the
    /// optimizer evaluates stable functions of literals while planning, and no model runs there.
    pub fn new(call: Arc<BoundCall>, host: Arc<ModelHost>, constant: bool) -> Self {
        let volatility = if constant { Volatility::Volatile } else { Volatility::Stable };
        Self { name: call.to_string(), call, host, signature: Signature::variadic_any(volatility) }
    }

    /// What is called.
    pub fn call(&self) -> &Arc<BoundCall> {
        &self.call
    }

    pub(crate) fn is_constant(&self) -> bool {
        self.signature.volatility == Volatility::Volatile
    }
}

/// Whether an expression of a physical plan scores.
pub fn scores(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut found = false;
    let looked = expr.apply(|node| {
        found |= ScalarFunctionExpr::try_downcast_func::<BoundPredict>(node.as_ref()).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.is_err() || found
}

impl PartialEq for BoundPredict {
    fn eq(&self, other: &Self) -> bool {
        self.call == other.call && self.is_constant() == other.is_constant()
    }
}

impl Eq for BoundPredict {}

impl Hash for BoundPredict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call.hash(state);
    }
}

impl ScalarUDFImpl for BoundPredict {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.call.data_type().clone())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<_> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("{}({}, {})", self.call.function.name(), self.call.pin.label(), args.join(", ")))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns =
            args.args.iter().map(|value| value.to_array(args.number_rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let model = self.host.model_blocking(&self.call.pin)?;
        Ok(ColumnarValue::Array(model.score(&self.call, &columns, args.number_rows)?.result))
    }
}
