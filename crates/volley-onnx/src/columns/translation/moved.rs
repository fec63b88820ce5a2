//! What is moved, picked or looked up: mostly columns that get another place.

use tract_onnx::tract_core::ops::array::MultiBroadcastTo;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::internal::*;

use super::super::extreme::Lookup;
use super::super::memory::Bank;
use super::super::value::{Cell, Value};
use super::{Translation, constants, slots};

impl Translation<'_> {
    pub(super) fn reshaped(&mut self, op: &AxisOp, from: &Value) -> Option<Value> {
        let mut value = from.clone();
        match op {
            AxisOp::Add(axis) => {
                value.dims.insert(*axis, 1);
                value.rows_at = from.rows_at.map(|rows| rows + usize::from(rows >= *axis));
            }
            AxisOp::Rm(axis) => {
                value.dims.remove(*axis);
                value.rows_at = from.rows_at.filter(|rows| rows != axis).map(|rows| rows - usize::from(rows > *axis));
            }
            AxisOp::Move(from_axis, to_axis) => value = from.moved(*from_axis, *to_axis),
            AxisOp::Reshape(at, before, after) => {
                let rows = from.rows_at?;
                let dims: Option<Vec<usize>> =
                    after.iter().map(|dim| if dim == self.rows { Some(1) } else { dim.to_usize().ok() }).collect();
                if (*at..at + before.len()).contains(&rows) {
                    let outer: TDim = before[..rows - at].iter().product();
                    let to = (0..after.len())
                        .find(|&axis| after[axis] == *self.rows && after[..axis].iter().product::<TDim>() == outer)?;
                    value.rows_at = Some(at + to);
                } else if rows >= at + before.len() {
                    value.rows_at = Some(rows - before.len() + after.len());
                }
                value.dims.splice(*at..at + before.len(), dims?);
                if value.dims.iter().product::<usize>() != value.cells.len() {
                    return None;
                }
            }
        }
        Some(value)
    }

    pub(super) fn broadcast(&mut self, op: &MultiBroadcastTo, from: &Value) -> Option<Value> {
        let rows = from.rows_at?;
        let dim = |(axis, dim): (usize, &TDim)| if axis == rows { Some(1) } else { dim.to_usize().ok() };
        let dims = op.shape.iter().enumerate().map(dim).collect::<Option<Vec<usize>>>()?;
        let cells = from.broadcast(&dims)?;
        Some(Value { dims, cells, ..from.clone() })
    }

    /// Columns by constant positions, or elements of a list by computed ones.
    pub(super) fn gathered(&mut self, axis: usize, from: &Value, at: &Value) -> Option<Value> {
        match (from.rows_at, at.rows_at) {
            (Some(_), None) => {
                let length = *from.dims.get(axis)?;
                let picked = from.picked(axis, &positions(&at.cells, length)?)?;
                let mut dims = from.dims.clone();
                dims.splice(axis..=axis, at.dims.iter().copied());
                let rows = picked.rows_at?;
                let rows_at = if rows > axis { rows + at.dims.len() - 1 } else { rows };
                Some(Value { dims, rows_at: Some(rows_at), ..picked })
            }
            (None, Some(_)) if from.dims.len() == 1 => self.looked_up(from, at),
            _ => None,
        }
    }

    /// As [`Translation::gathered`], of the last axis; the positions become the last axis of what comes out.
    pub(super) fn extracted(&mut self, from: &Value, at: &Value) -> Option<Value> {
        let last = from.dims.len().checked_sub(1)?;
        if from.rows_at.is_some() && at.rows_at.is_none() {
            return from.picked(last, &positions(&at.cells, from.dims[last])?).filter(|_| last > 0);
        }
        // A list is one row, and so is what is picked of it: its places are the rows.
        if from.rows_at.is_some() || from.dims.iter().product::<usize>() != from.dims[last] || at.cells.len() != 1 {
            return None;
        }
        let list = Value { dims: vec![from.dims[last]], ..from.clone() };
        let found = self.looked_up(&list, at)?;
        Some(Value { dims: vec![1, 1], rows_at: Some(1), ..found })
    }

    fn looked_up(&mut self, list: &Value, at: &Value) -> Option<Value> {
        let from = slots(&at.cells)?;
        let to = self.compiler.columns(list.kind.bank(), from.len());
        let cells = to.iter().map(|&slot| Cell::Slot(slot)).collect();
        let columns = from.into_iter().zip(to).collect();
        match list.kind.bank() {
            Bank::Singles => self.compiler.step(Lookup::<f32> { list: constants(&list.cells)?, columns }),
            Bank::Doubles => self.compiler.step(Lookup::<f64> { list: constants(&list.cells)?, columns }),
            Bank::Longs => self.compiler.step(Lookup::<i64> { list: constants(&list.cells)?, columns }),
        }
        Some(Value { kind: list.kind, cells, ..at.clone() })
    }
}

pub(super) fn joined(axis: usize, parts: &[Value]) -> Option<Value> {
    let first = parts.first()?;
    let rows_at = parts.iter().find_map(|part| part.rows_at)?;
    let beside = |(at, (own, other)): (usize, (&usize, &usize))| at == axis || own == other;
    let alike = |part: &Value| {
        part.kind == first.kind
            && part.rows_at.is_none_or(|at| at == rows_at)
            && part.dims.iter().zip(&first.dims).enumerate().all(beside)
    };
    if axis == rows_at || !parts.iter().all(alike) {
        return None;
    }
    // With the axis in front, one part lies behind the other.
    let moved: Vec<Value> = parts.iter().map(|part| part.moved(axis, 0)).collect();
    let mut dims = moved[0].dims.clone();
    dims[0] = moved.iter().map(|part| part.dims[0]).sum();
    let cells = moved.iter().flat_map(|part| part.cells.iter().copied()).collect();
    let rows_at = if rows_at < axis { rows_at + 1 } else { rows_at };
    Some(Value { kind: first.kind, dims, rows_at: Some(rows_at), cells }.moved(0, axis))
}

/// Constant positions in a list of `length`, the last of which may be counted from behind.
fn positions(cells: &[Cell], length: usize) -> Option<Vec<usize>> {
    let position = |cell: &Cell| match cell {
        Cell::Whole(at) if *at < 0 => usize::try_from(at + length as i64).ok(),
        Cell::Whole(at) => usize::try_from(*at).ok(),
        _ => None,
    };
    cells.iter().map(position).collect()
}
