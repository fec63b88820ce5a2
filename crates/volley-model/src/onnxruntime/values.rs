//! Our tensors as ONNX Runtime's values, and back.

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{
    DynValue, PrimitiveTensorElementType, Shape, Tensor as OrtTensor, TensorElementType, TensorRef, ValueType,
};
use volley_onnx::{DatumType, Error, Tensor, tensor_from, tensor_values};

/// A tensor as an input. Numbers are not copied.
pub(super) fn given(tensor: &Tensor) -> Result<SessionInputValue<'_>, Error> {
    match tensor.datum_type() {
        DatumType::Bool => numbers::<bool>(tensor),
        DatumType::I8 => numbers::<i8>(tensor),
        DatumType::I16 => numbers::<i16>(tensor),
        DatumType::I32 => numbers::<i32>(tensor),
        DatumType::I64 => numbers::<i64>(tensor),
        DatumType::U8 => numbers::<u8>(tensor),
        DatumType::U16 => numbers::<u16>(tensor),
        DatumType::U32 => numbers::<u32>(tensor),
        DatumType::U64 => numbers::<u64>(tensor),
        DatumType::F16 => numbers::<f16>(tensor),
        DatumType::F32 => numbers::<f32>(tensor),
        DatumType::F64 => numbers::<f64>(tensor),
        DatumType::String => texts(tensor),
        _ => Err(unfit(tensor)),
    }
}

fn numbers<T: Number>(tensor: &Tensor) -> Result<SessionInputValue<'_>, Error> {
    let values = tensor_values::<T>(tensor).ok_or_else(|| unfit(tensor))?;
    let view = TensorRef::from_array_view((tensor.shape(), values)).map_err(|_| unfit(tensor))?;
    Ok(view.into())
}

fn texts(tensor: &Tensor) -> Result<SessionInputValue<'_>, Error> {
    let values = tensor_values::<String>(tensor).ok_or_else(|| unfit(tensor))?;
    // Its texts end at the first zero byte; the binding refuses one in the middle.
    let made = OrtTensor::from_string_array((tensor.shape(), values));
    Ok(made.map_err(|_| Error::Failed("at a text with a zero byte in it".to_owned()))?.into())
}

fn unfit(tensor: &Tensor) -> Error {
    Error::Input(format!("ONNX Runtime takes no tensor {:?} {:?}", tensor.datum_type(), tensor.shape()))
}

/// An output as a tensor of its own.
pub(super) fn taken(value: &DynValue) -> Result<Tensor, Error> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(unreadable(value));
    };
    match ty {
        TensorElementType::Bool => copied::<bool>(value),
        TensorElementType::Int8 => copied::<i8>(value),
        TensorElementType::Int16 => copied::<i16>(value),
        TensorElementType::Int32 => copied::<i32>(value),
        TensorElementType::Int64 => copied::<i64>(value),
        TensorElementType::Uint8 => copied::<u8>(value),
        TensorElementType::Uint16 => copied::<u16>(value),
        TensorElementType::Uint32 => copied::<u32>(value),
        TensorElementType::Uint64 => copied::<u64>(value),
        TensorElementType::Float16 => copied::<f16>(value),
        TensorElementType::Float32 => copied::<f32>(value),
        TensorElementType::Float64 => copied::<f64>(value),
        TensorElementType::String => {
            let (shape, texts) = value.try_extract_strings().map_err(|_| unreadable(value))?;
            Ok(tensor_from(&lengths(shape), texts))
        }
        _ => Err(unreadable(value)),
    }
}

fn copied<T: Number>(value: &DynValue) -> Result<Tensor, Error> {
    let (shape, values) = value.try_extract_tensor::<T>().map_err(|_| unreadable(value))?;
    Ok(tensor_from(&lengths(shape), values.to_vec()))
}

/// A number that both sides know under one type.
trait Number: PrimitiveTensorElementType + volley_onnx::Datum + Copy {}
impl<T: PrimitiveTensorElementType + volley_onnx::Datum + Copy> Number for T {}

fn lengths(shape: &Shape) -> Vec<usize> {
    shape.iter().map(|&length| length as usize).collect()
}

fn unreadable(value: &DynValue) -> Error {
    Error::Failed(format!("ONNX Runtime gives an output of the type {}", value.dtype()))
}
