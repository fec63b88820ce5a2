//! Reads a graph of one row into a plan of the direct road, if all of it can be read.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::{Reduce, Softmax};
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_hir::internal::*;

use super::Direct;
use super::answers::Answer;
use super::builder::{Builder, COLUMNS_MAX};
use super::rows::Place;
use super::value::{Cells, Given, Text, Value};
use super::{arithmetic, reductions, shapes};
use crate::ops::kernel_of;

/// The plan for `model`, a decluttered graph for one row in which rows stay apart.
pub(super) fn recognise(model: &TypedModel) -> Option<Direct> {
    let mut reading = Reading { model, values: HashMap::new(), build: Builder::default() };
    for id in model.eval_order().ok()? {
        reading.node(model.node(id))?;
        if reading.build.is_too_wide() {
            return None;
        }
    }
    let outlets = model.output_outlets().ok()?;
    let answers = outlets.iter().map(|outlet| reading.answer(*outlet)).collect::<Option<_>>()?;
    Some(reading.build.finish(answers))
}

/// Whether a node, typed for `rows` rows, cannot be read in any graph.
pub(super) fn is_of_net(node: &TypedNode, rows: usize) -> bool {
    let wide = |output: &Outlet<TypedFact>| {
        output.fact.shape.first() == Some(&rows.to_dim())
            && output.fact.shape.volume().to_usize().is_ok_and(|len| len > rows * reductions::SUMS_MAX)
    };
    let op: &dyn TypedOp = node.op.as_ref();
    op.is::<Scan>() || op.is::<Conv>() || (op.is::<EinSum>() && node.outputs.iter().any(wide))
}

struct Reading<'m> {
    model: &'m TypedModel,
    values: HashMap<OutletId, Value>,
    build: Builder,
}

impl Reading<'_> {
    fn node(&mut self, node: &TypedNode) -> Option<()> {
        if node.op_is::<TypedSource>() {
            let cells = self.source(node)?;
            return self.keep(node, vec![(cells, None)]);
        }
        if node.outputs.iter().all(|output| output.fact.konst.is_some()) {
            return Some(());
        }
        node.outputs.iter().all(fits).then_some(())?;
        let inputs = node.inputs.iter().map(|input| self.given(*input)).collect::<Option<Vec<_>>>()?;
        self.build.at(&node.name, &node.op.name());
        if let Some((kernel, kept)) = kernel_of(node.op.as_ref()) {
            let outputs = kernel.by_columns(&inputs, &mut self.build)?;
            return self
                .keep(node, kept.iter().map(|&at| Some((outputs.get(at)?.clone(), None))).collect::<Option<_>>()?);
        }
        let [output] = &*node.outputs else { return None };
        let made = self.made(node, &inputs, &output.fact)?;
        self.keep(node, vec![made])
    }

    /// The output of an operator of tract, and what its integers are below.
    fn made(&mut self, node: &TypedNode, inputs: &[Given], output: &TypedFact) -> Option<(Cells, Option<usize>)> {
        let op: &dyn TypedOp = node.op.as_ref();
        let build = &mut self.build;
        let dims: TVec<usize> = output.shape.as_concrete()?.into();
        let first = inputs.first()?;
        let below = first.value().and_then(|value| value.below);
        if let Some(op) = op.downcast_ref::<AxisOp>() {
            return Some((shapes::moved(op, first.value()?, &dims)?, below));
        }
        if op.is::<MultiBroadcastTo>() {
            return Some((shapes::broadcast_to(first.value()?, &dims)?, below));
        }
        if let Some(op) = op.downcast_ref::<Slice>() {
            return Some((shapes::sliced(op, first.value()?, &dims)?, below));
        }
        if op.is::<Cast>() {
            let (cells, stays) = arithmetic::cast(first.value()?, output.datum_type, build)?;
            return Some((cells, below.filter(|_| stays)));
        }
        if let Some(op) = op.downcast_ref::<Gather>() {
            return Some((shapes::gathered(op, inputs, &dims, build)?, None));
        }
        if let Some(op) = op.downcast_ref::<Reduce>() {
            return reductions::reduced(op, first.value()?, &dims, build);
        }
        let cells = if let Some(op) = op.downcast_ref::<TypedConcat>() {
            shapes::concatenated(op, inputs, &dims, output.datum_type, build)?
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            arithmetic::binary(op, inputs, &dims, build)?
        } else if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            arithmetic::unary(op, first.value()?, build)?
        } else if op.is::<Iff>() {
            arithmetic::chosen(inputs, &dims, build)?
        } else if let Some(op) = op.downcast_ref::<EinSum>() {
            reductions::product(op, inputs, &dims, build)?
        } else if let Some(op) = op.downcast_ref::<Softmax>() {
            reductions::softmax(op, first.value()?, build)?
        } else {
            return None;
        };
        Some((cells, None))
    }

    fn keep(&mut self, node: &TypedNode, outputs: Vec<(Cells, Option<usize>)>) -> Option<()> {
        for (slot, (cells, below)) in outputs.into_iter().enumerate() {
            let dims: TVec<usize> = node.outputs.get(slot)?.fact.shape.as_concrete()?.into();
            if cells.len() != dims.iter().product::<usize>() {
                return None;
            }
            self.values.insert(OutletId::new(node.id, slot), Value { cells, dims, below });
        }
        Some(())
    }

    fn given(&self, outlet: OutletId) -> Option<Given> {
        if let Some(value) = self.values.get(&outlet) {
            return Some(Given::Value(value.clone()));
        }
        let fact = self.model.outlet_fact(outlet).ok()?;
        fact.konst.clone().map(Given::Constant)
    }

    fn source(&mut self, node: &TypedNode) -> Option<Cells> {
        let input = self.model.input_outlets().ok()?.iter().position(|outlet| outlet.node == node.id)?;
        node.outputs.iter().all(fits).then_some(())?;
        let fact = &node.outputs[0].fact;
        let places = (0..fact.shape.as_concrete()?.iter().product()).map(|at| Place { input, at });
        Some(match fact.datum_type {
            DatumType::F32 => Cells::Singles(places.map(|place| self.build.input(place)).collect()),
            DatumType::F64 => Cells::Doubles(places.map(|place| self.build.input(place)).collect()),
            DatumType::String => Cells::Texts(places.map(Text::Given).collect()),
            DatumType::U64 | DatumType::TDim => return None,
            other if other == DatumType::Bool || other.is_integer() => {
                Cells::Longs(places.map(|place| self.build.input(place)).collect())
            }
            _ => return None,
        })
    }

    fn answer(&mut self, outlet: OutletId) -> Option<Answer> {
        let value = self.values.get(&outlet)?;
        // The row dimension comes first, and there is one row.
        let rows_first = value.dims.first() == Some(&1);
        let element = self.model.outlet_fact(outlet).ok()?.datum_type;
        rows_first.then(|| Answer::new(value.cells.clone(), element))?
    }
}

/// Whether an output has few enough elements for a column each.
fn fits(output: &Outlet<TypedFact>) -> bool {
    let dims = output.fact.shape.as_concrete();
    let len = dims.and_then(|dims| dims.iter().try_fold(1usize, |len, &dim| len.checked_mul(dim)));
    len.is_some_and(|len| len <= COLUMNS_MAX)
}

/// A constant of texts.
pub(super) fn texts(tensor: &Tensor) -> Option<Arc<[String]>> {
    crate::tensor::tensor_values::<String>(tensor).map(Arc::from)
}
