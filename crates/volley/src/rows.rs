//! Rows on standard output: as a table, as CSV, or as JSON lines.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::LineDelimited;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;
use futures::{Stream, TryStreamExt};
use volley_engine::{EngineError, Rows};

use crate::report::Failure;

/// Rows that a table is laid out over: its widths need all of them in memory, and a long result has no end.
const TABLE_ROWS: usize = 10_000;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; a long result is several tables
    Table,
    /// With a heading; a struct becomes a column for each of its fields
    Csv,
    /// One JSON object a row
    Json,
}

/// Prints all rows as they come, and says how many there were.
pub async fn print(rows: Rows, format: Format) -> Result<u64, Failure> {
    let Rows { schema, stream } = rows;
    print_batches(schema, stream.map_err(|error| EngineError::from(error).into()), format).await
}

/// The same for batches from wherever they come.
pub async fn print_batches(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Failure>>,
    format: Format,
) -> Result<u64, Failure> {
    let mut batches = std::pin::pin!(batches);
    if format == Format::Json {
        check_names(&schema)?;
    }
    let mut out = BufWriter::new(io::stdout());
    let mut printer = Printer { format, schema, waiting: vec![], is_first: true };
    let mut count = 0;
    while let Some(batch) = batches.try_next().await? {
        count += batch.num_rows() as u64;
        out.write_all(&printer.add(batch).map_err(unprintable)?)?;
    }
    out.write_all(&printer.rest().map_err(unprintable)?)?;
    out.flush()?;
    Ok(count)
}

/// An object has each name once: programs that read it would see the last of several columns alone.
fn check_names(schema: &SchemaRef) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(twice) => {
            let message =
                format!("JSON cannot hold two columns called `{}`: give one another name with AS", twice.name());
            Err(Failure::new("unsupported_columns", message))
        }
    }
}

fn unprintable(error: ArrowError) -> Failure {
    Failure::new("output_failed", format!("the rows cannot be printed: {error}"))
}

/// Turns batches into text.
struct Printer {
    format: Format,
    schema: SchemaRef,
    /// Rows of a table that is not laid out yet.
    waiting: Vec<RecordBatch>,
    /// Whether nothing has been printed yet.
    is_first: bool,
}

impl Printer {
    /// The text of a batch, or nothing yet.
    fn add(&mut self, batch: RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.waiting.push(batch);
        let enough = match self.format {
            Format::Table => self.waiting.iter().map(RecordBatch::num_rows).sum::<usize>() >= TABLE_ROWS,
            Format::Csv | Format::Json => true,
        };
        if enough { self.text() } else { Ok(vec![]) }
    }

    /// The text of what still waits; a result without rows has its heading.
    fn rest(mut self) -> Result<Vec<u8>, ArrowError> {
        if self.is_first && self.waiting.is_empty() {
            self.waiting.push(RecordBatch::new_empty(self.schema.clone()));
        }
        self.text()
    }

    fn text(&mut self) -> Result<Vec<u8>, ArrowError> {
        let batches = std::mem::take(&mut self.waiting);
        let is_first = std::mem::take(&mut self.is_first);
        match self.format {
            _ if batches.is_empty() => Ok(vec![]),
            Format::Table if is_plan(&self.schema) => plan(&batches),
            Format::Table => table(&batches),
            Format::Csv => csv(&batches, is_first),
            Format::Json => json(&batches),
        }
    }
}

fn table(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    Ok(format!("{}\n", pretty_format_batches_with_options(batches, &options)?).into_bytes())
}

/// Whether the rows are those of EXPLAIN: a kind, and a text of many lines and any width.
fn is_plan(schema: &SchemaRef) -> bool {
    schema.fields().iter().map(|field| field.name().as_str()).eq(["plan_type", "plan"])
}

/// Plans as they are, each under its kind: a box around them would be as wide as their longest line.
fn plan(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let options = FormatOptions::default();
    let mut text = String::new();
    for batch in batches {
        let kinds = ArrayFormatter::try_new(batch.column(0).as_ref(), &options)?;
        let plans = ArrayFormatter::try_new(batch.column(1).as_ref(), &options)?;
        for row in 0..batch.num_rows() {
            text += &format!("{}\n", kinds.value(row));
            plans.value(row).to_string().trim_end().lines().for_each(|line| text += &format!("  {line}\n"));
        }
    }
    Ok(text.into_bytes())
}

fn csv(batches: &[RecordBatch], heading: bool) -> Result<Vec<u8>, ArrowError> {
    let mut text = vec![];
    let mut writer = arrow::csv::WriterBuilder::new().with_header(heading).build(&mut text);
    batches.iter().try_for_each(|batch| writer.write(&flat(batch)?))?;
    drop(writer);
    Ok(text)
}

fn json(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let mut text = vec![];
    let mut writer = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    drop(writer);
    Ok(text)
}

/// The same rows without structs and lists: a field of a struct is a column of its own, `prediction_label`
/// for `prediction['label']`, and a list is its text.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut columns = vec![];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        flatten(field.name(), column, None, &mut columns)?;
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
}

fn flatten(
    name: &str,
    column: &ArrayRef,
    parent: Option<&NullBuffer>,
    flat: &mut Vec<(String, ArrayRef)>,
) -> Result<(), ArrowError> {
    let nulls = NullBuffer::union(parent, column.logical_nulls().as_ref());
    if let Some(fields) = column.as_struct_opt() {
        for (field, child) in fields.fields().iter().zip(fields.columns()) {
            flatten(&format!("{name}_{}", field.name()), child, nulls.as_ref(), flat)?;
        }
        return Ok(());
    }
    let column = if parent.is_some() { with_nulls(column, nulls)? } else { column.clone() };
    let column = if column.data_type().is_nested() { texts(&column)? } else { column };
    flat.push((name.to_string(), column));
    Ok(())
}

fn with_nulls(column: &ArrayRef, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    // A column of type Null has no mask: it is NULL everywhere.
    if column.data_type() == &DataType::Null {
        return Ok(column.clone());
    }
    Ok(make_array(column.to_data().into_builder().nulls(nulls).build()?))
}

fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = |row| column.is_valid(row).then(|| formatter.value(row).to_string());
    Ok(Arc::new((0..column.len()).map(text).collect::<arrow::array::StringArray>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::Float32Type;

    use arrow::datatypes::Field;

    use super::*;

    fn batch() -> RecordBatch {
        let labels: ArrayRef = Arc::new(StringArray::from(vec![Some("late"), None]));
        let scores: ArrayRef = Arc::new(Float32Array::from(vec![Some(0.5), None]));
        let field = |name, column: &ArrayRef| Arc::new(Field::new(name, column.data_type().clone(), true));
        let prediction = StructArray::try_new(
            vec![field("label", &labels), field("score", &scores)].into(),
            vec![labels, scores],
            Some(vec![true, false].into()),
        )
        .unwrap();
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(0.25), None]), None]);
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef, true),
            ("prediction", Arc::new(prediction), true),
            ("list", Arc::new(lists), true),
        ])
        .unwrap()
    }

    fn printed(format: Format, batches: &[RecordBatch]) -> String {
        let mut printer = Printer { format, schema: batch().schema(), waiting: vec![], is_first: true };
        let mut text: Vec<u8> = batches.iter().flat_map(|batch| printer.add(batch.clone()).unwrap()).collect();
        text.extend(printer.rest().unwrap());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn csv_has_a_column_for_each_field_of_a_struct() {
        let expected = "id,prediction_label,prediction_score,list\n1,late,0.5,\"[0.25, NULL]\"\n2,,,\n";
        assert_eq!(printed(Format::Csv, &[batch()]), expected);
    }

    #[test]
    fn csv_has_one_heading_however_the_rows_come() {
        assert_eq!(printed(Format::Csv, &[batch(), batch()]).matches("prediction_label").count(), 1);
        assert_eq!(printed(Format::Csv, &[]), "id,prediction_label,prediction_score,list\n");
    }

    #[test]
    fn json_says_null_where_there_is_none() {
        let lines = printed(Format::Json, &[batch()]);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.ends_with("{\"id\":2,\"prediction\":null,\"list\":null}\n"), "{lines}");
    }

    #[test]
    fn json_refuses_two_columns_of_one_name() {
        let schema = |names: [&str; 2]| {
            Arc::new(arrow::datatypes::Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec()))
        };
        assert!(check_names(&schema(["a", "A"])).is_ok());
        let told = check_names(&schema(["a", "a"])).unwrap_err().text();
        assert!(told.contains("`a`") && told.ends_with("[unsupported_columns]\n"), "{told}");
    }

    #[test]
    fn a_table_without_rows_still_has_its_heading() {
        let table = printed(Format::Table, &[]);
        assert!(table.contains("prediction"), "{table}");
        assert_eq!(table.lines().count(), 4, "{table}");
    }

    #[test]
    fn a_long_result_is_several_tables() {
        let tables = printed(Format::Table, &vec![batch(); TABLE_ROWS]);
        assert_eq!(tables.matches("prediction").count(), 2);
        assert_eq!(tables.matches("late").count(), TABLE_ROWS);
    }
}
