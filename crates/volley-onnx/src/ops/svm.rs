//! `SVMClassifier` and `SVMRegressor`: support vector machines as libsvm trains them.

mod classifier;
mod coupling;
mod regressor;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{floats, refuse, rows_and_columns, singles};

pub(super) use classifier::build as build_classifier;
pub(super) use regressor::build as build_regressor;

/// How alike two vectors are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Similarity {
    Linear,
    Polynomial { gamma: f32, offset: f32, degree: f32 },
    Radial { gamma: f32 },
    Sigmoid { gamma: f32, offset: f32 },
}

impl Similarity {
    fn read(node: &NodeProto) -> TractResult<Similarity> {
        let parameters = floats(node, "kernel_params")?;
        let (gamma, offset, degree) = match *parameters {
            [] => (0.0, 0.0, 0.0),
            [gamma, offset, degree, ..] => (gamma, offset, degree),
            _ => bail!("kernel_params must hold gamma, an offset and a degree"),
        };
        Ok(match node.get_attr_opt::<&str>("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Similarity::Linear,
            "POLY" => Similarity::Polynomial { gamma, offset, degree },
            "RBF" => Similarity::Radial { gamma },
            "SIGMOID" => Similarity::Sigmoid { gamma, offset },
            _ => return node.bail_attr("kernel_type", "is unknown"),
        })
    }

    /// In doubles: hundreds of large products of either sign are added to a small score.
    fn of(self, a: &[f32], b: &[f32]) -> f64 {
        match self {
            Similarity::Linear => dot(a, b),
            Similarity::Polynomial { gamma, offset, degree } => power(scaled(dot(a, b), gamma, offset), degree).into(),
            Similarity::Radial { gamma } => (-gamma * squared_distance(a, b)).exp().into(),
            Similarity::Sigmoid { gamma, offset } => scaled(dot(a, b), gamma, offset).tanh().into(),
        }
    }
}

fn scaled(product: f64, gamma: f32, offset: f32) -> f32 {
    (f64::from(gamma) * product + f64::from(offset)) as f32
}

/// Summed in doubles: powers, and differences of large sums, would make much of the last digit.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f64; 8];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..8 {
            sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    sums.iter().sum::<f64>() + rest
}

fn power(base: f32, degree: f32) -> f32 {
    match degree {
        2.0 => base * base,
        3.0 => base * base * base,
        _ => base.powf(degree),
    }
}

/// In eight lanes, which compilers turn into vector instructions.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f32; 8];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..8 {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Vectors that each row is compared with.
#[derive(Debug)]
struct Vectors {
    similarity: Similarity,
    /// One after the other.
    values: Vec<f32>,
    columns: usize,
    count: usize,
}

impl Vectors {
    fn new(similarity: Similarity, values: Vec<f32>, count: usize) -> TractResult<Vectors> {
        ensure!(count > 0 && !values.is_empty(), "there are no vectors");
        ensure!(values.len().is_multiple_of(count), "the vectors differ in length");
        Ok(Vectors { similarity, columns: values.len() / count, values, count })
    }

    /// Calls `each` with every row's number and its similarity to each vector.
    fn compare(&self, input: &Tensor, mut each: impl FnMut(usize, &[f64])) -> TractResult<()> {
        let (_, columns) = rows_and_columns(input)?;
        if columns != self.columns {
            return refuse(format!("{columns} columns where the model has {}", self.columns));
        }
        let input = singles(input)?;
        let mut similarities = vec![0.0; self.count];
        for (at, row) in input.chunks_exact(columns).enumerate() {
            for (similarity, vector) in similarities.iter_mut().zip(self.values.chunks_exact(columns)) {
                *similarity = self.similarity.of(row, vector);
            }
            each(at, &similarities);
        }
        Ok(())
    }
}
