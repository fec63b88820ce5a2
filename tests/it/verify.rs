//! What a job published, verified by its receipt, and splits of it scored again. Real processes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{House, model};
use crate::process::{succeed, volley};
use crate::resume::{ROWS_OF_SPLIT, SPLITS, files, folder, id, jobs};
use crate::s3_kills;
use crate::s3_server::S3Server;

/// The record of what a job did.
fn receipt(folder: &Path, job: &str) -> PathBuf {
    folder.join(".volley/state/jobs").join(job).join("receipt.json")
}

/// Changes what the receipt of a job says of one of its files.
fn retold(folder: &Path, job: &str, nth: usize, change: impl FnOnce(&mut Value)) {
    let path = receipt(folder, job);
    let mut told: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut told["files"][nth]);
    std::fs::write(path, told.to_string()).unwrap();
}

/// The files that a job published, as its receipt has them.
fn published(folder: &Path, job: &str) -> Vec<Value> {
    let told: Value = serde_json::from_slice(&std::fs::read(receipt(folder, job)).unwrap()).unwrap();
    told["files"].as_array().unwrap().clone()
}

/// The only job of a folder.
fn only(folder: &Path) -> String {
    let all = jobs(folder);
    assert_eq!(all.len(), 1);
    id(&all[0])
}

/// Runs the job of a folder that has none yet.
fn run(folder: &Path) -> String {
    succeed(folder, &["run", "job.sql"]);
    only(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_is_verified_file_by_file() {
    let folder = folder().await;
    let folder = folder.path();
    let job = run(folder);
    // Its receipt is enough.
    for record in ["plan.json", "physical.json", "outcome.json", "published.json"] {
        std::fs::remove_file(folder.join(".volley/state/jobs").join(&job).join(record)).unwrap();
    }
    let told = succeed(folder, &["jobs", "verify", &job]);
    assert!(told.contains(&format!("{SPLITS} files with {} rows are as job", SPLITS * ROWS_OF_SPLIT)), "{told}");
    assert!(told.contains(&format!("the rows of {SPLITS} were summed up again")), "{told}");
    let part = files(&folder.join("out")).into_keys().find(|name| name.to_str().unwrap().starts_with("part-")).unwrap();
    let path = folder.join("out").join(part);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ended = volley(folder, &["jobs", "verify", &job]);
    ended.has_error(1, "[published_differs]");
    assert!(ended.warned.contains(path.to_str().unwrap()) && ended.warned.contains("other bytes"), "{}", ended.warned);
    std::fs::remove_file(&path).unwrap();
    volley(folder, &["jobs", "verify", &job]).has_error(1, "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_differ_are_found_where_no_digest_of_the_bytes_is_known() {
    let folder = folder().await;
    let folder = folder.path();
    let plain = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let plain =
        plain.replace("AS PARQUET", "AS PARQUET OPTIONS (compression 'uncompressed', dictionary_enabled 'false')");
    std::fs::write(folder.join("job.sql"), plain).unwrap();
    let job = run(folder);
    // As after a repair, whose bytes nobody has promised.
    retold(folder, &job, 7, |file| drop(file.as_object_mut().unwrap().remove("sha256")));
    succeed(folder, &["jobs", "verify", &job]);
    let path = folder.join("out").join(published(folder, &job)[7]["path"].as_str().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ended = volley(folder, &["jobs", "verify", &job]);
    ended.has_error(1, "[published_differs]");
    let told = format!("1 of the {SPLITS} files of job {job} are not what it published: {}: ", path.display());
    assert!(ended.warned.contains(&told) && ended.warned.contains("its rows"), "{}", ended.warned);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_type_that_parquet_holds_are_read_as_they_were_written() {
    let mut house = House::new().await;
    let published = house
        .published(
            "COPY (SELECT value AS n, arrow_cast(value, 'UInt8') AS byte, value % 3 = 0 AS flag,
                          nullif(value % 5, 0)::double AS hole, (value / 3.0)::float AS score,
                          value::decimal(20, 3) AS exact, value::varchar AS text,
                          arrow_cast(value::varchar, 'Dictionary(Int32, Utf8)') AS word,
                          arrow_cast(value::varchar, 'Binary') AS bytes,
                          arrow_cast(value::int, 'Date32') AS day, arrow_cast(value * 1000, 'Timestamp(ns, \"UTC\")') AS moment,
                          arrow_cast(value, 'Timestamp(s)') AS second, arrow_cast(value, 'Duration(ms)') AS lasted,
                          [value, NULL, value + 1] AS list, {'a': value, 'b': [value::varchar]} AS pair,
                          arrow_cast([value, value], 'FixedSizeList(2, Int64)') AS fixed, NULL AS nothing
                   FROM generate_series(1, 200)) TO 'out/' STORED AS PARQUET",
        )
        .await;
    let verified = house.engine.verify(published.job.parse().unwrap()).await.unwrap();
    assert_eq!((verified.files, verified.files_summed, verified.rows), (1, 1, 200));
    assert_eq!(verified.differences, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_that_are_scored_again_come_out_as_they_were_and_nothing_is_written() {
    let folder = folder().await;
    let folder = folder.path();
    let job = run(folder);
    let before = files(folder);
    let first = volley(folder, &["jobs", "verify", &job, "--rescore", "3", "--json"]).json();
    let again = &first["rescored"];
    let splits = again["splits"].as_array().unwrap();
    assert_eq!((splits.len(), &again["files"], &again["files_of_same_bytes"]), (3, &json!(3), &json!(3)), "{first}");
    assert_eq!(again["rows"], 3 * ROWS_OF_SPLIT);
    let seed = again["seed"].to_string();
    let told = succeed(folder, &["jobs", "verify", &job, "--rescore", "3", "--seed", &seed]);
    let named: Vec<_> = splits.iter().map(Value::to_string).collect();
    assert!(told.contains(&format!("splits {} (--seed {seed})", named.join(", "))), "{told}");
    // More than there are is all of them.
    let all = volley(folder, &["jobs", "verify", &job, "--rescore", "999", "--json"]).json();
    assert_eq!(all["rescored"]["files_of_same_bytes"], SPLITS, "{all}");
    assert!(files(folder) == before, "neither the state nor the destination was written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_scoring_does_not_give_is_named_though_its_receipt_vouches_for_it() {
    let folder = folder().await;
    let folder = folder.path();
    let job = run(folder);
    let other = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let other = other.replace("AS score", "+ 1 AS score").replace("'out/'", "'other/'");
    std::fs::write(folder.join("other.sql"), other).unwrap();
    succeed(folder, &["run", "other.sql"]);
    let others = jobs(folder).into_iter().map(|path| id(&path)).find(|found| *found != job).unwrap();
    // Another job's file under the name of ours, and in its receipt.
    let (ours, theirs) = (published(folder, &job)[4].clone(), published(folder, &others)[4].clone());
    let path = |folder: PathBuf, file: &Value| folder.join(file["path"].as_str().unwrap());
    let (to, from) = (path(folder.join("out"), &ours), path(folder.join("other"), &theirs));
    std::fs::copy(from, &to).unwrap();
    retold(folder, &job, 4, |file| {
        for entry in ["rows", "bytes", "sha256", "rows_sum"] {
            file[entry] = theirs[entry].clone();
        }
    });
    succeed(folder, &["jobs", "verify", &job]);
    let ended = volley(folder, &["jobs", "verify", &job, "--rescore", "50", "--seed", "1"]);
    ended.has_error(1, "[rescored_differs]");
    assert!(ended.warned.contains(&format!("{}: other rows come out", to.display())), "{}", ended.warned);
    assert!(ended.warned.contains("--seed 1"), "{}", ended.warned);

    // And one that it gives and that is not among them.
    retold(folder, &job, 4, |file| file["path"] = json!("part-000004-000000000000.parquet"));
    std::fs::rename(&to, folder.join("out/part-000004-000000000000.parquet")).unwrap();
    let ended = volley(folder, &["jobs", "verify", &job, "--rescore", "50"]);
    assert!(ended.warned.contains("it had rows, and none come out"), "{}", ended.warned);
    assert!(ended.warned.contains(&format!("{}: it was not published", to.display())), "{}", ended.warned);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_scoring_again_needs_is_named_when_it_is_gone() {
    let folder = folder().await;
    let folder = folder.path();
    let copied = folder.join("linear");
    std::fs::create_dir(&copied).unwrap();
    for entry in std::fs::read_dir(model("linear_onnx_double")).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
    }
    let job = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let job = job.replace(&model("linear_onnx_double"), "./linear");
    std::fs::write(folder.join("job.sql"), job).unwrap();
    let job = run(folder);
    let rescore = ["jobs", "verify", &job, "--rescore", "2"];
    succeed(folder, &rescore);

    std::fs::rename(&copied, folder.join("elsewhere")).unwrap();
    volley(folder, &rescore).has_error(2, "[model_location_missing]");
    std::fs::rename(folder.join("elsewhere"), &copied).unwrap();

    let input = files(&folder.join("input")).into_keys().find(|name| name.extension().is_some()).unwrap();
    let input = folder.join("input").join(input);
    let moment = std::fs::metadata(&input).unwrap().modified().unwrap() + std::time::Duration::from_secs(1);
    std::fs::File::options().append(true).open(&input).unwrap().set_modified(moment).unwrap();
    let ended = volley(folder, &rescore);
    ended.has_error(1, "[input_changed]");
    assert!(ended.warned.contains(input.to_str().unwrap()), "{}", ended.warned);
    succeed(folder, &["jobs", "verify", &job]);

    std::fs::remove_file(receipt(folder, &job).with_file_name("physical.json")).unwrap();
    volley(folder, &rescore).has_error(1, "[not_rescorable]");
    volley(folder, &["jobs", "verify", &job, "--seed", "1"]).has_error(2, "--rescore");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_chance_are_not_scored_again() {
    let folder = folder().await;
    let folder = folder.path();
    std::fs::write(folder.join("job.sql"), "COPY (SELECT id, random() AS r FROM 'input/') TO 'out/' STORED AS PARQUET")
        .unwrap();
    succeed(folder, &["run", "job.sql"]);
    let ended = volley(folder, &["jobs", "verify", &only(folder), "--rescore", "1"]);
    ended.has_error(1, "[not_rescorable]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn partitions_in_a_bucket_are_scored_again_without_a_change_to_it() {
    let server = S3Server::start().await;
    let folder = folder().await;
    let folder = folder.path();
    let job = std::fs::read_to_string(folder.join("job.sql")).unwrap();
    let job = job.replace("'out/' STORED AS PARQUET", "'s3://lake/out/' STORED AS CSV PARTITIONED BY (d)");
    std::fs::write(folder.join("job.sql"), job).unwrap();
    let settings = std::fs::read_to_string(folder.join("volley.toml")).unwrap() + &server.settings();
    std::fs::write(folder.join("volley.toml"), settings).unwrap();
    let ended = s3_kills::volley(folder, &["run", "job.sql"]);
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    let before = server.weather.counted().changes;
    let verified = s3_kills::volley(folder, &["jobs", "verify", &only(folder), "--rescore", "5", "--json"]).json();
    assert_eq!((&verified["files"], &verified["files_summed"]), (&json!(2 * SPLITS), &json!(0)), "{verified}");
    let again = &verified["rescored"];
    assert_eq!((&again["files"], &again["files_of_same_bytes"]), (&json!(10), &json!(10)), "{verified}");
    assert_eq!(server.weather.counted().changes, before, "nothing was put, copied or deleted");
}
