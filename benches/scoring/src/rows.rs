//! Rows to score, in the forms in which each side takes them.

mod generated;
mod table;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int64Array, StringArray, UInt64Array,
};
use arrow::compute::take;
use arrow::datatypes::Field;
use half::f16;
use volley_onnx::{Tensor, tensor_from};

/// Rows of a round: enough that none is remembered from the round before.
pub const ROWS: usize = 32_768;

/// Rows for the inputs of a model, the same at every call.
pub struct Rows {
    pub inputs: Vec<Input>,
    /// The arguments of a call: a column for each number of a row of the only input, or one for each of several.
    pub columns: Vec<ArrayRef>,
    pub rows: usize,
}

pub struct Input {
    pub name: String,
    /// Of one row.
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Row by row.
pub enum Values {
    Halves(Vec<f16>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Rows {
    fn new(inputs: Vec<Input>) -> Rows {
        let columns = match inputs.as_slice() {
            [only] => only.columns(),
            several => several.iter().map(Input::column).collect(),
        };
        Rows { inputs, columns, rows: ROWS }
    }

    /// Where the first batches start.
    pub fn starts(&self, batch: usize, batches: usize) -> impl Iterator<Item = usize> {
        (0..self.rows).step_by(batch).take(batches)
    }

    pub fn tensors(&self, batch: usize, batches: usize) -> Vec<Vec<Tensor>> {
        let tensors = |start| self.inputs.iter().map(|it| it.tensor(start, batch)).collect();
        self.starts(batch, batches).map(tensors).collect()
    }

    pub fn batches(&self, batch: usize, batches: usize) -> Vec<Vec<ArrayRef>> {
        let slices = |start| self.columns.iter().map(|it| it.slice(start, batch)).collect();
        self.starts(batch, batches).map(slices).collect()
    }
}

impl Input {
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape of a batch, and where its values are.
    pub fn part(&self, start: usize, batch: usize) -> (Vec<usize>, std::ops::Range<usize>) {
        let shape = std::iter::once(batch).chain(self.shape.iter().copied()).collect();
        (shape, start * self.width()..(start + batch) * self.width())
    }

    fn tensor(&self, start: usize, batch: usize) -> Tensor {
        let (shape, range) = self.part(start, batch);
        match &self.values {
            Values::Halves(values) => tensor_from(&shape, values[range].to_vec()),
            Values::Floats(values) => tensor_from(&shape, values[range].to_vec()),
            Values::Doubles(values) => tensor_from(&shape, values[range].to_vec()),
            Values::Ints(values) => tensor_from(&shape, values[range].to_vec()),
            Values::Texts(values) => tensor_from(&shape, values[range].to_vec()),
        }
    }

    /// One column for each place in a row.
    fn columns(&self) -> Vec<ArrayRef> {
        let (all, width) = (self.values.array(), self.width());
        let places = |column| UInt64Array::from_iter_values((0..ROWS).map(|row| (row * width + column) as u64));
        (0..width).map(|column| take(&all, &places(column), None).expect("places within the values")).collect()
    }

    /// One column, of lists where a row has several values.
    fn column(&self) -> ArrayRef {
        let (all, width) = (self.values.array(), self.width());
        if width == 1 {
            return all;
        }
        let item = Arc::new(Field::new_list_field(all.data_type().clone(), true));
        let width = i32::try_from(width).expect("few columns");
        Arc::new(FixedSizeListArray::new(item, width, all, None))
    }
}

impl Values {
    fn array(&self) -> ArrayRef {
        match self {
            Values::Halves(values) => Arc::new(Float16Array::from_iter_values(values.iter().copied())),
            Values::Floats(values) => Arc::new(Float32Array::from_iter_values(values.iter().copied())),
            Values::Doubles(values) => Arc::new(Float64Array::from_iter_values(values.iter().copied())),
            Values::Ints(values) => Arc::new(Int64Array::from_iter_values(values.iter().copied())),
            Values::Texts(values) => Arc::new(StringArray::from_iter_values(values)),
        }
    }
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        Dice(0x9E37_79B9_7F4A_7C15)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// Close to the normal distribution.
    fn normal(&mut self) -> f32 {
        let twelve: usize = (0..12).map(|_| self.below(1 << 24)).sum();
        twelve as f32 / (1 << 24) as f32 - 6.0
    }
}
