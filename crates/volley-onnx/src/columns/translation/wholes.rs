//! What is made of all columns of a row at once: products, distances, the few smallest or largest.

use std::marker::PhantomData;

use tract_onnx::tract_core::ops::array::Topk;
use tract_onnx::tract_hir::internal::*;

use super::super::dense::{Dense, Product};
use super::super::distances::Distances;
use super::super::extreme::Few;
use super::super::memory::Bank;
use super::super::value::{Cell, Kind, Value};
use super::{Translation, constants, slots};
use crate::plan::constant_product;

impl Translation<'_> {
    pub(super) fn few(&mut self, op: &Topk, inputs: &[Value]) -> Option<Vec<Value>> {
        let [from, count] = inputs else { return None };
        let (dims, groups) = from.groups(&[op.axis])?;
        let [group] = groups.as_slice() else { return None };
        let count = match count.cells.as_slice() {
            [Cell::Whole(count)] => usize::try_from(*count).ok()?,
            _ => return None,
        };
        if count == 0 || count > group.len() {
            return None;
        }
        let from_slots = slots(group)?;
        let values = self.compiler.columns(from.kind.bank(), count);
        let positions = self.compiler.columns(Bank::Longs, count);
        let value = |kind: Kind, slots: &[u32]| {
            let mut dims = dims.clone();
            dims[op.axis] = count;
            Value { kind, dims, rows_at: from.rows_at, cells: slots.iter().map(|&slot| Cell::Slot(slot)).collect() }
        };
        let found = vec![value(from.kind, &values), value(Kind::Whole(DatumType::I64), &positions)];
        let smallest = !op.largest;
        match from.kind {
            Kind::Single => {
                let of = PhantomData;
                self.compiler.rewarding_step(Few::<f32> { smallest, from: from_slots, values, positions, of });
            }
            Kind::Double => {
                let of = PhantomData;
                self.compiler.rewarding_step(Few::<f64> { smallest, from: from_slots, values, positions, of });
            }
            _ => return None,
        }
        Some(found)
    }

    pub(super) fn distances(&mut self, rows: &Value, others: &Value) -> Option<Value> {
        let columns = rows.cells.len();
        let is_row = rows.rows_at == Some(0) && rows.dims == [1, columns] && others.rows_at.is_none();
        let &[count, _] = others.dims.as_slice() else { return None };
        let from = slots(&rows.cells).filter(|_| is_row)?;
        let to = self.compiler.columns(rows.kind.bank(), count);
        let cells = to.iter().map(|&slot| Cell::Slot(slot)).collect();
        match rows.kind {
            Kind::Single => {
                self.compiler.rewarding_step(Distances::<f32> { from, others: constants(&others.cells)?, to });
            }
            Kind::Double => {
                self.compiler.rewarding_step(Distances::<f64> { from, others: constants(&others.cells)?, to });
            }
            _ => return None,
        }
        Some(Value { kind: rows.kind, dims: vec![1, count], rows_at: Some(0), cells })
    }

    /// Rows multiplied by a constant matrix.
    pub(super) fn product(
        &mut self,
        model: &TypedModel,
        node: &TypedNode,
        inputs: &[Option<Value>],
    ) -> TractResult<Option<Value>> {
        let Some(Some(rows)) = inputs.first() else { return Ok(None) };
        let Some((columns, targets, transposed)) = constant_product(model, node)? else { return Ok(None) };
        let Some(constant) = model.outlet_fact(node.inputs[1])?.konst.clone() else { return Ok(None) };
        let is_row = rows.rows_at == Some(0) && rows.dims == [1, columns];
        if !is_row || Kind::of(constant.datum_type()) != Some(rows.kind) {
            return Ok(None);
        }
        Ok(match rows.kind {
            Kind::Single => self.dense::<f32>(rows, &constant, targets, transposed),
            Kind::Double => self.dense::<f64>(rows, &constant, targets, transposed),
            _ => None,
        })
    }

    fn dense<T: Product>(&mut self, rows: &Value, weights: &Tensor, targets: usize, transposed: bool) -> Option<Value> {
        let columns = rows.cells.len();
        let weights = crate::tensor_values::<T>(weights).filter(|weights| weights.len() == columns * targets)?;
        let from = self.written(&rows.cells, T::BANK);
        let to = self.compiler.columns(T::BANK, targets);
        let weight = |column: usize, target: usize| {
            weights[if transposed { target * columns + column } else { column * targets + target }]
        };
        self.compiler.rewarding_step(Dense::new(from, to.clone(), weight));
        let cells = to.into_iter().map(Cell::Slot).collect();
        Some(Value { kind: rows.kind, dims: vec![1, targets], rows_at: Some(0), cells })
    }
}
