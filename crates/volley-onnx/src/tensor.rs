//! Tensors from vectors and back, for callers that do not depend on tract.

use tract_onnx::prelude::{Datum, Tensor, tract_ndarray};

/// A tensor of `values` in row-major order.
///
/// # Panics
/// If `shape` does not hold exactly `values.len()` elements.
pub fn tensor_from<T: Datum>(shape: &[usize], values: Vec<T>) -> Tensor {
    tract_ndarray::ArrayD::from_shape_vec(shape, values).expect("the shape holds exactly the given values").into()
}

/// The elements of `tensor` in row-major order; `None` if they are of another type.
pub fn tensor_values<T: Datum>(tensor: &Tensor) -> Option<&[T]> {
    tensor.as_plain_ram()?.as_slice().ok()
}
