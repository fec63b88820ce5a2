//! ONNX Runtime, on one thread.

use std::path::Path;

use anyhow::Result;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use crate::clock::thread_time;
use crate::rows::{Input, Rows, Values};

pub struct Theirs(Session);

type Inputs = Vec<(String, SessionInputValue<'static>)>;

/// Loads the library.
pub fn environment(library: &Path) -> Result<Environment> {
    Ok(ort::init_from(library)?.build()?)
}

impl Theirs {
    pub fn load(environment: &Environment, model: &Path) -> Result<Theirs> {
        let builder = Session::builder(environment)?.with_intra_threads(1).map_err(plain)?;
        let mut builder =
            builder.with_inter_threads(1).map_err(plain)?.with_log_level(LogLevel::Error).map_err(plain)?;
        Ok(Theirs(builder.commit_from_file(model)?))
    }

    /// Nanoseconds for the first batches, and the float outputs of the last of them.
    pub fn score(&mut self, rows: &Rows, batch: usize, batches: usize) -> Result<(f64, Vec<Vec<f32>>)> {
        let all: Vec<Inputs> = rows.starts(batch, batches).map(|it| inputs(rows, it, batch)).collect::<Result<_>>()?;
        let mut last = vec![];
        let (count, start) = (all.len(), thread_time());
        let mut spent = 0.0;
        for (at, inputs) in all.into_iter().enumerate() {
            let outputs = self.0.run(inputs)?;
            if at + 1 == count {
                spent = thread_time() - start;
                last =
                    outputs.values().filter_map(|it| Some(it.try_extract_tensor::<f32>().ok()?.1.to_vec())).collect();
            }
        }
        Ok((spent, last))
    }
}

fn plain<T>(error: ort::Error<T>) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn inputs(rows: &Rows, start: usize, batch: usize) -> Result<Inputs> {
    rows.inputs.iter().map(|input| Ok((input.name.clone(), value(input, start, batch)?))).collect()
}

fn value(input: &Input, start: usize, batch: usize) -> Result<SessionInputValue<'static>> {
    let (shape, range) = input.part(start, batch);
    Ok(match &input.values {
        Values::Halves(values) => Tensor::from_array((shape, values[range].to_vec()))?.into(),
        Values::Floats(values) => Tensor::from_array((shape, values[range].to_vec()))?.into(),
        Values::Doubles(values) => Tensor::from_array((shape, values[range].to_vec()))?.into(),
        Values::Ints(values) => Tensor::from_array((shape, values[range].to_vec()))?.into(),
        Values::Texts(values) => Tensor::from_string_array((shape, &values[range]))?.into(),
    })
}
