//! What comes out of the direct road: the values of all rows, row by row.

use std::sync::Arc;

use tract_onnx::prelude::{DatumType, Tensor};

use super::block::{AnyColumn, Block, Cell, Column, any};
use super::value::{Cells, Text};
use crate::tensor::tensor_from;

/// The values of an output, as many a row as its port says, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Of an output of F32.
    Singles(Vec<f32>),
    /// Of an output of F64.
    Doubles(Vec<f64>),
    /// Of an output of I64.
    Longs(Vec<i64>),
    /// Of an output of I32.
    Ints(Vec<i32>),
    /// Of an output of Bool.
    Booleans(Vec<bool>),
    /// Of an output of strings, each by its place in a list.
    Texts {
        /// Places in the list.
        positions: Vec<u32>,
        /// The texts that there are.
        list: Arc<[String]>,
    },
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Values::Singles(values) => values.len(),
            Values::Doubles(values) => values.len(),
            Values::Longs(values) => values.len(),
            Values::Ints(values) => values.len(),
            Values::Booleans(values) => values.len(),
            Values::Texts { positions, .. } => positions.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A tensor of them.
    pub(crate) fn into_tensor(self, shape: &[usize]) -> Tensor {
        match self {
            Values::Singles(values) => tensor_from(shape, values),
            Values::Doubles(values) => tensor_from(shape, values),
            Values::Longs(values) => tensor_from(shape, values),
            Values::Ints(values) => tensor_from(shape, values),
            Values::Booleans(values) => tensor_from(shape, values),
            Values::Texts { positions, list } => {
                tensor_from(shape, positions.iter().map(|&at| list[at as usize].clone()).collect::<Vec<String>>())
            }
        }
    }
}

/// An output and the columns of its elements.
pub(super) enum Answer {
    Singles(Vec<Column<f32>>),
    Doubles(Vec<Column<f64>>),
    Longs(Vec<Column<i64>>),
    Ints(Vec<Column<i64>>),
    Booleans(Vec<Column<i64>>),
    Texts(Column<u32>, Arc<[String]>),
}

impl Answer {
    /// `None` if an output of this type cannot be given.
    pub(super) fn new(cells: Cells, element: DatumType) -> Option<Answer> {
        Some(match (cells, element) {
            (Cells::Singles(columns), DatumType::F32) => Answer::Singles(columns),
            (Cells::Doubles(columns), DatumType::F64) => Answer::Doubles(columns),
            (Cells::Longs(columns), DatumType::I64) => Answer::Longs(columns),
            (Cells::Longs(columns), DatumType::I32) => Answer::Ints(columns),
            (Cells::Longs(columns), DatumType::Bool) => Answer::Booleans(columns),
            (Cells::Texts(texts), DatumType::String) => match texts.as_slice() {
                [Text::Picked(codes, list)] => Answer::Texts(*codes, list.clone()),
                _ => return None,
            },
            _ => return None,
        })
    }

    pub(super) fn reads(&self) -> Vec<AnyColumn> {
        match self {
            Answer::Singles(columns) => any(columns),
            Answer::Doubles(columns) => any(columns),
            Answer::Longs(columns) | Answer::Ints(columns) | Answer::Booleans(columns) => any(columns),
            Answer::Texts(codes, _) => vec![codes.any()],
        }
    }

    /// Room for as many rows.
    pub(super) fn values(&self, rows: usize) -> Values {
        match self {
            Answer::Singles(columns) => Values::Singles(vec![0.0; rows * columns.len()]),
            Answer::Doubles(columns) => Values::Doubles(vec![0.0; rows * columns.len()]),
            Answer::Longs(columns) => Values::Longs(vec![0; rows * columns.len()]),
            Answer::Ints(columns) => Values::Ints(vec![0; rows * columns.len()]),
            Answer::Booleans(columns) => Values::Booleans(vec![false; rows * columns.len()]),
            Answer::Texts(_, list) => Values::Texts { positions: vec![0; rows], list: list.clone() },
        }
    }

    /// Writes the rows of a block, of which `first` comes first.
    pub(super) fn write(&self, block: &Block<'_, '_>, first: usize, values: &mut Values) {
        match (self, values) {
            (Answer::Singles(columns), Values::Singles(values)) => row_by_row(block, columns, first, values, |v| v),
            (Answer::Doubles(columns), Values::Doubles(values)) => row_by_row(block, columns, first, values, |v| v),
            (Answer::Longs(columns), Values::Longs(values)) => row_by_row(block, columns, first, values, |v| v),
            (Answer::Ints(columns), Values::Ints(values)) => row_by_row(block, columns, first, values, |v| v as i32),
            (Answer::Booleans(columns), Values::Booleans(values)) => {
                row_by_row(block, columns, first, values, |v| v != 0);
            }
            (Answer::Texts(codes, _), Values::Texts { positions, .. }) => {
                positions[first..first + block.rows()].copy_from_slice(block.read(*codes));
            }
            _ => unreachable!("values are made by the answer that writes them"),
        }
    }
}

fn row_by_row<T: Cell, U>(
    block: &Block<'_, '_>,
    columns: &[Column<T>],
    first: usize,
    values: &mut [U],
    convert: impl Fn(T) -> U,
) {
    let width = columns.len();
    let values = &mut values[first * width..(first + block.rows()) * width];
    match *columns {
        [only] => values.iter_mut().zip(block.read(only)).for_each(|(to, from)| *to = convert(*from)),
        [a, b] => {
            let pairs = block.read(a).iter().zip(block.read(b));
            for (row, (a, b)) in values.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
                *row = [convert(*a), convert(*b)];
            }
        }
        _ => {
            for (at, &column) in columns.iter().enumerate() {
                let places = values[at..].iter_mut().step_by(width);
                places.zip(block.read(column)).for_each(|(place, value)| *place = convert(*value));
            }
        }
    }
}
