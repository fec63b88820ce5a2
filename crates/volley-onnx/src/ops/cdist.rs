//! `com.microsoft.CDist`: the distances between the rows of two matrices, which skl2onnx writes for nearest neighbours
//! where it is told to.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::tract_ndarray::linalg::general_mat_mul;
use tract_onnx::tract_hir::internal::tract_ndarray::{Array2, ArrayView2, Axis, Ix2, LinalgScalar};
use tract_onnx::tract_hir::internal::*;

use super::distances::of_rows;
use super::{Built, Kernel, Signature, kernel};

#[derive(Debug)]
struct Distances {
    squared: bool,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let squared = match node.get_attr_opt::<&str>("metric")?.unwrap_or("sqeuclidean") {
        "sqeuclidean" => true,
        "euclidean" => false,
        _ => return node.bail_attr("metric", "is unknown"),
    };
    kernel(node, 2..=2, Distances { squared })
}

impl Kernel for Distances {
    fn name(&self) -> &'static str {
        "CDist"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        of_rows(inputs)
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs[0].datum_type() {
            DatumType::F32 => self.between(matrix::<f32>(inputs[0])?, matrix(inputs[1])?, 2.0, f32::sqrt)?,
            DatumType::F64 => self.between(matrix::<f64>(inputs[0])?, matrix(inputs[1])?, 2.0, f64::sqrt)?,
            other => bail!("floats are needed, not {other:?}"),
        }])
    }
}

fn matrix<T: Datum>(tensor: &Tensor) -> TractResult<ArrayView2<'_, T>> {
    tensor.to_plain_array_view::<T>()?.into_dimensionality::<Ix2>().context("a matrix is needed")
}

impl Distances {
    /// As ONNX Runtime does it: the squares of both, less twice their product.
    fn between<T: Datum + LinalgScalar + PartialOrd>(
        &self,
        one: ArrayView2<T>,
        other: ArrayView2<T>,
        two: T,
        root: impl Fn(T) -> T,
    ) -> TractResult<Tensor> {
        let squares = |of: &ArrayView2<T>| of.map_axis(Axis(1), |row| row.dot(&row));
        let (of_one, of_other) = (squares(&one), squares(&other));
        let mut distances = Array2::<T>::zeros((one.nrows(), other.nrows()));
        general_mat_mul(T::one(), &one, &other.t(), T::zero(), &mut distances);
        for ((row, column), distance) in distances.indexed_iter_mut() {
            let squared = of_one[row] + of_other[column] - two * *distance;
            // Rounding may lead below zero.
            let squared = if squared < T::zero() { T::zero() } else { squared };
            *distance = if self.squared { squared } else { root(squared) };
        }
        Ok(distances.into_dyn().into())
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, string, tensor};

    fn check(metric: &str, expected: [f32; 4]) {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("known", &tensor(&[2, 2], &[0.0f32, 0.0, 3.0, 4.0]))
            .node("com.microsoft", "CDist", &["x", "known"], &["y"], vec![string("metric", metric)]);
        let got = model.run(2, vec![tensor(&[2, 2], &[0.0f32, 0.0, 3.0, 0.0])]).expect("a sound model");
        assert_close(&got[0], &tensor(&[2, 2], &expected));
    }

    #[test]
    fn rows_are_as_far_from_each_other_as_the_metric_says() {
        check("euclidean", [0.0, 5.0, 3.0, 4.0]);
        check("sqeuclidean", [0.0, 25.0, 9.0, 16.0]);
    }
}
