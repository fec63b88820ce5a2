//! What a graph gives, under the signature's names.

use std::collections::BTreeSet;

use volley_onnx::{Dim, Graph, Port};

use crate::signature::Signature;
use crate::{ClassLabels, ModelError, Output, OutputShape};

pub(super) fn outputs(graph: &Graph, signature: Option<&Signature>) -> Result<Vec<Output>, ModelError> {
    if graph.outputs().is_empty() {
        return Err(ModelError::UnsupportedOutput("the graph has no outputs".to_owned()));
    }
    let names = names(graph.outputs(), signature.map_or(&[], |signature| &signature.outputs));
    graph.outputs().iter().zip(names).map(|(port, name)| output(graph, port, name)).collect()
}

fn output(graph: &Graph, port: &Port, name: String) -> Result<Output, ModelError> {
    let class_labels = graph.class_labels(&port.name).map(ClassLabels::from);
    let zipmap = graph.is_zipmap(&port.name) && class_labels.is_some();
    Ok(Output { name, element: port.element.into(), shape: shape(port)?, class_labels, zipmap })
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
