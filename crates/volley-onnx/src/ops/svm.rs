//! `SVMClassifier` and `SVMRegressor`: support vector machines as libsvm trains them.

mod classifier;
mod coupling;
mod fused;
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

    /// Makes similarities of the products with all vectors, or of the squared distances from them.
    fn finish(self, similarities: &mut [f32]) {
        let mut change = |to: &dyn Fn(f32) -> f32| similarities.iter_mut().for_each(|it| *it = to(*it));
        match self {
            Similarity::Linear => {}
            Similarity::Polynomial { gamma, offset, degree } => change(&|it| power(gamma * it + offset, degree)),
            Similarity::Radial { gamma } => change(&|it| (-gamma * it).exp()),
            Similarity::Sigmoid { gamma, offset } => change(&|it| (gamma * it + offset).tanh()),
        }
    }
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
    /// One vector after the other where distances are asked for; else the first value of all, then the second of all.
    values: Vec<f32>,
    columns: usize,
    count: usize,
}

impl Vectors {
    fn new(similarity: Similarity, values: Vec<f32>, count: usize) -> TractResult<Vectors> {
        ensure!(count > 0 && !values.is_empty(), "there are no vectors");
        ensure!(values.len().is_multiple_of(count), "the vectors differ in length");
        let columns = values.len() / count;
        let values = match similarity {
            Similarity::Radial { .. } => values,
            _ => (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect(),
        };
        Ok(Vectors { similarity, columns, values, count })
    }

    /// Calls `each` with every row's number and its similarity to each vector.
    fn compare(&self, input: &Tensor, mut each: impl FnMut(usize, &[f32])) -> TractResult<()> {
        let (_, columns) = rows_and_columns(input)?;
        if columns != self.columns {
            return refuse(format!("{columns} columns where the model has {}", self.columns));
        }
        let input = singles(input)?;
        let mut similarities = vec![0.0; self.count];
        for (at, row) in input.chunks_exact(columns).enumerate() {
            match self.similarity {
                Similarity::Radial { .. } => {
                    let vectors = self.values.chunks_exact(columns);
                    similarities.iter_mut().zip(vectors).for_each(|(it, vector)| *it = squared_distance(row, vector));
                }
                _ => fused::products(row, &self.values, &mut similarities),
            }
            self.similarity.finish(&mut similarities);
            each(at, &similarities);
        }
        Ok(())
    }
}
