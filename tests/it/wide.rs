//! The memory of a job whose rows are wide and do not compress, whatever the size of its splits. More rows are a command
//! of the benches: `figures wide`.

// Where the memory of another process can be read.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::harness::note;
use crate::process::{command, succeed};

const NOISE_BYTES: usize = 4096;
const BATCH_ROWS: usize = 256;
const MIB: usize = 1 << 20;

/// So much noise in rows of 4 KiB, as row groups of 16 MiB.
fn generate(path: &Path, mebibytes: usize) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(16 * MIB / NOISE_BYTES))
        .build();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut writer = None;
    for batch in 0..mebibytes * MIB / (NOISE_BYTES * BATCH_ROWS) {
        let mut noise = Vec::with_capacity(NOISE_BYTES * BATCH_ROWS);
        while noise.len() < NOISE_BYTES * BATCH_ROWS {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_le_bytes());
        }
        let noise = FixedSizeBinaryArray::try_new(NOISE_BYTES as i32, noise.into(), None).unwrap();
        let ids = Int64Array::from_iter_values((batch * BATCH_ROWS) as i64..((batch + 1) * BATCH_ROWS) as i64);
        let columns = [("id", Arc::new(ids) as ArrayRef), ("noise", Arc::new(noise) as ArrayRef)];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let new = || ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties.clone()));
        writer.get_or_insert_with(|| new().unwrap()).write(&rows).unwrap();
    }
    writer.unwrap().close().unwrap();
}

/// Runs the job of a folder to its end and gives the most memory that its process had resident, in MiB.
fn peak(folder: &Path) -> usize {
    let mut running = command(folder, &["run", "job.sql"]).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", running.id());
    let mut peak_kib = 0;
    let ended = loop {
        // The mark is the highest so far, so that nothing between two looks is missed but the very end.
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = told.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_kib = peak_kib.max(mark.unwrap_or(0));
        match running.try_wait().unwrap() {
            Some(ended) => break ended,
            None => std::thread::sleep(std::time::Duration::from_millis(2)),
        }
    };
    assert!(ended.success());
    peak_kib * 1024 / MIB
}

#[test]
fn the_memory_of_wide_rows_that_do_not_compress_does_not_grow_with_their_number() {
    const WRITTEN: [usize; 2] = [192, 448];
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("input")).unwrap();
    let options = "mode 'overwrite', compression 'uncompressed'";
    let job = format!("COPY (SELECT id, noise FROM 'input/') TO 'out/' STORED AS PARQUET OPTIONS ({options})");
    std::fs::write(folder.join("job.sql"), job).unwrap();
    // One split and one file, however many rows there are.
    std::fs::write(folder.join("volley.toml"), "cores = 1\nsplit_bytes = 1073741824\n").unwrap();
    let mut peaks = vec![];
    for mebibytes in WRITTEN {
        generate(&folder.join("input/noise.parquet"), mebibytes);
        peaks.push(peak(folder));
        let published = std::fs::read_dir(folder.join("out")).unwrap().map(Result::unwrap);
        let sizes: Vec<_> = published.map(|file| file.metadata().unwrap().len() as usize / MIB).collect();
        assert_eq!(sizes.iter().filter(|size| **size >= mebibytes).count(), 1, "{sizes:?}");
    }
    let told = succeed(folder, &["jobs", "list"]);
    assert_eq!(told.matches("1/1").count(), 2, "{told}");
    note(&format!("{WRITTEN:?} MiB of noise were written with {peaks:?} MiB"));
    let (more, held) = (WRITTEN[1] - WRITTEN[0], peaks[1].saturating_sub(peaks[0]));
    assert!(held < more / 2, "{held} MiB more were held for {more} MiB more that were written");
}
