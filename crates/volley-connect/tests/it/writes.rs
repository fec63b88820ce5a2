//! COPY and INSERT: what lies at the destination afterwards, in every format and mode.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::physical_plan::collect_partitioned;

use crate::harness::{Begun, House, total};

const MIXED: &str = "SELECT * FROM (VALUES
    (1, 1.5, 'a', true, DATE '2026-11-22', NULL),
    (2, NULL, 'b', false, NULL, 'x y'),
    (3, -0.25, '', NULL, DATE '1970-01-01', 'z')) AS t(i, d, s, b, day, n)";

#[tokio::test]
async fn every_format_gives_back_what_was_written() {
    let house = House::new();
    let expected = house.rows(&format!("{MIXED} ORDER BY i")).await;
    for format in ["PARQUET", "JSON", "ARROW", "CSV"] {
        assert_eq!(house.publish(&format!("COPY ({MIXED}) TO '{format}' STORED AS {format}")).await, 3);
        let columns = match format {
            // Text has no types: dates and numbers are told from their looks.
            "JSON" => "i, d, s, b, CAST(day AS DATE) AS day, n",
            // In CSV an empty text and NULL look the same.
            "CSV" => "i, d, coalesce(s, '') AS s, b, day, n",
            _ => "*",
        };
        let sql = format!("SELECT {columns} FROM '{format}/' ORDER BY i");
        assert_eq!(house.rows(&sql).await, expected, "{format}");
    }
}

#[tokio::test]
async fn published_names_and_bytes_depend_on_the_job_and_the_rows_alone() {
    let house = House::new();
    house.write_parquet("in/a.parquet", 0, 30_000, 10_000);
    let Begun { job, plan, .. } =
        house.begin("COPY (SELECT * FROM 'in/') TO 'out' STORED AS PARQUET").await.expect("begun");
    let mut staged = vec![];
    for _ in 0..2 {
        collect_partitioned(plan.clone(), house.context.task_ctx()).await.expect("written");
        let receipt = job.receipt(0).await.expect("read").expect("sealed");
        staged.push((receipt.attempt.clone(), house.files("staging").into_values().collect::<Vec<_>>()));
        // As if the first executor had died before its receipt.
        let folder = house.path("state").join("jobs").join(job.id().to_string()).join("splits");
        std::fs::remove_dir_all(folder).expect("forgotten");
        if staged.len() == 1 {
            std::fs::remove_dir_all(house.path("staging")).expect("removed");
        }
    }
    assert_ne!(staged[0].0, staged[1].0);
    assert_eq!(staged[0].1, staged[1].1);
}

#[tokio::test]
async fn a_file_says_which_job_and_split_it_is_and_what_the_caller_adds() {
    let house = House::new();
    house.publish(&format!("COPY ({MIXED}) TO 'out' STORED AS PARQUET OPTIONS (compression 'snappy')")).await;
    let (name, bytes) = house.files("out").pop_first().expect("a file");
    assert!(name.starts_with("part-000000-") && name.ends_with(".parquet"), "{name}");
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("parquet");
    let footer = reader.metadata().file_metadata();
    let entries = footer.key_value_metadata().expect("entries");
    let value = |key: &str| entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone());
    assert_eq!(value("volley.split").as_deref(), Some("0"));
    assert_eq!(value("volley.models").as_deref(), Some("churn/3"));
    assert!(name.contains(&value("volley.job").expect("a job")[24..]), "{name}");
    assert!(format!("{:?}", reader.metadata().row_group(0).column(0).compression()).starts_with("SNAPPY"));
}

#[tokio::test]
async fn the_modes_do_what_they_say() {
    let house = House::new();
    let copy =
        |n: i64, mode: &str| format!("COPY (SELECT {n} AS n) TO 'out' STORED AS PARQUET OPTIONS (mode '{mode}')");
    house.publish(&copy(1, "error")).await;
    assert_eq!(house.refused(&copy(2, "error")).await.0, "destination_not_empty");
    assert_eq!(house.number("SELECT sum(n) FROM 'out/'").await, 1);
    house.publish(&copy(10, "append")).await;
    assert_eq!(house.number("SELECT sum(n) FROM 'out/'").await, 11);
    house.publish(&copy(100, "overwrite")).await;
    assert_eq!(house.number("SELECT sum(n) FROM 'out/'").await, 100);
    assert_eq!(house.files("out").len(), 1);
    house.write_parquet("out/mine.parquet", 0, 1, 1);
    assert_eq!(house.refused(&copy(1, "overwrite")).await.0, "foreign_files");
}

#[tokio::test]
async fn a_result_without_rows_is_one_file_with_the_columns() {
    let house = House::new();
    house.write_parquet("in/a.parquet", 0, 300, 100);
    let house = House { split_rows: 100, ..house };
    for (format, rest) in [("PARQUET", ""), ("ARROW", ""), ("CSV", ""), ("PARQUET", "PARTITIONED BY (name)")] {
        let out = format!("out_{format}_{}", rest.len());
        let sql = format!("COPY (SELECT * FROM 'in/' WHERE id < 0) TO '{out}' STORED AS {format} {rest}");
        assert_eq!(house.publish(&sql).await, 0);
        assert_eq!(house.files(&out).len(), 1, "{out}");
        let columns = house.rows(&format!("SELECT id, name FROM '{out}/'")).await;
        assert!(!columns.contains('1'), "{columns}");
    }
}

#[tokio::test]
async fn csv_has_columns_for_the_fields_of_structs() {
    let house = House::new();
    let sql = "SELECT id, CASE WHEN id <> 2 THEN named_struct('label', 'yes', 'p', named_struct('yes', 0.5)) END AS prediction
        FROM (VALUES (1), (2)) AS t(id)";
    house.publish(&format!("COPY ({sql}) TO 'out' STORED AS CSV")).await;
    let (_, bytes) = house.files("out").pop_first().expect("a file");
    assert_eq!(String::from_utf8(bytes).expect("text"), "id,prediction_label,prediction_p_yes\n1,yes,0.5\n2,,\n");
}

#[tokio::test]
async fn insert_appends_and_insert_overwrite_replaces() {
    let house = House::new();
    house.run("CREATE EXTERNAL TABLE t (n BIGINT, s VARCHAR, k BIGINT) STORED AS CSV PARTITIONED BY (k) LOCATION 't/' OPTIONS (delimiter ';')").await;
    house.publish("INSERT INTO t VALUES (1, 'a', 7), (2, 'b', 8)").await;
    house.publish("INSERT INTO t SELECT n * 10, s, k FROM t").await;
    assert_eq!(house.number("SELECT sum(n) FROM t").await, 33);
    assert_eq!(house.folders("t").into_iter().collect::<Vec<_>>(), ["k=7", "k=8"]);
    house.publish("INSERT OVERWRITE t VALUES (5, 'c', 9)").await;
    assert_eq!(house.number("SELECT sum(n) FROM t").await, 5);
    assert_eq!(house.folders("t").into_iter().collect::<Vec<_>>(), ["k=9"]);
}

#[tokio::test]
async fn insert_into_a_table_in_memory_is_left_to_datafusion() {
    let house = House::new();
    house.run("CREATE TABLE t AS SELECT 1 AS n").await;
    house.run("INSERT INTO t VALUES (2)").await;
    assert_eq!(house.number("SELECT sum(n) FROM t").await, 3);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_before_anything_begins() {
    let house = House::new();
    house.write_parquet("one.parquet", 0, 1, 1);
    house.run("CREATE EXTERNAL TABLE one STORED AS PARQUET LOCATION 'one.parquet'").await;
    let check = async |sql: &str, code: &str, part: &str| {
        let (found, message) = house.refusal(sql).await;
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    };
    check("COPY (SELECT 1 AS a) TO 'x/out.parquet'", "destination_is_file", "'x/out/'").await;
    check("INSERT INTO one VALUES (1, 'a')", "destination_is_file", "one.parquet").await;
    check("COPY (SELECT 1 AS a) TO 'out' STORED AS PARQUET OPTIONS (mode 'replace')", "unknown_mode", "replace").await;
    check("COPY (SELECT 1 AS a) TO 'out' STORED AS PARQUET OPTIONS (speed '9')", "unknown_option", "speed").await;
    check(
        "COPY (SELECT 1 AS a) TO 'out' STORED AS PARQUET OPTIONS (mode 'overwrite_partitions')",
        "unknown_option",
        "needs PARTITIONED BY",
    )
    .await;
    check("COPY (SELECT 1 AS a) TO 'out' STORED AS PARQUET PARTITIONED BY (a)", "unsupported_columns", "every column")
        .await;
    check(
        "COPY (SELECT 1 AS _a, 2 AS b) TO 'out' STORED AS PARQUET PARTITIONED BY (_a)",
        "unsupported_columns",
        "'_a'",
    )
    .await;
    check("COPY (SELECT [1] AS a, 2 AS b) TO 'out' STORED AS PARQUET PARTITIONED BY (a)", "unsupported_columns", "'a'")
        .await;
    check("COPY (SELECT [1] AS a) TO 'out' STORED AS CSV", "unsupported_columns", "'a'").await;
    check("COPY (SELECT named_struct('b', 1) AS a, 2 AS a_b) TO 'out' STORED AS CSV", "unsupported_columns", "'a_b'")
        .await;
    check(
        "COPY (SELECT * FROM (SELECT 1 AS a) x, (SELECT 2 AS a) y) TO 'out' STORED AS PARQUET",
        "unsupported_columns",
        "two columns 'a'",
    )
    .await;
    assert!(!house.path("out").exists() && !house.path("state").exists());
}

#[tokio::test]
async fn explain_shows_the_write_and_begins_nothing() {
    let house = House::new();
    let shown = house
        .rows("EXPLAIN COPY (SELECT 1 AS a, 2 AS b) TO 'out' STORED AS CSV PARTITIONED BY (b) OPTIONS (mode 'append')")
        .await;
    assert!(shown.contains("Write: to=file://") && shown.contains("WriteExec: to=file://"), "{shown}");
    assert!(shown.contains("/out/, format=csv, mode=append, partition_by=[b]"), "{shown}");
    assert!(!house.path("out").exists() && !house.path("state").exists());
}

#[tokio::test]
async fn every_column_is_written_and_an_order_is_kept() {
    let house = House::new();
    house.write_parquet("in/a.parquet", 0, 5000, 500);
    house.write_parquet("in/b.parquet", 5000, 5000, 500);
    house.publish("COPY (SELECT id, name FROM 'in/' ORDER BY id DESC) TO 'out' STORED AS CSV").await;
    let files = house.files("out");
    assert_eq!(files.len(), 1, "an ordered result is one split");
    let text = String::from_utf8(files.into_values().next().expect("a file")).expect("text");
    let ids: Vec<i64> =
        text.lines().skip(1).map(|line| line.split(',').next().expect("id").parse().expect("a number")).collect();
    assert_eq!(ids, (0..10_000).rev().collect::<Vec<_>>());
}

/// Fails at the row whose value is 700,000.
fn add_failing_function(house: &House) {
    let fails = |args: &[ColumnarValue]| {
        let ColumnarValue::Array(array) = &args[0] else { return exec_err!("no array") };
        let ids = array.as_any().downcast_ref::<datafusion::arrow::array::Int64Array>().expect("ids");
        match ids.iter().any(|id| id == Some(700_000)) {
            true => exec_err!("row 700000 cannot be scored"),
            false => Ok(args[0].clone()),
        }
    };
    let function = create_udf("fails", vec![DataType::Int64], DataType::Int64, Volatility::Volatile, Arc::new(fails));
    house.context.register_udf(function);
}

#[tokio::test]
async fn a_failure_at_a_late_row_leaves_the_destination_as_it_was_in_all_modes() {
    let house = House { split_rows: 200_000, ..House::new() };
    add_failing_function(&house);
    house.write_parquet("in/a.parquet", 0, 1_000_000, 100_000);
    house.publish("COPY (SELECT 1 AS id) TO 'out' STORED AS PARQUET").await;
    let before = (house.files("out"), std::fs::read(house.path("out/_SUCCESS")).expect("a marker"));
    for mode in ["append", "overwrite"] {
        let sql =
            format!("COPY (SELECT fails(id) AS id FROM 'in/') TO 'out' STORED AS PARQUET OPTIONS (mode '{mode}')");
        let error = house.try_publish(&sql).await.expect_err("a failing row");
        assert!(error.to_string().contains("row 700000"), "{error}");
        let after = (house.files("out"), std::fs::read(house.path("out/_SUCCESS")).expect("a marker"));
        assert!(before == after, "{mode}");
    }
    house
        .try_publish("COPY (SELECT fails(id) AS id FROM 'in/') TO 'new' STORED AS PARQUET")
        .await
        .expect_err("a failing row");
    assert!(!house.path("new").exists());
    assert!(house.files("staging").is_empty());
}

#[tokio::test]
async fn a_dropped_write_leaves_the_destination_as_it_was() {
    let house = House::new();
    house.write_parquet("in/a.parquet", 0, 200_000, 50_000);
    let Begun { job, plan, .. } =
        house.begin("COPY (SELECT * FROM 'in/') TO 'out' STORED AS CSV").await.expect("begun");
    let mut stream = plan.execute(0, house.context.task_ctx()).expect("a stream");
    let polled = futures::poll!(futures::StreamExt::next(&mut stream));
    assert!(polled.is_pending());
    drop(stream);
    assert!(job.receipt(0).await.expect("read").is_none());
    assert!(!house.path("out").exists());
}

#[tokio::test]
async fn a_sealed_split_is_not_computed_again() {
    let house = House { split_rows: 100_000, ..House::new() };
    add_failing_function(&house);
    house.write_parquet("in/a.parquet", 0, 300_000, 100_000);
    let Begun { plan, .. } =
        house.begin("COPY (SELECT fails(id) AS id FROM 'in/') TO 'out' STORED AS PARQUET").await.expect("begun");
    let task = house.context.task_ctx();
    let first = collect_partitioned(plan.clone(), task.clone()).await.expect("written");
    std::fs::remove_dir_all(house.path("in")).expect("gone");
    let second = collect_partitioned(plan.clone(), task).await.expect("the receipts are enough");
    let rows = |batches: &[Vec<_>]| batches.iter().flatten().map(|batch| total(batch, "rows")).collect::<Vec<_>>();
    assert_eq!(rows(&first), [100_000, 100_000, 100_000]);
    assert_eq!(rows(&first), rows(&second));
    let written = plan.metrics().expect("metrics").sum_by_name("rows_written").expect("counted").as_usize();
    assert_eq!(written, 300_000);
}

#[tokio::test]
async fn a_destination_that_is_no_folder_for_results_is_refused() {
    let house = House::new();
    let check = async |destination: &str, code: &str, part: &str| {
        let (found, message) = house.refusal(&format!("COPY (SELECT 1 AS a) TO '{destination}' STORED AS CSV")).await;
        assert_eq!(found, code, "{destination}: {message}");
        assert!(message.contains(part), "{destination}: {message}");
    };
    check("out.csv/", "destination_is_file", "'out/'").await;
    check(" ", "destination_invalid", "names no folder").await;
    check("/", "destination_invalid", "root").await;
    check(".volley-staging/x/", "destination_invalid", ".volley-staging").await;
    check("x/.volley-staging", "destination_invalid", ".volley-staging").await;
    check("http://lake/x/", "store_read_only", "http://lake/x/").await;
    check("hdfs://lake/x/", "unknown_scheme", "hdfs").await;
    check("s3://lake/", "destination_invalid", "a whole bucket").await;
    check("s3://lake/.volley-staging/x/", "destination_invalid", ".volley-staging").await;
}
