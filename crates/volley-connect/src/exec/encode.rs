//! Batches to bytes, one encoder a format.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder};
use datafusion::common::Result;
use datafusion::parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use datafusion::parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema};
use datafusion::parquet::file::metadata::KeyValue;

use super::columns::{flat_batch, flat_schema, plain_batch, plain_schema};
use crate::format::Format;
use crate::write::{WriteTarget, csv_writer, parquet_properties};

/// Turns batches of one schema into the bytes of one file. The bytes depend on the rows and on how
/// they are cut into batches, and on nothing else.
pub(super) trait Encode: Send {
    /// Takes rows in.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Bytes held until the next [`Encode::close_group`].
    fn in_progress(&self) -> usize;
    /// Closes the row group, where a format has such.
    fn close_group(&mut self) -> Result<()>;
    /// Ends the file.
    fn finish(&mut self) -> Result<()>;
    /// Hands out the bytes that are ready, each once.
    fn take(&mut self) -> Vec<u8>;
}

/// An encoder for rows of `schema`. `metadata` goes into Parquet footers.
pub(super) fn encoder(
    schema: &SchemaRef,
    target: &WriteTarget,
    metadata: &BTreeMap<String, String>,
) -> Result<Box<dyn Encode>> {
    Ok(match target.format {
        Format::Parquet => Box::new(parquet(schema, target, metadata)?),
        Format::Csv => Box::new(CsvFile::new(schema, target)?),
        Format::Json => Box::new(JsonLines { schema: plain_schema(schema), ready: vec![] }),
        Format::Arrow => Box::new(FileWriter::try_new(vec![], &plain_schema(schema))?),
    })
}

type ParquetFile = ArrowWriter<Vec<u8>>;

fn parquet(schema: &SchemaRef, target: &WriteTarget, metadata: &BTreeMap<String, String>) -> Result<ParquetFile> {
    let mut entries: Vec<KeyValue> =
        metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    // Readers get plain types back whatever the types in memory were.
    entries.push(KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&plain_schema(schema))));
    let properties = parquet_properties(&target.options)?
        .set_created_by(concat!("volley version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(entries))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let bare = Arc::new(Schema::new(schema.fields().clone()));
    Ok(ArrowWriter::try_new_with_options(vec![], bare, options)?)
}

impl Encode for ParquetFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(ArrowWriter::write(self, batch)?)
    }

    fn in_progress(&self) -> usize {
        self.memory_size()
    }

    fn close_group(&mut self) -> Result<()> {
        Ok(self.flush()?)
    }

    fn finish(&mut self) -> Result<()> {
        ArrowWriter::finish(self)?;
        Ok(self.sync()?)
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.inner_mut())
    }
}

struct CsvFile {
    writer: csv::WriterBuilder,
    plain: SchemaRef,
    flat: SchemaRef,
    ready: Vec<u8>,
}

impl CsvFile {
    /// The header comes first, so that a file without rows has it too.
    fn new(schema: &SchemaRef, target: &WriteTarget) -> Result<Self> {
        let writer = csv_writer(&target.options)?.writer_options;
        let plain = plain_schema(schema);
        let flat = flat_schema(&plain)?;
        let mut ready = vec![];
        if writer.header() {
            writer.clone().build(&mut ready).write(&RecordBatch::new_empty(flat.clone()))?;
        }
        Ok(Self { writer: writer.with_header(false), plain, flat, ready })
    }
}

impl Encode for CsvFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let flat = flat_batch(&plain_batch(batch, &self.plain)?, &self.flat)?;
        Ok(self.writer.clone().build(&mut self.ready).write(&flat)?)
    }

    fn in_progress(&self) -> usize {
        self.ready.len()
    }

    fn close_group(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ready)
    }
}

struct JsonLines {
    schema: SchemaRef,
    ready: Vec<u8>,
}

impl Encode for JsonLines {
    // NULL is written out: a column that is NULL throughout still exists for readers.
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut self.ready);
        writer.write(&plain_batch(batch, &self.schema)?)?;
        Ok(writer.finish()?)
    }

    fn in_progress(&self) -> usize {
        self.ready.len()
    }

    fn close_group(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ready)
    }
}

type ArrowFile = FileWriter<Vec<u8>>;

impl Encode for ArrowFile {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = self.schema().clone();
        Ok(FileWriter::write(self, &plain_batch(batch, &schema)?)?)
    }

    fn in_progress(&self) -> usize {
        self.get_ref().len()
    }

    fn close_group(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(FileWriter::finish(self)?)
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.get_mut())
    }
}
