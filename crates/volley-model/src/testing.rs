//! Contracts for tests, without a model.

use crate::{
    Contract, Element, GraphInput, Input, InputType, NullRule, Output, OutputShape, Runtime, SignatureKind, Slot,
};

/// A model with one `[N]` input of the graph for each input: name, declared type, element.
pub(crate) fn columns(inputs: &[(&str, InputType, Element)]) -> Contract {
    let input = |(tensor, (name, declared, element)): (usize, &(&str, InputType, Element))| {
        one_input(Some(name), declared.clone(), *element, Slot { tensor, offset: 0 })
    };
    let graph_input = |(name, declared, element): &(&str, InputType, Element)| GraphInput {
        name: name.to_string(),
        element: *element,
        row: match declared {
            InputType::List { len, .. } => vec![*len],
            _ => Vec::new(),
        },
    };
    contract(inputs.iter().enumerate().map(input).collect(), inputs.iter().map(graph_input).collect())
}

/// A model with one `[N,F]` input of the graph, fed by a double column for each name.
pub(crate) fn matrix(names: &[&str], element: Element) -> Contract {
    let input =
        |(offset, name): (usize, &&str)| one_input(Some(name), InputType::Float64, element, Slot { tensor: 0, offset });
    let graph_input = GraphInput { name: "X".to_owned(), element, row: vec![Some(names.len())] };
    contract(names.iter().enumerate().map(input).collect(), vec![graph_input])
}

/// A model without a signature and with one `[N,F]` input of the graph.
pub(crate) fn bare(len: Option<usize>, element: Element) -> Contract {
    let declared = list(element.input_type(), len);
    let mut contract = columns(&[("X", declared, element)]);
    contract.signature = SignatureKind::None;
    contract
}

pub(crate) fn list(element: InputType, len: Option<usize>) -> InputType {
    InputType::List { element: Box::new(element), len }
}

fn one_input(name: Option<&str>, declared: InputType, element: Element, slot: Slot) -> Input {
    Input { name: name.map(str::to_owned), declared, element, required: true, null_rule: NullRule::Null, slot }
}

fn contract(inputs: Vec<Input>, graph_inputs: Vec<GraphInput>) -> Contract {
    Contract {
        signature: SignatureKind::Columns,
        inputs,
        outputs: vec![output("y", Element::F32, OutputShape::Scalar)],
        asides: Vec::new(),
        params: Vec::new(),
        graph_inputs,
        runtime: Runtime::Tract,
        operators: Vec::new(),
        fixed_batch: None,
        rows_max: None,
    }
}

pub(crate) fn output(name: &str, element: Element, shape: OutputShape) -> Output {
    Output { name: name.to_owned(), element, shape, class_labels: None, zipmap: false }
}
