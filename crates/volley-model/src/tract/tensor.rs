//! Feeds written into the tensors of a graph, a block of rows and a column at a time.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use half::f16;
use volley_onnx::{Tensor, tensor_from};

use super::decimal;
use super::feed::{Feed, unreadable};
use super::number::{self, Number};
use crate::bind::param_fill;
use crate::fill::Fill;
use crate::{Binding, Contract, Element, InputType, ModelError};

/// Bytes of a tensor that are written by all columns before the next: what stays in a near cache.
const BLOCK_BYTES: usize = 64 * 1024;

/// The graph's inputs in its order, `rows` rows each.
pub(super) fn tensors(
    contract: &Contract,
    binding: &Binding,
    feeds: &[Feed],
    rows: usize,
) -> Result<Vec<Tensor>, ModelError> {
    let tensor = |index: usize| match binding.params.iter().find(|param| param.graph_input == index) {
        Some(param) => constant(contract, param, rows),
        None => Filling::new(contract, feeds, index, rows).tensor(),
    };
    (0..contract.graph_inputs.len()).map(tensor).collect()
}

fn constant(contract: &Contract, param: &crate::BoundParam, rows: usize) -> Result<Tensor, ModelError> {
    let declared =
        contract.params.iter().find(|known| known.name == param.name).and_then(|known| known.declared.as_ref());
    let fills = declared
        .and_then(|declared| param_fill(declared, contract.graph_inputs[param.graph_input].element, &param.value))
        .ok_or_else(|| ModelError::Score(format!("parameter `{}` is not of its type", param.name)))?;
    let graph_input = &contract.graph_inputs[param.graph_input];
    let shape = shape(&graph_input.row, fills.len(), rows);
    Ok(match graph_input.element {
        Element::Bool => tensor_from(&shape, repeated(&fills, rows, |fill| *fill == Fill::Boolean(true))),
        Element::I8 => tensor_from(&shape, repeated(&fills, rows, i8::of_fill)),
        Element::I16 => tensor_from(&shape, repeated(&fills, rows, i16::of_fill)),
        Element::I32 => tensor_from(&shape, repeated(&fills, rows, i32::of_fill)),
        Element::I64 => tensor_from(&shape, repeated(&fills, rows, i64::of_fill)),
        Element::U8 => tensor_from(&shape, repeated(&fills, rows, u8::of_fill)),
        Element::U16 => tensor_from(&shape, repeated(&fills, rows, u16::of_fill)),
        Element::U32 => tensor_from(&shape, repeated(&fills, rows, u32::of_fill)),
        Element::U64 => tensor_from(&shape, repeated(&fills, rows, u64::of_fill)),
        Element::F16 => tensor_from(&shape, repeated(&fills, rows, |fill| number::half(f64::of_fill(fill)))),
        Element::F32 => tensor_from(&shape, repeated(&fills, rows, f32::of_fill)),
        Element::F64 => tensor_from(&shape, repeated(&fills, rows, f64::of_fill)),
        Element::String => tensor_from(&shape, repeated(&fills, rows, text)),
    })
}

/// The values of one row, for every row.
fn repeated<T: Clone>(fills: &[Fill], rows: usize, value: impl Fn(&Fill) -> T) -> Vec<T> {
    let row: Vec<_> = fills.iter().map(value).collect();
    std::iter::repeat_n(row, rows).flatten().collect()
}

pub(super) fn text(fill: &Fill) -> String {
    match fill {
        Fill::Text(text) => text.clone(),
        _ => String::new(),
    }
}

/// `[rows, …]`, with the one open dimension sized for `width` values a row.
fn shape(row: &[Option<usize>], width: usize, rows: usize) -> Vec<usize> {
    let known: usize = row.iter().flatten().product();
    let open = width.checked_div(known).unwrap_or(0);
    std::iter::once(rows).chain(row.iter().map(|dim| dim.unwrap_or(open))).collect()
}

/// One tensor and the feeds that fill it.
struct Filling<'a> {
    feeds: Vec<&'a Feed<'a>>,
    element: Element,
    shape: Vec<usize>,
    /// Values a row.
    width: usize,
    rows: usize,
}

impl<'a> Filling<'a> {
    fn new(contract: &Contract, feeds: &'a [Feed<'a>], tensor: usize, rows: usize) -> Self {
        let graph_input = &contract.graph_inputs[tensor];
        let feeds: Vec<_> = feeds.iter().filter(|feed| feed.tensor == tensor).collect();
        let width = feeds.iter().map(|feed| feed.width).sum();
        Self { feeds, element: graph_input.element, shape: shape(&graph_input.row, width, rows), width, rows }
    }

    fn tensor(&self) -> Result<Tensor, ModelError> {
        let known: usize = self.shape.iter().product();
        if known != self.rows * self.width {
            let label = self.feeds.first().map_or_else(String::new, |feed| feed.label());
            return Err(ModelError::Score(format!(
                "input {label} gives {} values a row, which the graph does not take",
                self.width
            )));
        }
        Ok(match self.element {
            Element::Bool => tensor_from(&self.shape, self.booleans()?),
            Element::I8 => tensor_from(&self.shape, self.numbers::<i8>()?),
            Element::I16 => tensor_from(&self.shape, self.numbers::<i16>()?),
            Element::I32 => tensor_from(&self.shape, self.numbers::<i32>()?),
            Element::I64 => tensor_from(&self.shape, self.numbers::<i64>()?),
            Element::U8 => tensor_from(&self.shape, self.numbers::<u8>()?),
            Element::U16 => tensor_from(&self.shape, self.numbers::<u16>()?),
            Element::U32 => tensor_from(&self.shape, self.numbers::<u32>()?),
            Element::U64 => tensor_from(&self.shape, self.numbers::<u64>()?),
            Element::F16 => {
                tensor_from(&self.shape, self.numbers::<f64>()?.into_iter().map(number::half).collect::<Vec<f16>>())
            }
            Element::F32 => tensor_from(&self.shape, self.numbers::<f32>()?),
            Element::F64 => tensor_from(&self.shape, self.numbers::<f64>()?),
            Element::String => tensor_from(&self.shape, self.strings()?),
        })
    }

    fn numbers<T: FromColumns>(&self) -> Result<Vec<T>, ModelError> {
        let mut tensor = vec![T::default(); self.rows * self.width];
        let columns: Vec<_> = self.feeds.iter().map(|feed| plain(feed, T::FLOATS)).collect::<Result<_, _>>()?;
        let block = (BLOCK_BYTES / size_of::<T>() / self.width.max(1)).max(64);
        for start in (0..self.rows).step_by(block) {
            let rows = start..self.rows.min(start + block);
            for (feed, column) in self.feeds.iter().zip(&columns) {
                let places = self.places(feed, &mut tensor, rows.clone());
                let values = rows.start * feed.width..rows.end * feed.width;
                if !write(column, values, places) {
                    return Err(unreadable(&feed.label(), column.data_type()));
                }
            }
        }
        self.fill_nulls(&mut tensor, T::of_fill);
        Ok(tensor)
    }

    fn booleans(&self) -> Result<Vec<bool>, ModelError> {
        let mut tensor = vec![false; self.rows * self.width];
        for feed in &self.feeds {
            if feed.values.data_type().is_null() {
                continue;
            }
            let column = feed.unpacked()?;
            let values = column.as_boolean_opt().ok_or_else(|| unreadable(&feed.label(), column.data_type()))?;
            let places = self.places(feed, &mut tensor, 0..self.rows);
            places.zip(values.values().iter()).for_each(|(place, value)| *place = value);
        }
        self.fill_nulls(&mut tensor, |fill| *fill == Fill::Boolean(true));
        Ok(tensor)
    }

    fn strings(&self) -> Result<Vec<String>, ModelError> {
        let mut tensor = vec![String::new(); self.rows * self.width];
        for feed in &self.feeds {
            let places = self.places(feed, &mut tensor, 0..self.rows);
            let column = feed.unpacked()?;
            match column.data_type() {
                DataType::Utf8 => copy(places, column.as_string::<i32>().iter()),
                DataType::LargeUtf8 => copy(places, column.as_string::<i64>().iter()),
                DataType::Utf8View => copy(places, column.as_string_view().iter()),
                DataType::Null => {}
                other => return Err(unreadable(&feed.label(), other)),
            }
        }
        self.fill_nulls(&mut tensor, text);
        Ok(tensor)
    }

    /// The places of a feed within some rows of the tensor, in the order of its values.
    fn places<'t, T>(&self, feed: &Feed, tensor: &'t mut [T], rows: Range<usize>) -> impl Iterator<Item = &'t mut T> {
        let block = &mut tensor[rows.start * self.width..rows.end * self.width];
        // A feed is one value a row or the whole row.
        let stride = if feed.width == 1 { self.width } else { 1 };
        block[feed.offset..].iter_mut().step_by(stride)
    }

    fn fill_nulls<T: Clone>(&self, tensor: &mut [T], value: impl Fn(&Fill) -> T) {
        for feed in &self.feeds {
            let (Some(fill), Some(nulls)) = (&feed.if_null, feed.values.logical_nulls()) else {
                continue;
            };
            if nulls.null_count() == 0 {
                continue;
            }
            let fill = value(fill);
            for index in (!nulls.inner()).set_indices() {
                let (row, nth) = (index / feed.width, index % feed.width);
                tensor[row * self.width + feed.offset + nth] = fill.clone();
            }
        }
    }
}

fn copy<'a, 't>(places: impl Iterator<Item = &'t mut String>, values: impl Iterator<Item = Option<&'a str>>) {
    for (place, value) in places.zip(values) {
        if let Some(value) = value {
            place.push_str(value);
        }
    }
}

/// How decimals become numbers of this type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Floats {
    Single,
    Double,
}

/// A number of a tensor that every number of a column converts to.
pub(super) trait FromColumns:
    Number
    + number::Of<i8>
    + number::Of<i16>
    + number::Of<i32>
    + number::Of<i64>
    + number::Of<u8>
    + number::Of<u16>
    + number::Of<u32>
    + number::Of<u64>
    + number::Of<f32>
    + number::Of<f64>
{
    const FLOATS: Floats = Floats::Double;
}

impl FromColumns for i8 {}
impl FromColumns for i16 {}
impl FromColumns for i32 {}
impl FromColumns for i64 {}
impl FromColumns for u8 {}
impl FromColumns for u16 {}
impl FromColumns for u32 {}
impl FromColumns for u64 {}
impl FromColumns for f64 {}
impl FromColumns for f32 {
    const FLOATS: Floats = Floats::Single;
}

/// A feed's column as booleans, plain integers or floats. What goes into doubles by way of a narrower float is
/// rounded to that first, as the declared type says.
pub(super) fn plain(feed: &Feed, floats: Floats) -> Result<ArrayRef, ModelError> {
    match (feed.declared(), floats) {
        (InputType::Float32, Floats::Double) => rounded::<f32>(feed, |single| single),
        (InputType::Float16, _) => rounded::<f64>(feed, |double| number::half(double).to_f32()),
        _ => primitive(feed, floats),
    }
}

fn rounded<T: FromColumns>(feed: &Feed, round: impl Fn(T) -> f32) -> Result<ArrayRef, ModelError> {
    let column = primitive(feed, T::FLOATS)?;
    let mut values = vec![T::default(); column.len()];
    if !write(&column, 0..column.len(), values.iter_mut()) {
        return Err(unreadable(&feed.label(), column.data_type()));
    }
    Ok(Arc::new(Float32Array::from_iter_values(values.into_iter().map(round))))
}

/// A feed's column as booleans, plain integers or floats; what is none of these is converted once.
fn primitive(feed: &Feed, floats: Floats) -> Result<ArrayRef, ModelError> {
    let column = &feed.unpacked()?;
    let decimals = match floats {
        Floats::Single => decimal::floats(column),
        Floats::Double => decimal::doubles(column),
    };
    match column.data_type() {
        _ if decimals.is_some() => Ok(decimals.unwrap_or_else(|| column.clone())),
        DataType::Float16 => {
            cast(column, &DataType::Float32).map_err(|_| unreadable(&feed.label(), column.data_type()))
        }
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => nanoseconds(feed, column),
        _ => Ok(column.clone()),
    }
}

/// Instants as nanoseconds since 1970; a date is its midnight, a time with a zone its instant in UTC.
fn nanoseconds(feed: &Feed, column: &ArrayRef) -> Result<ArrayRef, ModelError> {
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let strict = CastOptions { safe: false, ..Default::default() };
    cast_with_options(column, &DataType::Timestamp(TimeUnit::Nanosecond, zone), &strict)
        .and_then(|nanoseconds| cast(&nanoseconds, &DataType::Int64))
        .map_err(|_| ModelError::Score(format!("input {} has a time outside the years 1677 to 2262", feed.label())))
}

/// Writes a range of a column's values to their places; false if the column holds no numbers.
/// What lies under a NULL is written too: it is of the right type, and replaced afterwards.
pub(super) fn write<'t, T: FromColumns + 't>(
    column: &ArrayRef,
    values: Range<usize>,
    places: impl Iterator<Item = &'t mut T>,
) -> bool {
    match column.data_type() {
        DataType::Boolean => {
            let bits = column.as_boolean().values().slice(values.start, values.len());
            places.zip(bits.iter()).for_each(|(place, value)| *place = T::of_bool(value));
        }
        DataType::Int8 => write_all::<Int8Type, T>(column, values, places),
        DataType::Int16 => write_all::<Int16Type, T>(column, values, places),
        DataType::Int32 => write_all::<Int32Type, T>(column, values, places),
        DataType::Int64 => write_all::<Int64Type, T>(column, values, places),
        DataType::UInt8 => write_all::<UInt8Type, T>(column, values, places),
        DataType::UInt16 => write_all::<UInt16Type, T>(column, values, places),
        DataType::UInt32 => write_all::<UInt32Type, T>(column, values, places),
        DataType::UInt64 => write_all::<UInt64Type, T>(column, values, places),
        DataType::Float32 => write_all::<Float32Type, T>(column, values, places),
        DataType::Float64 => write_all::<Float64Type, T>(column, values, places),
        DataType::Null => {}
        _ => return false,
    }
    true
}

fn write_all<'t, S, T>(column: &ArrayRef, values: Range<usize>, places: impl Iterator<Item = &'t mut T>)
where
    S: ArrowPrimitiveType,
    T: number::Of<S::Native> + 't,
{
    let values = &column.as_primitive::<S>().values()[values];
    places.zip(values).for_each(|(place, value)| *place = T::of(*value));
}
