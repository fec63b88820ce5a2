//! A call gives the same answer wherever it stands, and scores each row that reaches it once.

use crate::harness::{House, model};

/// Tables `t`, 40 rows in three row groups with the inputs of two models and NULLs among them, and `s`, the same
/// with their results as columns `score` and `label`.
async fn house() -> House {
    let mut house = House::new().await;
    let input = |name| crate::harness::fixture(name).join("input.parquet").display().to_string();
    let numbered = |name| format!("(SELECT row_number() OVER ()::bigint AS id, * FROM '{}')", input(name));
    house
        .run(&format!(
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 't/' OPTIONS (max_row_group_size '16')
             AS SELECT l.id, nullif(l.id % 5, 2) AS g, nullif(l.id % 13, 4) AS k,
                 CASE WHEN l.id % 7 <> 3 THEN a END AS a, b, c, CASE WHEN l.id % 11 <> 5 THEN d END AS d,
                 age, CASE WHEN l.id % 6 <> 1 THEN income END AS income, segment
             FROM {} l JOIN {} r ON l.id = r.id ORDER BY l.id;
             CREATE EXTERNAL TABLE s STORED AS PARQUET LOCATION 's/'
             AS SELECT *, predict('{}') AS score, predict_label('{}') AS label FROM t",
            numbered("linear_onnx_double"),
            numbered("churn_onnx_pipeline"),
            model("linear_onnx_double"),
            model("churn_onnx_pipeline")
        ))
        .await;
    house
}

/// The call of one model with its inputs from scope, or from one of a query's tables.
fn call(function: &str, model_name: &str, inputs: &[&str], table: Option<&str>) -> String {
    let field = |input: &&str| table.map(|table| format!("'{input}': {table}.{input}"));
    let fields: Vec<_> = inputs.iter().filter_map(field).collect();
    let inputs = if fields.is_empty() { String::new() } else { format!(", {{{}}}", fields.join(", ")) };
    format!("{function}('{}'{inputs})", model(model_name))
}

/// A query with `P()` and `L()`, or `P(x)` and `L(x)` for a table `x`, as the score and the label by call.
fn with_calls(query: &str) -> String {
    let score = |table| call("predict", "linear_onnx_double", &["a", "b", "c", "d"], table);
    let label = |table| call("predict_label", "churn_onnx_pipeline", &["age", "income", "segment"], table);
    let query = query.replace("P()", &score(None)).replace("L()", &label(None));
    ["x", "y"].iter().fold(query, |query, table| {
        let query = query.replace(&format!("P({table})"), &score(Some(table)));
        query.replace(&format!("L({table})"), &label(Some(table)))
    })
}

/// The same query over `s`, which has both as columns.
fn with_columns(query: &str) -> String {
    let query = query.replace("FROM t", "FROM s").replace("JOIN t", "JOIN s");
    let query = query.replace("P()", "score").replace("L()", "label");
    ["x", "y"].iter().fold(query, |query, table| {
        let query = query.replace(&format!("P({table})"), &format!("{table}.score"));
        query.replace(&format!("L({table})"), &format!("{table}.label"))
    })
}

/// Queries over `t` with calls, and the same over `s` with columns in their place, have one answer.
async fn check_all(queries: &[&str]) {
    let mut house = house().await;
    for query in queries {
        let by_column = house.text(&with_columns(query)).await;
        let by_call = house.text(&with_calls(query)).await;
        assert_eq!(by_call, by_column, "{query}");
        assert!(by_column.lines().count() > 4, "{query} gives no rows to compare");
    }
}

async fn check(query: &str) {
    check_all(&[query]).await;
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
async fn in_the_conditions_of_joins() {
    check_all(&[
        "SELECT x.id, y.id AS other FROM t x JOIN t y ON P(y) > 1.2 AND x.id = y.id ORDER BY x.id",
        "SELECT x.id, y.id AS other FROM t x JOIN t y ON L(x) = L(y) AND x.k = y.k ORDER BY x.id, other",
        "SELECT x.id, y.id AS other FROM t x LEFT JOIN t y ON x.k = y.g AND P(y) > 1.2 ORDER BY x.id, other",
        "SELECT x.id, y.id AS other FROM t x LEFT JOIN t y ON x.k = y.g AND P(x) > 1.2 ORDER BY x.id, other",
        "SELECT x.id, y.id AS other FROM t x RIGHT JOIN t y ON x.k = y.g AND P(y) > 1.2 ORDER BY other, x.id",
        "SELECT x.id, y.id AS other FROM t x FULL JOIN t y ON x.k = y.g AND P(x) > P(y) ORDER BY x.id, other",
        "SELECT x.id FROM t x LEFT SEMI JOIN t y ON x.k = y.g AND P(y) > 1.2 ORDER BY x.id",
        "SELECT x.id FROM t x LEFT ANTI JOIN t y ON x.k = y.g AND P(y) > P(x) ORDER BY x.id",
    ])
    .await;
}

#[tokio::test]
async fn in_group_by_and_having() {
    check("SELECT P() > 1.5 AS high, count(*) AS n, sum(P()) AS total FROM t GROUP BY P() > 1.5 HAVING sum(P()) > 0 ORDER BY high").await;
}

#[tokio::test]
async fn in_grouping_sets() {
    check_all(&[
        "SELECT L() AS l, g, count(*) AS n, max(P()) AS m FROM t GROUP BY ROLLUP(L(), g) ORDER BY l, g, n, m",
        "SELECT L() + 1 AS l, g, count(*) AS n FROM t GROUP BY CUBE(L() + 1, g) ORDER BY l, g, n",
        "SELECT L() AS l, g, grouping(L()) AS o, count(*) AS n FROM t GROUP BY GROUPING SETS ((L()), (g, L()), ())
         ORDER BY l, g, o, n",
        "SELECT g, L() AS l, sum(L()) AS n FROM t GROUP BY g, ROLLUP(L()) HAVING count(P()) > 0 ORDER BY g, l, n",
    ])
    .await;
}

#[tokio::test]
async fn in_distinct_on() {
    check_all(&[
        "SELECT DISTINCT ON (g) g, id, P() AS p FROM t ORDER BY g, id",
        "SELECT DISTINCT ON (g) g, id, P() AS p FROM t ORDER BY g, P() DESC, id",
        "SELECT DISTINCT ON (x.g) x.g, x.id, P(x) AS p FROM t AS x ORDER BY x.g, L(x), x.id",
        "SELECT DISTINCT ON (L(), g) L() AS l, g, id FROM t WHERE P() > 0 ORDER BY L(), g, id",
    ])
    .await;
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
    check("SELECT id FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.id = x.id AND P(y) > 1.5) ORDER BY id").await;
    check("SELECT x.id, x.p FROM (SELECT id, P() AS p FROM t) x WHERE x.p > 1.5 ORDER BY x.id").await;
}

#[tokio::test]
async fn in_correlated_subqueries() {
    check_all(&[
        "SELECT x.id, (SELECT max(P(y)) FROM t y WHERE y.k = x.k) AS m FROM t x ORDER BY x.id",
        "SELECT x.id, (SELECT count(*) FROM t y WHERE y.k = x.k AND P(y) > 1) AS n, P(x) AS p FROM t x ORDER BY x.id",
        "SELECT x.id, (SELECT max(v.p) FROM (SELECT y.k, P(y) AS p FROM t y) v WHERE v.k = x.k) AS m FROM t x ORDER BY x.id",
        "SELECT x.id FROM t x WHERE P(x) > (SELECT avg(y.b) FROM t y WHERE y.g = x.g) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE 1 IN (SELECT L(y) FROM t y WHERE y.g = x.k) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE EXISTS (SELECT P(y) FROM t y WHERE y.id = x.k) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND P(y) > x.b) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND y.b > P(x)) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE NOT EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND P(y) > P(x)) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND P(y) > 0 AND L(y) = 1 AND y.b > x.b)
         ORDER BY x.id",
    ])
    .await;
}

#[tokio::test]
async fn in_lateral_joins() {
    check_all(&[
        "SELECT x.id, v.p FROM t x JOIN LATERAL (SELECT P(y) AS p FROM t y WHERE y.id = x.id) v ON true ORDER BY x.id",
        "SELECT x.id, v.p FROM t x LEFT JOIN LATERAL (SELECT max(P(y)) AS p FROM t y WHERE y.k = x.k AND L(y) = 1) v
         ON true ORDER BY x.id",
        "SELECT x.id, v.i FROM t x CROSS JOIN LATERAL (SELECT y.id AS i FROM t y WHERE y.k = x.k AND P(x) > y.b) v
         ORDER BY x.id, v.i",
        "SELECT x.id, v.i, P(x) AS p FROM t x CROSS JOIN LATERAL (SELECT y.id AS i FROM t y WHERE y.k = x.k) v
         ORDER BY x.id, v.i",
    ])
    .await;
}

#[tokio::test]
async fn beside_a_subquery_in_one_condition() {
    check_all(&[
        "SELECT x.id FROM t x WHERE x.id IN (SELECT y.id FROM t y WHERE y.g = 1) OR P(x) > 1.5 ORDER BY x.id",
        "SELECT x.id FROM t x WHERE P(x) > 1.5 OR EXISTS (SELECT 1 FROM t y WHERE y.k = x.g) ORDER BY x.id",
        "SELECT x.id FROM t x WHERE CASE WHEN x.id IN (SELECT y.k FROM t y) THEN P(x) ELSE 0 END > 1 ORDER BY x.id",
        "SELECT x.id, CASE WHEN x.b > (SELECT avg(y.b) FROM t y WHERE y.g = x.g) THEN P(x) ELSE 0 END AS c FROM t x
         ORDER BY x.id",
    ])
    .await;
}

/// A call with a subquery among its inputs scores what the subquery gives.
#[tokio::test]
async fn of_a_correlated_subquery() {
    let mut house = house().await;
    let best = "(SELECT max(y.a) FROM t y WHERE y.k = x.k)";
    let model = model("linear_onnx_double");
    let direct = format!("SELECT x.id, predict('{model}', {best}, b, c, d) AS p FROM t x ORDER BY x.id");
    let staged = format!(
        "SELECT v.id, predict('{model}', v.best, v.b, v.c, v.d) AS p
         FROM (SELECT x.id, x.b, x.c, x.d, {best} AS best FROM t x) v ORDER BY v.id"
    );
    assert_eq!(house.text(&direct).await, house.text(&staged).await);
}

/// The condition is computed once for a row, whatever it says the next time.
#[tokio::test]
async fn behind_a_volatile_condition() {
    let mut house = house().await;
    let call = format!("predict('{}', 1.0, 1.0, 1.0, 1.0)", model("linear_onnx_double"));
    for value in [
        format!("random() < 0.5 OR {call} > -1000"),
        format!("CASE WHEN random() < 0.5 THEN {call} ELSE 0 END"),
        format!("CASE WHEN random() < 0.5 THEN 0 ELSE {call} END"),
        format!("CASE round(random()) WHEN 0 THEN {call} ELSE 0 END"),
        format!("nvl2(CASE WHEN random() < 0.5 THEN 1.0 END, {call}, 0.0)"),
    ] {
        assert_eq!(house.number(&format!("SELECT count({value}) AS n FROM t")).await, 40.0, "{value}");
    }
    let either = format!("SELECT count(*) AS n FROM t WHERE random() < 0.5 OR {call} > -1000");
    assert_eq!(house.number(&either).await, 40.0);
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
    check("SELECT id, nvl2(g, P(), P() * 2) AS c, nvl2(P(), L(), g) AS d FROM t ORDER BY id").await;
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
    house.run(&with_calls(query)).await;
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
    assert_eq!(scored("SELECT nvl2(CASE WHEN id > 4 THEN 1.0 END, 0.0, P()) AS c FROM t").await, 4);
    assert_eq!(scored("SELECT nvl2(CASE WHEN id > 4 THEN 1.0 END, P(), 0.0) AS c FROM t").await, 36);
    assert_eq!(scored("SELECT id <= 3 AND P() > 0 AS c FROM t").await, 3);
    assert_eq!(scored("SELECT sum(P()) FILTER (WHERE id <= 6) AS c FROM t").await, 6);
    assert_eq!(scored("SELECT P() AS p FROM t LIMIT 3").await, 3);
}

/// Where no node can stand, rows are counted all the same.
#[tokio::test]
async fn a_call_in_a_join_condition_scores_the_pairs_that_its_keys_give() {
    let on = format!("predict('{}', x.a, y.b, x.c, y.d) > 0", model("linear_onnx_double"));
    assert_eq!(scored(&format!("SELECT count(*) AS n FROM t x JOIN t y ON x.id = y.id AND {on}")).await, 40);
    assert_eq!(scored(&format!("SELECT count(*) AS n FROM t x JOIN t y ON x.id = y.id + 10 AND {on}")).await, 30);
}

#[tokio::test]
async fn order_by_with_a_limit_scores_what_it_keeps_unless_it_goes_by_a_score() {
    assert_eq!(scored("SELECT id, P() AS p FROM t ORDER BY id DESC LIMIT 3").await, 3);
    assert_eq!(scored("SELECT id, P() AS p FROM t ORDER BY b + id, id LIMIT 4 OFFSET 2").await, 4);
    assert_eq!(scored("SELECT v.p FROM (SELECT id AS i, P() AS p FROM t) v ORDER BY v.i LIMIT 4").await, 4);
    assert_eq!(scored("SELECT P() AS p, L() AS l FROM t ORDER BY id LIMIT 5").await, 10);
    assert_eq!(scored("SELECT id FROM t ORDER BY P(), id LIMIT 3").await, 40);
    assert_eq!(scored("SELECT id, P() AS p FROM t WHERE P() > -1000 ORDER BY id LIMIT 3").await, 40);
    check_all(&[
        "SELECT id, P() AS p FROM t ORDER BY id DESC LIMIT 3",
        "SELECT P() AS p, L() AS l FROM t ORDER BY g NULLS FIRST, b + id, id LIMIT 7 OFFSET 2",
        "SELECT v.p FROM (SELECT id AS i, P() AS p FROM t) v ORDER BY v.i LIMIT 4",
        "SELECT x.p FROM (SELECT id, P() AS p FROM t ORDER BY id DESC LIMIT 9) x WHERE x.p > 0 ORDER BY x.id LIMIT 2",
    ])
    .await;
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
    let before = house.engine.host().total_rows_scored();
    assert!(house.number(&sql).await < 1e-5);
    assert_eq!(house.engine.host().total_rows_scored() - before, 80);
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
async fn explain_shows_a_call_in_a_join_condition_with_its_model() {
    let mut house = house().await;
    let model = model("linear_onnx_double");
    let sql = format!("EXPLAIN SELECT 1 AS one FROM t x LEFT JOIN t y ON predict('{model}', x.a, y.b, x.c, y.d) > 0");
    let text = house.text(&sql).await;
    let line = |part: &str| text.lines().any(|line| line.contains(part) && line.contains("sha256:"));
    assert!(line("| predict "), "no row of its own\n{text}");
    assert!(line("Left Join"), "not in the logical plan\n{text}");
    assert!(line("JoinExec"), "not in the physical plan\n{text}");
    assert!(text.contains("a <- x.a: Float64"), "{text}");
}

#[tokio::test]
async fn plans_name_a_call_as_it_was_written() {
    let mut house = house().await;
    let text = house.text(&with_calls("EXPLAIN SELECT max(P(x)) AS m, count(*) AS n FROM t x GROUP BY L(x)")).await;
    assert!(text.contains("/model', {a: x.a, b: x.b, c: x.c, d: x.d})"), "{text}");
    assert!(!text.contains("named_struct") && !text.contains("Utf8("), "{text}");
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
    assert_eq!(house.engine.host().loads(), 2, "one of each model, when the tables were made");
}
