//! Scores as columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, PrimitiveArray, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::{nullif, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;
use volley_onnx::{DatumType, Tensor, Values, tensor_values};

use crate::{Element, ModelError, NullRules, Output, OutputShape, Scores};

/// The outputs of `rows` scored rows, in the contract's order.
pub(super) fn arrays<'c>(
    outputs: impl IntoIterator<Item = &'c Output>,
    columns: Vec<Option<Column>>,
    rows: usize,
) -> Result<Vec<ArrayRef>, ModelError> {
    let outputs: Vec<_> = outputs.into_iter().collect();
    if outputs.len() != columns.len() {
        return Err(ModelError::Score("the model gives another number of outputs than its graph declares".to_owned()));
    }
    outputs.into_iter().zip(columns).map(|(output, column)| array(output, column, rows)).collect()
}

fn array(output: &Output, column: Option<Column>, rows: usize) -> Result<ArrayRef, ModelError> {
    let values = column.filter(|column| column.element == output.element).map(|column| column.values);
    let values = values.ok_or_else(|| {
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

/// The values of an output, row by row, as Arrow has them.
pub(super) struct Column {
    element: Element,
    values: ArrayRef,
}

impl Column {
    /// All values of a tensor; `None` if it is of a type that no output has.
    pub(super) fn of_tensor(tensor: &Tensor) -> Option<Column> {
        fn copied<T: ArrowPrimitiveType>(values: &[T::Native]) -> ArrayRef {
            primitive::<T>(values.to_vec())
        }
        let (element, values) = match tensor.datum_type() {
            DatumType::Bool => {
                (Element::Bool, Arc::new(BooleanArray::from(tensor_values::<bool>(tensor)?.to_vec())) as ArrayRef)
            }
            DatumType::I8 => (Element::I8, copied::<Int8Type>(tensor_values(tensor)?)),
            DatumType::I16 => (Element::I16, copied::<Int16Type>(tensor_values(tensor)?)),
            DatumType::I32 => (Element::I32, copied::<Int32Type>(tensor_values(tensor)?)),
            DatumType::I64 => (Element::I64, copied::<Int64Type>(tensor_values(tensor)?)),
            DatumType::U8 => (Element::U8, copied::<UInt8Type>(tensor_values(tensor)?)),
            DatumType::U16 => (Element::U16, copied::<UInt16Type>(tensor_values(tensor)?)),
            DatumType::U32 => (Element::U32, copied::<UInt32Type>(tensor_values(tensor)?)),
            DatumType::U64 => (Element::U64, copied::<UInt64Type>(tensor_values(tensor)?)),
            DatumType::F16 => {
                let floats = tensor_values::<f16>(tensor)?.iter().map(|half| half.to_f32()).collect();
                (Element::F16, primitive::<Float32Type>(floats))
            }
            DatumType::F32 => (Element::F32, copied::<Float32Type>(tensor_values(tensor)?)),
            DatumType::F64 => (Element::F64, copied::<Float64Type>(tensor_values(tensor)?)),
            DatumType::String => {
                let texts = StringArray::from_iter_values(tensor_values::<String>(tensor)?);
                (Element::String, Arc::new(texts) as ArrayRef)
            }
            _ => return None,
        };
        Some(Column { element, values })
    }

    /// All values of an output of the direct road.
    pub(super) fn of_values(values: Values) -> Option<Column> {
        let (element, values) = match values {
            Values::Singles(values) => (Element::F32, primitive::<Float32Type>(values)),
            Values::Doubles(values) => (Element::F64, primitive::<Float64Type>(values)),
            Values::Longs(values) => (Element::I64, primitive::<Int64Type>(values)),
            Values::Ints(values) => (Element::I32, primitive::<Int32Type>(values)),
            Values::Booleans(values) => (Element::Bool, Arc::new(BooleanArray::from(values)) as ArrayRef),
            Values::Texts { positions, list } => {
                let texts = positions.iter().map(|&at| &list[at as usize]);
                (Element::String, Arc::new(StringArray::from_iter_values(texts)) as ArrayRef)
            }
        };
        Some(Column { element, values })
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), None))
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
