//! Feeds as the rows of a batch, read column by column without tensors in between.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, StringArrayType};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int64Type};
use volley_onnx::{Place, Rows, Words};

use super::feed::Feed;
use super::tensor::{Floats, FromColumns, plain, text, write};
use crate::fill::Fill;
use crate::{Binding, Contract, Element};

/// The values of some feeds, by where they go.
#[derive(Debug)]
pub(super) struct Table {
    /// By input of the graph and place in a row of it.
    inputs: Vec<Vec<Held>>,
    rows: usize,
}

/// A column of numbers that can be read as they are, or of texts.
#[derive(Debug)]
struct Held {
    column: ArrayRef,
    /// Where it has a NULL, and what stands there.
    nulls: Option<(NullBuffer, Fill)>,
}

impl Table {
    /// `None` where something is not one value for each place of a row, or cannot be read: tensors are made of that, or
    /// what is wrong is found.
    pub(super) fn new(contract: &Contract, binding: &Binding, feeds: &[Feed], rows: usize) -> Option<Table> {
        if !binding.params.is_empty() {
            return None;
        }
        let mut inputs: Vec<Vec<Held>> = contract.graph_inputs.iter().map(|_| Vec::new()).collect();
        let mut feeds: Vec<&Feed> = feeds.iter().collect();
        feeds.sort_by_key(|feed| (feed.tensor, feed.offset));
        for feed in feeds {
            let input = inputs.get_mut(feed.tensor)?;
            if feed.width != 1 || feed.offset != input.len() {
                return None;
            }
            input.push(Held::new(feed, contract.graph_inputs[feed.tensor].element)?);
        }
        let widths = inputs.iter().map(Vec::len).zip(&contract.graph_inputs);
        let known = |row: &[Option<usize>]| row.iter().map(|dim| dim.unwrap_or(0)).product::<usize>();
        let fits = { widths }.all(|(width, input)| width == known(&input.row));
        fits.then_some(Table { inputs, rows })
    }

    fn held(&self, place: Place) -> &Held {
        &self.inputs[place.input][place.at]
    }
}

impl Held {
    fn new(feed: &Feed, element: Element) -> Option<Held> {
        let column = match element {
            Element::F32 => plain(feed, Floats::Single).ok()?,
            Element::F16 | Element::U64 => return None,
            Element::String => feed.values.clone(),
            Element::Bool => feed.unpacked().ok()?,
            _ => plain(feed, Floats::Double).ok()?,
        };
        let readable = match element {
            Element::String => is_text(column.data_type()),
            Element::Bool => matches!(column.data_type(), DataType::Boolean | DataType::Null),
            _ => {
                column.data_type().is_null()
                    || column.data_type().is_numeric()
                    || *column.data_type() == DataType::Boolean
            }
        };
        let nulls = feed.values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        // Rows with a NULL that has nothing in its place are not among those that are scored.
        let nulls = nulls.zip(feed.if_null.clone());
        readable.then_some(Held { column, nulls })
    }

    /// The values where they are of this type already.
    fn lent<T: ArrowPrimitiveType>(&self, rows: Range<usize>) -> Option<&[T::Native]> {
        let values = self.column.as_primitive_opt::<T>().filter(|_| self.nulls.is_none())?;
        Some(&values.values()[rows])
    }

    fn write<T: FromColumns>(&self, rows: Range<usize>, values: &mut [T]) {
        write(&self.column, rows.clone(), values.iter_mut());
        if let Some((nulls, fill)) = &self.nulls {
            let fill = T::of_fill(fill);
            let nulls = nulls.inner().slice(rows.start, rows.len());
            values.iter_mut().zip(&nulls).filter(|(_, valid)| !valid).for_each(|(value, _)| *value = fill);
        }
    }

    fn codes(&self, words: &Words) -> Vec<u32> {
        let null = words.code(&self.nulls.as_ref().map_or_else(String::new, |(_, fill)| text(fill)));
        codes(&self.column, words, null)
    }
}

fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The code of each text, and `null` where there is none.
fn codes(column: &ArrayRef, words: &Words, null: u32) -> Vec<u32> {
    match column.data_type() {
        DataType::Utf8 => codes_of(column.as_string::<i32>(), words, null),
        DataType::LargeUtf8 => codes_of(column.as_string::<i64>(), words, null),
        DataType::Utf8View => codes_of(column.as_string_view(), words, null),
        DataType::Dictionary(_, _) => codes_by_dictionary(column, words, null),
        _ => vec![null; column.len()],
    }
}

fn codes_of<'a>(texts: impl StringArrayType<'a>, words: &Words, null: u32) -> Vec<u32> {
    if texts.null_count() == 0 {
        return (0..texts.len()).map(|row| words.code(texts.value(row))).collect();
    }
    texts.iter().map(|text| text.map_or(null, |text| words.code(text))).collect()
}

/// Each text of the dictionary is looked up once, unless it has more than there are rows.
fn codes_by_dictionary(column: &ArrayRef, words: &Words, null: u32) -> Vec<u32> {
    let dictionary = column.as_any_dictionary();
    let values = dictionary.values();
    if values.is_empty() {
        return vec![null; column.len()];
    }
    if values.len() > column.len()
        && let Ok(texts) = cast(column, values.data_type())
    {
        return codes(&texts, words, null);
    }
    let known = codes(values, words, null);
    let codes = dictionary.normalized_keys().into_iter().map(|key| known[key]);
    match dictionary.nulls() {
        Some(nulls) => codes.zip(nulls).map(|(code, valid)| if valid { code } else { null }).collect(),
        None => codes.collect(),
    }
}

impl Rows for Table {
    fn count(&self) -> usize {
        self.rows
    }

    fn singles(&self, place: Place, rows: Range<usize>, values: &mut [f32]) -> Option<&[f32]> {
        let held = self.held(place);
        held.lent::<Float32Type>(rows.clone()).or_else(|| {
            held.write(rows, values);
            None
        })
    }

    fn doubles(&self, place: Place, rows: Range<usize>, values: &mut [f64]) -> Option<&[f64]> {
        let held = self.held(place);
        held.lent::<Float64Type>(rows.clone()).or_else(|| {
            held.write(rows, values);
            None
        })
    }

    fn longs(&self, place: Place, rows: Range<usize>, values: &mut [i64]) -> Option<&[i64]> {
        let held = self.held(place);
        held.lent::<Int64Type>(rows.clone()).or_else(|| {
            held.write(rows, values);
            None
        })
    }

    fn codes(&self, place: Place, words: &Words) -> Vec<u32> {
        self.held(place).codes(words)
    }
}
