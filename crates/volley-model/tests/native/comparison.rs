//! Our scores of the models in a folder that `tests/data/make_native.py` wrote, against those of their own libraries.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchReader};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use volley_model::{
    Argument, Arguments, Artifact, BindOptions, FillValue, Function, Limits, NullRule, bind, inspect, load,
};

/// How near one model's scores are.
pub struct Likeness {
    pub model: String,
    pub operators: String,
    pub scores: usize,
    /// Scores of exactly the same bits.
    pub equal: usize,
    pub relative_max: f64,
}

/// Every model of the folder, by name.
pub fn compare(folder: &Path) -> Vec<Likeness> {
    let (input, expected) = (table(&folder.join("input.parquet")), table(&folder.join("expected.parquet")));
    let files: BTreeMap<_, _> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending != "parquet"))
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    assert_eq!(files.len(), expected.num_columns(), "a column for each model");
    let model = |(name, path): (&String, &std::path::PathBuf)| {
        let wanted = expected.column_by_name(name).expect("the model's column");
        let (operators, scores) = scores(path, &input);
        likeness(name, operators, &scores, wanted)
    };
    files.iter().map(model).collect()
}

fn table(path: &Path) -> RecordBatch {
    let file = File::open(path).expect("a file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
    let schema = reader.schema();
    let batches: Vec<_> = reader.collect::<Result<_, _>>().expect("batches");
    concat_batches(&schema, &batches).expect("one schema")
}

/// The model's operators, and what `predict` gives for the columns that it names.
fn scores(path: &Path, input: &RecordBatch) -> (String, ArrayRef) {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let bytes = Bytes::from(fs::read(path).expect("a readable file"));
    let artifact = Artifact::new(BTreeMap::from([(name.clone(), bytes)]));
    let mut contract = inspect(&artifact, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    // A word that the model was not trained with is a missing value to it.
    let words = contract.inputs.iter_mut().filter(|input| !input.element.is_float());
    words.for_each(|input| input.null_rule = NullRule::Fill(FillValue::new("no such word")));
    let scorer = load(&artifact, &contract, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let columns: Vec<(Argument, ArrayRef)> =
        contract.inputs.iter().map(|feature| column(input, feature, &name)).collect();
    let (arguments, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let binding = bind(&contract, "m", &Arguments::Named(arguments), &BindOptions::default());
    let binding = binding.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    let scores = scorer.score(&binding, &columns, input.num_rows()).unwrap_or_else(|error| panic!("{name}: {error}"));
    (contract.operators.join(" "), scores.result(&contract, Function::Predict).expect("a column"))
}

fn column(table: &RecordBatch, input: &volley_model::Input, model: &str) -> (Argument, ArrayRef) {
    let name = input.name.as_deref().expect("features have names");
    // XGBoost numbers the columns that it was given without names.
    let numbered = name.strip_prefix('f').map(|number| format!("n{number}"));
    let column = table.column_by_name(name).or_else(|| table.column_by_name(&numbered?));
    let column = column.unwrap_or_else(|| panic!("{model}: no column {name}"));
    let argument = Argument { name: Some(name.to_owned()), data_type: column.data_type().clone(), nullable: true };
    (argument, column.clone())
}

fn likeness(model: &str, operators: String, scores: &ArrayRef, expected: &ArrayRef) -> Likeness {
    let mut found = Likeness { model: model.to_owned(), operators, scores: 0, equal: 0, relative_max: 0.0 };
    for row in (0..expected.len()).filter(|&row| expected.is_valid(row)) {
        let (ours, theirs) = (doubles(&scores.slice(row, 1)), doubles(&expected.slice(row, 1)));
        assert_eq!(ours.len(), theirs.len(), "{model} row {row}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            found.scores += 1;
            found.equal += usize::from(ours == theirs);
            found.relative_max = found.relative_max.max(relative(*ours, *theirs));
        }
    }
    found
}

/// Against the smallest single where both are next to nothing.
fn relative(ours: f64, theirs: f64) -> f64 {
    if ours == theirs || (ours.is_nan() && theirs.is_nan()) {
        return 0.0;
    }
    let difference = (ours - theirs).abs() / theirs.abs().max(f32::MIN_POSITIVE.into());
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// One row's numbers; NaN for NULL.
fn doubles(row: &ArrayRef) -> Vec<f64> {
    match row.data_type() {
        DataType::List(_) => row.as_list::<i32>().iter().flatten().flat_map(|values| doubles(&values)).collect(),
        _ => {
            let values = cast(row, &DataType::Float64).expect("numbers");
            values.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
        }
    }
}
