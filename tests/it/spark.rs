//! What MLflow's `spark_udf` answers, case by case: what works there works here with equal scores, and what fails there
//! is answered, or refused when it is planned. `tests/data/make_spark.py` has asked a real Spark.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{House, model, root};

/// As `make_spark.py` describes it.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    model: String,
    table: Option<String>,
    table_volley: Option<String>,
    volley: String,
    answer: Answer,
    meaning: Meaning,
    expect: Option<Answer>,
}

#[derive(Debug, Clone, Deserialize)]
struct Answer {
    values: Option<Vec<Value>>,
    error: Option<String>,
    error_code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Meaning {
    Equal,
    Better,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(root().join("tests/data/spark/answers.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

async fn scored(house: &mut House, case: &Case) -> Result<Vec<Value>, String> {
    let table = case.table_volley.as_ref().or(case.table.as_ref()).expect("a case has a table");
    let call = case.volley.replace("$model", &model(&case.model));
    let rows = house.try_run(&format!("SELECT {call} AS score FROM {table} ORDER BY id")).await;
    let column = rows.map_err(|error| error.code().to_owned())?.into_rows().column(0).clone();
    Ok((0..column.len()).map(|row| value(&column, row)).collect())
}

/// As the answers are written.
fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Struct(fields) => {
            let column = column.as_struct();
            let field = |(index, name): (usize, &String)| (name.clone(), value(column.column(index), row));
            Value::Object(fields.iter().map(|field| field.name()).enumerate().map(field).collect())
        }
        DataType::FixedSizeList(..) => list(&column.as_fixed_size_list().value(row)),
        DataType::List(_) => list(&column.as_list::<i32>().value(row)),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Utf8View => json!(column.as_string_view().value(row)),
        DataType::Boolean => json!(column.as_boolean().value(row)),
        _ => number(cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(row)),
    }
}

fn list(values: &ArrayRef) -> Value {
    (0..values.len()).map(|row| value(values, row)).collect()
}

fn number(number: f64) -> Value {
    match number {
        number if number.is_finite() => json!(number),
        number if number.is_nan() => json!("NaN"),
        number if number > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// Equal, numbers within 1e-5.
fn is_same(given: &Value, wanted: &Value) -> bool {
    match (given, wanted) {
        (Value::Array(given), Value::Array(wanted)) => {
            given.len() == wanted.len() && given.iter().zip(wanted).all(|(given, wanted)| is_same(given, wanted))
        }
        (Value::Object(given), Value::Object(wanted)) => {
            let same = |(name, wanted)| given.get(name).is_some_and(|given| is_same(given, wanted));
            given.len() == wanted.len() && wanted.iter().all(same)
        }
        (given, wanted) => match (given.as_f64(), wanted.as_f64()) {
            (Some(given), Some(wanted)) => (given - wanted).abs() <= 1e-5 * (1.0 + wanted.abs()),
            _ => given == wanted,
        },
    }
}

#[test]
fn every_row_of_the_table_of_spark_udf_has_its_cases() {
    let cases = cases();
    let count = |meaning: Meaning| cases.iter().filter(|case| case.meaning == meaning).count();
    assert!(count(Meaning::Equal) >= 50 && count(Meaning::Better) >= 50, "{}", cases.len());
    for case in cases {
        let fails_there = case.answer.error.is_some();
        assert!(case.meaning == Meaning::Better || !fails_there, "{}: an error is nothing to equal", case.name);
        assert_eq!(case.expect.is_some(), case.meaning == Meaning::Better, "{}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_works_in_spark_udf_works_with_equal_scores_and_what_fails_there_as_we_declare() {
    let mut house = House::new().await;
    let mut different = vec![];
    for case in cases() {
        let wanted = case.expect.as_ref().unwrap_or(&case.answer);
        let given = scored(&mut house, &case).await;
        let is_right = match (&given, &wanted.values, &wanted.error_code) {
            (Ok(given), Some(wanted), None) => is_same(&json!(given), &json!(wanted)),
            (Err(given), None, Some(wanted)) => given == wanted,
            _ => false,
        };
        if !is_right {
            different.push(format!("{}: {given:?} is not {wanted:?}", case.name));
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}
