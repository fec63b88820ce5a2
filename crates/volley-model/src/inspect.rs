//! From a model's files to its contract, with every check that needs no row.

mod features;
mod feeding;
mod outputs;
mod shape;

use volley_onnx::{Graph, Limits};

use crate::bind::param_fill;
use crate::coercion::composes;
use crate::package::Package;
use crate::signature::{ParamSpec, Signature, Specs};
use crate::{Artifact, Contract, InputType, ModelError, Param, Runtime, SignatureKind};
use shape::Row;

/// Reads a model and checks it: its files, its flavor, its graph, its signature against the graph. Nothing of it runs.
///
/// Null rules are the defaults: `nan` for a float input whose graph deals with missing values, else `null`.
pub fn inspect(artifact: &Artifact, limits: &Limits) -> Result<Contract, ModelError> {
    let package = Package::open(artifact)?;
    let graph = package.graph(limits)?;
    contract(&graph, package.signature.as_ref())
}

/// As [`inspect`], for the runtime that is asked for; `None` leaves it to the model. Fails with `runtime_unavailable`
/// where the runtime does not read such files.
///
/// ONNX Runtime takes what tract cannot read. Nothing then shows that rows are apart, so it runs one at a time.
pub fn inspect_for(artifact: &Artifact, runtime: Option<Runtime>, limits: &Limits) -> Result<Contract, ModelError> {
    if runtime == Some(Runtime::Ort) {
        return for_onnxruntime(&Package::open(artifact)?, limits);
    }
    let contract = inspect(artifact, limits)?;
    match runtime {
        Some(asked) if asked != contract.runtime => Err(ModelError::RuntimeUnavailable(format!(
            "the runtime `{asked}` does not score this model, and `{}` does: ask for that one or for none",
            contract.runtime
        ))),
        _ => Ok(contract),
    }
}

fn for_onnxruntime(package: &Package, limits: &Limits) -> Result<Contract, ModelError> {
    let signature = package.signature.as_ref();
    let declared = package.foreign_graph(limits)?;
    let (graph, rows_max) = match package.graph(limits) {
        Ok(graph) => {
            let rows_max = graph.rows_max().unwrap_or(1);
            (graph, rows_max)
        }
        // These hold for every runtime.
        Err(error @ ModelError::Onnx(volley_onnx::Error::RowsMixed(_) | volley_onnx::Error::TooLarge { .. })) => {
            return Err(error);
        }
        Err(_) => (declared, 1),
    };
    if let Some(rows) = graph.fixed_batch().filter(|rows| *rows > rows_max) {
        return Err(ModelError::UnsupportedInput(format!(
            "the graph takes {rows} rows at a time, and nothing shows that it scores each of them alone: export it \
             with a free number of rows"
        )));
    }
    Ok(Contract { runtime: Runtime::Ort, rows_max: Some(rows_max), ..contract(&graph, signature)? })
}

/// The contract of a parsed graph under its signature.
pub(crate) fn contract(graph: &Graph, signature: Option<&Signature>) -> Result<Contract, ModelError> {
    let mut rows: Vec<_> = graph.inputs().iter().map(Row::of).collect::<Result<_, _>>()?;
    let params = params(graph, signature, &rows)?;
    let open: Vec<_> = (0..rows.len()).filter(|t| !params.iter().any(|p| p.graph_input == Some(*t))).collect();
    let inputs = feeding::inputs(graph, signature.map(|signature| &signature.inputs), &open, &mut rows)?;
    let (outputs, asides) = outputs::outputs(graph, signature)?;
    Ok(Contract {
        signature: kind(signature),
        inputs,
        outputs,
        asides,
        params,
        graph_inputs: graph
            .inputs()
            .iter()
            .zip(rows)
            .map(|(port, row)| row.graph_input(port))
            .collect::<Result<_, _>>()?,
        runtime: if graph.features().is_some() { Runtime::Native } else { Runtime::Tract },
        operators: graph.operators(),
        fixed_batch: graph.fixed_batch(),
        rows_max: None,
    })
}

fn kind(signature: Option<&Signature>) -> SignatureKind {
    match signature.map(|signature| &signature.inputs) {
        None => SignatureKind::None,
        Some(Specs::Columns(_)) => SignatureKind::Columns,
        Some(Specs::Tensors(_)) => SignatureKind::Tensors,
    }
}

fn params(graph: &Graph, signature: Option<&Signature>, rows: &[Row]) -> Result<Vec<Param>, ModelError> {
    let Some(signature) = signature else {
        return Ok(Vec::new());
    };
    let is_input = |name: &str| signature.inputs.names().contains(&Some(name));
    let param = |spec: &ParamSpec| {
        let graph_input = graph.inputs().iter().position(|port| port.name == spec.name && !is_input(&spec.name));
        let declared = match graph_input {
            Some(tensor) => Some(param_type(spec, graph, tensor, &rows[tensor])?),
            None => spec.data_type.clone(),
        };
        Ok(Param { name: spec.name.clone(), declared, default: spec.default.clone(), graph_input })
    };
    signature.params.iter().map(param).collect()
}

/// The type of a parameter that feeds the graph; its default must be of it.
fn param_type(spec: &ParamSpec, graph: &Graph, tensor: usize, row: &Row) -> Result<InputType, ModelError> {
    let element = graph.inputs()[tensor].element.into();
    let declared = match (spec.data_type.clone(), row.width()) {
        (Some(InputType::List { element, .. }), len) => InputType::List { element, len },
        (Some(scalar), Some(1)) => scalar,
        _ => {
            return Err(ModelError::UnsupportedInput(format!(
                "parameter `{}` cannot feed the graph's input",
                spec.name
            )));
        }
    };
    if !composes(&declared, element) {
        return Err(ModelError::SignatureMismatch(format!(
            "parameter `{}` is declared {declared} and the graph reads {element}",
            spec.name
        )));
    }
    if !spec.default.is_null() && param_fill(&declared, element, &spec.default).is_none() {
        return Err(ModelError::Invalid(format!("the default of parameter `{}` is no {declared}", spec.name)));
    }
    Ok(declared)
}
