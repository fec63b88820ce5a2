//! Where a row came from: two hidden columns that a plan may carry from its scans to the nodes that score.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, UInt16Type};

/// How many columns a location takes, always the last ones.
pub const LOCATION_COLUMNS: usize = 2;

const FILE: &str = "__volley_file";
const ROW: &str = "__volley_row";

/// The columns: the file as people spell it, NULL where rows are not counted by files; and the row's number from 0 in
/// that file, or without one among all rows that its split reads.
pub fn location_fields() -> [FieldRef; LOCATION_COLUMNS] {
    // One text a file and a small key a row: a batch mostly comes from one file.
    let file = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    [Arc::new(Field::new(FILE, file, true)), Arc::new(Field::new(ROW, DataType::Int64, true))]
}

/// Whether the last columns of a schema are its rows' locations.
pub fn carries_locations(schema: &Schema) -> bool {
    let names = schema.fields().iter().rev().map(|field| field.name().as_str());
    names.take(LOCATION_COLUMNS).eq([ROW, FILE])
}

/// How many columns a schema has without the locations of its rows.
pub(crate) fn width(schema: &Schema) -> usize {
    schema.fields().len() - if carries_locations(schema) { LOCATION_COLUMNS } else { 0 }
}

/// Where one row came from, as far as its plan knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowLocation {
    pub(crate) file: Option<String>,
    pub(crate) row: Option<i64>,
}

impl RowLocation {
    pub(crate) fn of(batch: &RecordBatch, row: usize) -> Self {
        if !carries_locations(&batch.schema()) {
            return Self::default();
        }
        let [file, number] = [1, 2].map(|nth| batch.column(width(&batch.schema()) + nth - 1));
        let file = file.as_dictionary::<UInt16Type>();
        let name = file.key(row).map(|key| file.values().as_string::<i32>().value(key).to_owned());
        let numbers = number.as_primitive::<Int64Type>();
        Self { file: name, row: numbers.is_valid(row).then(|| numbers.value(row)) }
    }

    /// For messages. `of_batch` is the row's place in its batch, the last resort.
    pub(crate) fn told(&self, split: Option<u32>, of_batch: usize) -> String {
        match (&self.file, self.row, split) {
            (Some(file), Some(row), _) => format!("row {row} (from 0) of '{file}'"),
            (None, Some(row), Some(split)) => format!("row {row} (from 0) of split {split}"),
            (_, _, Some(split)) => format!("a row of split {split}"),
            (_, _, None) => format!("row {of_batch} of the batch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, DictionaryArray, Int64Array};

    use super::*;

    #[test]
    fn a_row_is_told_by_its_file_else_by_its_split_else_by_its_batch() {
        let files: DictionaryArray<UInt16Type> = [Some("/in/a.parquet"), None, None].into_iter().collect();
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(vec![7; 3])),
            Arc::new(files),
            Arc::new(Int64Array::from(vec![Some(3), Some(4), None])),
        ];
        let [file, row] = location_fields();
        let schema = Schema::new(vec![Arc::new(Field::new("n", DataType::Int64, true)), file, row]);
        let batch = RecordBatch::try_new(Arc::new(schema), columns.to_vec()).expect("a batch");
        let told = |row, split| RowLocation::of(&batch, row).told(split, row);
        assert_eq!(told(0, Some(5)), "row 3 (from 0) of '/in/a.parquet'");
        assert_eq!(told(1, Some(5)), "row 4 (from 0) of split 5");
        assert_eq!(told(2, Some(5)), "a row of split 5");
        assert_eq!(told(2, None), "row 2 of the batch");
        let bare = RowLocation::of(&batch.project(&[0]).expect("a column"), 0);
        assert_eq!(bare, RowLocation::default());
    }
}
