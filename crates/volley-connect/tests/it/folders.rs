//! PARTITIONED BY: values become folders, and folders values again.

use std::sync::Arc;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};

use crate::harness::House;

#[tokio::test]
async fn columns_become_folders_and_come_back_as_columns() {
    let house = House::new();
    let sql =
        "SELECT id, name AS who, id % 3 AS part, CASE WHEN id % 2 = 0 THEN 'x/y' ELSE 'a b' END AS text FROM 'in/'";
    house.write_parquet("in/a.parquet", 0, 1000, 100);
    for format in ["PARQUET", "CSV", "JSON", "ARROW"] {
        let out = format!("out_{format}");
        assert_eq!(
            house.publish(&format!("COPY ({sql}) TO '{out}' STORED AS {format} PARTITIONED BY (part, text)")).await,
            1000
        );
        let folders: Vec<_> = house.folders(&out).into_iter().collect();
        assert_eq!(folders.len(), 6, "{folders:?}");
        assert_eq!(folders[0], "part=0/text=a%20b");
        assert_eq!(house.files(&out).len(), 6, "one file a value");
        let back = format!("SELECT id, who, part, text FROM '{out}/' ORDER BY id");
        let there = format!("SELECT id, who, part, text FROM ({sql}) ORDER BY id");
        assert_eq!(house.rows(&back).await, house.rows(&there).await, "{format}");
    }
}

#[tokio::test]
async fn many_values_are_one_file_each_in_every_split() {
    let house = House { split_rows: 10_000, ..House::new() };
    house.write_parquet("in/a.parquet", 0, 20_000, 10_000);
    let sql = "COPY (SELECT id, id % 100 AS k FROM 'in/') TO 'out' STORED AS PARQUET PARTITIONED BY (k)";
    assert_eq!(house.publish(sql).await, 20_000);
    assert_eq!(house.folders("out").len(), 100);
    assert_eq!(house.files("out").len(), 200);
    assert_eq!(house.number("SELECT sum(id) FROM 'out/'").await, 20_000 * 19_999 / 2);
    assert_eq!(house.number("SELECT count(*) FROM 'out/' WHERE k = 17 AND id % 100 <> 17").await, 0);
}

/// Every value of one character, and some of several, each with a row of its own.
fn values() -> Vec<String> {
    let ascii = (1..128u8).map(|byte| char::from(byte).to_string());
    let around = (1..128u8).map(|byte| format!("a{}b", char::from(byte)));
    let others = ["", "..", "é", "日本", "a%5Bb", "%41", "a[b c", "x=y", "😀"].map(str::to_owned);
    ascii.chain(around).chain(others).collect()
}

#[tokio::test]
async fn every_value_is_found_by_a_filter_on_its_folder() {
    let house = House::new();
    let values = values();
    let ids = Int64Array::from_iter_values(0..values.len() as i64);
    let texts = StringArray::from_iter_values(&values);
    let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as _), ("k", Arc::new(texts) as _)]).expect("rows");
    house.context.register_batch("t", batch).expect("a table");
    house.publish("COPY (SELECT id, k FROM t) TO 'out' STORED AS PARQUET PARTITIONED BY (k)").await;
    assert_eq!(
        house.number("SELECT count(*) FROM 'out/' o JOIN t ON o.id = t.id AND o.k = t.k").await,
        values.len() as i64
    );
    for (id, value) in values.iter().enumerate() {
        let sql = format!("SELECT id FROM 'out/' WHERE k = '{}'", value.replace('\'', "''"));
        assert_eq!(house.number(&sql).await, id as i64, "{value:?}");
    }
}

#[tokio::test]
async fn a_null_names_no_folder() {
    let house = House::new();
    let sql = "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t(id, k)";
    let (code, message) = house.refused(&format!("COPY ({sql}) TO 'out' STORED AS PARQUET PARTITIONED BY (k)")).await;
    assert_eq!(code, "null_partition");
    assert!(message.contains("COALESCE(k, "), "{message}");
    let long = "SELECT 1 AS id, repeat('x', 300) AS k";
    let (code, _) = house.refused(&format!("COPY ({long}) TO 'out' STORED AS PARQUET PARTITIONED BY (k)")).await;
    assert_eq!(code, "folder_name_too_long");
    assert!(!house.path("out").exists() && house.files("staging").is_empty());
}

#[tokio::test]
async fn an_empty_split_and_an_empty_result_leave_a_table_that_can_be_read() {
    let house = House { split_rows: 100, ..House::new() };
    house.write_parquet("in/a.parquet", 0, 300, 100);
    let copy = |rows: &str, out: &str, mode: &str| {
        format!(
            "COPY (SELECT * FROM 'in/' WHERE id + 0 {rows}) TO '{out}' STORED AS PARQUET PARTITIONED BY (name)
             OPTIONS (mode '{mode}')"
        )
    };
    assert_eq!(house.publish(&copy(">= 200", "late", "error")).await, 100);
    assert_eq!(house.number("SELECT count(*) FROM 'late/'").await, 100);
    assert_eq!(house.folders("late").len(), 7);
    house.publish(&copy("< 0", "none", "error")).await;
    assert_eq!(house.number("SELECT count(name) FROM 'none/'").await, 0);
    house.publish(&copy(">= 200", "none", "append")).await;
    assert_eq!(house.number("SELECT count(name) FROM 'none/'").await, 100);
    house.publish(&copy("< 0", "none", "append")).await;
    assert_eq!(house.number("SELECT count(name) FROM 'none/'").await, 100);
    assert_eq!(house.files("none").len(), 7);
}
