//! What each SQL function gives for a model, and from which of its outputs.

use arrow::datatypes::{DataType, Field, Fields};
use serde::{Deserialize, Serialize};

use super::{ClassLabels, Contract, Element, Output, OutputShape};
use crate::ModelError;

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

    /// All that is scored, in the order of [`crate::Scores::outputs`].
    pub(crate) fn scored(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().chain(&self.asides)
    }

    fn scored_at(&self, index: usize) -> &Output {
        self.outputs.get(index).unwrap_or_else(|| &self.asides[index - self.outputs.len()])
    }

    /// The output that holds class probabilities, and its classes.
    pub(crate) fn probabilities(&self) -> Result<(usize, ClassLabels), ModelError> {
        let labelled = self.scored().enumerate().filter_map(|(index, output)| {
            let labels = output.class_labels.as_ref().filter(|labels| output.could_hold(labels))?;
            Some((index, labels))
        });
        let all: Vec<_> = labelled.collect();
        // A map from class to probability says itself what it is.
        let maps: Vec<_> = all.iter().copied().filter(|(index, _)| self.scored_at(*index).zipmap).collect();
        match if maps.is_empty() { all } else { maps }.as_slice() {
            [] => self.probabilities_of_the_label().ok_or(ModelError::NoClassLabels),
            [(index, labels)] => Ok((*index, (*labels).clone())),
            [(first, _), (second, _), ..] => Err(ModelError::AmbiguousProbabilities {
                first: self.scored_at(*first).name.clone(),
                second: self.scored_at(*second).name.clone(),
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
        let candidates = || self.scored().enumerate().filter(|(_, output)| output.is_label_like());
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
    use crate::testing::{bare, output};

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
}
