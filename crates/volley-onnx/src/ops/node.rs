//! Reading the attributes of a node and the elements of a tensor.

use std::borrow::Cow;
use std::fmt;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Signature;
use crate::direct::{Builder, Cells, RowColumn, Text};
use crate::port::ClassLabels;

/// Why an operator would not work on the data it was given. It names no values, so that it may be
/// shown to anyone.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Fails with a [`Refusal`].
pub(crate) fn refuse<T>(why: impl Into<String>) -> TractResult<T> {
    Err(Refusal(why.into()).into())
}

/// A list of floats; empty if the attribute is not there.
pub(crate) fn floats(node: &NodeProto, name: &str) -> TractResult<Vec<f32>> {
    Ok(node.get_attr_opt_slice::<f32>(name)?.unwrap_or_default().to_vec())
}

/// A list of integers; empty if the attribute is not there.
pub(crate) fn ints(node: &NodeProto, name: &str) -> TractResult<Vec<i64>> {
    Ok(node.get_attr_opt_slice::<i64>(name)?.unwrap_or_default().to_vec())
}

/// A list of strings; empty if the attribute is not there.
pub(crate) fn strings(node: &NodeProto, name: &str) -> TractResult<Vec<String>> {
    Ok(node.get_attr_opt_vec::<String>(name)?.unwrap_or_default())
}

/// Class labels from one of two attributes; `None` if neither is there.
pub(crate) fn labels(node: &NodeProto, int_name: &str, string_name: &str) -> TractResult<Option<ClassLabels>> {
    let (ints, strings) = (ints(node, int_name)?, strings(node, string_name)?);
    match (ints.is_empty(), strings.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(ClassLabels::Ints(ints))),
        (true, false) => Ok(Some(ClassLabels::Strings(strings))),
        (false, false) => node.bail("labels are given both as integers and as strings"),
    }
}

impl ClassLabels {
    pub(crate) fn element(&self) -> DatumType {
        match self {
            ClassLabels::Ints(_) => DatumType::I64,
            ClassLabels::Strings(_) => DatumType::String,
        }
    }

    /// The vector of the labels at `positions`.
    pub(crate) fn tensor(&self, positions: &[u32]) -> Tensor {
        match self {
            ClassLabels::Ints(labels) => vector(pick(labels, positions)),
            ClassLabels::Strings(labels) => vector(pick(labels, positions)),
        }
    }
}

impl ClassLabels {
    /// The labels at `positions`, by columns.
    pub(crate) fn columns(&self, positions: RowColumn<u32>, build: &mut Builder) -> Cells {
        match self {
            ClassLabels::Ints(labels) => Cells::Longs(vec![build.pick(positions, &labels.as_slice().into())]),
            ClassLabels::Strings(labels) => Cells::Texts(vec![Text::Picked(positions, labels.as_slice().into())]),
        }
    }
}

fn pick<T: Clone>(labels: &[T], positions: &[u32]) -> Vec<T> {
    positions.iter().map(|&at| labels[at as usize].clone()).collect()
}

fn vector<T: Datum>(values: Vec<T>) -> Tensor {
    crate::tensor_from(&[values.len()], values)
}

/// The rows and columns of a matrix; a vector is one row, as in ONNX Runtime.
pub(crate) fn rows_and_columns(tensor: &Tensor) -> TractResult<(usize, usize)> {
    match tensor.shape() {
        [columns] => Ok((1, *columns)),
        [rows, columns] => Ok((*rows, *columns)),
        shape => refuse(format!("a matrix is needed, there are {} dimensions", shape.len())),
    }
}

/// The dimension that counts rows when a vector is one row.
pub(crate) fn row_dim(input: &Signature) -> TractResult<TDim> {
    match &*input.shape {
        [_] => Ok(1.to_dim()),
        [rows, _] => Ok(rows.clone()),
        shape => bail!("a matrix is needed, there are {} dimensions", shape.len()),
    }
}

/// Fails unless the input holds numbers of a type that operators of `ai.onnx.ml` take.
pub(crate) fn ensure_numeric(input: &Signature) -> TractResult<()> {
    match input.element {
        DatumType::F32 | DatumType::F64 | DatumType::I64 | DatumType::I32 => Ok(()),
        other => bail!("numbers are needed, not {other:?}"),
    }
}

/// The elements as single precision floats.
pub(crate) fn singles(tensor: &Tensor) -> TractResult<Cow<'_, [f32]>> {
    match tensor.datum_type() {
        DatumType::F32 => Ok(Cow::Borrowed(values(tensor)?)),
        DatumType::F64 => converted(values::<f64>(tensor)?, |v| v as f32),
        DatumType::I64 => converted(values::<i64>(tensor)?, |v| v as f32),
        DatumType::I32 => converted(values::<i32>(tensor)?, |v| v as f32),
        DatumType::F16 => converted(values::<f16>(tensor)?, f16::to_f32),
        other => refuse(format!("numbers are needed, not {other:?}")),
    }
}

fn converted<S: Copy, T: Clone>(from: &[S], convert: impl Fn(S) -> T) -> TractResult<Cow<'_, [T]>> {
    Ok(Cow::Owned(from.iter().map(|&v| convert(v)).collect()))
}

/// The elements of a tensor of `T`.
pub(crate) fn values<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice()
}

/// A tensor of `shape`, of `T::default()`, filled by `fill`.
pub(crate) fn filled<T: Datum + Copy + tract_num_traits::Zero>(
    shape: &[usize],
    fill: impl FnOnce(&mut [T]) -> TractResult<()>,
) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero::<T>(shape)?;
    fill(tensor.try_as_plain_ram_mut()?.as_slice_mut()?)?;
    Ok(tensor)
}

/// The value for column `at` of a list that holds one value for all columns or one for each.
pub(crate) fn per_column<T: Copy>(list: &[T], at: usize) -> T {
    if list.len() == 1 { list[0] } else { list[at] }
}

/// Fails unless a list holds one value for all of `columns` or one for each.
pub(crate) fn ensure_per_column(name: &str, len: usize, columns: usize) -> TractResult<()> {
    if len == 1 || len == columns {
        return Ok(());
    }
    refuse(format!("{name} has {len} values for {columns} columns"))
}
