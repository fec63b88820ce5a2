//! `SVMClassifier` and `SVMRegressor`: support vector machines as libsvm trains them.

mod classifier;
mod coupling;
mod lanes;
mod regressor;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{floats, refuse, rows_and_columns, singles};
use lanes::{LANES, Sums, side_by_side};

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
}

/// Vectors that each row is compared with.
#[derive(Debug)]
struct Vectors {
    similarity: Similarity,
    /// One vector after the other.
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

    /// Calls `each` with the number of the first of some rows, how many there are, and what `sums` then made of their
    /// similarities to each vector.
    fn compare<S: Sums>(
        &self,
        input: &Tensor,
        sums: impl Fn() -> S,
        mut each: impl FnMut(usize, usize, S),
    ) -> TractResult<()> {
        let (_, columns) = rows_and_columns(input)?;
        if columns != self.columns {
            return refuse(format!("{columns} columns where the model has {}", self.columns));
        }
        let input = singles(input)?;
        let mut rows = Vec::with_capacity(columns);
        for (at, block) in input.chunks(LANES * columns).enumerate() {
            side_by_side(block, columns, &mut rows);
            let mut of_rows = sums();
            lanes::compare(self.similarity, &rows, &self.values, &mut of_rows);
            each(at * LANES, block.len() / columns, of_rows);
        }
        Ok(())
    }
}
