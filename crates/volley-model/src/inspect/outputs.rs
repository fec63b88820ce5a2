//! What a graph gives, under the signature's names.

use std::collections::BTreeSet;

use volley_onnx::{Dim, Graph, Port};

use crate::signature::Signature;
use crate::{ClassLabels, ModelError, Output, OutputShape};

/// What `predict` gives, and what it leaves out.
pub(super) fn outputs(graph: &Graph, signature: Option<&Signature>) -> Result<(Vec<Output>, Vec<Output>), ModelError> {
    if graph.outputs().is_empty() {
        return Err(ModelError::UnsupportedOutput("the graph has no outputs".to_owned()));
    }
    // Asides stand behind the others, and the signature does not speak of them.
    let given = graph.outputs().iter().take_while(|port| !graph.is_aside(&port.name)).count();
    let (given, asides) = graph.outputs().split_at(given);
    let names = names(given, signature.map_or(&[], |signature| &signature.outputs));
    let outputs = given.iter().zip(names).map(|(port, name)| output(graph, port, name));
    let mut outputs: Vec<Output> = outputs.collect::<Result<_, _>>()?;
    let derived: Vec<bool> = given.iter().map(|port| graph.is_derived(&port.name)).collect();
    forget_derived_classes(&mut outputs, &derived);
    let asides = asides.iter().map(|port| output(graph, port, port.name.clone()));
    Ok((outputs, asides.collect::<Result<_, _>>()?))
}

/// What arithmetic makes of probabilities counts as probabilities only where the graph gives none: beside them it
/// is a cost or a score.
fn forget_derived_classes(outputs: &mut [Output], derived: &[bool]) {
    for float in [true, false] {
        let of_kind = |output: &Output| output.element.is_float() == float && output.class_labels.is_some();
        if outputs.iter().zip(derived).any(|(output, derived)| of_kind(output) && !derived) {
            let others = outputs.iter_mut().zip(derived).filter(|(output, derived)| of_kind(output) && **derived);
            others.for_each(|(output, _)| output.class_labels = None);
        }
    }
}

fn output(graph: &Graph, port: &Port, name: String) -> Result<Output, ModelError> {
    let class_labels = graph.class_labels(&port.name).map(ClassLabels::from);
    if let Some(labels) = &class_labels {
        check_labels(labels, &port.name)?;
    }
    let zipmap = graph.is_zipmap(&port.name) && class_labels.is_some();
    Ok(Output { name, element: port.element.into(), shape: shape(port)?, class_labels, zipmap })
}

/// Classes become fields, which are told apart by their names.
fn check_labels(labels: &ClassLabels, port: &str) -> Result<(), ModelError> {
    let mut seen = BTreeSet::new();
    let reason = labels.names().into_iter().find_map(|name| match name.as_str() {
        "" => Some("a class without a name".to_owned()),
        _ if seen.contains(&name) => Some(format!("two classes named `{name}`")),
        _ => {
            seen.insert(name);
            None
        }
    });
    match reason {
        Some(reason) => Err(ModelError::UnsupportedOutput(format!("the graph's output `{port}` has {reason}"))),
        None => Ok(()),
    }
}

/// Values of a row in row-major order, whatever rank they have.
fn shape(port: &Port) -> Result<OutputShape, ModelError> {
    let row = match port.shape.as_deref() {
        None => return Ok(OutputShape::Scalar),
        Some([]) => {
            let reason = format!("the graph's output `{}` is one value for all rows", port.name);
            return Err(ModelError::UnsupportedOutput(reason));
        }
        Some([_, row @ ..]) => row,
    };
    let fixed = |dim: &Dim| match dim {
        Dim::Fixed(len) => Some(*len),
        Dim::Free => None,
    };
    Ok(match row.iter().map(fixed).product::<Option<usize>>() {
        Some(1) => OutputShape::Scalar,
        len => OutputShape::List(len),
    })
}

/// The signature's names where it names every output in the graph's order, else the graph's.
fn names(ports: &[Port], declared: &[Option<String>]) -> Vec<String> {
    let graph = || ports.iter().map(|port| port.name.clone()).collect();
    let Some(declared) = declared.iter().cloned().collect::<Option<Vec<_>>>() else {
        return graph();
    };
    let unique = declared.iter().collect::<BTreeSet<_>>().len() == declared.len();
    let misplaced =
        |(index, name): (usize, &String)| ports.iter().position(|p| p.name == *name).is_some_and(|at| at != index);
    match declared.len() == ports.len() && unique && !declared.iter().enumerate().any(misplaced) {
        true => declared,
        false => graph(),
    }
}

#[cfg(test)]
mod tests {
    use volley_onnx::Element;

    use super::*;

    fn port(name: &str, shape: Option<&[Dim]>) -> Port {
        Port { name: name.to_owned(), element: Element::F32, shape: shape.map(<[Dim]>::to_vec) }
    }

    #[test]
    fn a_row_of_one_value_is_a_scalar_and_of_more_a_list() {
        let of = |shape: &[Dim]| shape_of(Some(shape));
        fn shape_of(dims: Option<&[Dim]>) -> OutputShape {
            shape(&port("y", dims)).expect("rows")
        }
        assert_eq!(of(&[Dim::Free]), OutputShape::Scalar);
        assert_eq!(of(&[Dim::Free, Dim::Fixed(1)]), OutputShape::Scalar);
        assert_eq!(of(&[Dim::Free, Dim::Fixed(3)]), OutputShape::List(Some(3)));
        assert_eq!(of(&[Dim::Free, Dim::Free]), OutputShape::List(None));
        assert_eq!(shape_of(None), OutputShape::Scalar);
        assert_eq!(shape(&port("y", Some(&[]))).expect_err("no rows").code(), "unsupported_output");
    }

    fn refused_labels(labels: &[&str]) -> Option<String> {
        let labels = ClassLabels::Strings(labels.iter().map(|label| label.to_string()).collect());
        let error = check_labels(&labels, "p").err()?;
        assert_eq!(error.code(), "unsupported_output");
        Some(error.to_string())
    }

    #[test]
    fn classes_must_be_told_apart_by_their_names() {
        assert_eq!(refused_labels(&["a", "A", " "]), None);
        let twice = "the graph's output `p` has two classes named `yes`";
        assert_eq!(refused_labels(&["yes", "no", "yes"]).as_deref(), Some(twice));
        let unnamed = "the graph's output `p` has a class without a name";
        assert_eq!(refused_labels(&["", "no"]).as_deref(), Some(unnamed));
    }

    #[test]
    fn a_cost_beside_probabilities_has_no_classes_and_alone_it_has() {
        let labelled = |name: &str| Output {
            name: name.to_owned(),
            element: crate::Element::F32,
            shape: OutputShape::List(Some(2)),
            class_labels: Some(ClassLabels::Ints(vec![0, 1])),
            zipmap: false,
        };
        let mut outputs = [labelled("cost"), labelled("p")];
        forget_derived_classes(&mut outputs, &[true, false]);
        assert_eq!(outputs.map(|output| output.class_labels.is_some()), [false, true]);
        let mut alone = [labelled("cost")];
        forget_derived_classes(&mut alone, &[true]);
        assert!(alone[0].class_labels.is_some());
    }

    #[test]
    fn the_signature_renames_outputs_only_when_its_order_cannot_be_another() {
        let ports = [port("label", None), port("scores", None)];
        let of = |declared: &[&str]| names(&ports, &declared.iter().map(|n| Some(n.to_string())).collect::<Vec<_>>());
        assert_eq!(of(&["class", "p"]), ["class", "p"]);
        assert_eq!(of(&["scores", "label"]), ["label", "scores"]);
        assert_eq!(of(&["class"]), ["label", "scores"]);
        assert_eq!(of(&["p", "p"]), ["label", "scores"]);
        assert_eq!(names(&ports, &[None, None]), ["label", "scores"]);
    }
}
