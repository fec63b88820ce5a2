//! Results are published all at once or not at all, in every mode and format.

use arrow::array::AsArray;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::harness::{House, fixture, model};
use crate::process::volley;

const MODES: [&str; 3] = ["error", "append", "overwrite"];

/// A house with a Parquet folder `input/` of `rows` rows in several files and row groups, and model inputs a to d.
async fn house(rows: usize) -> House {
    let mut house = House::with(|settings| settings.split_rows = 100_000).await;
    house
        .run(&format!(
            "COPY (SELECT value AS id, value / 7.0 AS a, 0.5 AS b, 1.0 AS c, 2.0 AS d, value % 3 AS part
                   FROM generate_series(1, {rows}))
             TO 'input/' STORED AS PARQUET"
        ))
        .await;
    house
}

fn scored(to: &str, extra: &str) -> String {
    format!(
        "COPY (SELECT id, part, predict('{}') AS score FROM 'input/') TO '{to}' STORED AS {extra}",
        model("linear_onnx_double")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_publishes_parts_and_success_and_nothing_else() {
    let mut house = house(1000).await;
    let summary = house.published(&scored("out/", "PARQUET")).await;
    assert_eq!((summary.rows, summary.null_scores, summary.files), (1000, 0, 1));
    let names: Vec<String> = house.files("out").into_iter().map(|(name, _)| name).collect();
    assert!(
        matches!(names.as_slice(), [success, part] if success == "_SUCCESS" && part.starts_with("part-000000-")),
        "{names:?}"
    );
    assert!(house.files(".volley-staging").is_empty(), "staging is empty after publishing");
    assert_eq!(house.number("SELECT count(DISTINCT id) FROM 'out/'").await, 1000.0);
    assert_eq!(
        house
            .number("SELECT count(*) FROM 'out/' WHERE abs(score - (1 + id / 70.0 + 0.1 + 0.3 + 0.8)) > 1e-3 * id")
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_names_its_job_split_and_model() {
    let mut house = house(10).await;
    let summary = house.published(&scored("out/", "PARQUET")).await;
    let (name, bytes) = house.files("out").pop().unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let entries = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    let entry =
        |key: &str| entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.value.clone()).unwrap();
    assert_eq!(entry("volley.job"), summary.job);
    assert_eq!(entry("volley.split"), "0");
    assert!(entry("volley.models").contains(&summary.models[0].sha256), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn success_names_job_model_rows_and_files() {
    let mut house = house(10).await;
    let summary = house.published(&scored("out/", "PARQUET")).await;
    let (_, bytes) = house.files("out").remove(0);
    let success: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(success["job"], summary.job);
    assert_eq!(success["rows"], 10);
    assert_eq!(success["models"][0]["sha256"], summary.models[0].sha256);
    assert_eq!(success["files"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_error_refuses_a_destination_with_data() {
    let mut house = house(10).await;
    house.run(&scored("out/", "PARQUET")).await;
    let before = house.files("out");
    assert_eq!(house.codes(&scored("out/", "PARQUET")).await, ["destination_not_empty"]);
    assert_eq!(house.files("out"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn append_adds_and_overwrite_replaces() {
    let mut house = house(10).await;
    house.run(&scored("out/", "PARQUET")).await;
    house.run(&scored("out/", "PARQUET OPTIONS (mode 'append')")).await;
    assert_eq!(house.number("SELECT count(*) FROM 'out/'").await, 20.0);
    house.run(&scored("out/", "PARQUET OPTIONS (mode 'overwrite')")).await;
    assert_eq!(house.number("SELECT count(*) FROM 'out/'").await, 10.0);
    assert_eq!(house.files("out").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_partitions_replaces_those_that_the_result_has_and_keeps_the_others() {
    let mut house = house(30).await;
    let mode = |condition: &str| {
        scored("out/", "PARQUET PARTITIONED BY (part) OPTIONS (mode 'overwrite_partitions')")
            .replace("FROM 'input/'", &format!("FROM 'input/' WHERE {condition}"))
    };
    house.run(&mode("true")).await;
    let before = house.files("out");
    assert_eq!(house.published(&mode("part = 1 AND id < 10")).await.rows, 3);
    let after = house.files("out");
    let of = |files: &[(String, Vec<u8>)], folder: &str| -> Vec<_> {
        files.iter().filter(|(name, _)| name.starts_with(folder)).cloned().collect()
    };
    for kept in ["part=0/", "part=2/"] {
        assert_eq!(of(&after, kept), of(&before, kept), "{kept} stays byte for byte");
    }
    assert_ne!(of(&after, "part=1/"), of(&before, "part=1/"));
    assert_eq!(house.number("SELECT count(*) FROM 'out/'").await, 23.0);
    let success: serde_json::Value = serde_json::from_slice(&of(&after, "_SUCCESS")[0].1).unwrap();
    assert_eq!((&success["rows"], success["files"].as_array().unwrap().len()), (&23.into(), 3));

    // Nothing to replace, and a file that is not ours in what would be.
    house.run(&mode("id < 0")).await;
    assert_eq!(house.number("SELECT count(*) FROM 'out/'").await, 23.0);
    let part = of(&after, "part=2/").remove(0).1;
    std::fs::write(house.path("out/part=2/theirs.parquet"), part).unwrap();
    let before = house.files("out");
    assert_eq!(house.codes(&mode("part = 2")).await, ["foreign_files"]);
    assert_eq!(house.files("out"), before);
    house.run(&mode("part = 0")).await;
    assert_eq!(house.files("out").len(), before.len(), "beside it, others are replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_file_overwrites_partitions() {
    let mut house = house(30).await;
    house.run("COPY (SELECT id, part FROM 'input/') TO 'out/' STORED AS PARQUET PARTITIONED BY (part)").await;
    let job = "sql = \"SELECT id + 1000 AS id, part FROM 'input/' WHERE part = 1\"
        [output]
        to = 'out/'
        mode = 'overwrite_partitions'
        partitioned_by = ['part']";
    std::fs::write(house.path("job.toml"), job).unwrap();
    let ended = volley(house.folder.path(), &["run", "job.toml"]);
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    assert_eq!(house.number("SELECT count(*) FROM 'out/' WHERE id > 1000").await, 10.0);
    assert_eq!(house.number("SELECT count(*) FROM 'out/'").await, 30.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_other_columns_is_refused_before_anything_is_scored() {
    let mut house = house(10).await;
    house.run("COPY (SELECT id, part, 'x' AS score FROM 'input/') TO 'out/' STORED AS PARQUET").await;
    let before = house.files("out");
    let append = scored("out/", "PARQUET OPTIONS (mode 'append')");
    assert_eq!(house.codes(&append).await, ["append_mismatch"]);
    assert_eq!(house.files("out"), before);
    assert_eq!(house.engine.host().loads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quoted_name_can_become_folders() {
    let mut house = house(10).await;
    let copy =
        "COPY (SELECT id, id % 2 AS \"Half\" FROM 'input/') TO 'out/' STORED AS PARQUET PARTITIONED BY (\"Half\")";
    assert_eq!(house.published(copy).await.files, 2);
    assert_eq!(house.number("SELECT count(*) FROM 'out/' WHERE \"Half\" = 1").await, 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_keeps_its_hands_off_foreign_files() {
    let mut house = house(10).await;
    std::fs::create_dir_all(house.path("out")).unwrap();
    std::fs::write(house.path("out/theirs.parquet"), b"theirs").unwrap();
    let before = house.files("out");
    assert_eq!(house.codes(&scored("out/", "PARQUET OPTIONS (mode 'overwrite')")).await, ["foreign_files"]);
    assert_eq!(house.files("out"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_late_leaves_the_destination_as_it_was_in_all_modes() {
    let mut house = house(1_000_000).await;
    for mode in MODES {
        let to = format!("out_{mode}/");
        if mode != "error" {
            house.run(&scored(&to, "PARQUET")).await;
        }
        let before = house.files(&to);
        let failing = format!(
            "COPY (SELECT id, 1 / (id - 700000) AS part, predict('{}') AS score FROM 'input/')
             TO '{to}' STORED AS PARQUET OPTIONS (mode '{mode}')",
            model("linear_onnx_double")
        );
        std::fs::write(house.path("failing.sql"), failing).unwrap();
        // On a slow machine lines before it say how far it is.
        volley(house.folder.path(), &["run", "failing.sql"]).has_error(1, "[execution_failed]");
        assert_eq!(house.files(&to), before, "{mode}");
        assert!(house.files(".volley-staging").is_empty(), "{mode}: staging is removed");
    }
    assert!(!house.path("out_error").exists(), "not even an empty folder is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_splits_hold_every_row_once() {
    let mut house = house(450_000).await;
    let summary = house.published(&scored("out/", "PARQUET")).await;
    assert_eq!(summary.rows, 450_000);
    assert_eq!(house.number("SELECT count(DISTINCT id) FROM 'out/'").await, 450_000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_with_a_scalar_subquery_is_published() {
    let mut house = house(100).await;
    let best =
        scored("out/", "PARQUET").replace("FROM 'input/'", "FROM 'input/' WHERE id > (SELECT avg(id) FROM 'input/')");
    assert_eq!(house.published(&best).await.rows, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_reads_back_as_it_was_written() {
    let mut house = house(100).await;
    for format in ["PARQUET", "CSV", "JSON", "ARROW"] {
        let to = format!("as_{format}/");
        house.run(&scored(&to, format)).await;
        let differing = format!(
            "SELECT count(*) FROM '{to}' o JOIN (SELECT id, predict('{}') AS score FROM 'input/') i ON o.id = i.id
             WHERE abs(o.score - i.score) < 1e-4",
            model("linear_onnx_double")
        );
        assert_eq!(house.number(&differing).await, 100.0, "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_flattens_a_struct_of_scores() {
    let mut house = House::new().await;
    let input = fixture("iris_onnx_zipmap").join("input.parquet").display().to_string();
    let proba = format!("SELECT predict_proba('{}') FROM '{input}'", model("iris_onnx_zipmap"));
    house.run(&format!("COPY ({proba}) TO 'out/' STORED AS CSV")).await;
    let (_, bytes) = house.files("out").pop().unwrap();
    let header = String::from_utf8(bytes).unwrap().lines().next().unwrap().to_string();
    assert_eq!(header, "prediction_0,prediction_1,prediction_2");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitioned_results_lie_in_folders_of_their_values() {
    let mut house = house(90).await;
    house.run(&scored("out/", "PARQUET PARTITIONED BY (part)")).await;
    let files = house.files("out");
    let folders: Vec<&str> =
        files.iter().filter_map(|(name, _)| name.split_once('/').map(|(folder, _)| folder)).collect();
    assert_eq!(folders, ["part=0", "part=1", "part=2"]);
    assert_eq!(house.number("SELECT sum(part) FROM 'out/'").await, 90.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_rows_is_one_empty_file_with_the_schema() {
    let mut house = house(10).await;
    let empty = scored("out/", "PARQUET").replace("FROM 'input/'", "FROM 'input/' WHERE id < 0");
    assert_eq!(house.published(&empty).await.rows, 0);
    assert_eq!(house.files("out").len(), 2);
    assert_eq!(house.rows("SELECT id, part, score FROM 'out/'").await.num_rows(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn insert_appends_and_insert_overwrite_replaces() {
    let mut house = house(10).await;
    let select = format!("SELECT id, predict('{}') AS score FROM 'input/'", model("linear_onnx_double"));
    house.run("CREATE EXTERNAL TABLE scores (id BIGINT, score FLOAT) STORED AS PARQUET LOCATION 'scores/'").await;
    house.run(&format!("INSERT INTO scores {select}")).await;
    house.run(&format!("INSERT INTO scores {select}")).await;
    assert_eq!(house.number("SELECT count(*) FROM scores").await, 20.0);
    house.run(&format!("INSERT OVERWRITE scores {select} WHERE id <= 4")).await;
    assert_eq!(house.number("SELECT count(*) FROM scores").await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_table_can_be_made_and_filled_in_one_statement() {
    let mut house = house(10).await;
    let made = format!(
        "CREATE EXTERNAL TABLE made STORED AS PARQUET LOCATION 'made/' AS SELECT id, predict('{}') AS score FROM 'input/'",
        model("linear_onnx_double")
    );
    assert_eq!(house.published(&made).await.rows, 10);
    assert_eq!(house.number("SELECT count(*) FROM made WHERE score > 0").await, 10.0);
    assert_eq!(house.codes(&made).await, ["table_exists"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_filled_has_the_columns_of_its_query() {
    let mut house = house(10).await;
    let made = |name: &str, rest: &str, query: &str| {
        format!("CREATE EXTERNAL TABLE {name} STORED AS {rest} LOCATION '{name}/' AS SELECT {query} FROM 'input/'")
    };
    let compressed = "CREATE EXTERNAL TABLE small STORED AS PARQUET LOCATION 'small/' OPTIONS (compression 'zstd(3)')
                      AS SELECT id FROM 'input/'";
    house.run(compressed).await;
    assert_eq!(house.number("SELECT count(*) FROM small").await, 10.0);
    house.run(&made("none", "JSON", "id, 'x' AS s").replace("FROM 'input/'", "FROM 'input/' WHERE id < 0")).await;
    assert_eq!(house.number("SELECT count(s) FROM none").await, 0.0);
    house.run(&made("days", "PARQUET PARTITIONED BY (day)", "id, date '2026-11-22' AS day")).await;
    assert_eq!(house.text("SELECT DISTINCT arrow_typeof(day) AS t FROM days").await.matches("Date32").count(), 1);
    let declared = made("other (x INT)", "PARQUET", "id").replace("other (x INT)/", "other/");
    assert_eq!(house.codes(&declared).await, ["not_supported"]);
    assert!(!house.path("other").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sorted_result_is_one_sorted_file() {
    let mut house = house(300_000).await;
    let sorted = scored("out/", "PARQUET").replace("FROM 'input/'", "FROM 'input/' ORDER BY score DESC");
    let summary = house.published(&sorted).await;
    assert_eq!((summary.rows, summary.files), (300_000, 1));
    let batch = house.rows("SELECT id FROM 'out/' LIMIT 2").await;
    assert_eq!(batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[300_000, 299_999]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_which_no_column_is_read_are_counted() {
    // Such a series has no form that travels.
    let mut house = House::with(|settings| settings.round_trip_plans = false).await;
    let summary = house.published("COPY (SELECT 7 AS x FROM generate_series(1, 10)) TO 'out/' STORED AS CSV").await;
    assert_eq!(summary.rows, 10);
    assert_eq!(house.number("SELECT sum(x) FROM 'out/'").await, 70.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_destination_is_refused_before_anything_runs() {
    let mut house = house(10).await;
    for (to, extra, code) in [
        ("out.parquet", "PARQUET", "destination_is_file"),
        ("out/", "PARQUET OPTIONS (mode 'replace')", "unknown_mode"),
        ("out/", "PARQUET OPTIONS (mood 'append')", "unknown_option"),
        ("out/", "AVRO", "unknown_format"),
        ("hdfs://lake/out/", "PARQUET", "unknown_scheme"),
        ("s3://lake/out/", "PARQUET", "missing_credentials"),
    ] {
        assert_eq!(house.codes(&scored(to, extra)).await, [code], "{to} {extra}");
    }
    assert_eq!(house.engine.host().loads(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_of_a_copy_shows_the_write_and_begins_nothing() {
    let mut house = house(10).await;
    let state = house.files(".volley/state");
    let text = house.text(&format!("EXPLAIN {}", scored("out/", "PARQUET"))).await;
    assert!(text.contains("WriteExec") && text.contains("PredictExec"), "{text}");
    assert!(!house.path("out").exists());
    assert!(!state.is_empty() && house.files(".volley/state") == state, "no job is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_kind_is_refused_with_its_own_code() {
    let mut house = House::new().await;
    std::fs::create_dir_all(house.path("delta/_delta_log")).unwrap();
    std::fs::write(house.path("delta/_delta_log/00000000000000000000.json"), b"{}").unwrap();
    std::fs::create_dir_all(house.path("iceberg/metadata")).unwrap();
    std::fs::write(house.path("iceberg/metadata/v1.metadata.json"), b"{}").unwrap();
    std::fs::create_dir_all(house.path("empty")).unwrap();
    std::fs::write(house.path("x.parquet"), b"this is no parquet file at all").unwrap();
    std::fs::write(house.path("y.xlsx"), b"cells").unwrap();
    for (table, code) in [
        ("delta/", "table_format"),
        ("iceberg/", "table_format"),
        ("empty/", "table_empty"),
        ("nowhere/", "table_not_found"),
        ("x.parquet", "bad_file"),
        ("y.xlsx", "unknown_format"),
    ] {
        assert_eq!(house.codes(&format!("SELECT * FROM '{table}'")).await, [code], "{table}");
    }
}
