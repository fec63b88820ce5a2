//! Generated rows, in the form in which each side takes them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StringArray};
use volley_onnx::{Dim, Element, Port, Tensor, tensor_from};

/// Rows for the inputs of a model, the same at every call.
pub struct Rows {
    pub inputs: Vec<Input>,
    /// A column for each number of a row.
    pub columns: Vec<ArrayRef>,
    rows: usize,
}

pub struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Row by row.
pub enum Values {
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

impl Rows {
    /// Rows for `model`, whose name says whether there are missing values or categories.
    pub fn new(ports: &[Port], model: &str, rows: usize) -> Rows {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let inputs: Vec<Input> = ports.iter().map(|port| Input::new(port, model, rows, &mut dice)).collect();
        let columns = inputs.iter().flat_map(|input| input.columns(rows)).collect();
        Rows { inputs, columns, rows }
    }

    fn starts(&self, batch: usize) -> impl Iterator<Item = usize> {
        (0..self.rows).step_by(batch)
    }

    pub fn tensors(&self, batch: usize) -> Vec<Vec<Tensor>> {
        self.starts(batch).map(|start| self.inputs.iter().map(|it| it.tensor(start, batch)).collect()).collect()
    }

    pub fn batches(&self, batch: usize) -> Vec<Vec<ArrayRef>> {
        self.starts(batch).map(|start| self.columns.iter().map(|it| it.slice(start, batch)).collect()).collect()
    }

    pub fn batch_starts(&self, batch: usize) -> Vec<usize> {
        self.starts(batch).collect()
    }
}

impl Input {
    fn new(port: &Port, model: &str, rows: usize, dice: &mut Dice) -> Input {
        let dim = |dim: &Dim| if let Dim::Fixed(len) = dim { *len } else { 28 };
        let shape: Vec<usize> = port.shape.iter().flatten().skip(1).map(dim).collect();
        let width: usize = shape.iter().product();
        let missing = model.contains("nan") || port.name.contains("nan");
        let value = |at: usize| match at % width {
            column if model.contains("cat_") && column >= 24 => dice.below(20) as f32,
            _ if missing && dice.below(20) == 0 => f32::NAN,
            _ => dice.normal(),
        };
        let values = match port.element {
            Element::String => Values::Texts(
                (0..rows * width)
                    .map(|_| ["a", "b", "c", "d", "e", "f", "g", "other"][dice.below(8)].to_owned())
                    .collect(),
            ),
            _ => Values::Floats((0..rows * width).map(value).collect()),
        };
        Input { name: port.name.clone(), shape, values }
    }

    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    fn tensor(&self, start: usize, batch: usize) -> Tensor {
        let shape: Vec<usize> = std::iter::once(batch).chain(self.shape.iter().copied()).collect();
        let range = start * self.width()..(start + batch) * self.width();
        match &self.values {
            Values::Floats(values) => tensor_from(&shape, values[range].to_vec()),
            Values::Texts(values) => tensor_from(&shape, values[range].to_vec()),
        }
    }

    fn columns(&self, rows: usize) -> Vec<ArrayRef> {
        let width = self.width();
        let of = |column: usize| (0..rows).map(move |row| row * width + column);
        let column = |column: usize| match &self.values {
            Values::Floats(values) => {
                Arc::new(Float32Array::from_iter_values(of(column).map(|at| values[at]))) as ArrayRef
            }
            Values::Texts(values) => Arc::new(StringArray::from_iter_values(of(column).map(|at| &values[at]))),
        };
        (0..width).map(column).collect()
    }
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
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
