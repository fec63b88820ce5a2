//! What planning needs to know of a model: its inputs, outputs and parameters.

mod results;
mod types;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use results::Function;
pub(crate) use results::{label_type, probability_fields};
pub use types::{Element, InputType};

use crate::{ModelError, NullRule};

/// All that planning needs to know of a model. It travels in plans, so nodes that hold it compare and hash by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Contract {
    /// Where `inputs` come from.
    pub signature: SignatureKind,
    /// What a call gives, in the signature's order.
    pub inputs: Vec<Input>,
    /// What a call gets, in the graph's order.
    pub outputs: Vec<Output>,
    /// What `predict` leaves out, as the model's library does: the label and the probabilities of a classifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asides: Vec<Output>,
    /// The signature's parameters.
    pub params: Vec<Param>,
    /// The graph's own inputs, in its order; `Slot::tensor` counts in them.
    pub graph_inputs: Vec<GraphInput>,
    /// Chosen once, when the model is registered.
    pub runtime: Runtime,
    /// Operators of the graph such as `ai.onnx.ml.Scaler`, sorted and unique.
    pub operators: Vec<String>,
    /// Rows per run when the graph fixes its batch dimension; the runtime then loops.
    pub fixed_batch: Option<usize>,
    /// Rows per run at most, for a runtime that does not see for itself: one where nothing shows that rows are apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_max: Option<usize>,
}

/// What the inputs of a contract are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureKind {
    /// The model has no signature: its inputs are those of its graph.
    None,
    /// A signature of columns.
    Columns,
    /// A signature of tensors.
    Tensors,
}

/// One input of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Input {
    /// Absent in a signature without names: such inputs can only be given by position.
    pub name: Option<String>,
    /// What a column is checked against: the signature's type, or the graph's where there is no signature.
    pub declared: InputType,
    /// What the graph reads.
    pub element: Element,
    /// Whether a call must give it.
    pub required: bool,
    /// What becomes of NULL.
    pub null_rule: NullRule,
    /// Where it goes.
    pub slot: Slot,
}

impl Input {
    /// How to speak of it: its name in backquotes, or its position.
    pub fn label(&self, index: usize) -> String {
        match &self.name {
            Some(name) => format!("`{name}`"),
            None => format!("number {}", index + 1),
        }
    }

    /// Values that one row takes in its tensor; `None` when the graph leaves it open.
    pub fn width(&self) -> Option<usize> {
        match &self.declared {
            InputType::List { len, .. } => *len,
            _ => Some(1),
        }
    }
}

/// The place of an input among the graph's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Index into `Contract::graph_inputs`.
    pub tensor: usize,
    /// Of its first value within a row of the tensor.
    pub offset: usize,
}

/// One input tensor of the graph: `[N]`, `[N,F]`, or `[N,…]` with fixed inner dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GraphInput {
    /// As the graph calls it.
    pub name: String,
    /// Of each value.
    pub element: Element,
    /// Dimensions after the first; `None` is left open by the graph.
    pub row: Vec<Option<usize>>,
}

/// One output of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Output {
    /// The signature's name for it where it has one, else the graph's.
    pub name: String,
    /// Of each value.
    pub element: Element,
    /// How many values a row has.
    pub shape: OutputShape,
    /// The classes of the classifier that this label or these probabilities come from.
    pub class_labels: Option<ClassLabels>,
    /// Whether the graph gives it as a map from class to probability: its result is the struct of `predict_proba`.
    pub zipmap: bool,
}

/// How many values a row of an output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputShape {
    /// One: `[N]` or `[N,1]`.
    Scalar,
    /// A list: `[N,k]`, or of a length that the graph leaves open.
    List(Option<usize>),
}

/// The classes of a classifier, in the order of its probabilities.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the types they name")]
pub enum ClassLabels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl From<&volley_onnx::ClassLabels> for ClassLabels {
    fn from(labels: &volley_onnx::ClassLabels) -> Self {
        match labels {
            volley_onnx::ClassLabels::Ints(labels) => ClassLabels::Ints(labels.clone()),
            volley_onnx::ClassLabels::Strings(labels) => ClassLabels::Strings(labels.clone()),
        }
    }
}

impl ClassLabels {
    /// As field names of `predict_proba`.
    pub fn names(&self) -> Vec<String> {
        match self {
            ClassLabels::Ints(labels) => labels.iter().map(i64::to_string).collect(),
            ClassLabels::Strings(labels) => labels.clone(),
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        match self {
            ClassLabels::Ints(labels) => labels.len(),
            ClassLabels::Strings(labels) => labels.len(),
        }
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One parameter of the signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Param {
    /// As `params => {…}` names it.
    pub name: String,
    /// `None` for a type that no graph can read (an object).
    pub declared: Option<InputType>,
    /// JSON `null` where it has none.
    pub default: serde_json::Value,
    /// Index into `Contract::graph_inputs` of the input of this name. Without one the parameter has no effect.
    pub graph_input: Option<usize>,
}

/// What runs the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// tract with our own kernels.
    Tract,
    /// Our trees alone, read from their library's own file.
    Native,
    /// ONNX Runtime, from a library of its own: see [`crate::OnnxRuntime`].
    Ort,
}

impl Runtime {
    /// All three.
    pub const ALL: [Runtime; 3] = [Runtime::Tract, Runtime::Native, Runtime::Ort];
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Runtime::Tract => "tract",
            Runtime::Native => "native",
            Runtime::Ort => "ort",
        })
    }
}

impl Contract {
    /// Sets what becomes of NULL in an input; the input is named exactly, or by its number from 1 where the
    /// signature has no names. Refused where the input cannot hold the value: NaN in an integer, a word in a number.
    pub fn set_null_rule(&mut self, input: &str, rule: NullRule) -> Result<(), ModelError> {
        let index = self.input_index(input)?;
        let target = &mut self.inputs[index];
        crate::coercion::check_null_rule(target, &rule)
            .map_err(|reason| ModelError::NullRule { input: target.label(index), reason })?;
        target.null_rule = rule;
        Ok(())
    }

    fn input_index(&self, name: &str) -> Result<usize, ModelError> {
        let by_name = self.inputs.iter().position(|input| input.name.as_deref() == Some(name));
        let by_number = || {
            let number: usize = name.parse().ok()?;
            let index = number.checked_sub(1)?;
            self.inputs.get(index).is_some_and(|input| input.name.is_none()).then_some(index)
        };
        by_name.or_else(by_number).ok_or_else(|| {
            let names = self.inputs.iter().filter_map(|input| input.name.as_deref());
            let hint =
                crate::nearest_name(name, names).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            ModelError::NullRule { input: format!("`{name}`"), reason: format!("the model has no such input{hint}") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bare, columns};

    #[test]
    fn a_null_rule_must_suit_its_input() {
        let mut contract = columns(&[("n", InputType::Int64, Element::I64), ("x", InputType::Float64, Element::F32)]);
        let mut set = |input: &str, rule: &str| {
            contract.set_null_rule(input, rule.parse().expect("a rule")).map_err(|error| error.to_string())
        };
        assert_eq!(set("n", "fill:0"), Ok(()));
        assert_eq!(set("x", "nan"), Ok(()));
        assert_eq!(
            set("n", "nan"),
            Err("null rule of input `n`: int64 has no NaN; choose null, error or fill:VALUE".to_owned())
        );
        assert_eq!(
            set("x", "fill:1e60"),
            Err("null rule of input `x`: `1e60` is more than the graph's float holds".to_owned())
        );
        assert_eq!(set("x", "fill:much"), Err("null rule of input `x`: `much` is no double".to_owned()));
        assert_eq!(
            set("xx", "null"),
            Err("null rule of input `xx`: the model has no such input; did you mean `x`?".to_owned())
        );
        assert_eq!(contract.inputs[0].null_rule.to_string(), "fill:0");
    }

    #[test]
    fn an_input_without_a_name_is_set_by_its_number() {
        let mut contract = bare(Some(2), Element::F32);
        contract.inputs[0].name = None;
        assert!(contract.set_null_rule("1", NullRule::Nan).is_ok());
        assert!(contract.set_null_rule("2", NullRule::Nan).is_err());
        assert!(contract.set_null_rule("0", NullRule::Nan).is_err());
    }
}
