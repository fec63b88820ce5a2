//! The SQL test files, `tests/slt/*.slt`, run both ways with equal answers: in a session of this process, and by a server
//! whose jobs run on executors.
//!
//! They are in the format of sqllogictest, of which these records are understood; each is run in a session of its own,
//! and the last of its statements is answered:
//!
//! ```text
//! query [rowsort]           statement ok      statement error CODE
//! SELECT …                  COPY …            SELECT …
//! ----
//! the values of a row, with blanks between them
//! ```

use std::fs;
use std::path::Path;

use arrow::array::{Array, RecordBatch};
use arrow::ipc::reader::StreamReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use serde_json::json;
use volley_engine::{Answer, Engine, EngineSettings, Params, parse_script};

use crate::harness::{House, fixture, root};
use crate::server::Server;

const ROWS: usize = 10_000;

/// What a record asks, and what is right.
#[derive(Debug)]
struct Record {
    place: String,
    sql: String,
    expected: Expected,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Rows { lines: Vec<String>, in_any_order: bool },
    Done,
    Error(String),
}

fn records(file: &Path) -> Vec<Record> {
    let text = fs::read_to_string(file).unwrap();
    let mut records = vec![];
    let mut line = 1;
    for block in text.split("\n\n") {
        let place = format!("{}:{line}", file.file_name().unwrap().display());
        line += block.lines().count() + 1;
        let lines: Vec<_> = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let Some((head, rest)) = lines.split_first() else { continue };
        let (sql, rows) = match rest.iter().position(|line| *line == "----") {
            Some(at) => (rest[..at].join("\n"), &rest[at + 1..]),
            None => (rest.join("\n"), &[][..]),
        };
        let lines = || rows.iter().map(|row| (*row).to_owned()).collect();
        let expected = match head.split(' ').collect::<Vec<_>>()[..] {
            ["query"] => Expected::Rows { lines: lines(), in_any_order: false },
            ["query", "rowsort"] => Expected::Rows { lines: lines(), in_any_order: true },
            ["statement", "ok"] => Expected::Done,
            ["statement", "error", code] => Expected::Error(code.to_owned()),
            _ => panic!("{place}: {head:?} is no head of a record"),
        };
        records.push(Record { place, sql, expected });
    }
    records
}

/// How statements are run.
enum Way {
    Here(Engine),
    Cluster(Server),
}

impl Way {
    /// The rows of the last statement, or the code of what went wrong.
    async fn answer(&self, sql: &str) -> Result<Vec<RecordBatch>, String> {
        match self {
            Self::Here(engine) => here(engine, sql).await.map_err(|error| error.code().to_owned()),
            Self::Cluster(server) => {
                let answered = server.post("/v1/sql", &json!({ "sql": sql }));
                match answered.code().as_str() {
                    "" if answered.header("content-type").contains("arrow") => {
                        let rows = StreamReader::try_new(answered.body.as_slice(), None).unwrap();
                        Ok(rows.map(Result::unwrap).collect())
                    }
                    "" => Ok(vec![]),
                    code => Err(code.to_owned()),
                }
            }
        }
    }
}

async fn here(engine: &Engine, sql: &str) -> Result<Vec<RecordBatch>, volley_engine::EngineError> {
    let mut session = engine.session();
    let mut last = vec![];
    for statement in parse_script(sql)? {
        last = match session.run(&statement, &Params::default()).await? {
            Answer::Rows(rows) => rows.stream.try_collect().await?,
            Answer::Published(_) | Answer::Done => vec![],
        };
    }
    Ok(last)
}

fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = vec![];
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().zip(&columns).map(|(column, shown)| match column.data_type() {
                // As short as the number is.
                data_type if data_type.is_floating() && column.is_valid(row) => {
                    shown.value(row).to_string().parse::<f64>().unwrap().to_string()
                }
                _ => shown.value(row).to_string(),
            });
            lines.push(values.collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

async fn check(way: &Way, record: &Record) -> Result<(), String> {
    let answered = way.answer(&record.sql).await;
    let wrong = |told: &str| Err(format!("{}: {told}\n{}", record.place, record.sql));
    match (&record.expected, answered) {
        (Expected::Error(expected), Err(code)) if *expected == code => Ok(()),
        (Expected::Error(expected), answered) => wrong(&format!("{answered:?} and no [{expected}]")),
        (_, Err(code)) => wrong(&format!("[{code}]")),
        (Expected::Done, Ok(_)) => Ok(()),
        (Expected::Rows { lines, in_any_order }, Ok(rows)) => {
            let (mut expected, mut rows) = (lines.clone(), shown(&rows));
            if *in_any_order {
                expected.sort();
                rows.sort();
            }
            if expected == rows { Ok(()) } else { wrong(&format!("{rows:?} instead of {expected:?}")) }
        }
    }
}

/// A folder with the tables and models that the files name.
async fn folder() -> tempfile::TempDir {
    let mut house = House::with(|settings| settings.state = "state of the input".into()).await;
    house.register("line", "linear_onnx_double", None).await;
    house.register("iris", "iris_onnx_v2", None).await;
    let numbers = format!(
        "COPY (SELECT value AS id FROM generate_series(1, {ROWS})) TO 'numbers/' STORED AS PARQUET OPTIONS (max_row_group_size 500)"
    );
    house.run(&numbers).await;
    fs::create_dir(house.path("iris")).unwrap();
    fs::copy(fixture("iris_onnx_v2").join("input.parquet"), house.path("iris/rows.parquet")).unwrap();
    house.folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_test_files_are_answered_alike_in_process_and_on_a_cluster() {
    let mut files: Vec<_> =
        fs::read_dir(root().join("tests/slt")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut wrong, mut count) = (vec![], 0);
    for file in files {
        let (near, far) = (folder().await, folder().await);
        let settings = EngineSettings {
            base: near.path().to_owned(),
            registry_base: near.path().to_owned(),
            state: near.path().join(".volley/state").display().to_string(),
            cores: 2,
            split_rows: 500,
            ..EngineSettings::default()
        };
        fs::write(far.path().join("volley.toml"), "split_rows = 500\ncores = 2\n").unwrap();
        let near = (Way::Here(Engine::open(settings).await.unwrap()), near);
        let far = (Way::Cluster(Server::up(far.path(), &["--executors", "2"])), far);
        for record in records(&file) {
            for (name, (way, _folder)) in [("in process", &near), ("on a cluster", &far)] {
                wrong.extend(check(way, &record).await.err().map(|told| format!("{name}: {told}")));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n\n"));
    assert!(count >= 30, "only {count} records were found");
}
