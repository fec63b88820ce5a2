//! Rows to `name=value/` folders.

use std::collections::HashMap;
use std::fmt::Write;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;

/// The folder of NULL, as in Hive and Spark.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The rows of a batch that go to one folder. Folders are numbered as they first come.
pub(super) struct Routed {
    pub(super) folder: usize,
    pub(super) rows: RecordBatch,
}

/// Sorts the rows of batches into folders by the values of the partition columns.
pub(super) struct Partitioner {
    names: Vec<String>,
    columns: Vec<usize>,
    rest: Vec<usize>,
    converter: RowConverter,
    known: HashMap<OwnedRow, usize>,
    folders: Vec<String>,
}

impl Partitioner {
    /// `columns` are the places of the partition columns in `schema`, outermost first.
    pub(super) fn new(schema: &Schema, columns: Vec<usize>) -> Result<Self> {
        let field = |index: &usize| schema.field(*index);
        let sort_fields = columns.iter().map(|index| SortField::new(field(index).data_type().clone())).collect();
        Ok(Self {
            names: columns.iter().map(|index| field(index).name().clone()).collect(),
            rest: (0..schema.fields().len()).filter(|index| !columns.contains(index)).collect(),
            converter: RowConverter::new(sort_fields)?,
            known: HashMap::new(),
            folders: vec![],
            columns,
        })
    }

    /// The path of a folder, `a=1/b=2`.
    pub(super) fn folder(&self, number: usize) -> &str {
        &self.folders[number]
    }

    /// The rows by folder, without the partition columns; rows of one folder keep their order.
    pub(super) fn route(&mut self, batch: &RecordBatch) -> Result<Vec<Routed>> {
        let values: Vec<ArrayRef> = self.columns.iter().map(|index| batch.column(*index).clone()).collect();
        let places = self.places(&values)?;
        let rest = batch.project(&self.rest)?;
        if let [(folder, _)] = places.as_slice() {
            return Ok(vec![Routed { folder: *folder, rows: rest }]);
        }
        let routed = places
            .into_iter()
            .map(|(folder, rows)| Ok(Routed { folder, rows: take_record_batch(&rest, &UInt32Array::from(rows))? }));
        routed.collect()
    }

    /// Row numbers by folder, in the order in which folders come.
    fn places(&mut self, values: &[ArrayRef]) -> Result<Vec<(usize, Vec<u32>)>> {
        let rows = self.converter.convert_columns(values)?;
        let mut places: Vec<(usize, Vec<u32>)> = vec![];
        let mut place_of: HashMap<usize, usize> = HashMap::new();
        for (number, row) in (0u32..).zip(rows.iter()) {
            let row = row.owned();
            let folder = match self.known.get(&row) {
                Some(folder) => *folder,
                None => self.learn(row, values, number as usize)?,
            };
            let place = *place_of.entry(folder).or_insert_with(|| {
                places.push((folder, vec![]));
                places.len() - 1
            });
            places[place].1.push(number);
        }
        Ok(places)
    }

    fn learn(&mut self, key: OwnedRow, values: &[ArrayRef], row: usize) -> Result<usize> {
        let mut path = String::new();
        for (name, value) in self.names.iter().zip(values) {
            let text = cast(&value.slice(row, 1), &DataType::Utf8)?;
            let text = (!text.is_null(0)).then(|| text.as_string::<i32>().value(0));
            let separator = if path.is_empty() { "" } else { "/" };
            write!(path, "{separator}{name}={}", text.map_or(NULL_VALUE.to_owned(), escaped))
                .expect("a String takes all");
        }
        self.folders.push(path);
        self.known.insert(key, self.folders.len() - 1);
        Ok(self.folders.len() - 1)
    }
}

/// Percent-encodes what DataFusion expects encoded, and no more: it looks for a folder by the spelling
/// that it would choose itself, and would miss rows under any other.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_control() || !byte.is_ascii() || b" %/?#".contains(&byte) {
            write!(escaped, "%{byte:02X}").expect("a String takes all");
        } else {
            escaped.push(char::from(byte));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, StringArray};
    use datafusion::arrow::datatypes::Field;

    use super::*;

    fn batch(regions: Vec<Option<&str>>, days: Vec<i64>) -> RecordBatch {
        let x = Int64Array::from_iter_values(0..days.len() as i64);
        let columns: [(&str, ArrayRef, bool); 3] = [
            ("region", Arc::new(StringArray::from(regions)), true),
            ("x", Arc::new(x), true),
            ("day", Arc::new(Int64Array::from(days)), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
    }

    #[test]
    fn rows_go_to_the_folders_of_their_values_in_order() {
        let batch = batch(vec![Some("a b"), None, Some("a b"), Some("é/1")], vec![1, 1, 1, 2]);
        let mut partitioner = Partitioner::new(&batch.schema(), vec![2, 0]).expect("a partitioner");
        let routed = partitioner.route(&batch).expect("routed");
        let seen: Vec<_> = routed
            .iter()
            .map(|routed| {
                let x = routed.rows.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>();
                (partitioner.folder(routed.folder), x.values().to_vec())
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("day=1/region=a%20b", vec![0, 2]),
                ("day=1/region=__HIVE_DEFAULT_PARTITION__", vec![1]),
                ("day=2/region=%C3%A9%2F1", vec![3]),
            ]
        );
        assert_eq!(routed[0].rows.schema().fields(), &[Arc::new(Field::new("x", DataType::Int64, true))].into());
    }
}
