//! Tensors of scores as columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, PrimitiveArray, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::{nullif, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;
use volley_onnx::{Tensor, tensor_values};

use crate::{Element, ModelError, NullRules, Output, OutputShape, Scores};

/// The outputs of `rows` scored rows, in the contract's order.
pub(super) fn arrays<'c>(
    outputs: impl IntoIterator<Item = &'c Output>,
    tensors: &[Tensor],
    rows: usize,
) -> Result<Vec<ArrayRef>, ModelError> {
    let outputs: Vec<_> = outputs.into_iter().collect();
    if outputs.len() != tensors.len() {
        return Err(ModelError::Score("the model gives another number of outputs than its graph declares".to_owned()));
    }
    outputs.into_iter().zip(tensors).map(|(output, tensor)| array(output, tensor, rows)).collect()
}

fn array(output: &Output, tensor: &Tensor, rows: usize) -> Result<ArrayRef, ModelError> {
    let values = values(output.element, tensor).ok_or_else(|| {
        ModelError::Score(format!("output `{}` is not {} as its graph declares", output.name, output.element))
    })?;
    let width = values.len() / rows;
    let fits = match output.shape {
        OutputShape::Scalar => width == 1,
        OutputShape::List(len) => len.is_none_or(|len| len == width),
    };
    if !fits || width * rows != values.len() {
        let reason = format!(
            "output `{}` gives {} values for {rows} rows, which is not what its graph declares",
            output.name,
            values.len()
        );
        return Err(ModelError::Score(reason));
    }
    match output.tensor_type() {
        DataType::List(item) => {
            let offsets = offsets(width, rows).ok_or_else(|| {
                ModelError::Score(format!("output `{}` is too large for a batch of {rows} rows", output.name))
            })?;
            Ok(Arc::new(ListArray::new(item, offsets, values, None)))
        }
        _ => Ok(values),
    }
}

fn offsets(width: usize, rows: usize) -> Option<OffsetBuffer<i32>> {
    i32::try_from(width.checked_mul(rows)?).ok()?;
    Some(OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows)))
}

/// All values of a tensor; `None` if it is not of the element.
fn values(element: Element, tensor: &Tensor) -> Option<ArrayRef> {
    Some(match element {
        Element::Bool => Arc::new(BooleanArray::from(tensor_values::<bool>(tensor)?.to_vec())),
        Element::I8 => primitive::<Int8Type>(tensor_values(tensor)?),
        Element::I16 => primitive::<Int16Type>(tensor_values(tensor)?),
        Element::I32 => primitive::<Int32Type>(tensor_values(tensor)?),
        Element::I64 => primitive::<Int64Type>(tensor_values(tensor)?),
        Element::U8 => primitive::<UInt8Type>(tensor_values(tensor)?),
        Element::U16 => primitive::<UInt16Type>(tensor_values(tensor)?),
        Element::U32 => primitive::<UInt32Type>(tensor_values(tensor)?),
        Element::U64 => primitive::<UInt64Type>(tensor_values(tensor)?),
        Element::F16 => {
            let floats: Vec<f32> = tensor_values::<f16>(tensor)?.iter().map(|half| half.to_f32()).collect();
            primitive::<Float32Type>(&floats)
        }
        Element::F32 => primitive::<Float32Type>(tensor_values(tensor)?),
        Element::F64 => primitive::<Float64Type>(tensor_values(tensor)?),
        Element::String => Arc::new(StringArray::from_iter_values(tensor_values::<String>(tensor)?)),
    })
}

fn primitive<T: ArrowPrimitiveType>(values: &[T::Native]) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.to_vec().into(), None))
}

/// Turns NaN scores into NULL: with all the row's outputs, or, as `spark_udf` does, where they stand.
pub(super) fn nan_to_null(outputs: Vec<ArrayRef>, rules: NullRules) -> Result<Vec<ArrayRef>, ModelError> {
    match rules {
        NullRules::Contract => {
            let nan_rows = outputs.iter().filter_map(nan_rows);
            match nan_rows.reduce(|a, b| &a | &b) {
                Some(nan) => outputs.iter().map(|output| with_nulls(output, &nan)).collect(),
                None => Ok(outputs),
            }
        }
        NullRules::Mlflow => outputs.into_iter().map(nan_values_to_null).collect(),
    }
}

fn nan_values_to_null(output: ArrayRef) -> Result<ArrayRef, ModelError> {
    let Some(lists) = output.as_list_opt::<i32>() else {
        return match nan_rows(&output) {
            Some(nan) => with_nulls(&output, &nan),
            None => Ok(output),
        };
    };
    let DataType::List(item) = lists.data_type() else {
        return Ok(output);
    };
    let values = nan_values_to_null(lists.values().clone())?;
    Ok(Arc::new(ListArray::new(item.clone(), lists.offsets().clone(), values, None)))
}

/// The rows with a NaN among their scores; `None` if there is none.
fn nan_rows(output: &ArrayRef) -> Option<BooleanBuffer> {
    match output.data_type() {
        DataType::Float32 => set_bits(output.as_primitive::<Float32Type>().values(), |value| value.is_nan()),
        DataType::Float64 => set_bits(output.as_primitive::<Float64Type>().values(), |value| value.is_nan()),
        DataType::List(_) => {
            let lists = output.as_list::<i32>();
            let nan = nan_rows(lists.values())?;
            let width = lists.values().len() / lists.len();
            Some(BooleanBuffer::collect_bool(lists.len(), |row| (0..width).any(|value| nan.value(row * width + value))))
        }
        _ => None,
    }
}

fn set_bits<T>(values: &[T], is_nan: impl Fn(&T) -> bool) -> Option<BooleanBuffer> {
    // Without an early way out this is a few vector instructions, and nearly always false.
    if !values.iter().fold(false, |any, value| any | is_nan(value)) {
        return None;
    }
    Some(BooleanBuffer::collect_bool(values.len(), |index| is_nan(&values[index])))
}

fn with_nulls(array: &ArrayRef, null: &BooleanBuffer) -> Result<ArrayRef, ModelError> {
    nullif(array, &BooleanArray::new(null.clone(), None)).map_err(unassembled)
}

/// Puts the scored rows back to their places among those that were excluded.
pub(super) fn scores(outputs: Vec<ArrayRef>, kept: Option<&BooleanBuffer>) -> Result<Scores, ModelError> {
    let outputs = match kept {
        Some(kept) => scattered(&outputs, kept)?,
        None => outputs,
    };
    let nulls = outputs.iter().fold(None, |nulls, output| NullBuffer::union(nulls.as_ref(), output.nulls()));
    let null_scores = nulls.map_or(0, |nulls| nulls.null_count());
    Ok(Scores { outputs, null_scores })
}

fn scattered(outputs: &[ArrayRef], kept: &BooleanBuffer) -> Result<Vec<ArrayRef>, ModelError> {
    let mut next = 0;
    let place = |kept: bool| {
        kept.then(|| {
            next += 1;
            next - 1
        })
    };
    let places: UInt32Array = kept.iter().map(place).collect();
    let scattered = outputs.iter().map(|output| take(output, &places, None)).collect::<Result<_, _>>();
    scattered.map_err(unassembled)
}

fn unassembled(_: arrow::error::ArrowError) -> ModelError {
    // Arrow's messages may quote values, and those are a customer's.
    ModelError::Score("the scores of a batch could not be put together".to_owned())
}
