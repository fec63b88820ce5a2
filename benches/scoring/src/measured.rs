//! Rounds of scoring, in turns with ONNX Runtime on the same rows.

use std::sync::Arc;

use anyhow::Result;
use volley_model::{Argument, Arguments, Artifact, BindOptions, Binding, Limits, Scorer, bind, inspect, load};
use volley_onnx::{Graph, Plan, Tensor, tensor_values};

use crate::clock::thread_time;
use crate::rows::Rows;
use crate::theirs::Theirs;

const ROUNDS: usize = 5;

/// A round of a slow model ends at the first batch after so many nanoseconds.
const ROUND: f64 = 1e8;

/// Nanoseconds a row in each round.
#[derive(Default)]
pub struct Measured {
    pub ours: Vec<f64>,
    pub arrow: Vec<f64>,
    pub theirs: Vec<f64>,
    /// The largest between the last outputs of single precision.
    pub difference: Option<f32>,
}

impl Measured {
    /// How many times as long ONNX Runtime takes, in each round.
    pub fn ratios(&self) -> Vec<f64> {
        self.theirs.iter().zip(&self.ours).map(|(theirs, ours)| theirs / ours).collect()
    }

    /// The same where ours starts from columns.
    pub fn ratios_from_arrow(&self) -> Vec<f64> {
        self.theirs.iter().zip(&self.arrow).map(|(theirs, arrow)| theirs / arrow).collect()
    }
}

/// Scores `rows` of a model in batches.
pub fn measure(model: &[u8], rows: &Rows, batch: usize, mut theirs: Option<&mut Theirs>) -> Result<Measured> {
    let graph = Graph::parse(model, &|_| None, &volley_onnx::Limits::default())?;
    let plan = graph.plan()?;
    let arrow = Arrow::new(model, rows)?;
    let (first, _) = ours(&plan, rows.tensors(batch, 1))?;
    let batches = (ROUND / first).ceil() as usize;
    let batches = batches.clamp(1, rows.rows / batch);
    let per_row = |nanoseconds: f64| nanoseconds / (batch * batches) as f64;
    let mut measured = Measured::default();
    // The first round warms up.
    for round in 0..=ROUNDS {
        let (ours, last) = ours(&plan, rows.tensors(batch, batches))?;
        let arrow = arrow.score(rows, batch, batches)?;
        let theirs = theirs.as_mut().map(|theirs| theirs.score(rows, batch, batches)).transpose()?;
        if round == 0 {
            continue;
        }
        measured.ours.push(per_row(ours));
        measured.arrow.push(per_row(arrow));
        if let Some((theirs, scores)) = theirs {
            measured.theirs.push(per_row(theirs));
            measured.difference = difference(&last, &scores);
        }
    }
    Ok(measured)
}

/// Nanoseconds, and the outputs of the last batch.
fn ours(plan: &Plan, batches: Vec<Vec<Tensor>>) -> Result<(f64, Vec<Tensor>)> {
    let mut last = vec![];
    let start = thread_time();
    for inputs in batches {
        let rows = inputs[0].shape()[0];
        last = plan.run(rows, inputs)?;
    }
    Ok((thread_time() - start, last))
}

/// The way through volley-model.
struct Arrow {
    scorer: Arc<dyn Scorer>,
    binding: Binding,
}

impl Arrow {
    fn new(model: &[u8], rows: &Rows) -> Result<Arrow> {
        let artifact = Artifact::new([("model.onnx".to_owned(), model.to_vec().into())].into());
        let contract = inspect(&artifact, &Limits::default())?;
        let arguments = rows.columns.iter().map(|column| {
            let nullable = column.is_nullable();
            Argument { name: None, data_type: column.data_type().clone(), nullable }
        });
        let arguments = Arguments::Positional(arguments.collect());
        let binding = bind(&contract, "model", &arguments, &BindOptions::default())
            .map_err(|problems| anyhow::anyhow!("{}", problems[0].message))?;
        Ok(Arrow { scorer: load(&artifact, &contract, &Limits::default())?, binding })
    }

    fn score(&self, rows: &Rows, batch: usize, batches: usize) -> Result<f64> {
        let batches = rows.batches(batch, batches);
        let start = thread_time();
        for columns in &batches {
            self.scorer.score(&self.binding, columns, batch)?;
        }
        Ok(thread_time() - start)
    }
}

fn difference(ours: &[Tensor], theirs: &[Vec<f32>]) -> Option<f32> {
    let ours = ours.iter().rev().find_map(tensor_values::<f32>)?;
    let pairs = ours.iter().zip(theirs.last()?);
    Some(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
}
