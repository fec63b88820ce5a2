//! Models that were written to do harm: each is an error, soon and in little memory, and no panic gets out.
//!
//! Each is loaded and run in a process of its own, because an allocation that fails ends the process it is in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, Int64Array, new_empty_array};
use bytes::Bytes;
use volley_model::{Argument, Arguments, Artifact, BindOptions, Contract, InputType, Limits, bind, inspect, load};

const MODEL: &str = "HOSTILE_MODEL";
const KIBIBYTES_MAX: usize = 512 << 10;
const SECONDS_MAX: f32 = 2.0;

fn models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/zoo/edges/hostile");
    let mut models: Vec<_> =
        fs::read_dir(folder).expect("the models").map(|entry| entry.expect("an entry").path()).collect();
    models.sort();
    models
}

/// What a model costs and says: `code after 0.01 s`.
fn outcome(model: &Path) -> Output {
    let run = format!("ulimit -v {KIBIBYTES_MAX}; exec timeout 20 \"$0\" --exact one_model_in_a_process --nocapture");
    let test = std::env::current_exe().expect("this test");
    let mut command = Command::new("sh");
    // Or every thread sets apart 64 MiB of addresses, which the limit counts.
    command.args(["-c", &run]).arg(test).env(MODEL, model).env("MALLOC_ARENA_MAX", "1");
    command.output().expect("a shell")
}

#[test]
fn every_hostile_model_is_an_error_within_two_seconds_and_512_mib() {
    let models = models();
    assert!(models.len() >= 35, "only {} models", models.len());
    let mut faults = Vec::new();
    for model in models {
        let output = outcome(&model);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let refusal = said.lines().find_map(|line| line.strip_prefix("refused ")?.split_once(" after "));
        let in_time = refusal.and_then(|(_, time)| time.parse().ok()).is_some_and(|time: f32| time <= SECONDS_MAX);
        if !output.status.success() || !in_time {
            let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let last = String::from_utf8_lossy(&output.stderr).lines().take(2).collect::<Vec<_>>().join("; ");
            faults.push(format!("{name}: {} {said} {last}", output.status));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What the other test starts, once for each model; without one there is nothing to do.
#[test]
fn one_model_in_a_process() {
    let Some(model) = std::env::var_os(MODEL) else { return };
    let (bytes, started) = (fs::read(model).expect("a model"), Instant::now());
    let code = refusal(bytes).expect("an error");
    println!("\nrefused {code} after {:.2}", started.elapsed().as_secs_f32());
}

/// The code of whatever refuses a model on the way to two scores.
fn refusal(model: Vec<u8>) -> Option<&'static str> {
    let artifact = Artifact::new(BTreeMap::from([("model.onnx".to_owned(), Bytes::from(model))]));
    let contract = match inspect(&artifact, &Limits::default()) {
        Ok(contract) => contract,
        Err(error) => return Some(error.code()),
    };
    let scorer = match load(&artifact, &contract, &Limits::default()) {
        Ok(scorer) => scorer,
        Err(error) => return Some(error.code()),
    };
    let columns = columns(&contract);
    let argument = |column: &ArrayRef| Argument { name: None, data_type: column.data_type().clone(), nullable: true };
    let arguments = Arguments::Positional(columns.iter().map(argument).collect());
    match bind(&contract, "hostile", &arguments, &BindOptions::default()) {
        Ok(binding) => scorer.score(&binding, &columns, 2).err().map(|error| error.code()),
        Err(problems) => problems.first().map(|problem| problem.code),
    }
}

/// Two rows for each input: a column for each of its values.
fn columns(contract: &Contract) -> Vec<ArrayRef> {
    let column = |of: &InputType| -> ArrayRef {
        match of {
            InputType::Float32 => std::sync::Arc::new(Float32Array::from(vec![0.0, 1.0])),
            InputType::Int64 => std::sync::Arc::new(Int64Array::from(vec![0, 1])),
            _ => new_empty_array(&arrow::datatypes::DataType::Null),
        }
    };
    let inputs = contract.inputs.iter();
    inputs.flat_map(|input| vec![column(input.declared.scalar()); input.width().unwrap_or(1)]).collect()
}
