//! What planning needs to know of a model: its inputs, outputs, parameters and result types.

use std::fmt;

use arrow::datatypes::{DataType, Field, Fields};
use serde::{Deserialize, Serialize};

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

/// The type a column is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the types they name")]
pub enum InputType {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    String,
    Binary,
    /// Goes in as nanoseconds since 1970-01-01, as a naive `datetime64[ns]` of NumPy.
    Datetime,
    /// `len` values a row; `None` where neither signature nor graph fixes it.
    List {
        element: Box<InputType>,
        len: Option<usize>,
    },
}

impl InputType {
    /// The type of one value: the element of a list, else the type itself.
    pub fn scalar(&self) -> &InputType {
        match self {
            InputType::List { element, .. } => element.scalar(),
            scalar => scalar,
        }
    }
}

impl fmt::Display for InputType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            InputType::Boolean => "bool",
            InputType::Int8 => "int8",
            InputType::Int16 => "int16",
            InputType::Int32 => "int32",
            InputType::Int64 => "int64",
            InputType::UInt8 => "uint8",
            InputType::UInt16 => "uint16",
            InputType::UInt32 => "uint32",
            InputType::UInt64 => "uint64",
            InputType::Float16 => "float16",
            InputType::Float32 => "float",
            InputType::Float64 => "double",
            InputType::String => "string",
            InputType::Binary => "binary",
            InputType::Datetime => "datetime",
            InputType::List { element, len: Some(len) } => return write!(f, "list<{element}>[{len}]"),
            InputType::List { element, len: None } => return write!(f, "list<{element}>"),
        };
        f.write_str(name)
    }
}

/// The type of a value in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the types they name")]
pub enum Element {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
    String,
}

impl Element {
    /// Whether it can hold NaN.
    pub fn is_float(self) -> bool {
        matches!(self, Element::F16 | Element::F32 | Element::F64)
    }

    /// The input type that this element is, for graphs without a signature.
    pub fn input_type(self) -> InputType {
        match self {
            Element::Bool => InputType::Boolean,
            Element::I8 => InputType::Int8,
            Element::I16 => InputType::Int16,
            Element::I32 => InputType::Int32,
            Element::I64 => InputType::Int64,
            Element::U8 => InputType::UInt8,
            Element::U16 => InputType::UInt16,
            Element::U32 => InputType::UInt32,
            Element::U64 => InputType::UInt64,
            Element::F16 => InputType::Float16,
            Element::F32 => InputType::Float32,
            Element::F64 => InputType::Float64,
            Element::String => InputType::String,
        }
    }

    /// The Arrow type of a score of this element. Half floats come out as floats: SQL has no half.
    pub fn arrow_type(self) -> DataType {
        match self {
            Element::Bool => DataType::Boolean,
            Element::I8 => DataType::Int8,
            Element::I16 => DataType::Int16,
            Element::I32 => DataType::Int32,
            Element::I64 => DataType::Int64,
            Element::U8 => DataType::UInt8,
            Element::U16 => DataType::UInt16,
            Element::U32 => DataType::UInt32,
            Element::U64 => DataType::UInt64,
            Element::F16 | Element::F32 => DataType::Float32,
            Element::F64 => DataType::Float64,
            Element::String => DataType::Utf8,
        }
    }
}

impl From<volley_onnx::Element> for Element {
    fn from(element: volley_onnx::Element) -> Self {
        match element {
            volley_onnx::Element::Bool => Element::Bool,
            volley_onnx::Element::I8 => Element::I8,
            volley_onnx::Element::I16 => Element::I16,
            volley_onnx::Element::I32 => Element::I32,
            volley_onnx::Element::I64 => Element::I64,
            volley_onnx::Element::U8 => Element::U8,
            volley_onnx::Element::U16 => Element::U16,
            volley_onnx::Element::U32 => Element::U32,
            volley_onnx::Element::U64 => Element::U64,
            volley_onnx::Element::F16 => Element::F16,
            volley_onnx::Element::F32 => Element::F32,
            volley_onnx::Element::F64 => Element::F64,
            volley_onnx::Element::String => Element::String,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.input_type().fmt(f)
    }
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
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tract")
    }
}

/// The three SQL functions over a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// All outputs.
    Predict,
    /// A struct with one double per class.
    PredictProba,
    /// The class alone.
    PredictLabel,
}

impl Function {
    /// All three.
    pub const ALL: [Function; 3] = [Function::Predict, Function::PredictProba, Function::PredictLabel];

    /// As SQL names it.
    pub fn name(self) -> &'static str {
        match self {
            Function::Predict => "predict",
            Function::PredictProba => "predict_proba",
            Function::PredictLabel => "predict_label",
        }
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

    /// The type of a call.
    ///
    /// `predict`: the one output's type, or a struct of all; a list for `[N,k]`; the struct of `predict_proba` for a ZipMap.
    /// `predict_proba`: a struct with a nullable double for each class. `predict_label`: `Int64` or `Utf8`.
    /// Fails with `no_class_labels` or `no_label` where the graph has none.
    pub fn result_type(&self, function: Function) -> Result<DataType, ModelError> {
        match function {
            Function::Predict => Ok(self.predict_type()),
            Function::PredictProba => self.probabilities().map(|(_, labels)| probability_type(&labels)),
            Function::PredictLabel => self.label_output().map(|(_, output)| label_type(output.element)),
        }
    }

    fn predict_type(&self) -> DataType {
        match self.outputs.as_slice() {
            [output] => output.result_type(),
            outputs => DataType::Struct(outputs.iter().map(Output::field).collect()),
        }
    }

    /// The output that holds class probabilities, and its classes.
    pub(crate) fn probabilities(&self) -> Result<(usize, ClassLabels), ModelError> {
        let labelled = self.outputs.iter().enumerate().filter_map(|(index, output)| {
            let labels = output.class_labels.as_ref().filter(|labels| output.could_hold(labels))?;
            Some((index, labels))
        });
        let all: Vec<_> = labelled.collect();
        // A map from class to probability says itself what it is.
        let maps: Vec<_> = all.iter().copied().filter(|(index, _)| self.outputs[*index].zipmap).collect();
        match if maps.is_empty() { all } else { maps }.as_slice() {
            [] => self.probabilities_of_the_label().ok_or(ModelError::NoClassLabels),
            [(index, labels)] => Ok((*index, (*labels).clone())),
            [(first, _), (second, _), ..] => Err(ModelError::AmbiguousProbabilities {
                first: self.outputs[*first].name.clone(),
                second: self.outputs[*second].name.clone(),
            }),
        }
    }

    /// A graph may lose the way from its classifier to the probabilities and still know the label's classes:
    /// then the one output that is as wide as there are classes holds them.
    fn probabilities_of_the_label(&self) -> Option<(usize, ClassLabels)> {
        let labels = self.outputs.iter().find_map(|output| output.class_labels.as_ref())?;
        let mut fitting =
            self.outputs.iter().enumerate().filter(|(_, o)| o.class_labels.is_none() && o.could_hold(labels));
        match (fitting.next(), fitting.next()) {
            (Some((index, _)), None) => Some((index, labels.clone())),
            _ => None,
        }
    }

    /// The output that holds the class.
    pub(crate) fn label_output(&self) -> Result<(usize, &Output), ModelError> {
        let candidates = || self.outputs.iter().enumerate().filter(|(_, output)| output.is_label_like());
        let mut known = candidates().filter(|(_, output)| output.class_labels.is_some());
        if let Some(label) = known.next() {
            return Ok(label);
        }
        let mut any = candidates();
        match (any.next(), any.next()) {
            (Some(label), None) => Ok(label),
            _ => Err(ModelError::NoLabel),
        }
    }
}

impl Output {
    /// Its type in the result of `predict`.
    pub fn result_type(&self) -> DataType {
        match (&self.class_labels, self.shape) {
            (Some(labels), _) if self.zipmap => probability_type(labels),
            _ => self.tensor_type(),
        }
    }

    /// Its type as the graph gives it, which is that of [`crate::Scores::outputs`].
    pub(crate) fn tensor_type(&self) -> DataType {
        match self.shape {
            OutputShape::Scalar => self.element.arrow_type(),
            OutputShape::List(_) => DataType::List(Field::new("item", self.element.arrow_type(), true).into()),
        }
    }

    fn field(&self) -> Field {
        Field::new(&self.name, self.result_type(), true)
    }

    fn could_hold(&self, labels: &ClassLabels) -> bool {
        let fits = match self.shape {
            OutputShape::Scalar => labels.len() == 1,
            OutputShape::List(len) => len.is_none_or(|len| len == labels.len()),
        };
        self.element.is_float() && fits
    }

    fn is_label_like(&self) -> bool {
        matches!(self.element, Element::I32 | Element::I64 | Element::String) && self.shape == OutputShape::Scalar
    }
}

fn probability_type(labels: &ClassLabels) -> DataType {
    DataType::Struct(probability_fields(labels))
}

/// One nullable double for each class.
pub(crate) fn probability_fields(labels: &ClassLabels) -> Fields {
    labels.names().into_iter().map(|name| Field::new(name, DataType::Float64, true)).collect()
}

/// `Int64` or `Utf8`, whatever width the graph's integer has.
pub(crate) fn label_type(element: Element) -> DataType {
    match element {
        Element::String => DataType::Utf8,
        _ => DataType::Int64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bare, columns, output};

    fn with_outputs(outputs: Vec<Output>) -> Contract {
        Contract { outputs, ..bare(Some(4), Element::F32) }
    }

    fn labelled(mut output: Output, labels: &[&str]) -> Output {
        output.class_labels = Some(ClassLabels::Strings(labels.iter().map(|label| label.to_string()).collect()));
        output
    }

    fn shown(contract: &Contract, function: Function) -> String {
        contract.result_type(function).map_or_else(|error| error.code().to_owned(), |result| result.to_string())
    }

    #[test]
    fn one_output_gives_its_type_and_several_a_struct() {
        let score = || output("y", Element::F32, OutputShape::Scalar);
        assert_eq!(shown(&with_outputs(vec![score()]), Function::Predict), "Float32");
        let vector = output("v", Element::F64, OutputShape::List(Some(3)));
        assert_eq!(
            with_outputs(vec![vector.clone()]).result_type(Function::Predict).expect("a type"),
            DataType::List(Field::new("item", DataType::Float64, true).into())
        );
        let DataType::Struct(fields) =
            with_outputs(vec![score(), vector]).result_type(Function::Predict).expect("a type")
        else {
            panic!("a struct")
        };
        assert_eq!(fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["y", "v"]);
    }

    #[test]
    fn a_zipmap_gives_the_struct_of_its_classes() {
        let mut probabilities = labelled(output("p", Element::F32, OutputShape::List(Some(2))), &["no", "yes"]);
        probabilities.zipmap = true;
        let contract = with_outputs(vec![probabilities]);
        assert_eq!(contract.result_type(Function::Predict).ok(), contract.result_type(Function::PredictProba).ok());
        let DataType::Struct(fields) = contract.result_type(Function::Predict).expect("a type") else {
            panic!("a struct")
        };
        assert_eq!(fields[1].name(), "yes");
        assert_eq!(fields[1].data_type(), &DataType::Float64);
    }

    #[test]
    fn labels_and_probabilities_need_a_classifier() {
        let regression = with_outputs(vec![output("y", Element::F32, OutputShape::Scalar)]);
        assert_eq!(shown(&regression, Function::PredictProba), "no_class_labels");
        assert_eq!(shown(&regression, Function::PredictLabel), "no_label");
    }

    #[test]
    fn the_label_is_int64_or_text_whatever_the_graph_gives() {
        let of =
            |element| shown(&with_outputs(vec![output("label", element, OutputShape::Scalar)]), Function::PredictLabel);
        assert_eq!(of(Element::I32), "Int64");
        assert_eq!(of(Element::I64), "Int64");
        assert_eq!(of(Element::String), "Utf8");
    }

    #[test]
    fn probabilities_are_found_by_the_classes_of_the_label_where_only_those_are_known() {
        let label = labelled(output("label", Element::String, OutputShape::Scalar), &["a", "b", "c"]);
        let scores = |len| output("scores", Element::F32, OutputShape::List(Some(len)));
        assert_eq!(with_outputs(vec![label.clone(), scores(3)]).probabilities().expect("probabilities").0, 1);
        assert!(with_outputs(vec![label.clone(), scores(2)]).probabilities().is_err());
        assert!(with_outputs(vec![label, scores(3), scores(3)]).probabilities().is_err());
    }

    #[test]
    fn of_several_outputs_with_classes_a_map_holds_the_probabilities_and_else_none() {
        let scores = |name| labelled(output(name, Element::F32, OutputShape::List(Some(2))), &["no", "yes"]);
        let mut contract = with_outputs(vec![scores("p"), scores("q")]);
        let error = contract.probabilities().expect_err("two of them");
        assert_eq!(error.code(), "no_class_labels");
        assert_eq!(
            error.to_string(),
            "both `p` and `q` could be the model's probabilities; use predict() instead of predict_proba()"
        );
        contract.outputs[1].zipmap = true;
        assert_eq!(contract.probabilities().expect("the map").0, 1);
    }

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
