//! Thin parts of a graph, run column by column.
//!
//! Around the trees and products of a model there is much arithmetic on few columns: distances, densities, shares,
//! labels. Node by node, it costs more to walk the memory than to compute. Here a part of connected nodes becomes one
//! [`Program`]: steps over the columns of a block of rows that stays in the processor's nearest memory, each a loop over
//! neighbouring numbers. What is only moved (sliced, joined, reshaped) costs nothing: columns get another place.

mod arithmetic;
mod compiler;
mod dense;
mod distances;
mod extreme;
mod load;
mod memory;
mod program;
mod real;
mod store;
#[cfg(test)]
mod tests;
mod translation;
mod value;

use std::collections::HashMap;

use tract_onnx::tract_hir::internal::*;

use crate::ops::typed_of_several;
use compiler::{Compiler, Inlet};
use value::Value;

/// Puts programs in the place of those parts of a decluttered model that are faster so, and says of how many;
/// inputs have `rows` rows.
pub(crate) fn replace(model: &mut TypedModel, rows: &TDim) -> TractResult<usize> {
    let mut parts = Parts::new(rows.clone());
    for id in model.eval_order()? {
        parts.visit(model, id)?;
    }
    let mut outside = parts.patches(model)?;
    outside.sort_by_key(|part| part.level);
    let count = outside.len();
    for part in outside {
        part.apply(model)?;
    }
    model.compact()?;
    Ok(count)
}

/// A part of the graph while it is found.
///
/// Nodes are of one part if they have the same level: as many nodes that are of no part on the longest way to them.
/// So no way leads out of a part and back in.
struct Parts {
    rows: TDim,
    compilers: HashMap<usize, Compiler>,
    /// The level of each node that was visited.
    levels: HashMap<usize, usize>,
    values: HashMap<OutletId, (usize, Value)>,
}

impl Parts {
    fn new(rows: TDim) -> Parts {
        Parts { rows, compilers: HashMap::new(), levels: HashMap::new(), values: HashMap::new() }
    }

    fn visit(&mut self, model: &TypedModel, id: usize) -> TractResult<()> {
        let node = model.node(id);
        let after = |input: &OutletId| {
            let level = self.levels.get(&input.node).copied().unwrap_or(0);
            // A part starts behind what is of none.
            level + usize::from(!self.values.contains_key(input))
        };
        let is_constant = |input: &OutletId| model.outlet_fact(*input).is_ok_and(|fact| fact.konst.is_some());
        let fed: Vec<OutletId> = node.inputs.iter().copied().filter(|it| !is_constant(it)).collect();
        let level = fed.iter().map(after).max();
        let found = match level {
            Some(level) => self.translated(model, node, level)?,
            None => None,
        };
        let Some((level, values)) = level.zip(found) else {
            let level = fed.iter().map(|input| self.levels.get(&input.node).copied().unwrap_or(0)).max();
            self.levels.insert(id, level.unwrap_or(0));
            return Ok(());
        };
        self.levels.insert(id, level);
        let outlets = (0..).map(|slot| OutletId::new(id, slot));
        self.values.extend(outlets.zip(values).map(|(outlet, value)| (outlet, (level, value))));
        Ok(())
    }

    fn translated(&mut self, model: &TypedModel, node: &TypedNode, level: usize) -> TractResult<Option<Vec<Value>>> {
        let compiler = self.compilers.entry(level).or_default();
        let before = compiler.mark();
        let mut inputs = Vec::new();
        for (slot, &outlet) in node.inputs.iter().enumerate() {
            let value = match self.values.get(&outlet) {
                Some((of, value)) if *of == level => Some(value.clone()),
                _ => compiler.input(model, Inlet { node: node.id, slot }, outlet, &self.rows)?,
            };
            inputs.push(value);
        }
        let values = translation::of(compiler, model, node, &inputs, &self.rows)?;
        if values.is_none() {
            compiler.back_to(before);
        }
        Ok(values)
    }

    fn patches(mut self, model: &TypedModel) -> TractResult<Vec<Part>> {
        let outputs = model.output_outlets()?;
        let mut used: HashMap<usize, Vec<(OutletId, Value)>> = HashMap::new();
        let mut outlets: Vec<_> = self.values.iter().collect();
        outlets.sort_by_key(|(outlet, _)| (outlet.node, outlet.slot));
        for (&outlet, (level, value)) in outlets {
            let is_inside = |inlet: &InletId| {
                self.levels.get(&inlet.node) == Some(level) && self.values.contains_key(&OutletId::new(inlet.node, 0))
            };
            let successors = &model.node(outlet.node).outputs[outlet.slot].successors;
            if outputs.contains(&outlet) || successors.iter().any(|inlet| !is_inside(inlet)) {
                used.entry(*level).or_default().push((outlet, value.clone()));
            }
        }
        let mut parts = Vec::new();
        for (level, outputs) in used {
            let Some(compiler) = self.compilers.remove(&level) else { continue };
            let facts = outputs.iter().map(|(outlet, _)| model.outlet_fact(*outlet));
            let facts = facts.collect::<TractResult<Vec<_>>>()?;
            let (outlets, values): (Vec<_>, Vec<_>) = outputs.iter().cloned().unzip();
            if let Some((inlets, program)) = compiler.program(values, &facts) {
                parts.push(Part { level, inlets, outlets, program });
            }
        }
        Ok(parts)
    }
}

/// A part of the graph and the program for it.
struct Part {
    level: usize,
    /// Where it takes its inputs from: from where these take theirs.
    inlets: Vec<Inlet>,
    outlets: Vec<OutletId>,
    program: program::Program,
}

impl Part {
    fn apply(self, model: &mut TypedModel) -> TractResult<()> {
        let mut patch = TypedModelPatch::default();
        let inputs = self.inlets.iter().map(|inlet| model.node(inlet.node).inputs[inlet.slot]);
        let inputs = inputs.map(|outlet| patch.tap_model(model, outlet)).collect::<TractResult<TVec<_>>>()?;
        let name = format!("{}.columns", model.node(self.outlets[0].node).name);
        let op = typed_of_several(self.program, inputs.len(), self.outlets.len());
        let outputs = patch.wire_node(name, op, &inputs)?;
        for (outlet, output) in self.outlets.into_iter().zip(outputs) {
            patch.shunt_outside(model, outlet, output)?;
        }
        patch.apply(model)
    }
}
