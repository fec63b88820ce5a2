//! Scores the models of a folder that `tests/zoo/make_zoo.py` made, and compares with what ONNX Runtime gave.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, RecordBatchReader, UInt64Array};
use arrow::compute::{cast, concat, concat_batches, take};
use arrow::datatypes::{DataType, Field, Float64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use volley_model::{
    Argument, Arguments, Artifact, BindOptions, Binding, Contract, Limits, ModelError, NullRules, Runtime, Runtimes,
    Scorer, bind, inspect_for,
};

/// Rows a slice: none a divisor of the table's length or of a plan's batch, some on either side of a plan's limits.
const SLICES: [usize; 5] = [1, 7, 127, 130, 600];

/// One model of the folder, as its manifest tells.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub kind: String,
    #[allow(dead_code, reason = "one of the two that use this file reads it")]
    pub made_with: String,
    pub table: String,
    /// Columns of the table for each input of the graph.
    pub inputs: Vec<Vec<String>>,
    tolerance: f64,
    #[expect(dead_code, reason = "for readers of the manifest")]
    opsets: BTreeMap<String, i64>,
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the manifest")]
    note: String,
}

/// A folder of models.
pub struct Zoo {
    pub folder: PathBuf,
    pub entries: Vec<Entry>,
    /// What scores its models; `None` leaves it to them.
    runtime: Option<Runtime>,
    runtimes: Runtimes,
}

/// Why a model does not give what ONNX Runtime gives.
#[derive(Debug)]
pub enum Difference {
    /// It cannot be used.
    Refused(ModelError),
    /// It can, and something else comes out.
    Wrong(String),
}

impl From<ModelError> for Difference {
    fn from(error: ModelError) -> Self {
        Difference::Refused(error)
    }
}

fn wrong<T>(reason: String) -> Result<T, Difference> {
    Err(Difference::Wrong(reason))
}

impl Zoo {
    /// Reads the manifest of a folder.
    pub fn open(folder: &Path) -> Zoo {
        let manifest = folder.join("zoo.json");
        let text = fs::read(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let entries = serde_json::from_slice(&text).expect("a manifest of a zoo");
        Zoo { folder: folder.to_owned(), entries, runtime: None, runtimes: Runtimes::default() }
    }

    /// The same folder, scored by one runtime of these.
    #[allow(dead_code, reason = "one of those that use this file does not")]
    pub fn on(self, runtime: Runtime, runtimes: Runtimes) -> Zoo {
        Zoo { runtime: Some(runtime), runtimes, ..self }
    }

    /// The largest difference to ONNX Runtime, over all rows, single rows and slices of odd sizes.
    pub fn compare(&self, entry: &Entry) -> Result<f64, Difference> {
        let model = Model::open(self, entry)?;
        let expected = self.table("expected", &entry.name);
        let rows = model.columns[0].len();
        let largest = model.agree(&model.score(0, rows)?, &expected, entry.tolerance)?;
        model.no_rows()?;
        model.null_where_nan(&expected)?;
        for slice in SLICES {
            // Few rows at a time take long, and say the same of a third of the table.
            let scored = if slice < 100 { rows.min(150) } else { rows };
            let starts = (0..scored).step_by(slice);
            let parts: Vec<_> =
                starts.map(|start| model.score(start, slice.min(scored - start))).collect::<Result<_, _>>()?;
            let joined: Vec<ArrayRef> = (0..parts[0].len()).map(|output| join(&parts, output)).collect();
            model
                .agree(&joined, &expected.slice(0, scored), entry.tolerance)
                .map_err(|difference| said(difference, &format!("in slices of {slice} rows")))?;
        }
        Ok(largest)
    }

    /// A table of the folder.
    pub fn table(&self, part: &str, name: &str) -> RecordBatch {
        let path = self.folder.join(part).join(format!("{name}.parquet"));
        let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
        let schema = reader.schema();
        let batches: Vec<_> = reader.collect::<Result<_, _>>().expect("batches");
        concat_batches(&schema, &batches).expect("one schema")
    }
}

fn join(parts: &[Vec<ArrayRef>], output: usize) -> ArrayRef {
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part[output].as_ref()).collect();
    concat(&parts).expect("one type")
}

fn said(difference: Difference, when: &str) -> Difference {
    match difference {
        Difference::Wrong(reason) => Difference::Wrong(format!("{when}: {reason}")),
        refused => refused,
    }
}

/// A loaded model with the columns that feed it.
struct Model {
    contract: Contract,
    scorer: Arc<dyn Scorer>,
    columns: Vec<ArrayRef>,
    /// NaN is NULL where it stands.
    by_value: Binding,
    /// NaN is NULL in all of its row.
    by_row: Binding,
}

impl Model {
    fn open(zoo: &Zoo, entry: &Entry) -> Result<Model, Difference> {
        let bytes = fs::read(zoo.folder.join("models").join(format!("{}.onnx", entry.name))).expect("a model");
        let artifact = Artifact::new(BTreeMap::from([("model.onnx".to_owned(), Bytes::from(bytes))]));
        let contract = inspect_for(&artifact, zoo.runtime, &Limits::default())?;
        let columns = columns(&zoo.table("tables", &entry.table), &entry.inputs);
        let arguments = || Arguments::Positional(columns.iter().map(argument).collect());
        let bound = |null_rules| {
            let options = BindOptions { null_rules, ..BindOptions::default() };
            let problem = |problems: Vec<_>| Difference::Wrong(format!("it cannot be bound: {problems:?}"));
            bind(&contract, &entry.name, &arguments(), &options).map_err(problem)
        };
        let (by_value, by_row) = (bound(NullRules::Mlflow)?, bound(NullRules::Contract)?);
        let scorer = zoo.runtimes.load(&artifact, &contract, &Limits::default())?;
        Ok(Model { contract, scorer, columns, by_value, by_row })
    }

    fn score(&self, start: usize, rows: usize) -> Result<Vec<ArrayRef>, Difference> {
        self.with(&self.by_value, start, rows)
    }

    fn with(&self, binding: &Binding, start: usize, rows: usize) -> Result<Vec<ArrayRef>, Difference> {
        let columns: Vec<_> = self.columns.iter().map(|column| column.slice(start, rows)).collect();
        let failed = |error| Difference::Wrong(format!("rows {start} to {} fail: {error}", start + rows));
        Ok(self.scorer.score(binding, &columns, rows).map_err(failed)?.outputs)
    }

    fn no_rows(&self) -> Result<(), Difference> {
        match self.score(0, 0)?.iter().all(|output| output.is_empty()) {
            true => Ok(()),
            false => wrong("no rows in, some rows out".to_owned()),
        }
    }

    /// Under the contract's own rules a row with a NaN score is NULL in all of its outputs.
    fn null_where_nan(&self, expected: &RecordBatch) -> Result<(), Difference> {
        let outputs = self.with(&self.by_row, 0, expected.num_rows())?;
        let has_nan = |column: &ArrayRef, row| doubles(&column.slice(row, 1)).iter().flatten().any(|v| v.is_nan());
        for row in 0..expected.num_rows() {
            let nan = expected.columns().iter().any(|column| has_nan(column, row));
            if outputs.iter().any(|output| output.is_null(row) != nan) {
                return wrong(format!("row {row} is NULL, or is not, against what ONNX Runtime's NaN says"));
            }
        }
        Ok(())
    }

    fn agree(&self, outputs: &[ArrayRef], expected: &RecordBatch, tolerance: f64) -> Result<f64, Difference> {
        let mut largest = 0.0f64;
        for (output, scores) in self.contract.outputs.iter().zip(outputs) {
            let Some(expected) = expected.column_by_name(&output.name) else {
                return wrong(format!("ONNX Runtime has no output `{}`", output.name));
            };
            let difference = column_difference(scores, expected, tolerance);
            largest =
                largest.max(difference.map_err(|reason| Difference::Wrong(format!("`{}` {reason}", output.name)))?);
        }
        Ok(largest)
    }
}

/// Each column on its own where the graph has one input; else a column or a list for each input.
fn columns(table: &RecordBatch, inputs: &[Vec<String>]) -> Vec<ArrayRef> {
    let column = |name: &String| table.column_by_name(name).expect(name).clone();
    match inputs {
        [only] => only.iter().map(column).collect(),
        _ => inputs.iter().map(|names| side_by_side(&names.iter().map(column).collect::<Vec<_>>())).collect(),
    }
}

fn side_by_side(columns: &[ArrayRef]) -> ArrayRef {
    let [first, .., _] = columns else {
        return columns[0].clone();
    };
    let (width, rows) = (columns.len(), first.len());
    let all = concat(&columns.iter().map(|column| column.as_ref()).collect::<Vec<_>>()).expect("one type");
    let places: UInt64Array = (0..rows * width).map(|at| ((at % width) * rows + at / width) as u64).collect();
    let values = take(&all, &places, None).expect("places within the columns");
    let item = Arc::new(Field::new_list_field(first.data_type().clone(), true));
    Arc::new(FixedSizeListArray::new(item, i32::try_from(width).expect("few columns"), values, None))
}

fn argument(column: &ArrayRef) -> Argument {
    Argument { name: None, data_type: column.data_type().clone(), nullable: true }
}

/// The largest difference between two columns, as a part of what is allowed where it is more.
fn column_difference(scores: &ArrayRef, expected: &ArrayRef, tolerance: f64) -> Result<f64, String> {
    if scores.len() != expected.len() {
        return Err(format!("has {} rows, not {}", scores.len(), expected.len()));
    }
    let (Some(values), Some(expected_values)) = (doubles(scores), doubles(expected)) else {
        return labels_equal(scores, expected).map(|()| 0.0);
    };
    if values.len() != expected_values.len() {
        return Err(format!("has {} values, not {}", values.len(), expected_values.len()));
    }
    let width = values.len() / scores.len().max(1);
    let mut largest = 0.0f64;
    for (at, (value, expected)) in values.iter().zip(&expected_values).enumerate() {
        if value == expected || (value.is_nan() && expected.is_nan()) {
            continue;
        }
        let apart = (value - expected).abs() / (1.0 + expected.abs());
        // A difference that is no number is not small either.
        if apart.is_nan() || apart > tolerance || expected.is_infinite() {
            return Err(format!("row {} value {}: {value} is not {expected}", at / width, at % width));
        }
        largest = largest.max(apart);
    }
    Ok(largest)
}

fn labels_equal(scores: &ArrayRef, expected: &ArrayRef) -> Result<(), String> {
    let scores = match scores.as_list_opt::<i32>() {
        Some(lists) => lists.values().clone(),
        None => scores.clone(),
    };
    let expected = match expected.as_fixed_size_list_opt() {
        Some(lists) => lists.values().clone(),
        None => expected.clone(),
    };
    let expected = cast(&expected, scores.data_type()).map_err(|error| error.to_string())?;
    let differs = |row: &usize| scores.slice(*row, 1) != expected.slice(*row, 1);
    match (0..scores.len()).filter(differs).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        rows => Err(format!(
            "{} labels differ, the first in row {}: {:?} is not {:?}",
            rows.len(),
            rows[0],
            scores.slice(rows[0], 1),
            expected.slice(rows[0], 1)
        )),
    }
}

/// All floats of a column, NULL as NaN; `None` of anything else.
fn doubles(column: &ArrayRef) -> Option<Vec<f64>> {
    match column.data_type() {
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let offsets = lists.value_offsets();
            let (start, end) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
            doubles(&lists.values().slice(start, end - start))
        }
        DataType::FixedSizeList(_, _) => doubles(column.as_fixed_size_list().values()),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = cast(column, &DataType::Float64).expect("floats are doubles");
            Some(values.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        }
        _ => None,
    }
}
