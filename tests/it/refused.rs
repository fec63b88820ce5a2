//! A wrong call is refused when the statement is planned, with its code, its place and a way out.

use crate::harness::{House, model};

/// A table with a column of each type, and a model with four double inputs `a`, `b`, `c`, `d`.
async fn house() -> House {
    let mut house = House::new().await;
    house
        .run(
            "CREATE TABLE t AS SELECT 1.0::double AS a, 2.0::double AS b, 3.0::double AS c, 4.0::double AS d;
             CREATE TABLE twice AS SELECT 1.0::double AS a, 2.0::double AS b, 3.0::double AS c, 4.0::double AS \"D\";
             CREATE TABLE few AS SELECT 1.0::double AS a, 2.0::double AS b, 3.0::double AS \"Cc\"",
        )
        .await;
    house
}

async fn check(sql: &str, codes: &[&str], told: &[&str]) {
    let mut house = house().await;
    let sql = sql.replace("$MIXED", &model("churn_onnx_mixed")).replace("$M", &model("linear_onnx_double"));
    let error = match house.try_run(&sql).await {
        Ok(given) => panic!("{sql}\nmust fail, and gave {given:?}"),
        Err(error) => error,
    };
    let found: Vec<_> = error.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(found, codes, "{sql}\n{error}");
    for part in told {
        assert!(error.to_string().contains(part), "{sql}\n{error}\ndoes not say {part:?}");
    }
    assert_eq!(house.engine.host().loads(), 0, "a refused statement loads no model");
}

#[tokio::test]
async fn an_unknown_model_is_named() {
    check("SELECT predict('nobody', a) FROM t", &["unknown_model"], &["1:8", "nobody"]).await;
}

#[tokio::test]
async fn an_unknown_table_names_what_there_is_and_what_is_near() {
    check("SELECT * FROM twise", &["table_not_found"], &["1:15", "`twise`", "few, t, twice", "did you mean \"twice\""])
        .await;
    check("SELECT predict('$M') FROM twise", &["table_not_found"], &["`twise`", "did you mean \"twice\""]).await;
    check("SELECT * FROM 'nowhere.parquet'", &["table_not_found"], &["nowhere.parquet"]).await;
    check("SELECT $nothing", &["unset_parameter"], &["1:8", "`nothing`"]).await;
}

#[tokio::test]
async fn a_model_that_is_no_literal_is_refused() {
    check("SELECT predict(name) FROM (SELECT 'x' AS name)", &["model_not_literal"], &["1:8"]).await;
}

#[tokio::test]
async fn a_missing_input_names_what_there_is_and_what_is_near() {
    check(
        "SELECT\n  predict('$M') FROM few",
        &["missing_input", "missing_input"],
        &["2:3", "`c`", "a, b, Cc", "did you mean \"Cc\"", "`d`"],
    )
    .await;
    check("SELECT predict('$M', {'a': a, 'b': b, 'c': c}) FROM t", &["missing_input"], &["`d`"]).await;
}

#[tokio::test]
async fn an_extra_argument_is_not_dropped() {
    check("SELECT predict('$M', a, b, c, d, a) FROM t", &["extra_argument"], &[]).await;
}

#[tokio::test]
async fn a_column_that_two_tables_have_is_ambiguous() {
    check(
        "SELECT predict('$M') FROM t JOIN few ON t.a = few.a",
        &["ambiguous_column", "ambiguous_column"],
        &["`a`", "`b`"],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_parameter_is_refused() {
    check("SELECT predict('$M', params => {'temperature': 1}) FROM t", &["unknown_parameter"], &["temperature"]).await;
}

#[tokio::test]
async fn an_unknown_parameter_of_a_model_that_has_some_names_the_nearest() {
    let mut house = house().await;
    std::fs::create_dir(house.path("m")).unwrap();
    let from = crate::harness::fixture("linear_onnx_double").join("model");
    std::fs::copy(from.join("model.onnx"), house.path("m/model.onnx")).unwrap();
    let text = std::fs::read_to_string(from.join("MLmodel")).unwrap();
    let declared = r#"params: '[{"name": "threshold", "default": 0.5, "shape": null, "type": "double"}]'"#;
    std::fs::write(house.path("m/MLmodel"), text.replace("params: null", declared)).unwrap();
    let error = house.try_run("SELECT predict('./m', params => {'treshold': 1.0}) FROM t").await.unwrap_err();
    assert_eq!(error.code(), "unknown_parameter");
    assert!(error.to_string().contains("did you mean `threshold`?"), "{error}");
}

#[tokio::test]
async fn an_unknown_alias_is_refused_when_the_statement_is_planned() {
    let mut house = house().await;
    house.register("m", "linear_onnx_double", None).await;
    assert_eq!(house.codes("SELECT predict('m@champion') FROM t").await, ["unknown_alias"]);
    assert_eq!(house.codes("EXPLAIN SELECT predict('m@champion') FROM t").await, ["unknown_alias"]);
    assert_eq!(house.engine.host().loads(), 0);
}

#[tokio::test]
async fn a_setting_is_shown_under_its_name_and_keeps_its_value_when_another_is_refused() {
    // What SHOW reads has no form that travels.
    let mut house = House::with(|settings| settings.round_trip_plans = false).await;
    house.run("SET volley.coercion = 'strict'").await;
    assert_eq!(house.codes("SET volley.coercion = 'loose'").await, ["invalid_setting"]);
    let shown = house.text("SHOW volley.coercion").await;
    assert!(shown.contains("volley.coercion") && shown.contains("strict"), "{shown}");
    assert!(house.text("SHOW ALL").await.contains("volley.null_rules"));
    let error = house.try_run("SET volley.coercions = 'strict'").await.unwrap_err();
    assert!(error.to_string().contains("there is no setting volley.coercions"), "{error}");
}

#[tokio::test]
async fn a_type_that_does_not_fit_shows_the_cast_to_paste() {
    check("SELECT predict('$M', 'x', b, c, d) FROM t", &["type_mismatch"], &["CAST("]).await;
    check("SELECT predict('$M', true, b, c, now()) FROM t", &["type_mismatch", "type_mismatch"], &[]).await;
    check("SELECT predict('$MIXED', a, b, 'x', true) FROM t", &["lossy_coercion"], &["CAST("]).await;
}

#[tokio::test]
async fn strict_coercion_refuses_what_rounds() {
    let mut house = house().await;
    let call = format!("SELECT predict('{}', a, b, c, d) FROM t", model("linear_onnx_double"));
    house.run(&call).await;
    house.run("SET volley.coercion = 'strict'").await;
    assert_eq!(house.codes(&call).await, ["lossy_coercion"; 4]);
}

#[tokio::test]
async fn problems_of_several_calls_are_told_at_once_in_order() {
    check(
        "SELECT predict('$M', a, b) AS p,\n predict('$M', 'x', b, c, d) AS q FROM t",
        &["missing_input", "type_mismatch"],
        &["1:8", "2:2"],
    )
    .await;
}

#[tokio::test]
async fn a_function_that_the_model_has_not_is_refused_with_the_other_problems() {
    check("SELECT predict_proba('$M') FROM t", &["no_class_labels"], &["1:8", "predict_proba('"]).await;
    check("SELECT a FROM t WHERE predict_proba('$M')['1'] > 0.5", &["no_class_labels"], &["1:23"]).await;
    check(
        "SELECT predict_label('$M', 'x', b, c, d),\n  predict_proba('$M')['1'] + 1,\n  predict('$M', now(), b, c, d) FROM t",
        &["no_label", "type_mismatch", "no_class_labels", "type_mismatch"],
        &["1:8", "2:3", "3:3"],
    )
    .await;
    check("COPY (SELECT predict_label('$M') AS l FROM t) TO 'out/' STORED AS PARQUET", &["no_label"], &["1:14"]).await;
}

#[tokio::test]
async fn an_explained_call_that_does_not_fit_is_refused() {
    check("EXPLAIN SELECT predict('$M', 'x', b, c, d) FROM t", &["type_mismatch"], &["1:16"]).await;
    check("EXPLAIN VERBOSE SELECT predict_label('$M') FROM t", &["no_label"], &[]).await;
}

#[tokio::test]
async fn a_view_whose_call_does_not_fit_is_not_made() {
    check("CREATE VIEW v AS SELECT predict('$M', 'x', b, c, d) AS p FROM t", &["type_mismatch"], &["1:25"]).await;
    let mut house = house().await;
    let view = format!("CREATE VIEW v AS SELECT predict_label('{}') AS p FROM t", model("linear_onnx_double"));
    assert_eq!(house.codes(&view).await, ["no_label"]);
    assert_eq!(house.codes("SELECT * FROM v").await, ["table_not_found"]);
}

#[tokio::test]
async fn a_model_cannot_decide_how_many_rows_there_are() {
    let limit = "CAST(predict('$M', 1.0, 1.0, 1.0, 1.0) AS BIGINT)";
    check(&format!("SELECT a FROM t LIMIT {limit}"), &["call_in_limit"], &["1:28", "LIMIT and OFFSET"]).await;
    check(&format!("SELECT a FROM t OFFSET {limit}"), &["call_in_limit"], &[]).await;
}

#[tokio::test]
async fn a_message_of_the_planner_shows_a_call_as_sql() {
    check("SELECT max(sum(predict('$M', a, b, c, d))) AS m FROM t", &["plan"], &["/model', t.a, t.b, t.c, t.d)"]).await;
}

#[tokio::test]
async fn no_message_holds_a_value_of_the_data() {
    let mut house = house().await;
    std::fs::create_dir_all(house.path("bad")).unwrap();
    let rows: String = (0..2000).map(|n| format!("{n}\n")).collect();
    std::fs::write(house.path("bad/a.csv"), format!("n\n{rows}geheim\n")).unwrap();
    house.run("CREATE TABLE secret AS SELECT 'geheim' AS s, 9223372036854774711 AS n FROM t").await;
    for sql in [
        "SELECT CAST(s AS INT) FROM secret",
        "SELECT CAST(s AS TIMESTAMP) FROM secret",
        "SELECT CAST(n AS INT) FROM secret",
        "SELECT sum(n) FROM 'bad/'",
        "SELECT to_timestamp(s) FROM secret",
        "SELECT CAST('geheim' AS INT)",
    ] {
        let told = house.try_run(sql).await.map(|given| format!("{given:?}")).unwrap_err().to_string();
        assert!(!told.contains("geheim") && !told.contains("4711"), "{sql}\n{told}");
    }
}
