//! Which columns go into files and which become folders, and what each format makes of them.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowSchemaConverter;
use object_store::path::PathPart;

use crate::error::{ConnectError, Result};
use crate::format::Format;
use crate::write::WriteTarget;

/// Refuses columns that the target cannot hold.
pub(crate) fn check_columns(schema: &Schema, target: &WriteTarget) -> Result<()> {
    if let Some(name) = duplicate(schema.fields().iter().map(|field| field.name().as_str())) {
        return Err(refused(format!("the result has two columns '{name}': give one another name with AS")));
    }
    let folders = partition_columns(schema, &target.partition_by)?;
    let fields = (0..schema.fields().len()).filter(|index| !folders.contains(index));
    let fields: Vec<FieldRef> = fields.map(|index| schema.fields()[index].clone()).collect();
    if fields.is_empty() {
        return Err(refused("PARTITIONED BY takes every column, and none is left for the files".to_owned()));
    }
    match target.format {
        Format::Csv => check_csv(&fields),
        Format::Parquet => check_parquet(fields),
        Format::Json | Format::Arrow => Ok(()),
    }
}

/// A name that occurs twice would hide one of its columns.
fn duplicate<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn refused(message: String) -> ConnectError {
    ConnectError::UnsupportedColumns { message }
}

/// The places of the partition columns, outermost first.
pub(super) fn partition_columns(schema: &Schema, names: &[String]) -> Result<Vec<usize>> {
    if let Some(name) = duplicate(names.iter().map(String::as_str)) {
        return Err(refused(format!("PARTITIONED BY names column '{name}' twice")));
    }
    names.iter().map(|name| partition_column(schema, name)).collect()
}

fn partition_column(schema: &Schema, name: &str) -> Result<usize> {
    let (index, field) = schema.fields().find(name).ok_or_else(|| {
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        refused(format!("PARTITIONED BY names column '{name}', the result has '{}'", columns.join("', '")))
    })?;
    if field.data_type().is_nested() {
        return Err(refused(format!("column '{name}' cannot name folders: it is a {}", field.data_type())));
    }
    // Readers of such folders hide names that start so, take them apart differently, or look for them under
    // another spelling.
    let unfit = name.starts_with(['_', '.']) || name.contains('=') || PathPart::from(name).as_ref() != name;
    if unfit || name.is_empty() {
        return Err(refused(format!("column '{name}' cannot name folders: give it another name with AS")));
    }
    Ok(index)
}

fn check_csv(fields: &[FieldRef]) -> Result<()> {
    let mut flat = vec![];
    for field in fields {
        flatten_field(field.name(), field, &mut flat)?;
    }
    match duplicate(flat.iter().map(|field| field.name().as_str())) {
        None => Ok(()),
        Some(name) => Err(refused(format!(
            "CSV would have two columns '{name}', one of them out of a struct: give one another name with AS"
        ))),
    }
}

fn flatten_field(name: &str, field: &Field, flat: &mut Vec<FieldRef>) -> Result<()> {
    match field.data_type() {
        DataType::Struct(children) => {
            for child in children {
                flatten_field(&format!("{name}_{}", child.name()), child, flat)?;
            }
            Ok(())
        }
        nested if nested.is_nested() => Err(refused(format!(
            "column '{name}' is a {nested}, which CSV cannot hold: take its elements as columns, or write Parquet or JSON"
        ))),
        plain => {
            flat.push(Arc::new(Field::new(name, plain.clone(), true)));
            Ok(())
        }
    }
}

fn check_parquet(fields: Vec<FieldRef>) -> Result<()> {
    match ArrowSchemaConverter::new().convert(&Schema::new(fields)) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(format!("Parquet cannot hold a column of the result: {error}"))),
    }
}

/// The columns that the files of a write have, and those that become folders are not among them.
pub(crate) fn file_columns(schema: &Schema, target: &WriteTarget) -> Result<SchemaRef> {
    let folders = partition_columns(schema, &target.partition_by)?;
    let fields = schema.fields().iter().enumerate().filter(|(index, _)| !folders.contains(index));
    let plain = plain_schema(&Schema::new(fields.map(|(_, field)| field.clone()).collect::<Vec<_>>()));
    match target.format {
        Format::Csv => flat_schema(&plain),
        Format::Parquet | Format::Json | Format::Arrow => Ok(plain),
    }
}

/// The schema that a reader of the files sees: no views, dictionaries or run-ends, whose layout in
/// memory is nobody's business, and no metadata of whatever the columns were read from.
pub(crate) fn plain_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Fields>()))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())))
}

fn plain_type(data_type: &DataType) -> DataType {
    let fields = |fields: &Fields| fields.iter().map(plain_field).collect::<Fields>();
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::Struct(children) => DataType::Struct(fields(children)),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

/// The same rows with the columns of a schema of [`plain_schema`].
pub(super) fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// A schema with structs replaced by their fields, `prediction_label` for `prediction['label']`.
pub(super) fn flat_schema(schema: &Schema) -> Result<SchemaRef> {
    let mut flat = vec![];
    for field in schema.fields() {
        flatten_field(field.name(), field, &mut flat)?;
    }
    Ok(Arc::new(Schema::new(flat)))
}

/// The same rows with the columns of [`flat_schema`]; a NULL struct gives NULL fields.
pub(super) fn flat_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let mut flat = vec![];
    for column in batch.columns() {
        flatten_column(column, None, &mut flat)?;
    }
    RecordBatch::try_new(schema.clone(), flat)
}

fn flatten_column(column: &ArrayRef, parent: Option<&NullBuffer>, flat: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
    let nulls = NullBuffer::union(parent, column.logical_nulls().as_ref());
    if let Some(fields) = column.as_struct_opt() {
        return fields.columns().iter().try_for_each(|child| flatten_column(child, nulls.as_ref(), flat));
    }
    flat.push(match parent {
        None => column.clone(),
        Some(_) => with_nulls(column, nulls)?,
    });
    Ok(())
}

fn with_nulls(column: &ArrayRef, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    // An array of type Null is NULL everywhere already, and takes no mask.
    if column.data_type() == &DataType::Null {
        return Ok(column.clone());
    }
    let data = column.to_data().into_builder().nulls(nulls).build()?;
    Ok(datafusion::arrow::array::make_array(data))
}
