//! A checksum over rows that does not depend on their order, nor on how they lie in memory.
//!
//! Each row becomes 64 bits, and both the sums of these and of a second mixing of them are kept: rows that are
//! lost, doubled or changed give another sum, however they came. The numbers are ours alone, so that a later
//! version or another processor arrives at the same ones. It guards against accidents, not against forgery.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

// Odd, with about as many ones as zeros.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const NULL: u64 = 0xC2B2_AE3D_27D4_EB4F;
const STEP: u64 = 0xD6E8_FEB8_6659_FD93;
const SECOND: u64 = 0xA076_1D64_78BD_642F;

/// The checksum of the rows that were added so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowSum {
    first: u64,
    second: u64,
}

impl RowSum {
    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut rows = vec![SEED; batch.num_rows()];
        for column in batch.columns() {
            rows.iter_mut().zip(values(column)?).for_each(|(row, value)| *row = fold(*row, value));
        }
        for row in rows {
            self.first = self.first.wrapping_add(mix(row));
            self.second = self.second.wrapping_add(mix(row ^ SECOND));
        }
        Ok(())
    }

    /// As it is written into receipts; the number changes with the way of adding up.
    pub(crate) fn text(&self) -> String {
        format!("1:{:016x}{:016x}", self.first, self.second)
    }
}

/// Takes a value in, so that the order in which values come matters.
fn fold(state: u64, value: u64) -> u64 {
    let product = u128::from(state.rotate_left(29) ^ value) * u128::from(STEP);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit changes half of the others.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Any number of bytes as 64 bits.
fn of_bytes(bytes: &[u8]) -> u64 {
    let mut state = fold(SEED, bytes.len() as u64);
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        state = fold(state, u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(fold(state, u64::from_le_bytes(rest)))
}

/// Each value of a column as 64 bits.
fn values(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let mut values = match column.data_type() {
        DataType::Null => vec![NULL; column.len()],
        DataType::Boolean => column.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Utf8 => column.as_string::<i32>().iter().map(of_text).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(of_text).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(of_text).collect(),
        DataType::Binary => column.as_binary::<i32>().iter().map(of_optional).collect(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().map(of_optional).collect(),
        DataType::BinaryView => column.as_binary_view().iter().map(of_optional).collect(),
        DataType::FixedSizeBinary(_) => column.as_fixed_size_binary().iter().map(of_optional).collect(),
        DataType::Struct(_) => of_structs(column)?,
        DataType::List(_) => of_lists(column.as_list::<i32>().value_offsets(), column.as_list::<i32>().values())?,
        DataType::LargeList(_) => of_lists(column.as_list::<i64>().value_offsets(), column.as_list::<i64>().values())?,
        DataType::Map(_, _) => {
            let entries: ArrayRef = Arc::new(column.as_map().entries().clone());
            of_lists(column.as_map().value_offsets(), &entries)?
        }
        DataType::FixedSizeList(_, size) => {
            let list = column.as_fixed_size_list();
            let first = list.value_offset(0);
            let offsets: Vec<i32> = (0..=column.len() as i32).map(|row| first + row * size).collect();
            of_lists(&offsets, list.values())?
        }
        DataType::Dictionary(_, _) => of_dictionary(column)?,
        fixed if fixed.primitive_width().is_some() => of_fixed(column, fixed.primitive_width().unwrap_or(8)),
        _ => return of_others(column),
    };
    if let Some(nulls) = column.logical_nulls() {
        values.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid).for_each(|(value, _)| *value = NULL);
    }
    Ok(values)
}

fn of_text(text: Option<&str>) -> u64 {
    of_optional(text.map(str::as_bytes))
}

fn of_optional(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(NULL, of_bytes)
}

/// Numbers, dates, times and decimals, by their bits.
fn of_fixed(column: &ArrayRef, width: usize) -> Vec<u64> {
    let data = column.to_data();
    let bytes = &data.buffers()[0].as_slice()[data.offset() * width..(data.offset() + data.len()) * width];
    match width {
        8 => bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect(),
        // Most columns are of this width or the one above: without a loop over the bytes of each value.
        4 => {
            bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")).into()).collect()
        }
        1 | 2 => {
            let widened = |word: &[u8]| word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            bytes.chunks_exact(width).map(widened).collect()
        }
        _ => bytes.chunks_exact(width).map(of_bytes).collect(),
    }
}

fn of_structs(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let mut rows = vec![SEED; column.len()];
    for field in column.as_struct().columns() {
        rows.iter_mut().zip(values(field)?).for_each(|(row, value)| *row = fold(*row, value));
    }
    Ok(rows)
}

fn of_lists<O: Copy + TryInto<usize>>(offsets: &[O], items: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let at = |offset: O| offset.try_into().unwrap_or(usize::MAX);
    let (first, last) = (at(offsets[0]), at(offsets[offsets.len() - 1]));
    let items = values(&items.slice(first, last - first))?;
    let list = |ends: &[O]| {
        let items = &items[at(ends[0]) - first..at(ends[1]) - first];
        items.iter().fold(fold(SEED, items.len() as u64), |state, item| fold(state, *item))
    };
    Ok(offsets.windows(2).map(list).collect())
}

fn of_dictionary(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let dictionary = column.as_any_dictionary();
    let of_values = values(dictionary.values())?;
    // Without values every key is NULL, and what these become is settled by the caller.
    match of_values.is_empty() {
        true => Ok(vec![NULL; column.len()]),
        false => Ok(dictionary.normalized_keys().into_iter().map(|key| of_values[key]).collect()),
    }
}

/// What has no other form here: as its plain counterpart, or as users would read it.
fn of_others(column: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let plain = match column.data_type() {
        DataType::RunEndEncoded(_, field) => field.data_type().clone(),
        DataType::ListView(item) => DataType::List(item.clone()),
        DataType::LargeListView(item) => DataType::LargeList(item.clone()),
        _ => DataType::Utf8,
    };
    values(&cast(column, &plain)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        DictionaryArray, Float64Array, Int32Array, Int64Array, ListArray, StringArray, StringViewArray, StructArray,
    };
    use datafusion::arrow::compute::{concat_batches, take_record_batch};
    use datafusion::arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn rows() -> RecordBatch {
        let ids = Int64Array::from_iter((0..100).map(|n| (n % 7 != 3).then_some(n % 13)));
        let names = StringArray::from_iter((0..100).map(|n| (n % 5 != 0).then(|| "x".repeat(n % 19))));
        let list = |n: i32| (n % 4 != 0).then(|| (0..n % 3).map(Some).collect::<Vec<_>>());
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>((0..100).map(list));
        let inner = Arc::new(Float64Array::from_iter_values((0..100).map(f64::from))) as ArrayRef;
        let structs = StructArray::from(vec![(Arc::new(Field::new("f", DataType::Float64, true)), inner)]);
        let columns: [(&str, ArrayRef, bool); 4] = [
            ("id", Arc::new(ids), true),
            ("name", Arc::new(names), true),
            ("list", Arc::new(lists), true),
            ("struct", Arc::new(structs), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
    }

    fn sum(batches: &[RecordBatch]) -> RowSum {
        let mut sum = RowSum::default();
        batches.iter().for_each(|batch| sum.add(batch).expect("added"));
        sum
    }

    #[test]
    fn neither_order_nor_batches_matter() {
        let rows = rows();
        let places = Int32Array::from_iter_values((0..100).map(|n| n * 37 % 100));
        let moved = take_record_batch(&rows, &places).expect("moved");
        assert_eq!(sum(&[moved]), sum(&[rows.clone()]));
        assert_eq!(sum(&[rows.slice(61, 39), rows.slice(0, 61)]), sum(&[rows]));
    }

    #[test]
    fn a_row_that_is_lost_doubled_or_changed_matters() {
        let rows = rows();
        let whole = sum(&[rows.clone()]);
        let doubled = concat_batches(&rows.schema(), [&rows.slice(0, 99), &rows.slice(50, 1)]).expect("doubled");
        assert_ne!(sum(&[doubled]), whole);
        assert_ne!(sum(&[rows.slice(0, 99)]), whole);
        for column in 0..4 {
            let mut columns = rows.columns().to_vec();
            let places = Int32Array::from_iter_values((0..100).map(|n| if n == 98 { 1 } else { n }));
            columns[column] = datafusion::arrow::compute::take(&columns[column], &places, None).expect("changed");
            assert_ne!(sum(&[RecordBatch::try_new(rows.schema(), columns).expect("a batch")]), whole, "{column}");
        }
    }

    #[test]
    fn values_that_change_places_matter() {
        let of = |a: Vec<i64>, b: Vec<i64>| {
            let columns: [(&str, ArrayRef); 2] =
                [("a", Arc::new(Int64Array::from(a))), ("b", Arc::new(Int64Array::from(b)))];
            sum(&[RecordBatch::try_from_iter(columns).expect("a batch")])
        };
        assert_ne!(of(vec![1, 2], vec![3, 4]), of(vec![1, 2], vec![4, 3]), "between rows");
        assert_ne!(of(vec![1, 2], vec![3, 4]), of(vec![3, 2], vec![1, 4]), "between columns");
        assert_ne!(of(vec![1, 4], vec![0, 0]), of(vec![2, 3], vec![0, 0]), "with equal sums");
    }

    #[test]
    fn how_texts_lie_in_memory_does_not_matter() {
        let texts = ["a", "bb", "a", "a text of more than twelve bytes"];
        let of = |column: ArrayRef| sum(&[RecordBatch::try_from_iter([("t", column)]).expect("a batch")]);
        let plain = of(Arc::new(StringArray::from_iter_values(texts)));
        assert_eq!(of(Arc::new(StringViewArray::from_iter_values(texts))), plain);
        assert_eq!(of(Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>())), plain);
    }

    #[test]
    fn the_sum_is_the_same_for_ever() {
        let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef)]);
        let text = sum(&[batch.expect("a batch")]).text();
        // Worked out apart from this code.
        assert_eq!(text, "1:af37fb73ac233d5c6e440fea2d34eabb");
    }
}
