//! Rows that a model cannot score: left out and accounted for where a statement says where they go, else told by the
//! error of the job, with their place and without their values.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use volley_engine::Summary;
use volley_model::NullRule;

use crate::harness::{House, root};
use crate::process::{succeed, volley};
use crate::s3_server::S3Server;

/// A sound model of one whole number `x`: `division` fails at 0, `lookup` at more than 3, `one_hot_strict` at words
/// other than `a` and `b`.
pub fn sound(name: &str) -> String {
    root().join("tests/zoo/edges/sound").join(format!("{name}.onnx")).display().to_string()
}

/// Two files of 500 rows each with the ids from 1 to 1000, whose `x` is 0 for each of `bad` and 7 for all others; in
/// splits of 100 rows.
async fn house(bad: &[i64]) -> House {
    let mut house = House::with(|settings| settings.split_rows = 100).await;
    let bad = bad.iter().map(|id| format!("value = {id}")).collect::<Vec<_>>().join(" OR ");
    let bad = if bad.is_empty() { "false".to_owned() } else { bad };
    for (first, last) in [(1, 500), (501, 1000)] {
        house
            .run(&format!(
                "COPY (SELECT value AS id, CASE WHEN {bad} THEN 0 ELSE 7 END AS x, value % 2 AS odd
                       FROM generate_series({first}, {last}))
                 TO 'in/' STORED AS PARQUET OPTIONS (mode 'append', max_row_group_size 100)"
            ))
            .await;
    }
    house
}

/// A write of what `query` gives, whose rejects go to `bad/`.
fn rejecting(query: &str, max: u64) -> String {
    format!("COPY ({query}) TO 'out/' STORED AS PARQUET OPTIONS (rejects 'bad/', max_rejects {max})")
}

fn scored() -> String {
    format!("SELECT id, x, predict('{}', x) AS score FROM 'in/'", sound("division"))
}

fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Int64).unwrap();
    column.as_primitive::<Int64Type>().iter().collect()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// The rejects in a folder, by file and row.
async fn rejects(house: &mut House, folder: &str) -> RecordBatch {
    house.rows(&format!("SELECT * FROM '{folder}' ORDER BY file, row, split")).await
}

/// The ids of the rows of the input that the rejects name, looked up in the files themselves.
async fn rejected_ids(house: &mut House) -> Vec<i64> {
    let rejects = rejects(house, "bad/").await;
    let places = texts(&rejects, "file").into_iter().zip(numbers(&rejects, "row"));
    let mut ids: Vec<i64> = places.map(|(file, row)| id_at(&file.unwrap(), row.unwrap())).collect();
    ids.sort_unstable();
    ids
}

fn id_at(file: &str, row: i64) -> i64 {
    let file = std::fs::File::open(file).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let ids = batches.flat_map(|batch| numbers(&batch.unwrap(), "id"));
    ids.flatten().nth(usize::try_from(row).unwrap()).expect("the file has such a row")
}

/// That the result and the rejects are the input, each row once.
async fn check_accounts(house: &mut House, summary: &Summary, bad: &[i64], rows_in: u64) {
    assert_eq!((summary.rows, summary.rejected), (rows_in - bad.len() as u64, bad.len() as u64));
    assert_eq!(rejected_ids(house).await, bad);
    assert_eq!(house.number("SELECT count(DISTINCT id) FROM 'out/'").await, summary.rows as f64);
    let listed = bad.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    assert_eq!(house.number(&format!("SELECT count(*) FROM 'out/' WHERE id IN ({listed})")).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_fail_are_left_out_and_told_by_file_row_model_code_and_reason() {
    // Neighbours, the edges of a split, and both files.
    let bad = [1, 40, 41, 42, 100, 101, 500, 501, 777];
    let mut house = house(&bad).await;
    let summary = house.published(&rejecting(&scored(), 9)).await;
    check_accounts(&mut house, &summary, &bad, 1000).await;
    let rejects = rejects(&mut house, "bad/").await;
    let names: Vec<_> = rejects.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["job", "split", "file", "row", "model", "code", "reason", "inputs"]);
    assert!(texts(&rejects, "job").into_iter().all(|job| job == Some(summary.job.clone())));
    assert_eq!(texts(&rejects, "inputs"), vec![None; bad.len()], "values are not kept");
    assert!(texts(&rejects, "code").into_iter().all(|code| code.as_deref() == Some("model_panicked")));
    assert!(texts(&rejects, "reason").into_iter().all(|reason| reason.unwrap().starts_with("the model panicked ")));
    assert!(texts(&rejects, "model").into_iter().all(|model| model.unwrap().contains("division")));
    let splits: Vec<_> = numbers(&rejects, "split").into_iter().flatten().collect();
    // Which file comes first is up to the disk.
    let either = [[0, 0, 0, 0, 0, 1, 4, 5, 7], [0, 2, 5, 5, 5, 5, 5, 6, 9]];
    assert!(either.iter().any(|one| splits == one), "{splits:?}");
    let columns = house.rows("SELECT * FROM 'out/' LIMIT 1").await;
    assert_eq!(columns.num_columns(), 3, "what is hidden stays hidden: {:?}", columns.schema());
    for place in ["out", "bad"] {
        assert!(house.files(place).iter().any(|(name, _)| name == "_SUCCESS"), "{place}");
    }
    assert!(house.files(".volley-staging").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_may_be_rejected_and_none_need_be() {
    let bad: Vec<i64> = (1..=1000).collect();
    let mut house = house(&bad).await;
    let summary = house.published(&rejecting(&scored(), 1000)).await;
    assert_eq!((summary.rows, summary.rejected), (0, 1000));
    assert_eq!(rejected_ids(&mut house).await, bad);
    assert_eq!(house.rows("SELECT score FROM 'out/'").await.num_rows(), 0, "an empty result has its columns");
    let mut house = self::house(&[]).await;
    let summary = house.published(&rejecting(&scored(), 0)).await;
    assert_eq!((summary.rows, summary.rejected), (1000, 0));
    assert_eq!(house.rows("SELECT reason FROM 'bad/'").await.num_rows(), 0, "so do empty rejects");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_bears_as_many_rejects_as_it_says_and_publishes_nothing_with_one_more() {
    let bad = [3, 4, 650];
    let mut house = house(&bad).await;
    for max in [0, 2] {
        let error = house.try_run(&rejecting(&scored(), max)).await.unwrap_err();
        assert_eq!(error.code(), "too_many_rejects", "{error}");
        assert!(error.to_string().contains(&format!("max_rejects = {max} allows, one of them row ")), "{error}");
        assert!(error.to_string().contains("/in/part-000000-"), "{error}");
        for place in ["out", "bad"] {
            assert!(house.files(place).is_empty(), "{place}");
        }
    }
    let summary = house.published(&rejecting(&scored(), 3)).await;
    check_accounts(&mut house, &summary, &bad, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rejects_the_job_fails_and_names_one_row_by_file_and_number() {
    let mut house = house(&[733]).await;
    let plain = format!("COPY ({}) TO 'out/' STORED AS PARQUET", scored());
    let error = house.try_run(&plain).await.unwrap_err();
    assert_eq!(error.code(), "model_panicked");
    let told = error.to_string();
    let (file, row) = (told.split('\'').nth(1).unwrap(), told.split("row ").nth(1).unwrap());
    let row = row.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(id_at(file, row), 733, "{told}");
    assert!(house.files("out").is_empty());
    // A query has no splits: its rows are told by their batch.
    let told = house.try_run(&scored()).await.unwrap_err().to_string();
    assert!(told.contains(" of the batch: the model panicked "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_pruning_and_splits_do_not_shift_the_numbers_of_rows() {
    let bad = [5, 250, 251, 399, 600, 1000];
    let mut house = house(&bad).await;
    for pushed in [false, true] {
        house.run(&format!("SET datafusion.execution.parquet.pushdown_filters = {pushed}")).await;
        for (condition, rows_in, expected) in [
            ("id > 250", 750, &[251, 399, 600, 1000][..]),
            ("id BETWEEN 390 AND 610 AND odd = 1", 110, &[399]),
            ("id % 7 = 5", 143, &[5, 250, 600]),
            ("id = 600", 1, &[600]),
        ] {
            let query = format!("{} WHERE {condition}", scored());
            let write = rejecting(&query, 100).replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
            let summary = house.published(&write).await;
            assert_eq!((summary.rows + summary.rejected, rejected_ids(&mut house).await), (rows_in, expected.to_vec()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_rows_that_reach_a_call_can_be_rejected() {
    let mut house = house(&[10, 11, 700]).await;
    let division = sound("division");
    let query = format!("SELECT id, CASE WHEN id <> 11 THEN predict('{division}', x) END AS score FROM 'in/'");
    let summary = house.published(&rejecting(&query, 5)).await;
    assert_eq!((summary.rows, summary.rejected), (998, 2));
    assert_eq!(rejected_ids(&mut house).await, [10, 700]);
    assert_eq!(house.number("SELECT count(*) FROM 'out/' WHERE id = 11 AND score IS NULL").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_fails_in_two_calls_is_rejected_once() {
    let mut house = house(&[10, 20]).await;
    let (division, lookup) = (sound("division"), sound("lookup"));
    // One fails at 10 and 20, the other at 20 and 30; one waits for the other's score.
    for other in ["CASE WHEN id IN (20, 30) THEN 99 ELSE 1 END", "CASE WHEN id IN (20, 30) THEN 99 ELSE d * 0 END"] {
        let query = format!(
            "SELECT id, d, predict('{lookup}', {other}) AS l FROM
             (SELECT id, predict('{division}', x) AS d FROM 'in/')"
        );
        let write = rejecting(&query, 9).replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
        let summary = house.published(&write).await;
        check_accounts(&mut house, &summary, &[10, 20, 30], 1000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_of_a_partitioned_result_lie_together() {
    let bad = [1, 2, 900];
    let mut house = house(&bad).await;
    let query = scored().replace("id, x,", "id, odd,");
    let write = rejecting(&query, 9).replace("AS PARQUET OPTIONS", "AS PARQUET PARTITIONED BY (odd) OPTIONS");
    let summary = house.published(&write).await;
    check_accounts(&mut house, &summary, &bad, 1000).await;
    assert!(house.files("bad").iter().all(|(name, _)| !name.contains('/')));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_csv_and_json_are_told_by_split_and_row() {
    for format in ["CSV", "JSON"] {
        let mut house = house(&[4, 9]).await;
        house
            .run(&format!("COPY (SELECT * FROM 'in/' WHERE id <= 20 ORDER BY id) TO 'text/' STORED AS {format}"))
            .await;
        let query = scored().replace("'in/'", "'text/'") + " WHERE id > 2";
        let summary = house.published(&rejecting(&query, 9)).await;
        assert_eq!((summary.rows, summary.rejected), (16, 2), "{format}");
        let rejects = rejects(&mut house, "bad/").await;
        assert_eq!(texts(&rejects, "file"), [None, None]);
        assert_eq!(numbers(&rejects, "split"), [Some(0), Some(0)]);
        assert_eq!(numbers(&rejects, "row"), [Some(3), Some(8)], "rows count as the split reads them: {format}");
        let plain = format!("COPY ({query}) TO 'plain/' STORED AS PARQUET");
        let told = house.try_run(&plain).await.unwrap_err().to_string();
        assert!(told.contains("row 3 (from 0) of split 0: "), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_joined_are_told_by_their_split() {
    let mut house = house(&[4, 9]).await;
    house.run("CREATE TABLE names AS SELECT value AS id, 'n' AS name FROM generate_series(1, 600)").await;
    let query = format!(
        "SELECT t.id, n.name, predict('{}', t.x) AS score FROM 'in/' t JOIN names n ON t.id = n.id AND n.id < 100",
        sound("division")
    );
    let summary = house.published(&rejecting(&query, 9)).await;
    assert_eq!(summary.rows + summary.rejected, 99);
    assert_eq!(house.number("SELECT count(DISTINCT id) FROM 'out/'").await, summary.rows as f64);
    let rejects = rejects(&mut house, "bad/").await;
    assert_eq!(summary.rejected, 2);
    assert_eq!((texts(&rejects, "file"), numbers(&rejects, "row")), (vec![None; 2], vec![None; 2]));
    let plain = format!("COPY ({query}) TO 'plain/' STORED AS PARQUET");
    let told = house.try_run(&plain).await.unwrap_err().to_string();
    assert!(told.contains(": a row of split "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_below_aggregates_and_shuffles_are_all_accounted_for() {
    let bad = [10, 501, 502];
    let mut house = house(&bad).await;
    let scored = scored();
    for (query, rows) in [
        (format!("SELECT count(*) AS n, min(score) AS low FROM ({scored})"), 1),
        (format!("SELECT id % 10 AS k, count(*) AS n, max(score) AS top FROM ({scored}) GROUP BY 1"), 10),
        (format!("SELECT id AS n, row_number() OVER (PARTITION BY id % 3 ORDER BY score) AS r FROM ({scored})"), 997),
    ] {
        let write = rejecting(&query, 3).replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
        let summary = house.published(&write).await;
        assert_eq!((summary.rows, summary.rejected), (rows, 3), "{query}");
        assert_eq!(rejected_ids(&mut house).await, bad, "{query}");
        let told = house.try_run(&write.replace("max_rejects 3", "max_rejects 2")).await.unwrap_err();
        assert_eq!(told.code(), "too_many_rejects", "{query}");
    }
    assert_eq!(house.number("SELECT count(*) FROM 'out/'").await, 997.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_of_a_join_that_is_scored_once_rejects_its_rows_once() {
    let mut house = house(&[10, 501]).await;
    for cores in [1, 4] {
        // With one, the plan has one partition, which splits would be cut from.
        house.run(&format!("SET datafusion.execution.target_partitions = {cores}")).await;
        for (join, rows) in [("LEFT JOIN", 1000), ("RIGHT JOIN", 998), ("JOIN", 998)] {
            let query = format!("SELECT a.id, b.score FROM 'in/' a {join} ({}) b ON a.id = b.id", scored());
            let write = rejecting(&query, 9).replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
            let summary = house.published(&write).await;
            assert_eq!((summary.rows, summary.rejected), (rows, 2), "{join} {cores}");
            assert_eq!(rejected_ids(&mut house).await, [10, 501], "{join} {cores}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_row_can_be_left_out_rejects_are_refused() {
    let mut house = house(&[10]).await;
    let division = sound("division");
    for query in [
        format!("SELECT a.id FROM 'in/' a JOIN 'in/' b ON a.id = b.id AND predict('{division}', a.x + b.x) > 1"),
        format!("SELECT id FROM 'in/' WHERE x > (SELECT min(predict('{division}', x)) FROM 'in/')"),
    ] {
        assert_eq!(house.codes(&rejecting(&query, 9)).await, ["rejects_unsupported"], "{query}");
        assert!(house.files("out").is_empty() && house.files("bad").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_hold_for_both_places() {
    let mut house = house(&[10, 11]).await;
    let write = rejecting(&scored(), 9);
    house.published(&write).await;
    let first = house.files("bad");
    assert_eq!(house.codes(&write).await, ["destination_not_empty"]);
    let elsewhere = write.replace("'out/'", "'out2/'");
    assert_eq!(house.codes(&elsewhere).await, ["destination_not_empty"], "the rejects are there as well");
    assert!(house.files("out2").is_empty());
    house.run("COPY (SELECT 1 AS a) TO 'other/' STORED AS PARQUET").await;
    let beside_others = elsewhere.replace("rejects 'bad/'", "mode 'append', rejects 'other/'");
    assert_eq!(house.codes(&beside_others).await, ["append_mismatch"]);
    house.published(&elsewhere.replace("rejects 'bad/'", "mode 'append', rejects 'bad/'")).await;
    assert_eq!(house.number("SELECT count(*) FROM 'bad/'").await, 4.0);
    assert!(first.iter().filter(|(name, _)| name != "_SUCCESS").all(|file| house.files("bad").contains(file)));
    house.published(&write.replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'")).await;
    assert_eq!(rejected_ids(&mut house).await, [10, 11]);
    std::fs::write(house.path("bad/notes.txt"), "mine").unwrap();
    let over = write.replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
    assert_eq!(house.codes(&over).await, ["foreign_files"]);
    assert_eq!(rejected_ids_beside_notes(&mut house).await, 2);
}

async fn rejected_ids_beside_notes(house: &mut House) -> usize {
    std::fs::remove_file(house.path("bad/notes.txt")).unwrap();
    rejected_ids(house).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_kept_only_if_they_are_asked_for() {
    let mut house = house(&[10]).await;
    let write = rejecting(&scored(), 9).replace("max_rejects 9", "max_rejects 9, reject_values true");
    house.published(&write).await;
    let inputs = texts(&rejects(&mut house, "bad/").await, "inputs");
    assert_eq!(inputs, [Some("{\"x\":0}".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_model_gives_its_rows_up() {
    let mut house = house(&[]).await;
    let (lookup, strict) = (sound("lookup"), sound("one_hot_strict"));
    for (call, bad) in [
        (format!("predict('{lookup}', CASE WHEN id = 300 THEN 99 ELSE 1 END)"), 300),
        (format!("predict('{strict}', CASE WHEN id = 301 THEN 'Atlantis' ELSE 'a' END)"), 301),
    ] {
        let query = format!("SELECT id, {call} AS score FROM 'in/'");
        let write = rejecting(&query, 9).replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
        let summary = house.published(&write).await;
        check_accounts(&mut house, &summary, &[bad], 1000).await;
    }
    house.register("trees", "iris_xgboost_sklearn", Some(NullRule::Error)).await;
    house.register("line", "linear_onnx_double", Some(NullRule::Error)).await;
    for (name, inputs) in [("trees", 4), ("line", 4)] {
        let inputs: Vec<_> = (0..inputs).map(|_| "CASE WHEN id = 302 THEN NULL ELSE id / 7.0 END").collect();
        let query = format!("SELECT id, predict('{name}', {}) AS score FROM 'in/'", inputs.join(", "));
        let write = rejecting(&query, 9).replace("rejects 'bad/'", "mode 'overwrite', rejects 'bad/'");
        let summary = house.published(&write).await;
        check_accounts(&mut house, &summary, &[302], 1000).await;
        let rejects = rejects(&mut house, "bad/").await;
        assert_eq!(texts(&rejects, "code"), [Some("null_input".to_owned())]);
        assert!(texts(&rejects, "reason")[0].as_deref().unwrap().ends_with("is NULL, and its null rule is `error`"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_on_rejects_that_make_no_sense_are_refused() {
    let mut house = house(&[]).await;
    for options in [
        "max_rejects 3",
        "rejects 'bad/', max_rejects 'many'",
        "rejects 'bad/', max_rejects '-1'",
        "rejects 'out/'",
        "rejects 'out/bad/'",
        "rejects '.'",
        "rejects 'bad/', reject_values 'some'",
    ] {
        let write = format!("COPY ({}) TO 'out/' STORED AS PARQUET OPTIONS ({options})", scored());
        assert_eq!(house.codes(&write).await, ["invalid_rejects"], "{options}");
    }
    let of_a_file = format!("COPY ({}) TO 'out/' STORED AS PARQUET OPTIONS (rejects 'bad.parquet')", scored());
    assert_eq!(house.codes(&of_a_file).await, ["destination_is_file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_a_query_fills_may_have_rejects() {
    let mut house = house(&[10]).await;
    for format in ["PARQUET", "CSV"] {
        let sql = format!(
            "CREATE EXTERNAL TABLE t_{format} STORED AS {format} LOCATION 'out_{format}/'
             OPTIONS (rejects 'bad_{format}/', max_rejects 1) AS {}",
            scored()
        );
        assert_eq!(house.published(&sql).await.rejected, 1);
        assert_eq!(house.number(&format!("SELECT count(*) FROM t_{format}")).await, 999.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_file_says_where_rejects_go_and_every_command_counts_them() {
    let house = house(&[10, 600]).await;
    let job = format!(
        "sql = \"\"\"{}\"\"\"\n[params]\nds = 2026-11-22\n[output]\nto = 'scores/${{ds}}'\nrejects = 'bad/${{ds}}'\nmax_rejects = 2\n",
        scored()
    );
    std::fs::write(house.path("daily.toml"), job).unwrap();
    let folder = house.folder.path();
    let said = volley(folder, &["run", "daily.toml", "--json"]);
    let told = said.json();
    assert_eq!((&told["rows"], &told["rejected"]), (&998.into(), &2.into()), "{}", said.warned);
    let id = told["job"].as_str().unwrap();
    let shown = succeed(folder, &["jobs", "show", id]);
    assert!(shown.contains("rejected     2") && shown.contains("bad/2026-11-22/"), "{shown}");
    let verified = succeed(folder, &["jobs", "verify", id]);
    assert!(verified.contains("998 rows and 2 rejected are as job"), "{verified}");
    // Scored again, its splits give the same result and the same rejects.
    let again = volley(folder, &["jobs", "verify", id, "--rescore", "9", "--json"]).json();
    let rescored = &again["rescored"];
    assert_eq!((&again["rejected"], &rescored["files"]), (&2.into(), &again["files"]), "{again}");
    assert_eq!(rescored["files_of_same_bytes"], rescored["files"], "{again}");
    let rejects = std::fs::read_dir(house.path("bad/2026-11-22")).unwrap().map(|entry| entry.unwrap().path());
    std::fs::remove_file({ rejects }.find(|path| !path.ends_with("_SUCCESS")).unwrap()).unwrap();
    volley(folder, &["jobs", "verify", id]).has_error(1, "[published_differs]");
    let fewer =
        std::fs::read_to_string(house.path("daily.toml")).unwrap().replace("max_rejects = 2", "max_rejects = 1");
    std::fs::write(house.path("daily.toml"), fewer.replace("scores/", "others/").replace("bad/", "worse/")).unwrap();
    volley(folder, &["run", "daily.toml"]).has_error(1, "[too_many_rejects]");
    assert!(!house.path("others").exists() && !house.path("worse").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rejects_of_a_bucket_lie_in_it_or_on_this_machine() {
    let server = S3Server::start().await;
    let mut house = House::with(|settings| {
        settings.split_rows = 100;
        server.connect(settings);
    })
    .await;
    house
        .run(
            "COPY (SELECT value AS id, value % 50 AS x FROM generate_series(1, 200))
             TO 's3://lake/in/' STORED AS PARQUET OPTIONS (max_row_group_size 100)",
        )
        .await;
    for place in ["s3://lake/bad/", "bad/"] {
        let write = format!(
            "COPY (SELECT id, predict('{}', x) AS score FROM 's3://lake/in/') TO 's3://lake/out/' STORED AS PARQUET
             OPTIONS (mode 'overwrite', rejects '{place}', max_rejects 4)",
            sound("division")
        );
        let summary = house.published(&write).await;
        assert_eq!((summary.rows, summary.rejected), (196, 4), "{place}");
        let rejects = rejects(&mut house, place).await;
        assert!(texts(&rejects, "file").iter().flatten().all(|file| file.starts_with("s3://lake/in/part-")));
        assert_eq!(rejects.num_rows(), 4);
        assert!(server.objects(".volley-staging").is_empty(), "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_where_rejects_go_and_nothing_of_how_rows_are_named() {
    let mut house = house(&[]).await;
    let plan = house.text(&format!("EXPLAIN {}", rejecting(&scored(), 9))).await;
    assert!(plan.contains("/bad/, max_rejects=9"), "{plan}");
    assert!(!plan.contains("__volley") && !plan.contains("file_row_index"), "{plan}");
}
