//! The memory of a job whose rows are wide and do not compress: 4 KiB of noise in each.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use volley_benches::Bench;

use crate::process::{self, peak_mib};

/// What its child is called.
pub const KIND: &str = "wide";

const NOISE_BYTES: usize = 4096;
const BATCH_ROWS: usize = 256;
const GROUP_ROWS: usize = 16_384;
/// A file each.
const FILE_MB: usize = 512;
/// What the job has to do with.
const LIMIT_MIB: u64 = 1024;

/// Writes a table of so many megabytes, copies it in a job, and prints the most memory that this took.
pub fn measure(megabytes: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("input");
    std::fs::create_dir_all(&input)?;
    let mut made = 0;
    while made < megabytes {
        let next = FILE_MB.min(megabytes - made);
        generate(&input.join(format!("{made:06}.parquet")), next, made as u64)?;
        made += next;
    }
    let taken = process::run(KIND, folder.path(), 0)?;
    let peak = peak_mib(&[taken]);
    println!(
        "{megabytes} MB of rows of {NOISE_BYTES} bytes that do not compress, Parquet to Parquet, two cores: {:.1} s, {:.0} MB/s, {peak} MiB peak of {LIMIT_MIB}",
        taken.seconds,
        megabytes as f64 / taken.seconds
    );
    anyhow::ensure!(peak <= LIMIT_MIB, "the job had {peak} MiB, more than {LIMIT_MIB}");
    Ok(())
}

/// Runs the job.
pub async fn run(folder: &Path) -> Result<f64> {
    let sql = "COPY (SELECT id, noise FROM 'input/') TO 'output/' STORED AS PARQUET";
    let mut bench = Bench::with_memory(folder, (LIMIT_MIB as usize) << 20).await?;
    let summary = bench.publish(sql).await?;
    anyhow::ensure!(summary.rows > 0, "nothing was copied");
    Ok(summary.seconds)
}

fn generate(path: &Path, megabytes: usize, seed: u64) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let first = noise(0, &mut state)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, first.schema(), Some(properties))?;
    for batch in 0..(megabytes << 20) / (NOISE_BYTES * BATCH_ROWS) {
        writer.write(&noise((batch * BATCH_ROWS) as i64, &mut state)?)?;
    }
    writer.close()?;
    Ok(())
}

fn noise(first: i64, state: &mut u64) -> Result<RecordBatch> {
    let mut bytes = Vec::with_capacity(NOISE_BYTES * BATCH_ROWS);
    while bytes.len() < NOISE_BYTES * BATCH_ROWS {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let noise = FixedSizeBinaryArray::try_new(NOISE_BYTES as i32, bytes.into(), None)?;
    let ids = Int64Array::from_iter_values(first..first + BATCH_ROWS as i64);
    Ok(RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("noise", Arc::new(noise) as ArrayRef)])?)
}
