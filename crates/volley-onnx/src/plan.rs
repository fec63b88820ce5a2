//! A graph made ready to run: for a fixed number of rows where possible, which is up to five times
//! as fast as for any number.

mod blueprint;
mod engine;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tract_onnx::prelude::{DatumType, Tensor, TypedModel};

pub(crate) use blueprint::{Blueprint, Draft};

use crate::deadline::within;
use crate::error::Error;
use crate::limits::Limits;
use crate::port::{Dim, Port};
use engine::Engine;

/// Up to this many rows, a plan for any number beats padding to the fixed one.
const SMALL_ROWS_MAX: usize = 128;

/// For how many rows a model is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Exactly this many; fewer are padded.
    Fixed(usize),
    /// Any number up to this many.
    UpTo(usize),
}

impl Batch {
    fn rows_max(self) -> usize {
        match self {
            Batch::Fixed(rows) | Batch::UpTo(rows) => rows,
        }
    }
}

/// A model that is ready to run. It is shared between threads; each run takes a state of its own.
#[derive(Debug)]
pub struct Plan {
    blueprint: Arc<Blueprint>,
    outputs: Vec<Port>,
    wide: Engine,
    small: Option<Engine>,
}

impl Plan {
    pub(crate) fn new(
        blueprint: &Arc<Blueprint>,
        draft: &Draft,
        limits: &Limits,
    ) -> Result<Plan, Error> {
        let started = Instant::now();
        let wide = optimised(draft.model.clone(), draft.batch, limits.load_time_max)?;
        let left = limits.load_time_max.saturating_sub(started.elapsed());
        let small = small(blueprint, draft.batch, left);
        let outputs = draft.ports(blueprint.outputs.clone());
        Ok(Plan {
            blueprint: blueprint.clone(),
            outputs,
            wide,
            small,
        })
    }

    /// Scores `rows` rows, any number of them.
    ///
    /// `inputs` come in the order of [`crate::Graph::inputs`], outputs go in the order of
    /// [`crate::Graph::outputs`]; the first dimension of each is `rows`. Rows do not see each
    /// other: they are scored in batches whose size the plan chooses. A panic under the model is
    /// [`Error::Panicked`], and the plan can be used again.
    pub fn run(&self, rows: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.check(rows, &inputs)?;
        if rows == 0 {
            return Ok(self.outputs.iter().map(empty).collect());
        }
        let engine = self.engine(rows);
        if rows <= engine.rows_max() {
            return engine.score(rows, inputs);
        }
        self.run_in_batches(rows, &inputs)
    }

    fn run_in_batches(&self, rows: usize, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); self.outputs.len()];
        let mut start = 0;
        while start < rows {
            let engine = self.engine(rows - start);
            let end = rows.min(start + engine.rows_max());
            let batch: Vec<Tensor> = inputs
                .iter()
                .map(|input| slice(input, start, end))
                .collect::<Result<_, _>>()?;
            for (output, part) in parts.iter_mut().zip(engine.score(end - start, batch)?) {
                output.push(part);
            }
            start = end;
        }
        parts
            .iter()
            .zip(&self.outputs)
            .map(|(parts, port)| stack(parts, port))
            .collect()
    }

    /// The engine for the next batch, of which at most `rows` rows are left.
    fn engine(&self, rows: usize) -> &Engine {
        match &self.small {
            Some(small) if rows <= small.rows_max() => small,
            _ => &self.wide,
        }
    }

    fn check(&self, rows: usize, inputs: &[Tensor]) -> Result<(), Error> {
        let ports = &self.blueprint.inputs;
        if inputs.len() != ports.len() {
            return Err(Error::Input(format!(
                "{} tensors for {}",
                inputs.len(),
                ports.len()
            )));
        }
        ports
            .iter()
            .zip(inputs)
            .try_for_each(|(port, tensor)| check_input(port, rows, tensor))
    }
}

fn optimised(model: TypedModel, batch: Batch, limit: Duration) -> Result<Engine, Error> {
    within(limit, move || Engine::new(model, batch))
}

/// A plan for few rows, where there is one: a model that needs its batch size fixed has none.
fn small(blueprint: &Arc<Blueprint>, wide: Batch, limit: Duration) -> Option<Engine> {
    let worthwhile = blueprint.fixed_batch.is_none()
        && matches!(wide, Batch::Fixed(rows) if rows > SMALL_ROWS_MAX);
    if !worthwhile {
        return None;
    }
    let blueprint = blueprint.clone();
    let batch = Batch::UpTo(SMALL_ROWS_MAX);
    within(limit, move || Engine::new(blueprint.typed(batch)?, batch)).ok()
}

fn check_input(port: &Port, rows: usize, tensor: &Tensor) -> Result<(), Error> {
    let fits = tensor.datum_type() == port.element.datum_type()
        && tensor.shape().first() == Some(&rows)
        && port.shape.as_ref().is_none_or(|dims| {
            dims.len() == tensor.rank()
                && dims
                    .iter()
                    .zip(tensor.shape())
                    .skip(1)
                    .all(|(dim, len)| match dim {
                        Dim::Fixed(expected) => expected == len,
                        Dim::Free => true,
                    })
        });
    if fits {
        return Ok(());
    }
    Err(Error::Input(format!(
        "`{}` takes {:?} {:?}, not {:?} {:?} for {rows} rows",
        port.name,
        port.element,
        port.shape,
        tensor.datum_type(),
        tensor.shape()
    )))
}

/// No rows of what `port` gives.
fn empty(port: &Port) -> Tensor {
    let tail = port.shape.iter().flatten().skip(1).map(|dim| match dim {
        Dim::Fixed(len) => *len,
        Dim::Free => 0,
    });
    let shape: Vec<usize> = std::iter::once(0).chain(tail).collect();
    match port.element.datum_type() {
        DatumType::String => crate::tensor_from::<String>(&shape, Vec::new()),
        element => Tensor::zero_dt(element, &shape).expect("plain elements have a zero"),
    }
}

fn slice(tensor: &Tensor, start: usize, end: usize) -> Result<Tensor, Error> {
    tensor
        .slice(0, start, end)
        .map_err(|error| Error::Input(error.to_string()))
}

fn stack(parts: &[Tensor], port: &Port) -> Result<Tensor, Error> {
    Tensor::stack_tensors(0, parts).map_err(|_| {
        Error::Failed(format!(
            "the output `{}` has another shape in each batch",
            port.name
        ))
    })
}
