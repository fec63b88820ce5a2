//! Computes a graph once, whatever its shapes: how operators are held to the tests of their specification.

use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::{DatumType, Framework, IntoTValue, Tensor};
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::{Graph, check, operators, read, rewrite, shape_only};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::limits::Limits;
use crate::ops::framework;
use crate::plan::invalid;
use crate::port::Port;

impl Graph {
    /// Computes the outputs of `model` for `inputs` of any shape, in the order of its graph's inputs and outputs.
    ///
    /// The model is checked and rewritten as by [`Graph::parse`] and run as by [`crate::Plan::run`], but need not
    /// score rows: that is what the specification's own tests of operators need. Everything is done anew each time.
    pub fn evaluate(model: &[u8], inputs: Vec<Tensor>, limits: &Limits) -> Result<Vec<Tensor>, Error> {
        let mut proto = read(model, &|_| None, limits)?.proto;
        operators::check(proto.graph.get_or_insert_default(), &proto.opset_import)?;
        let limits = *limits;
        Deadline::after(limits.load_time_max).within(move || {
            let graph = proto.graph.get_or_insert_default();
            check(graph, &limits)?;
            rewrite(graph)?;
            let outputs = graph.output.iter().map(Port::declared).collect::<Result<Vec<_>, _>>()?;
            check_inputs(graph, &inputs)?;
            shape_only::forget_declarations(graph);
            let model = typed(&proto, &inputs, &outputs).map_err(|error| invalid(&error))?;
            let plan = model.into_optimized().and_then(TypedSimplePlan::new).map_err(|error| invalid(&error))?;
            let values = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
            let computed = plan.run(values).map_err(|error| failed(&error))?;
            Ok(computed.into_iter().map(TValue::into_tensor).collect())
        })
    }
}

fn failed(error: &TractError) -> Error {
    match invalid(error) {
        Error::Invalid(why) => Error::Failed(why),
        other => other,
    }
}

fn check_inputs(graph: &GraphProto, inputs: &[Tensor]) -> Result<(), Error> {
    let declared = graph.input.iter().map(Port::declared).collect::<Result<Vec<_>, _>>()?;
    if declared.len() != inputs.len() {
        return Err(Error::Input(format!("{} tensors for {}", inputs.len(), declared.len())));
    }
    let wrong = declared.iter().zip(inputs).find(|(port, it)| port.element.datum_type() != it.datum_type());
    match wrong {
        Some((port, tensor)) => {
            Err(Error::Input(format!("`{}` takes {:?}, not {:?}", port.name, port.element, tensor.datum_type())))
        }
        None => Ok(()),
    }
}

/// The graph for inputs of these shapes, with outputs of their declared types.
fn typed(proto: &ModelProto, inputs: &[Tensor], outputs: &[Port]) -> TractResult<TypedModel> {
    let mut model = framework().model_for_proto_model(proto)?;
    for (at, input) in inputs.iter().enumerate() {
        model.set_input_fact(at, InferenceFact::dt_shape(input.datum_type(), input.shape()))?;
    }
    let mut model = model.into_typed()?;
    let mut outlets = model.output_outlets()?.to_vec();
    for (outlet, port) in outlets.iter_mut().zip(outputs) {
        // To tract, what comes of shapes is of a type of its own.
        if model.outlet_fact(*outlet)?.datum_type == DatumType::TDim {
            *outlet =
                model.wire_node(format!("{}.declared", port.name), cast(port.element.datum_type()), &[*outlet])?[0];
        }
    }
    model.select_output_outlets(&outlets)?;
    Ok(model)
}
