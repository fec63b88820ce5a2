//! Results in a bucket are published all at once or not at all, whatever the weather.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use volley_engine::Budget;

use crate::harness::{House, model, number};
use crate::s3_server::S3Server;

const ROWS: usize = 3000;

/// A house with an input in the bucket, of several splits, and model inputs a to d.
async fn house(server: &S3Server) -> House {
    let mut house = House::with(|settings| {
        server.connect(settings);
        settings.split_rows = 1000;
    })
    .await;
    for (part, first) in [1, 1001, 2001].into_iter().enumerate() {
        let rows = format!(
            "SELECT value AS id, value / 7.0 AS a, 0.5 AS b, 1.0 AS c, 2.0 AS d, value % 3 AS part
             FROM generate_series({first}, {})",
            first + 999
        );
        house.run(&format!("COPY ({rows}) TO 'in{part}/' STORED AS PARQUET")).await;
        let (_, bytes) = house.files(&format!("in{part}")).pop().unwrap();
        let file = server.bucket("lake").join(format!("in/{part}.parquet"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    house
}

fn scored(to: &str, extra: &str) -> String {
    let model = model("linear_onnx_double");
    format!("COPY (SELECT id, part, predict('{model}') AS score FROM 's3://lake/in/') TO '{to}' STORED AS {extra}")
}

/// Files below a destination without the part of their names that is the job's.
fn unnamed(objects: BTreeMap<String, Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let jobless = |name: String| {
        let (stem, job) = name.rsplit_once('-').unwrap_or((&name, ""));
        format!("{stem}.{}", job.rsplit_once('.').map_or("", |(_, extension)| extension))
    };
    let parts = objects.into_iter().filter(|(name, _)| name != "_SUCCESS");
    let mut parts: Vec<_> = parts.map(|(name, bytes)| (jobless(name), bytes)).collect();
    parts.sort();
    parts
}

/// Every mode once, in one destination after the other; what lies there then, file by file and byte by byte.
async fn suite(house: &mut House, server: &S3Server, run: &str) -> BTreeMap<&'static str, Vec<(String, Vec<u8>)>> {
    let at = |name: &str| format!("s3://lake/{run}/{name}/");
    let first = house.published(&scored(&at("error"), "CSV")).await;
    assert_eq!((first.rows, first.files), (ROWS as u64, 3));
    assert_eq!(house.codes(&scored(&at("error"), "CSV")).await, ["destination_not_empty"]);
    for _ in 0..2 {
        house.run(&scored(&at("append"), "CSV OPTIONS (mode 'append')")).await;
    }
    house.run(&scored(&at("overwrite"), "JSON")).await;
    let half = scored(&at("overwrite"), "JSON OPTIONS (mode 'overwrite')")
        .replace("'s3://lake/in/'", "'s3://lake/in/0.parquet'");
    house.run(&half).await;
    house.run(&scored(&at("parts"), "CSV PARTITIONED BY (part)")).await;
    house
        .run(&format!("CREATE EXTERNAL TABLE {run} (id BIGINT, score DOUBLE) STORED AS CSV LOCATION '{}'", at("table")))
        .await;
    house.run(&format!("INSERT INTO {run} SELECT id, 0.5 FROM 's3://lake/in/'")).await;
    house.run(&format!("INSERT OVERWRITE {run} SELECT id, 0.25 FROM 's3://lake/in/' WHERE id <= 10")).await;
    for (table, rows) in [("error", ROWS), ("append", 2 * ROWS), ("overwrite", 1000), ("parts", ROWS), ("table", 10)] {
        let counted = house.number(&format!("SELECT count(*) FROM '{}'", at(table))).await;
        assert_eq!(counted, rows as f64, "{run} {table}");
        assert!(server.objects(&format!("{run}/{table}")).contains_key("_SUCCESS"), "{run} {table}");
    }
    assert!(server.objects(".volley-staging").is_empty(), "{:?}", server.objects(".volley-staging").keys());
    let tables = ["error", "append", "overwrite", "parts", "table"];
    tables.map(|table| (table, unnamed(server.objects(&format!("{run}/{table}"))))).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_mode_publishes_the_same_bytes_in_any_weather() {
    let server = S3Server::start().await;
    let mut house = house(&server).await;
    let undisturbed = suite(&mut house, &server, "calm").await;
    assert_eq!(undisturbed["parts"].len(), 9);
    for (run, percent, seed) in [("breeze", 5, 3), ("storm", 20, 4)] {
        server.weather.storm(percent, seed);
        let before = server.weather.counted();
        let disturbed = suite(&mut house, &server, run).await;
        let counted = server.weather.counted();
        assert!(counted.refused > before.refused && counted.lost > before.lost, "{counted:?}");
        assert!(undisturbed == disturbed, "{run} published other bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_of_many_parts_is_published_whole_in_bad_weather() {
    let server = S3Server::start().await;
    let mut house = house(&server).await;
    // Files of more than one upload part, which are written by calls that cannot be repeated blindly.
    let wide = "SELECT value AS id, sha256(CAST(value AS VARCHAR)) AS noise FROM generate_series(1, 500000)";
    let copy =
        |to: &str| format!("COPY ({wide}) TO 's3://lake/{to}/' STORED AS PARQUET OPTIONS (compression 'uncompressed')");
    house.run(&copy("calm")).await;
    let largest = server.objects("calm").values().map(Vec::len).max().unwrap();
    assert!(largest > 10 << 20, "{largest}");
    server.weather.storm(20, 5);
    // The store knows no such upload when it is asked again: it has ended.
    server.weather.lose("complete_multipart_upload");
    house.run(&copy("storm")).await;
    server.weather.storm(0, 0);
    let sum = |to: &str| format!("SELECT count(DISTINCT noise) AS n, sum(id) AS ids FROM 's3://lake/{to}/'");
    let (calm, storm) = (house.text(&sum("calm")).await, house.text(&sum("storm")).await);
    assert!(calm == storm && calm.contains("500000"), "{calm}\n{storm}");
}

/// Longer than this by hand: `BLACKOUT_SECONDS=60`.
fn blackout_time() -> Duration {
    Duration::from_secs(number("BLACKOUT_SECONDS").unwrap_or(2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_outlives_a_blackout_at_any_moment() {
    let server = S3Server::start().await;
    let mut house = house(&server).await;
    let time = blackout_time();
    house.run(&scored("s3://lake/calm/", "CSV")).await;
    let calm = unnamed(server.objects("calm"));
    // While it stages, when it takes its turn, when it has taken the old mark away, and within the moves.
    for changes in [1, 4, 5, 9] {
        let to = format!("after-{changes}");
        let copy = scored(&format!("s3://lake/{to}/"), "CSV");
        let job = async {
            let summary = house.published(&copy).await;
            (summary.rows, Instant::now())
        };
        let ((rows, ended), began) = tokio::join!(job, server.weather.blackout_at(changes, time));
        assert_eq!(rows, ROWS as u64);
        assert!(ended >= began + time, "the job of {changes} changes did not meet the blackout");
        assert!(unnamed(server.objects(&to)) == calm, "{to}");
        assert!(server.objects(&to).contains_key("_SUCCESS"));
    }
    assert!(server.objects(".volley-staging").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_runs_out_of_patience_leaves_its_destination_as_it_was() {
    let server = S3Server::start().await;
    let mut patient = house(&server).await;
    patient.run(&scored("s3://lake/out/", "CSV")).await;
    let before = server.objects("out");
    let mut hasty = House::with(|settings| {
        server.connect(settings);
        settings.base = patient.folder.path().to_path_buf();
        settings.commit_wait = Duration::from_secs(1);
        settings.store_budget = Budget { retry: Duration::from_millis(300), timeout: Duration::from_secs(1) };
    })
    .await;
    let copy = scored("s3://lake/out/", "CSV OPTIONS (mode 'overwrite')");
    // Once the bucket is tried out, while files are staged.
    let error = tokio::select! {
        _ = server.weather.blackout_at(13, Duration::from_secs(20)) => panic!("the job waits too long"),
        given = hasty.try_run(&copy) => given.map(|given| format!("{given:?}")).unwrap_err(),
    };
    assert_eq!(error.code(), "store_unavailable", "{error}");
    assert!(error.to_string().contains("store_retry_seconds"), "{error}");
    assert_eq!(server.objects("out"), before);
    drop(hasty);
    server.weather.blackout(Duration::ZERO).await;
    // Whoever comes next to that state gives up what could not be given up in the dark.
    let _ = House::with(|settings| {
        server.connect(settings);
        settings.base = patient.folder.path().to_path_buf();
        settings.store_settle = Duration::from_millis(100);
    })
    .await;
    assert_eq!(server.objects("out"), before);
    assert!(server.objects(".volley-staging").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_whole_bucket_is_no_destination_and_nothing_goes_to_the_web() {
    let server = S3Server::start().await;
    let mut house = house(&server).await;
    for (to, code) in [
        ("s3://lake/", "destination_invalid"),
        ("s3://lake", "destination_invalid"),
        ("s3://lake/.volley-staging/x/", "destination_invalid"),
        ("s3://lake/x.csv", "destination_is_file"),
        ("https://example.org/out/", "store_read_only"),
    ] {
        assert_eq!(house.codes(&scored(to, "CSV")).await, [code], "{to}");
    }
    assert_eq!(server.weather.counted().changes, 0);
}
