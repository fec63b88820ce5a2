//! A call gives the same answer wherever it stands, and scores each row that reaches it once.

use crate::harness::{House, model};

/// Tables `t` (40 rows, inputs of the model) and `s` (the same with the score as a column).
async fn house() -> House {
    let mut house = House::new().await;
    let input = crate::harness::fixture("linear_onnx_double").join("input.parquet").display().to_string();
    let model = model("linear_onnx_double");
    house
        .run(&format!(
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 't/'
             AS SELECT row_number() OVER ()::bigint AS id, * FROM '{input}';
             CREATE EXTERNAL TABLE s STORED AS PARQUET LOCATION 's/' AS SELECT *, predict('{model}') AS score FROM t"
        ))
        .await;
    house
}

/// A query over `t` with calls `P`, and the same over `s` with the score in their place, have one answer.
async fn check(query: &str) {
    let mut house = house().await;
    let scored = query
        .replace("FROM t", "FROM s")
        .replace("JOIN t", "JOIN s")
        .replace("P()", "score")
        .replace("P(u)", "u.score");
    let by_column = house.text(&scored).await;
    let from_scope = format!("predict('{}')", model("linear_onnx_double"));
    let by_name = format!("predict('{}', {{'a': u.a, 'b': u.b, 'c': u.c, 'd': u.d}})", model("linear_onnx_double"));
    let by_call = house.text(&query.replace("P()", &from_scope).replace("P(u)", &by_name)).await;
    assert_eq!(by_call, by_column, "{query}");
    assert!(by_column.lines().count() > 4, "{query} gives no rows to compare");
}

#[tokio::test]
async fn in_a_projection() {
    check("SELECT id, P() AS p, P() * 2 AS q FROM t ORDER BY id").await;
}

#[tokio::test]
async fn in_a_filter() {
    check("SELECT id FROM t WHERE P() > 1.5 AND id > 3 ORDER BY id").await;
    check("SELECT id FROM t WHERE NOT (P() > 1.5 OR id < 10) ORDER BY id").await;
}

#[tokio::test]
async fn in_a_join_condition() {
    check(
        "SELECT t.id, u.id AS other FROM t JOIN t u ON P(u) > 1.2 AND t.id = u.id ORDER BY t.id"
            .replace("t.id", "l.id")
            .replace("FROM t JOIN", "FROM t l JOIN")
            .as_str(),
    )
    .await;
}

#[tokio::test]
async fn in_group_by_and_having() {
    check("SELECT P() > 1.5 AS high, count(*) AS n, sum(P()) AS total FROM t GROUP BY P() > 1.5 HAVING sum(P()) > 0 ORDER BY high").await;
}

#[tokio::test]
async fn in_order_by() {
    check("SELECT id FROM t ORDER BY P() DESC, id").await;
    check("SELECT id, P() AS p FROM t ORDER BY P(), id LIMIT 7").await;
}

#[tokio::test]
async fn in_a_window_function() {
    check("SELECT id, rank() OVER (ORDER BY P()) AS r, sum(P()) OVER (PARTITION BY id % 3 ORDER BY id) AS w FROM t ORDER BY id").await;
}

#[tokio::test]
async fn in_subqueries() {
    check("SELECT id FROM t WHERE id IN (SELECT id FROM t WHERE P() > 1.5) ORDER BY id").await;
    check("SELECT id, (SELECT max(P()) FROM t) AS best FROM t ORDER BY id").await;
    check("SELECT id FROM t o WHERE EXISTS (SELECT 1 FROM t u WHERE u.id = o.id AND P(u) > 1.5) ORDER BY id").await;
    check("SELECT x.id, x.p FROM (SELECT id, P() AS p FROM t) x WHERE x.p > 1.5 ORDER BY x.id").await;
}

#[tokio::test]
async fn in_common_table_expressions_and_unions() {
    check("WITH x AS (SELECT id, P() AS p FROM t), y AS (SELECT * FROM x WHERE p > 1.5) SELECT * FROM y ORDER BY id")
        .await;
    check("SELECT id, P() AS p FROM t UNION ALL SELECT -id, P() AS p FROM t ORDER BY 1").await;
}

#[tokio::test]
async fn under_case_coalesce_and_short_circuits() {
    check("SELECT id, CASE WHEN id % 2 = 0 THEN P() WHEN P() > 1.5 THEN -1 ELSE 0 END AS c FROM t ORDER BY id").await;
    check("SELECT id, coalesce(nullif(id % 3, 0)::double, P()) AS c FROM t ORDER BY id").await;
    check("SELECT id, id % 2 = 0 AND P() > 1.5 AS c, id % 2 = 0 OR P() > 1.5 AS d FROM t ORDER BY id").await;
    check("SELECT id, CASE id % 2 WHEN 0 THEN P() END AS c FROM t ORDER BY id").await;
}

#[tokio::test]
async fn in_aggregates_with_a_filter() {
    check("SELECT sum(P()) FILTER (WHERE id > 20) AS f, avg(P()) AS a FROM t").await;
}

#[tokio::test]
async fn of_an_aggregate() {
    let mut house = house().await;
    let sql = format!(
        "SELECT id % 4 AS g, predict('{}', avg(a), avg(b), avg(c), avg(d)) AS p FROM t GROUP BY id % 4 ORDER BY g",
        model("linear_onnx_double")
    );
    assert_eq!(house.rows(&sql).await.num_rows(), 4);
}

#[tokio::test]
async fn in_a_view_that_is_read_by_name() {
    let mut house = house().await;
    let model = model("linear_onnx_double");
    house
        .run(&format!(
            "CREATE VIEW v AS SELECT id, predict('{model}') AS p FROM t; CREATE VIEW w AS SELECT * FROM v WHERE p > 1.5"
        ))
        .await;
    let by_view = house.text("SELECT id FROM w ORDER BY id").await;
    assert_eq!(by_view, house.text("SELECT id FROM s WHERE score > 1.5 ORDER BY id").await);
}

/// Rows that a statement scores.
async fn scored(query: &str) -> u64 {
    let mut house = house().await;
    let before = house.engine.host().total_rows_scored();
    house.run(&query.replace("P()", &format!("predict('{}')", model("linear_onnx_double")))).await;
    house.engine.host().total_rows_scored() - before
}

#[tokio::test]
async fn the_same_call_twice_is_scored_once_for_each_row() {
    assert_eq!(scored("SELECT P() AS p, P() + 1 AS q FROM t").await, 40);
    assert_eq!(scored("SELECT id, P() AS p FROM t WHERE P() > -1000 ORDER BY P()").await, 40);
    assert_eq!(
        scored("SELECT CASE WHEN id > 10 THEN P() END AS a, CASE WHEN id > 20 THEN P() END AS b FROM t").await,
        30
    );
    assert_eq!(scored("SELECT CASE WHEN id > 10 THEN P() END AS a, P() AS b FROM t").await, 40);
}

#[tokio::test]
async fn only_rows_that_reach_a_call_are_scored() {
    assert_eq!(scored("SELECT id FROM t WHERE id <= 7 AND P() > 0").await, 7);
    assert_eq!(scored("SELECT id FROM t WHERE P() > 0 AND id <= 7").await, 7);
    assert_eq!(scored("SELECT id FROM t WHERE id > 30 OR P() > 0").await, 30);
    assert_eq!(scored("SELECT CASE WHEN id <= 5 THEN P() ELSE 0 END AS c FROM t").await, 5);
    assert_eq!(scored("SELECT CASE id WHEN 1 THEN 0 WHEN 2 THEN P() END AS c FROM t").await, 1);
    assert_eq!(scored("SELECT coalesce(CASE WHEN id > 4 THEN 1.0 END, P()) AS c FROM t").await, 4);
    assert_eq!(scored("SELECT id <= 3 AND P() > 0 AS c FROM t").await, 3);
    assert_eq!(scored("SELECT sum(P()) FILTER (WHERE id <= 6) AS c FROM t").await, 6);
    assert_eq!(scored("SELECT P() AS p FROM t LIMIT 3").await, 3);
}

#[tokio::test]
async fn a_score_that_nobody_reads_is_not_made() {
    assert_eq!(scored("SELECT id FROM (SELECT id, P() AS p FROM t)").await, 0);
    assert_eq!(scored("SELECT count(*) AS n FROM (SELECT id, P() AS p FROM t WHERE id > 3)").await, 0);
}

#[tokio::test]
async fn two_models_score_in_one_query() {
    let mut house = house().await;
    let (first, second) = (model("linear_onnx_double"), model("linear_onnx_f64"));
    let sql = format!("SELECT max(abs(predict('{first}') - predict('{second}'))) AS d FROM t");
    assert!(house.number(&sql).await < 1e-5);
    assert_eq!(house.engine.host().total_rows_scored(), 40 + 80);
}

#[tokio::test]
async fn explain_shows_the_binding_and_loads_nothing() {
    let mut house = House::new().await;
    let model = model("linear_onnx_double");
    let sql = format!(
        "EXPLAIN SELECT predict('{model}', 1, 2.5::double, 3::decimal(10,2), 4::float) AS p, predict('{model}', 1, 2, 3, 4) AS q"
    );
    let text = house.text(&sql).await;
    for part in [
        "Predict:",
        "PredictExec:",
        "sha256:",
        "runtime: tract",
        "a <- Int64(1): Int64 -> double -> float",
        "(rounds)",
        "c <- Decimal128(3.00,10,2)",
    ] {
        assert!(text.contains(part), "{text}\ndoes not say {part:?}");
    }
    assert_eq!(house.engine.host().loads(), 0, "planning loads no model");
}

#[tokio::test]
async fn only_columns_that_are_used_are_read() {
    let mut house = House::new().await;
    let input = crate::harness::fixture("iris_onnx_v1").join("input.parquet").display().to_string();
    house.run(&format!("COPY (SELECT *, 1 AS extra, 'x' AS more FROM '{input}') TO 'wide/' STORED AS PARQUET")).await;
    let text =
        house.text(&format!("EXPLAIN SELECT predict_label('{}') AS l FROM 'wide/'", model("iris_onnx_v1"))).await;
    assert!(text.contains("projection=[sepal_length, sepal_width, petal_length, petal_width]"), "{text}");
}

#[tokio::test]
async fn one_load_serves_all_calls_and_threads() {
    let mut house = house().await;
    let model = model("linear_onnx_double");
    house.run(&format!("SELECT predict('{model}') AS p FROM t WHERE predict('{model}', d, c, b, a) > 0")).await;
    house.run(&format!("SELECT count(*) FROM t JOIN t u ON predict('{model}', t.a, u.b, t.c, u.d) > 0")).await;
    assert_eq!(house.engine.host().loads(), 1);
}
