//! Inputs in many small parts: files, row groups, splits.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use volley_benches::{Bench, FEATURES};

use super::grounds::{Grounds, Up};

const FILES: usize = 10_000;
const ROWS_OF_FILE: usize = 1_000;
const GROUPS: usize = 100;
const GROUPS_OF_FILE: usize = 25_000;

/// Ten thousand files of a thousand rows, and as many rows in one file of a hundred row groups.
pub fn files() -> Result<()> {
    let grounds = Grounds::with_rows(ROWS_OF_FILE)?;
    let sql = grounds.job("linear");
    let input = std::fs::read_dir(grounds.folder().join("input"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let first = { input }.find(|path| path.extension().is_some_and(|end| end == "parquet")).context("a file")?;
    for at in 1..FILES {
        std::fs::copy(&first, grounds.folder().join(format!("input/copy-{at:05}.parquet")))?;
    }
    let rows = (FILES * ROWS_OF_FILE) as f64;
    let small = Up::start(&grounds, 2, 1)?.run(&sql)?;
    println!("{FILES} files of {ROWS_OF_FILE} rows: {small:.2} s, {:.0} rows/s", rows / small);
    let grounds = Grounds::new()?;
    let columns: Vec<_> = (0..FEATURES).map(|at| format!("(random() * 4 - 2)::float AS f{at}")).collect();
    let one = format!(
        "COPY (SELECT {} FROM generate_series(1, {})) TO 'input/' STORED AS PARQUET OPTIONS (max_row_group_size {})",
        columns.join(", "),
        FILES * ROWS_OF_FILE,
        FILES * ROWS_OF_FILE / GROUPS
    );
    publish(&grounds, &one)?;
    let large = Up::start(&grounds, 2, 1)?.run(&sql)?;
    println!("as many rows in one file of {GROUPS} row groups: {large:.2} s, {:.0} rows/s", rows / large);
    Ok(())
}

/// What the server takes to plan a job of more and more splits.
pub fn splits() -> Result<()> {
    for splits in [1_000_usize, 10_000, 100_000] {
        let grounds = Grounds::new()?;
        // A file holds 32,767 row groups at most.
        for part in 0..splits.div_ceil(GROUPS_OF_FILE) {
            let first = part * GROUPS_OF_FILE * 10 + 1;
            let last = (first + GROUPS_OF_FILE * 10 - 1).min(splits * 10);
            let more = format!(
                "COPY (SELECT value AS id, value % 7 AS x FROM generate_series({first}, {last})) TO 'input/'
                 STORED AS PARQUET OPTIONS (max_row_group_size 10, mode 'append')"
            );
            publish(&grounds, &more)?;
        }
        // Without executors, nothing happens but what the server does.
        let up = Up::start_with(&grounds, 0, 1, &["--split-rows", "10"])?;
        let (mut client, before) = (up.client()?, up.server_peak_mib()?);
        let began = Instant::now();
        let job = client.submit("COPY (SELECT id, x + 1 AS y FROM 'input/') TO 'output/' STORED AS PARQUET")?;
        while client.get(&format!("/v1/jobs/{job}"))?["progress"]["splits_total"].as_u64() != Some(splits as u64) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{splits:>7} splits are planned in {seconds:>6.2} s, {:.0} us each; the server peaks at {} MiB, {before} before",
            seconds * 1e6 / splits as f64,
            up.server_peak_mib()?
        );
    }
    Ok(())
}

fn publish(grounds: &Grounds, sql: &str) -> Result<()> {
    Runtime::new()?.block_on(async { Bench::open(grounds.folder()).await?.publish(sql).await.map(drop) })
}
