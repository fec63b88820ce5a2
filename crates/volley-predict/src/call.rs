//! A predict call whose model is pinned and whose inputs are bound: what travels in plans.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use volley_model::{Binding, Function, ModelError};
use volley_registry::Pin;

/// One function of one pinned model, bound to columns of known types.
///
/// Two calls are equal when they give equal scores on equal arguments; that is what lets a call which
/// stands twice in a statement be scored once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Payload", try_from = "Payload")]
pub struct BoundCall {
    /// The model version and what it needs and gives.
    pub pin: Arc<Pin>,
    /// What is asked of it.
    pub function: Function,
    /// How the argument columns become the model's inputs.
    pub binding: Binding,
    data_type: DataType,
}

/// What travels of a call; the type follows from it.
#[derive(Clone, Serialize, Deserialize)]
struct Payload {
    pin: Arc<Pin>,
    function: Function,
    binding: Binding,
}

impl BoundCall {
    /// A call of a function that the model has: it may lack class labels or a label.
    pub fn new(pin: Arc<Pin>, function: Function, binding: Binding) -> Result<Self, ModelError> {
        let data_type = pin.contract.result_type(function)?;
        Ok(Self { pin, function, binding, data_type })
    }

    /// Type of the result.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }
}

impl From<BoundCall> for Payload {
    fn from(BoundCall { pin, function, binding, .. }: BoundCall) -> Self {
        Self { pin, function, binding }
    }
}

impl TryFrom<Payload> for BoundCall {
    type Error = ModelError;

    fn try_from(Payload { pin, function, binding }: Payload) -> Result<Self, ModelError> {
        Self::new(pin, function, binding)
    }
}

impl PartialEq for BoundCall {
    fn eq(&self, other: &Self) -> bool {
        self.pin.sha256 == other.pin.sha256
            && self.function == other.function
            && self.binding == other.binding
            && self.data_type == other.data_type
    }
}

impl Eq for BoundCall {}

impl Hash for BoundCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pin.sha256.hash(state);
        self.function.hash(state);
        self.binding.hash(state);
    }
}

impl PartialOrd for BoundCall {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        if self == other {
            return Some(std::cmp::Ordering::Equal);
        }
        // Calls that differ in their binding alone have no order.
        self.to_string().partial_cmp(&other.to_string()).filter(|ordering| ordering.is_ne())
    }
}

/// Reads as plans show it: `predict(flights/1 sha256:0123456789ab, runtime: tract)`.
impl fmt::Display for BoundCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pin { sha256, contract, .. } = self.pin.as_ref();
        let (function, model) = (self.function.name(), self.pin.label());
        write!(f, "{function}({model} sha256:{}, runtime: {})", sha256.short(), contract.runtime)
    }
}
