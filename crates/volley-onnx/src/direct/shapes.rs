//! Operators that only say which element goes where: they cost nothing on the direct road.

use std::sync::Arc;

use tract_onnx::tract_core::ops::array::{Gather, Slice, TypedConcat};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::internal::*;

use super::block::{Cell, Column};
use super::builder::Builder;
use super::recognise::texts;
use super::value::{Cells, Given, Text, Value, broadcast, flat, longs, places};
use crate::tensor::tensor_values;

pub(super) fn moved(op: &AxisOp, value: &Value, dims: &[usize]) -> Option<Cells> {
    let AxisOp::Move(from, to) = *op else { return Some(value.cells.clone()) };
    let found = places(dims, |index| {
        let mut index = index.to_vec();
        let at = index.remove(to);
        index.insert(from, at);
        flat(&index, &value.dims)
    });
    Some(value.cells.at(&found))
}

pub(super) fn broadcast_to(value: &Value, dims: &[usize]) -> Option<Cells> {
    Some(value.cells.at(&broadcast(&value.dims, dims)?))
}

pub(super) fn sliced(op: &Slice, value: &Value, dims: &[usize]) -> Option<Cells> {
    let start = op.start.to_usize().ok()?;
    let found = places(dims, |index| {
        let mut index = index.to_vec();
        index[op.axis] += start;
        flat(&index, &value.dims)
    });
    Some(value.cells.at(&found))
}

pub(super) fn concatenated(
    op: &TypedConcat,
    inputs: &[Given],
    dims: &[usize],
    element: DatumType,
    build: &mut Builder,
) -> Option<Cells> {
    let parts = inputs.iter().map(|input| as_value(input, element, build)).collect::<Option<Vec<_>>>()?;
    let all = joined(&parts)?;
    let mut firsts = Vec::new();
    let mut first = 0;
    for (part, input) in parts.iter().zip(inputs) {
        firsts.push((first, input.dims()));
        first += part.len();
    }
    let found = places(dims, |index| {
        let mut index = index.to_vec();
        let mut part = 0;
        while index[op.axis] >= firsts[part].1[op.axis] {
            index[op.axis] -= firsts[part].1[op.axis];
            part += 1;
        }
        firsts[part].0 + flat(&index, firsts[part].1)
    });
    Some(all.at(&found))
}

/// A constant beside others becomes columns.
fn as_value(given: &Given, element: DatumType, build: &mut Builder) -> Option<Cells> {
    let tensor = match given {
        Given::Value(value) => return Some(value.cells.clone()),
        Given::Constant(tensor) => tensor,
    };
    Some(match element {
        DatumType::F32 => Cells::Singles(tensor_values::<f32>(tensor)?.iter().map(|&v| build.constant(v)).collect()),
        DatumType::F64 => Cells::Doubles(tensor_values::<f64>(tensor)?.iter().map(|&v| build.constant(v)).collect()),
        DatumType::String => return None,
        _ => Cells::Longs(longs(tensor)?.into_iter().map(|v| build.constant(v)).collect()),
    })
}

/// All columns one behind the other, if they are of one type.
fn joined(parts: &[Cells]) -> Option<Cells> {
    let mut all = parts.first()?.clone();
    for part in &parts[1..] {
        match (&mut all, part) {
            (Cells::Singles(all), Cells::Singles(part)) => all.extend(part),
            (Cells::Doubles(all), Cells::Doubles(part)) => all.extend(part),
            (Cells::Longs(all), Cells::Longs(part)) => all.extend(part),
            (Cells::Texts(all), Cells::Texts(part)) => all.extend(part.iter().cloned()),
            _ => return None,
        }
    }
    Some(all)
}

pub(super) fn gathered(op: &Gather, inputs: &[Given], dims: &[usize], build: &mut Builder) -> Option<Cells> {
    match inputs {
        [Given::Value(value), Given::Constant(index)] => {
            let index_rank = index.rank();
            let index = chosen(&longs(index)?, *value.dims.get(op.axis)?)?;
            let index_dims = &inputs[1].dims().to_vec();
            let found = places(dims, |at| {
                let (before, rest) = at.split_at(op.axis);
                let (chosen, behind) = rest.split_at(index_rank);
                let full = [before, &[index[flat(chosen, index_dims)]], behind].concat();
                flat(&full, &value.dims)
            });
            Some(value.cells.at(&found))
        }
        [Given::Constant(table), Given::Value(index)] if op.axis == 0 => looked_up(table, index, build),
        _ => None,
    }
}

/// Indexes from the start; none if one is outside.
pub(crate) fn chosen(index: &[i64], len: usize) -> Option<Vec<usize>> {
    let from_start = |at: i64| if at < 0 { at + len as i64 } else { at };
    index.iter().map(|&at| usize::try_from(from_start(at)).ok().filter(|&at| at < len)).collect()
}

/// The rows of a table, or the elements of a list, that a value says the numbers of.
pub(crate) fn looked_up(table: &Tensor, index: &Value, build: &mut Builder) -> Option<Cells> {
    let (&[rows, ref tail @ ..], Cells::Longs(index_columns)) = (table.shape(), &index.cells) else { return None };
    // An index outside fails its row: whoever cannot rule that out takes the other road.
    if index.below? > rows {
        return None;
    }
    let width: usize = tail.iter().product();
    let codes: Vec<_> = index_columns.iter().map(|&it| build.map(it, |v| v as u32)).collect();
    Some(match table.datum_type() {
        DatumType::F32 => Cells::Singles(picked(tensor_values::<f32>(table)?, width, &codes, build)),
        DatumType::F64 => Cells::Doubles(picked(tensor_values::<f64>(table)?, width, &codes, build)),
        DatumType::String => {
            let lists = columns(&texts(table)?, width);
            let picked = codes.iter().flat_map(|&code| lists.iter().map(move |list| Text::Picked(code, list.clone())));
            Cells::Texts(picked.collect())
        }
        _ => Cells::Longs(picked(&longs(table)?, width, &codes, build)),
    })
}

fn picked<T: Cell>(table: &[T], width: usize, codes: &[Column<u32>], build: &mut Builder) -> Vec<Column<T>> {
    let lists = columns(table, width);
    codes
        .iter()
        .flat_map(|&code| lists.iter().map(move |list| (code, list)))
        .map(|(code, list)| build.pick(code, list))
        .collect()
}

/// The columns of a table of rows of `width` values.
fn columns<T: Clone>(table: &[T], width: usize) -> Vec<Arc<[T]>> {
    (0..width).map(|at| table[at..].iter().step_by(width).cloned().collect()).collect()
}
