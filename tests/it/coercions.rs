//! Every cell of the coercion table, through SQL: the value that the model gets, or the code of the refusal.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::harness::{House, root};

/// Types of the table's columns: what the models of `tests/data/identities` take, and give back as it is.
const TARGETS: [&str; 6] = ["float", "double", "int64", "int32", "bool", "string"];

const LOSSY: &str = "[lossy_coercion]";
const MISMATCH: &str = "[type_mismatch]";

/// A column's type, a value of it, and what becomes of the value in each target. Values that are rounded on the
/// way to a float are marked with `~`.
const CELLS: [(&str, &str, [&str; 6]); 23] = [
    ("Int8", "-7", ["-7.0", "-7.0", "-7", "-7", MISMATCH, MISMATCH]),
    ("Int16", "300", ["300.0", "300.0", "300", "300", MISMATCH, MISMATCH]),
    ("Int32", "16777217", ["~16777216.0", "16777217.0", "16777217", "16777217", MISMATCH, MISMATCH]),
    (
        "Int64",
        "9007199254740993",
        ["~9.007199e15", "~9007199254740992.0", "9007199254740993", LOSSY, MISMATCH, MISMATCH],
    ),
    ("UInt8", "200", ["200.0", "200.0", "200", "200", MISMATCH, MISMATCH]),
    ("UInt16", "60000", ["60000.0", "60000.0", "60000", "60000", MISMATCH, MISMATCH]),
    ("UInt32", "4294967295", ["~4294967300.0", "4294967295.0", "4294967295", LOSSY, MISMATCH, MISMATCH]),
    ("UInt64", "18446744073709551615", ["~1.8446744e19", "~1.8446744073709552e19", LOSSY, LOSSY, MISMATCH, MISMATCH]),
    ("Float16", "1.5", ["1.5", "1.5", LOSSY, LOSSY, MISMATCH, MISMATCH]),
    ("Float32", "0.1", ["0.1", "0.10000000149011612", LOSSY, LOSSY, MISMATCH, MISMATCH]),
    ("Float64", "0.1", ["~0.1", "0.1", LOSSY, LOSSY, MISMATCH, MISMATCH]),
    ("Decimal128(10, 2)", "12345678.91", ["~12345679.0", "~12345678.91", LOSSY, LOSSY, MISMATCH, MISMATCH]),
    ("Decimal256(40, 0)", "16777217", ["~16777216.0", "~16777217.0", LOSSY, LOSSY, MISMATCH, MISMATCH]),
    ("Boolean", "true", [MISMATCH, MISMATCH, MISMATCH, MISMATCH, "true", MISMATCH]),
    ("Boolean", "false", [MISMATCH, MISMATCH, MISMATCH, MISMATCH, "false", MISMATCH]),
    ("Utf8", "'né'", [MISMATCH, MISMATCH, MISMATCH, MISMATCH, MISMATCH, "né"]),
    ("LargeUtf8", "'7'", [MISMATCH, MISMATCH, MISMATCH, MISMATCH, MISMATCH, "7"]),
    (
        "Utf8View",
        "'more than twelve bytes'",
        [MISMATCH, MISMATCH, MISMATCH, MISMATCH, MISMATCH, "more than twelve bytes"],
    ),
    ("Dictionary(Int32, Utf8)", "''", [MISMATCH, MISMATCH, MISMATCH, MISMATCH, MISMATCH, ""]),
    ("Date32", "'2026-11-22'", [MISMATCH; 6]),
    ("Timestamp(Microsecond, None)", "'2026-11-22T00:00:00'", [MISMATCH; 6]),
    ("Time64(Nanosecond)", "'12:00:00'", [MISMATCH; 6]),
    ("Binary", "'x'", [MISMATCH; 6]),
];

fn query(target: &str, data_type: &str, value: &str) -> String {
    let model = root().join("tests/data/identities").join(format!("{target}.onnx"));
    format!("SELECT predict('{}', a) AS p FROM (SELECT arrow_cast({value}, '{data_type}') AS a)", model.display())
}

/// What a query gives, as text, or the codes of its refusal.
async fn outcome(house: &mut House, sql: &str) -> String {
    match house.try_run(sql).await {
        Ok(given) => {
            let batch = given.into_rows();
            let text = cast(batch.column(0), &DataType::Utf8).unwrap();
            assert!(text.is_valid(0), "{sql}\ngives NULL");
            text.as_string::<i32>().value(0).to_string()
        }
        Err(error) => error.problems.iter().map(|problem| format!("[{}]", problem.code)).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_gives_its_value_or_its_code() {
    let mut house = House::new().await;
    for (data_type, value, cells) in CELLS {
        for (target, cell) in TARGETS.into_iter().zip(cells) {
            let given = outcome(&mut house, &query(target, data_type, value)).await;
            assert_eq!(given, cell.trim_start_matches('~'), "{value} as {data_type} to {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_coercion_refuses_the_cells_that_round_and_no_other() {
    let mut house = House::new().await;
    house.run("SET volley.coercion = 'strict'").await;
    for (data_type, value, cells) in CELLS {
        for (target, cell) in TARGETS.into_iter().zip(cells) {
            let given = outcome(&mut house, &query(target, data_type, value)).await;
            let expected = if cell.starts_with('~') { LOSSY } else { cell };
            assert_eq!(given, expected, "{value} as {data_type} to {target}");
        }
    }
}
