//! An engine on a folder of its own, and short ways to ask it things.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::test_util::batches_to_string;
use datafusion::physical_plan::common::collect;
use tempfile::TempDir;
use volley_engine::{Answer, Engine, EngineError, EngineSettings, Params, Session, Summary, parse_script};
use volley_model::{Limits, NullRule};
use volley_registry::Registration;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the repository").to_path_buf()
}

/// The folder of a fixture of `tests/data/models`.
pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/data/models").join(name)
}

/// The model directory of a fixture, as it is written in SQL.
pub fn model(name: &str) -> String {
    fixture(name).join("model").display().to_string()
}

/// A number that the environment sets for this run of the tests.
pub fn number<N: FromStr>(variable: &str) -> Option<N> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Tells whoever runs the tests something. Not `println!`, which is kept from them.
pub fn note(text: &str) {
    writeln!(std::io::stderr(), "\nnote: {text}").unwrap();
}

/// An engine and a session in an empty folder. All its plans are encoded and decoded before they run.
pub struct House {
    pub folder: TempDir,
    pub engine: Engine,
    pub session: Session,
}

impl House {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut EngineSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = EngineSettings {
            base: folder.path().to_path_buf(),
            registry_base: folder.path().to_path_buf(),
            cores: 2,
            round_trip_plans: true,
            ..EngineSettings::default()
        };
        change(&mut settings);
        let engine = Engine::open(settings).await.unwrap();
        let session = engine.session();
        Self { folder, engine, session }
    }

    /// The same with a table `input/` of so many row groups and rows in each, with ids from 1; the records of the job
    /// that made it are out of the way.
    pub async fn with_input(groups: usize, rows_of_group: usize) -> Self {
        let mut house = Self::with(|settings| settings.state = "state of the input".into()).await;
        let rows = groups * rows_of_group;
        house
            .run(&format!(
                "COPY (SELECT value AS id, 1.0 AS a, 2.0 AS b, value / 3.0 AS c, value % 2 AS d
                       FROM generate_series(1, {rows}))
                 TO 'input/' STORED AS PARQUET OPTIONS (max_row_group_size {rows_of_group})"
            ))
            .await;
        house
    }

    /// Registers a fixture as the next version of a name, with a null rule for all its inputs if one is given.
    pub async fn register(&self, name: &str, fixture: &str, rule: Option<NullRule>) {
        let registry = self.engine.registry();
        let artifact = registry.read(&model(fixture)).await.unwrap();
        let mut contract = volley_model::inspect(&artifact, &Limits::default()).unwrap();
        for input in contract.inputs.clone() {
            if let (Some(input), Some(rule)) = (&input.name, &rule) {
                contract.set_null_rule(input, rule.clone()).unwrap();
            }
        }
        registry.register(name, &Registration::new(artifact, contract)).await.unwrap();
    }

    /// A path in the house's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script and gives the answer of its last statement.
    pub async fn try_run(&mut self, sql: &str) -> Result<Given, EngineError> {
        let mut given = Given::Nothing;
        for statement in parse_script(sql)? {
            given = match self.session.run(&statement, &Params::default()).await? {
                Answer::Done => Given::Nothing,
                Answer::Published(summary) => Given::Published(summary),
                Answer::Rows(rows) => {
                    let batches = collect(rows.stream).await;
                    Given::Rows(concat_batches(&rows.schema, &batches?).unwrap())
                }
            };
        }
        Ok(given)
    }

    pub async fn run(&mut self, sql: &str) -> Given {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// All rows of a query, in one batch.
    pub async fn rows(&mut self, sql: &str) -> RecordBatch {
        self.run(sql).await.into_rows()
    }

    pub async fn published(&mut self, sql: &str) -> Summary {
        match self.run(sql).await {
            Given::Published(summary) => summary,
            other => panic!("{sql}\ngave {other:?}"),
        }
    }

    /// The rows of a query as a table of text.
    pub async fn text(&mut self, sql: &str) -> String {
        batches_to_string(&[self.rows(sql).await])
    }

    /// One number.
    pub async fn number(&mut self, sql: &str) -> f64 {
        let batch = self.rows(sql).await;
        let column = cast(batch.column(0), &DataType::Float64).unwrap();
        column.as_primitive::<Float64Type>().value(0)
    }

    /// The codes of all problems of a statement that must fail.
    pub async fn codes(&mut self, sql: &str) -> Vec<&'static str> {
        match self.try_run(sql).await {
            Ok(given) => panic!("{sql}\nmust fail, and gave {given:?}"),
            Err(error) => error.problems.iter().map(|problem| problem.code).collect(),
        }
    }

    /// Names and contents of all files below a folder, in order; empty if it is not there.
    pub fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let root = self.path(folder);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => {
                        let name = path.strip_prefix(&root).unwrap().display().to_string();
                        files.push((name, std::fs::read(path).unwrap()));
                    }
                }
            }
        }
        files.sort();
        files
    }
}

/// What a statement gave.
#[derive(Debug)]
pub enum Given {
    Rows(RecordBatch),
    Published(Summary),
    Nothing,
}

impl Given {
    pub fn into_rows(self) -> RecordBatch {
        match self {
            Given::Rows(batch) => batch,
            other => panic!("no rows but {other:?}"),
        }
    }
}

/// One value of a result, to compare with another.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Number(f64),
    Text(String),
}

/// The values of one row of a column; a list or struct gives several, a NULL one is one NULL.
pub fn cells(array: &ArrayRef, row: usize) -> Vec<Cell> {
    if array.is_null(row) {
        return vec![Cell::Null];
    }
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().flat_map(|column| cells(column, row)).collect(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).flat_map(|item| cells(&items, item)).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text = cast(array, &DataType::Utf8).unwrap();
            vec![Cell::Text(text.as_string::<i32>().value(row).to_string())]
        }
        _ => {
            let number: Arc<dyn Array> = cast(array, &DataType::Float64).unwrap();
            vec![Cell::Number(number.as_primitive::<Float64Type>().value(row))]
        }
    }
}

/// Whether two values are equal, numbers within 1e-5, absolute or relative.
pub fn close(left: &Cell, right: &Cell) -> bool {
    match (left, right) {
        (Cell::Number(left), Cell::Number(right)) => {
            left == right || (left - right).abs() <= 1e-5 + 1e-5 * right.abs() || (left.is_nan() && right.is_nan())
        }
        (left, right) => left == right,
    }
}
