//! Views and common table expressions that score: read as they were written, pinned by who reads them.

use crate::harness::{House, fixture, model};

/// Tables `t` (40 rows with an id) and `s` (the same with the score), and a view `scored` of `t`.
async fn house() -> House {
    filled(House::new().await).await
}

async fn filled(mut house: House) -> House {
    let input = fixture("linear_onnx_double").join("input.parquet").display().to_string();
    let model = model("linear_onnx_double");
    house
        .run(&format!(
            "CREATE TABLE t AS SELECT row_number() OVER ()::bigint AS id, * FROM '{input}';
             CREATE TABLE s AS SELECT *, predict('{model}') AS score FROM t;
             CREATE VIEW scored AS SELECT id, predict('{model}') AS p FROM t"
        ))
        .await;
    house
}

/// A query over the table of scores and one over a view or a call give the same rows.
async fn same(house: &mut House, by_call: &str, by_column: &str) {
    let by_call = by_call.replace("P()", &format!("predict('{}')", model("linear_onnx_double")));
    assert_eq!(house.text(&by_call).await, house.text(by_column).await, "{by_call}");
}

#[tokio::test]
async fn a_view_is_read_by_every_spelling_of_its_name() {
    let mut house = house().await;
    let model = model("linear_onnx_double");
    house.run(&format!("CREATE VIEW \"My View\" AS SELECT id, predict('{model}') AS p FROM t")).await;
    house.run("CREATE VIEW public.above AS SELECT id, p FROM \"My View\" WHERE p > 1").await;
    let expected = "SELECT sum(score) AS p FROM s";
    for name in ["scored", "SCORED", "\"scored\"", "public.scored", "datafusion.public.scored", "\"My View\""] {
        same(&mut house, &format!("SELECT sum(p) AS p FROM {name}"), expected).await;
    }
    same(&mut house, "SELECT sum(p) AS p FROM Above a", "SELECT sum(score) AS p FROM s WHERE score > 1").await;
}

#[tokio::test]
async fn the_models_of_a_view_are_those_of_the_job_that_reads_it() {
    let mut house = house().await;
    let model = model("linear_onnx_double");
    house.run(&format!("CREATE VIEW \"Quoted\" AS SELECT id, predict('{model}') AS p FROM t")).await;
    house.run("CREATE VIEW outside AS SELECT id FROM \"Quoted\" WHERE p > 0").await;
    for name in ["scored", "\"Quoted\"", "public.outside"] {
        let to = format!("out_{}/", name.replace(['"', '.'], ""));
        let summary = house.published(&format!("COPY (SELECT * FROM {name}) TO '{to}' STORED AS PARQUET")).await;
        assert_eq!(summary.models.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn column_names_of_a_view_hold_under_every_alias() {
    let mut house = house().await;
    let model = model("linear_onnx_double");
    house.run(&format!("CREATE VIEW named (\"I\", q) AS SELECT id, predict('{model}') FROM t")).await;
    same(&mut house, "SELECT x.\"I\", x.q FROM named x ORDER BY 1", "SELECT id AS \"I\", score AS q FROM s ORDER BY 1")
        .await;
    same(&mut house, "SELECT \"I\", q FROM named ORDER BY 1", "SELECT id AS \"I\", score AS q FROM s ORDER BY 1").await;
}

#[tokio::test]
async fn what_takes_the_name_of_a_view_replaces_it() {
    let mut house = house().await;
    for replaced in
        ["CREATE OR REPLACE VIEW scored AS SELECT 1.0 AS p", "DROP VIEW scored; CREATE TABLE scored AS SELECT 1.0 AS p"]
    {
        house.run(replaced).await;
        assert_eq!(house.number("SELECT sum(p) FROM scored").await, 1.0, "{replaced}");
    }
}

#[tokio::test]
async fn a_common_table_expression_is_not_seen_inside_a_view() {
    let mut house = house().await;
    let narrowed = "WITH t AS (SELECT 1 AS x), q AS (SELECT 2 AS y) SELECT count(*) AS n FROM scored";
    assert_eq!(house.number(narrowed).await, 40.0);
    let hides = "WITH scored AS (SELECT * FROM scored WHERE id <= 3) SELECT count(*) AS n FROM scored";
    assert_eq!(house.number(hides).await, 3.0);
}

#[tokio::test]
async fn a_view_that_reads_itself_is_refused() {
    let mut house = house().await;
    assert_eq!(house.codes("CREATE OR REPLACE VIEW scored AS SELECT id, p FROM scored").await, ["recursive_view"]);
    house.run("CREATE VIEW other AS SELECT id, p FROM scored").await;
    assert_eq!(house.codes("CREATE OR REPLACE VIEW scored AS SELECT id, p FROM other").await, ["recursive_view"]);
    assert_eq!(house.number("SELECT count(*) FROM other").await, 40.0);
}

#[tokio::test]
async fn a_problem_inside_a_view_names_the_view() {
    let mut house = house().await;
    house.run("DROP TABLE t; CREATE TABLE t AS SELECT 1 AS id, 2.0 AS a, 3.0 AS b, 4.0 AS c").await;
    let error = house.try_run("SELECT\n  *\nFROM scored").await.unwrap_err();
    assert!(error.to_string().starts_with("3:6: in view `scored`: model"), "{error}");
    assert_eq!(error.code(), "missing_input");
}

#[tokio::test]
async fn inputs_are_found_wherever_columns_are_in_scope() {
    let mut house = house().await;
    same(
        &mut house,
        "SELECT id FROM t ORDER BY (SELECT max(P()) FROM t) - P(), id LIMIT 9",
        "SELECT id FROM s ORDER BY (SELECT max(score) FROM s) - score, id LIMIT 9",
    )
    .await;
}

#[tokio::test]
async fn inputs_are_found_around_and_inside_a_recursive_expression() {
    // DataFusion encodes no recursive plan.
    let mut house = filled(House::with(|settings| settings.round_trip_plans = false).await).await;
    same(
        &mut house,
        "WITH RECURSIVE r AS (SELECT 1.0::double AS a UNION ALL SELECT a + 1 FROM r WHERE a < 4)
         SELECT P() AS p FROM (SELECT a, 1.0 AS b, 1.0 AS c, 1.0 AS d FROM r) ORDER BY a",
        "SELECT P() AS p FROM (SELECT value::double AS a, 1.0 AS b, 1.0 AS c, 1.0 AS d FROM generate_series(1, 4)) ORDER BY a"
            .replace("P()", &format!("predict('{}')", model("linear_onnx_double")))
            .as_str(),
    )
    .await;
    same(
        &mut house,
        "WITH RECURSIVE r AS (
             SELECT id, a, b, c, d, 0::float AS p FROM t WHERE id = 1
             UNION ALL SELECT id + 1, a, b, c, d, P() FROM r WHERE id < 3)
         SELECT id, p FROM r ORDER BY id",
        "SELECT i.id, CASE WHEN i.id = 1 THEN 0 ELSE s.score END AS p
         FROM (VALUES (1::bigint), (2), (3)) i(id), s WHERE s.id = 1 ORDER BY i.id",
    )
    .await;
}

#[tokio::test]
async fn a_call_without_columns_in_scope_says_so() {
    let mut house = house().await;
    let delete = format!("DELETE FROM t WHERE predict('{}') > 0", model("linear_onnx_double"));
    let error = house.try_run(&delete).await.unwrap_err();
    assert!(error.to_string().contains("cannot take its inputs from scope here"), "{error}");
}

#[tokio::test]
async fn a_prepared_statement_is_refused() {
    let mut house = house().await;
    assert_eq!(house.codes("PREPARE q AS SELECT id FROM t WHERE id < $1").await, ["not_supported"]);
}
