//! What may stand in quotes after FROM, and what is said when it may not.

use crate::harness::{House, url};

async fn check_count(house: &House, table: &str, expected: i64) {
    assert_eq!(house.number(&format!("SELECT count(*) FROM '{table}'")).await, expected, "{table}");
}

async fn check_refused(house: &House, table: &str, code: &str, part: &str) {
    let (found, message) = house.refusal(&format!("SELECT * FROM '{table}'")).await;
    assert_eq!(found, code, "{table}: {message}");
    assert!(message.contains(part), "{table}: {message}");
}

#[tokio::test]
async fn one_file_is_a_table_however_it_is_named() {
    let house = House::new();
    house.write_parquet("in/people.parquet", 0, 10, 10);
    check_count(&house, "in/people.parquet", 10).await;
    check_count(&house, "./in/../in/people.parquet", 10).await;
    let path = house.path("in/people.parquet");
    check_count(&house, &path.display().to_string(), 10).await;
    check_count(&house, &url(&path), 10).await;
}

#[tokio::test]
async fn every_format_is_read_by_its_ending() {
    let house = House::new();
    house.write_text("a.csv", "id,name\n1,x\n2,y\n");
    for name in ["a.json", "a.ndjson", "a.jsonl"] {
        house.write_text(name, "{\"id\":1}\n{\"id\":2}\n");
        check_count(&house, name, 2).await;
    }
    check_count(&house, "a.csv", 2).await;
    assert_eq!(house.number("SELECT sum(id) FROM 'a.csv'").await, 3);
    house.publish("COPY (SELECT 1 AS id) TO 'arrow' STORED AS ARROW").await;
    check_count(&house, "arrow/", 1).await;
    let part = house.files("arrow").into_keys().next().expect("a part");
    for name in ["a.arrow", "a.feather", "a.ipc"] {
        std::fs::copy(house.path("arrow").join(&part), house.path(name)).expect("copied");
        check_count(&house, name, 1).await;
    }
}

#[tokio::test]
async fn a_folder_is_a_table_of_its_visible_files() {
    let house = House::new();
    house.write_parquet("in/a.parquet", 0, 10, 10);
    house.write_parquet("in/b.parquet", 10, 5, 10);
    house.write_text("in/_SUCCESS", "{}");
    house.write_text("in/.a.parquet.crc", "x");
    check_count(&house, "in/", 15).await;
    check_count(&house, "./in", 15).await;
    house.write_parquet("in/_old.parquet", 0, 100, 100);
    house.write_parquet("in/_temporary/0/c.parquet", 0, 100, 100);
    check_count(&house, "in/", 15).await;
}

#[tokio::test]
async fn a_pattern_is_a_table_of_the_files_it_matches() {
    let house = House::new();
    house.write_parquet("in/a1.parquet", 0, 10, 10);
    house.write_parquet("in/a2.parquet", 0, 10, 10);
    house.write_parquet("in/b/c.parquet", 0, 10, 10);
    house.write_text("in/notes.txt", "x");
    check_count(&house, "in/a*.parquet", 20).await;
    check_count(&house, "in/a[1].parquet", 10).await;
    check_count(&house, "in/**/*.parquet", 30).await;
    check_refused(&house, "in/x*.parquet", "table_not_found", "no file matches").await;
}

#[tokio::test]
async fn folders_of_values_become_columns_with_types() {
    let house = House::new();
    house.write_parquet("in/year=2024/city=New%20York/a.parquet", 0, 10, 10);
    house.write_parquet("in/year=2025/city=Bonn/a.parquet", 10, 5, 10);
    let sql = "SELECT arrow_typeof(year) AS y, arrow_typeof(city) AS c, city, count(*) AS n FROM 'in/' GROUP BY 1, 2, 3 ORDER BY n";
    let expected = "\
+-------+------+----------+----+
| y     | c    | city     | n  |
+-------+------+----------+----+
| Int64 | Utf8 | Bonn     | 5  |
| Int64 | Utf8 | New York | 10 |
+-------+------+----------+----+";
    assert_eq!(house.rows(sql).await, expected);
    assert_eq!(house.number("SELECT count(*) FROM 'in/' WHERE year = 2025").await, 5);
    assert_eq!(house.number("SELECT count(*) FROM 'in/' WHERE city = 'New York'").await, 10);
    house.write_parquet("in/stray.parquet", 0, 1, 1);
    check_refused(&house, "in/", "bad_file", "folders by").await;
}

#[tokio::test]
async fn a_table_that_cannot_be_read_says_why() {
    let house = House::new();
    house.write_parquet("trips.parquet", 0, 1, 1);
    check_refused(&house, "tripps.parquet", "table_not_found", "did you mean 'trips.parquet'?").await;
    check_refused(&house, "nowhere/", "table_not_found", "nowhere").await;
    house.write_text("text/a.txt", "x");
    check_refused(&house, "text/", "unknown_format", "'a.txt'").await;
    house.write_text("mixed/a.csv", "x\n1\n");
    house.write_text("mixed/b.json", "{\"x\":1}\n");
    check_refused(&house, "mixed/", "mixed_formats", "'a.csv' and 'b.json'").await;
    house.write_text("marked/_SUCCESS", "{}");
    check_refused(&house, "marked/", "table_empty", "no data files").await;
    std::fs::create_dir(house.path("bare")).expect("a folder");
    check_refused(&house, "bare/", "table_empty", "no data files").await;
    house.write_parquet("deep/x/a.parquet", 0, 1, 1);
    check_refused(&house, "deep/", "table_empty", "folder 'x'").await;
    house.write_text("short.parquet", "PAR1");
    check_refused(&house, "short.parquet", "bad_file", "short.parquet").await;
    house.write_parquet("some/a.parquet", 0, 1, 1);
    house.write_text("some/b.parquet", "");
    check_refused(&house, "some/", "bad_file", "b.parquet").await;
    house.write_text("differ/a.json", "{\"x\":1}\n");
    house.write_text("differ/b.json", "not json\n");
    check_refused(&house, "differ/", "bad_file", "b.json").await;
    check_refused(&house, "s3://lake/trips/", "missing_credentials", "s3://lake").await;
}

#[tokio::test]
async fn a_table_format_is_not_read_as_plain_files() {
    let house = House::new();
    let check = async |folder: &str, log: &str, kind: &str| {
        house.write_parquet(&format!("{folder}/a.parquet"), 0, 1, 1);
        house.write_text(&format!("{folder}/{log}"), "{}");
        check_refused(&house, &format!("{folder}/"), "table_format", kind).await;
    };
    check("delta", "_delta_log/00000000000000000000.json", "Delta Lake").await;
    check("iceberg", "metadata/v1.metadata.json", "Iceberg").await;
    check("hudi", ".hoodie/hoodie.properties", "Hudi").await;
}

#[tokio::test]
async fn a_name_without_signs_of_a_path_stays_a_name() {
    let house = House::new();
    let error = house.context.sql("SELECT * FROM trips").await.expect_err("no such table");
    assert!(error.to_string().contains("table 'datafusion.public.trips' not found"), "{error}");
}

#[tokio::test]
async fn an_external_table_has_the_same_checks() {
    let house = House::new();
    house.write_parquet("in/day=1/a.parquet", 0, 10, 10);
    house.run("CREATE EXTERNAL TABLE a STORED AS PARQUET LOCATION 'in/'").await;
    assert_eq!(house.number("SELECT sum(day) FROM a").await, 10);
    house.run("CREATE EXTERNAL TABLE b STORED AS PARQUET PARTITIONED BY (day) LOCATION 'in/'").await;
    house.write_text("s.txt", "1;x\n2;y\n");
    house.run("CREATE EXTERNAL TABLE c (n INT, t VARCHAR) STORED AS CSV LOCATION 's.txt' OPTIONS (delimiter ';', has_header 'false')").await;
    assert_eq!(house.number("SELECT sum(n) FROM c").await, 3);
    house.run("CREATE EXTERNAL TABLE later (n INT) STORED AS PARQUET LOCATION 'later/'").await;
    assert_eq!(house.number("SELECT count(*) FROM later").await, 0);
    let check = async |rest: &str, code: &str| {
        let (found, message) = house.refusal(&format!("CREATE EXTERNAL TABLE x {rest}")).await;
        assert_eq!(found, code, "{rest}: {message}");
    };
    check("STORED AS PARQUET LOCATION 'nowhere/'", "table_not_found").await;
    check("STORED AS CSV LOCATION 'in/'", "bad_file").await;
    check("STORED AS PARQUET PARTITIONED BY (month) LOCATION 'in/'", "unsupported_columns").await;
    check("STORED AS CSV LOCATION 's.txt' OPTIONS (delimiiter ';')", "unknown_option").await;
    house.write_text("d/_delta_log/0.json", "{}");
    check("STORED AS PARQUET LOCATION 'd/'", "table_format").await;
}

#[tokio::test]
async fn compressed_text_is_read() {
    let house = House::new();
    house.run("CREATE TABLE t AS VALUES (1), (2), (3)").await;
    let gzip = "COPY t TO '{}' STORED AS CSV OPTIONS (compression 'gzip')";
    let (code, _) = house.refusal(&gzip.replace("{}", "out/")).await;
    assert_eq!(code, "unknown_option");
    let plain = datafusion::prelude::SessionContext::new();
    let path = house.path("n.csv.gz");
    let sql = format!(
        "COPY (SELECT 1 AS n UNION ALL SELECT 2) TO '{}' STORED AS CSV OPTIONS (compression 'gzip')",
        path.display()
    );
    plain.sql(&sql).await.expect("planned").collect().await.expect("written");
    check_count(&house, "n.csv.gz", 2).await;
}

#[tokio::test]
async fn every_line_of_json_counts_for_the_columns() {
    let house = House::new();
    let lines = |from: i64, to: i64, line: &dyn Fn(i64) -> String| (from..to).map(line).collect::<String>();
    let whole = |n: i64| format!("{{\"a\":{n}}}\n");
    let halved = |n: i64| format!("{{\"a\":{n}.5}}\n");
    house.write_text("one.json", &(lines(0, 2000, &whole) + &lines(2000, 3000, &halved)));
    assert_eq!(house.number("SELECT 2 * sum(a) FROM 'one.json'").await, 3000 * 2999 + 1000);
    house.write_text("two/a.json", &lines(0, 2000, &whole));
    house.write_text("two/b.json", &lines(2000, 3000, &halved));
    assert_eq!(house.number("SELECT 2 * sum(a) FROM 'two/'").await, 3000 * 2999 + 1000);
    house.write_text("late.json", &(lines(0, 1500, &whole) + "{\"a\":1,\"b\":7}\n"));
    assert_eq!(house.number("SELECT sum(b) FROM 'late.json'").await, 7);
    house.run("CREATE EXTERNAL TABLE late STORED AS JSON LOCATION 'late.json'").await;
    assert_eq!(house.number("SELECT sum(b) FROM late").await, 7);
    house.write_text("bad.json", &(lines(0, 1500, &whole) + "\n{\"a\":1\n"));
    check_refused(&house, "bad.json", "bad_file", "/bad.json' cannot be read: line 1502 is not valid JSON").await;
    house.write_text("list.json", "{\"a\":1}\n[4711]\n");
    check_refused(&house, "list.json", "bad_file", "line 2 is not a JSON object").await;
    house.write_text("mixed.json", "{\"a\":1}\n{\"a\":{\"b\":1}}\n");
    check_refused(&house, "mixed.json", "bad_file", "line 2 does not go with").await;
}

#[tokio::test]
async fn csv_files_have_the_same_columns_in_the_same_order() {
    let house = House::new();
    house.write_text("order/a.csv", "x,y\n1,2\n");
    house.write_text("order/b.csv", "y,x\n20,10\n");
    let (_, message) = house.refusal("SELECT * FROM 'order/'").await;
    assert!(message.contains("/order/b.csv' cannot be read: its columns are (y, x), those of '/"), "{message}");
    assert!(message.contains("/order/a.csv' are (x, y)"), "{message}");
    check_refused(&house, "order/", "bad_file", "same order").await;
    let (code, _) = house.refusal("CREATE EXTERNAL TABLE t (x INT, y INT) STORED AS CSV LOCATION 'order/'").await;
    assert_eq!(code, "bad_file");
    house.write_text("more/a.csv", "x,y\n1,2\n");
    house.write_text("more/b.csv", "x,y,z\n1,2,3\n");
    check_refused(&house, "more/", "bad_file", "(x, y, z)").await;
    house.write_text("twice.csv", "a,b,a\n1,2,3\n");
    check_refused(&house, "twice.csv", "bad_file", "two columns `a`").await;
    house.write_text("ragged.csv", "a,b\n1,2\n1,2,4711\n");
    check_refused(&house, "ragged.csv", "bad_file", "/ragged.csv' cannot be read: ").await;
    check_refused(&house, "ragged.csv", "bad_file", "line 3").await;
}

#[tokio::test]
async fn arrow_files_have_the_same_columns_in_the_same_order() {
    let house = House::new();
    house.publish("COPY (SELECT 1 AS x, 2 AS y) TO 'in' STORED AS ARROW").await;
    house.publish("COPY (SELECT 20 AS y, 10 AS x) TO 'other' STORED AS ARROW").await;
    let part = house.files("other").into_keys().next().expect("a part");
    std::fs::copy(house.path("other").join(&part), house.path("in/z.arrow")).expect("copied");
    check_refused(&house, "in/", "bad_file", "in/z.arrow' cannot be read: its columns are (y, x)").await;
}

#[tokio::test]
async fn types_of_csv_columns_hold_the_values_of_all_files() {
    let house = House::new();
    house.write_text("in/a.csv", "n,t,late\n1,7,\n");
    house.write_text("in/b.csv", "n,t,late\n1.5,x,\n");
    let sql = "SELECT arrow_typeof(n) AS n, arrow_typeof(t) AS t, sum(n) AS s FROM 'in/' GROUP BY 1, 2";
    let shown = house.rows(sql).await;
    assert!(shown.contains("| Float64 | Utf8 | 2.5 |"), "{shown}");
    let rows = "1,\n".repeat(1500) + "1,x\n";
    house.write_text("late.csv", &format!("n,late\n{rows}"));
    assert_eq!(house.number("SELECT count(late) FROM 'late.csv'").await, 1);
}

#[tokio::test]
async fn a_csv_value_may_hold_line_breaks() {
    let house = House::new();
    let row = format!("1,\"{}\"\n", "line\n,\n".repeat(100));
    house.write_text("in/a.csv", &format!("n,t\n{}", row.repeat(5000)));
    check_count(&house, "in/", 5000).await;
    assert_eq!(house.number("SELECT max(length(t)) FROM 'in/'").await, 700);
}

#[tokio::test]
async fn a_folder_without_a_value_is_not_taken_for_one() {
    let house = House::new();
    house.write_parquet("in/k=1/a.parquet", 0, 1, 1);
    house.write_parquet("in/k=__HIVE_DEFAULT_PARTITION__/a.parquet", 0, 1, 1);
    check_refused(&house, "in/", "not_built", "stands for NULL").await;
}

#[tokio::test]
async fn the_files_of_a_folder_are_read_whatever_their_names_and_neighbours() {
    let house = House::new();
    house.write_parquet("eq/x=1.parquet", 0, 2, 2);
    house.write_parquet("eq/b.parquet", 0, 1, 1);
    check_count(&house, "eq/", 3).await;
    house.write_text("eq/_SUCCESS", "{}");
    check_count(&house, "eq/", 3).await;
    house.write_parquet("hid/a.parquet", 0, 1, 1);
    house.write_parquet("hid/.x=1/h.parquet", 0, 2, 2);
    check_count(&house, "hid/", 1).await;
    house.write_parquet("sub/a.parquet", 0, 1, 1);
    house.write_parquet("sub/deeper/a.parquet", 0, 2, 2);
    house.write_text("sub/_SUCCESS", "{}");
    check_count(&house, "sub/", 1).await;
    house.write_parquet("part/k=1/a.parquet", 0, 1, 1);
    house.write_parquet("part/k=1/_SUCCESS", 0, 1, 1);
    house.write_parquet("part/k=1/deeper/a.parquet", 0, 2, 2);
    check_count(&house, "part/", 1).await;
    house.write_parquet("part/k=1/.x=1/h.parquet", 0, 2, 2);
    check_refused(&house, "part/", "bad_file", ".x=1/h.parquet").await;
}
