//! A graph made ready to run: for a fixed number of rows where possible, which is up to five times
//! as fast as for any number.

mod blueprint;
mod engine;
mod nans;
mod rows;
mod thin;

use std::sync::Arc;

use tract_onnx::prelude::{DatumType, Tensor};
use tract_onnx::tract_hir::internal::{SymbolScope, TDim, ToDim};

pub(crate) use blueprint::{Blueprint, Draft, invalid};
pub(crate) use rows::is_uniform;
pub(crate) use thin::constant_product;

use crate::deadline::{Deadline, contained};
use crate::direct::{Direct, Rows, TensorRows, Values};
use crate::error::Error;
use crate::limits::Limits;
use crate::native::Native;
use crate::port::{Dim, Port};
use engine::Engine;

/// Up to this many rows, a plan for any number beats padding to the fixed one.
const SMALL_ROWS_MAX: usize = 128;

/// Nodes of a graph for the direct road at most: longer ones are nets.
const DIRECT_NODES_MAX: usize = 2000;
/// The number of rows in a plan for any number of them.
const ROWS: &str = "rows";

/// For how many rows a model is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Exactly this many; fewer are padded.
    Fixed(usize),
    /// Any number up to this many.
    UpTo(usize),
}

impl Batch {
    /// The number of rows as models know it.
    fn dim(self, symbols: &SymbolScope) -> TDim {
        match self {
            Batch::Fixed(rows) => rows.to_dim(),
            Batch::UpTo(_) => symbols.sym(ROWS).to_dim(),
        }
    }

    fn rows_max(self) -> usize {
        match self {
            Batch::Fixed(rows) | Batch::UpTo(rows) => rows,
        }
    }
}

/// A model that is ready to run. It is shared between threads; each run takes a state of its own.
#[derive(Debug)]
pub struct Plan {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    run: Run,
}

#[derive(Debug)]
enum Run {
    Direct(Direct),
    Tract(Engines),
    Native(Arc<Native>),
}

/// How a plan takes rows through its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Column by column, in blocks of rows: [`Plan::score`] needs no tensors.
    Direct,
    /// Through whole tensors.
    Tensors,
}

/// The plans of one graph for few rows and for many.
#[derive(Debug)]
struct Engines {
    wide: Engine,
    small: Option<Engine>,
}

impl Plan {
    pub(crate) fn new(blueprint: &Arc<Blueprint>, draft: &Draft, limits: &Limits) -> Result<Plan, Error> {
        let deadline = Deadline::after(limits.load_time_max);
        if let Some(direct) = direct(blueprint, draft, deadline) {
            let outputs = draft.ports(blueprint.outputs.clone());
            return Ok(Plan { inputs: blueprint.inputs.clone(), outputs, run: Run::Direct(direct) });
        }
        Plan::on_tensors(blueprint, draft, deadline)
    }

    /// The plan for the road that every graph can take.
    pub(crate) fn on_tensors(blueprint: &Arc<Blueprint>, draft: &Draft, deadline: Deadline) -> Result<Plan, Error> {
        let (model, batch) = (draft.model.clone(), draft.batch);
        let wide = deadline.within(move || Engine::new(model, batch))?;
        let small = small(blueprint, draft.batch, deadline);
        let outputs = draft.ports(blueprint.outputs.clone());
        Ok(Plan { inputs: blueprint.inputs.clone(), outputs, run: Run::Tract(Engines { wide, small }) })
    }

    pub(crate) fn of_native(native: Arc<Native>) -> Plan {
        let outputs = native.outputs.iter().map(|output| output.port.clone()).collect();
        Plan { inputs: native.inputs.clone(), outputs, run: Run::Native(native) }
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
        match &self.run {
            Run::Direct(direct) => Ok(self.tensors(rows, direct.score(&TensorRows::new(&inputs, rows))?)),
            Run::Native(native) => Ok(self.tensors(rows, native.score(&TensorRows::new(&inputs, rows))?)),
            Run::Tract(engines) if rows <= engines.at(rows).rows_max() => engines.at(rows).score(rows, inputs),
            Run::Tract(engines) => self.run_in_batches(engines, rows, &inputs),
        }
    }

    /// The road that [`Plan::run`] takes; [`Plan::score`] can be used on the direct one alone.
    pub fn road(&self) -> Road {
        match &self.run {
            Run::Direct(_) | Run::Native(_) => Road::Direct,
            Run::Tract(_) => Road::Tensors,
        }
    }

    /// Scores rows without making tensors of them, to what [`Plan::run`] gives; `None` on another road than the direct one.
    pub fn score(&self, rows: &dyn Rows) -> Option<Result<Vec<Values>, Error>> {
        match &self.run {
            Run::Direct(direct) => Some(direct.score(rows)),
            Run::Native(native) => Some(native.score(rows)),
            Run::Tract(_) => None,
        }
    }

    fn tensors(&self, rows: usize, outputs: Vec<Values>) -> Vec<Tensor> {
        let outputs = outputs.into_iter().zip(&self.outputs);
        outputs.map(|(values, port)| values.into_tensor(&shape(port, rows))).collect()
    }

    /// What was chosen when the graph was planned, in plain sentences: which road runs it, and for how many rows.
    pub fn preparation(&self) -> Vec<String> {
        match &self.run {
            Run::Direct(_) => vec!["it is run on the direct road: column by column, in blocks of rows".to_owned()],
            Run::Native(_) => vec!["our own trees score it, straight from its columns".to_owned()],
            Run::Tract(engines) => engines.preparation(),
        }
    }

    fn run_in_batches(&self, engines: &Engines, rows: usize, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); self.outputs.len()];
        let mut start = 0;
        while start < rows {
            let engine = engines.at(rows - start);
            let end = rows.min(start + engine.rows_max());
            let batch: Vec<Tensor> = inputs.iter().map(|input| slice(input, start, end)).collect::<Result<_, _>>()?;
            for (output, part) in parts.iter_mut().zip(engine.score(end - start, batch)?) {
                output.push(part);
            }
            start = end;
        }
        parts.iter().zip(&self.outputs).map(|(parts, port)| stack(parts, port)).collect()
    }

    fn check(&self, rows: usize, inputs: &[Tensor]) -> Result<(), Error> {
        let ports = &self.inputs;
        if inputs.len() != ports.len() {
            return Err(Error::Input(format!("{} tensors for {}", inputs.len(), ports.len())));
        }
        ports.iter().zip(inputs).try_for_each(|(port, tensor)| check_input(port, rows, tensor))
    }
}

impl Engines {
    fn preparation(&self) -> Vec<String> {
        let wide = match self.wide.batch() {
            Batch::Fixed(1) => "tract runs one row at a time".to_owned(),
            Batch::Fixed(rows) => format!("tract runs it, planned for {rows} rows at a time"),
            Batch::UpTo(rows) => format!("tract runs it, planned for any number of rows up to {rows}"),
        };
        let small = self.small.as_ref().map(|small| format!(", and for any number up to {}", small.rows_max()));
        let mut told = vec![wide + &small.unwrap_or_default()];
        told.extend(self.wide.replaced());
        told
    }

    /// The engine for the next batch, of which at most `rows` rows are left.
    fn at(&self, rows: usize) -> &Engine {
        match &self.small {
            Some(small) if rows <= small.rows_max() => small,
            _ => &self.wide,
        }
    }
}

/// The plan for the direct road, if the whole graph can take it. Rows were found to stay apart, so a graph for one row
/// says all.
fn direct(blueprint: &Arc<Blueprint>, draft: &Draft, deadline: Deadline) -> Option<Direct> {
    let possible = match draft.batch {
        Batch::Fixed(rows) => Direct::is_possible(&draft.model, rows),
        Batch::UpTo(_) => true,
    };
    // Typing it once more, for a single row, is not for nothing.
    if !possible || draft.model.nodes().len() > DIRECT_NODES_MAX {
        return None;
    }
    let blueprint = blueprint.clone();
    let read = move || {
        let model = blueprint.typed(Batch::Fixed(1))?;
        let model = model.into_decluttered().map_err(|error| invalid(&error))?;
        Ok(Direct::of(&model))
    };
    deadline.within(move || contained("while loading", read)).ok().flatten()
}

/// A plan for few rows, where there is one: a model that needs its batch size fixed has none.
fn small(blueprint: &Arc<Blueprint>, wide: Batch, deadline: Deadline) -> Option<Engine> {
    let worthwhile = blueprint.fixed_batch.is_none() && matches!(wide, Batch::Fixed(rows) if rows > SMALL_ROWS_MAX);
    if !worthwhile {
        return None;
    }
    let blueprint = blueprint.clone();
    let batch = Batch::UpTo(SMALL_ROWS_MAX);
    deadline.within(move || Engine::new(blueprint.typed(batch)?, batch)).ok()
}

fn check_input(port: &Port, rows: usize, tensor: &Tensor) -> Result<(), Error> {
    let fits = tensor.datum_type() == port.element.datum_type()
        && tensor.shape().first() == Some(&rows)
        && port.shape.as_ref().is_none_or(|dims| {
            dims.len() == tensor.rank()
                && dims.iter().zip(tensor.shape()).skip(1).all(|(dim, len)| match dim {
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

/// The shape of as many rows of what `port` gives.
fn shape(port: &Port, rows: usize) -> Vec<usize> {
    let tail = port.shape.iter().flatten().skip(1).map(|dim| match dim {
        Dim::Fixed(len) => *len,
        Dim::Free => 1,
    });
    std::iter::once(rows).chain(tail).collect()
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
    tensor.slice(0, start, end).map_err(|error| Error::Input(error.to_string()))
}

fn stack(parts: &[Tensor], port: &Port) -> Result<Tensor, Error> {
    Tensor::stack_tensors(0, parts)
        .map_err(|_| Error::Failed(format!("the output `{}` has another shape in each batch", port.name)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, int, ints, ints_in, strings, strings_in, subgraph, tensor};
    use crate::{Element, Error, Tensor, tensor_values};

    /// `y = 2 x`, for rows of two columns.
    fn doubling(rows: i64) -> ModelBuilder {
        ModelBuilder::default()
            .input("x", Element::F32, &[rows, 2])
            .output("y", Element::F32)
            .constant("two", &tensor(&[1, 1], &[2.0f32]))
            .node("", "Mul", &["x", "two"], &["y"], vec![])
    }

    fn check_rows(model: &ModelBuilder, rows: usize) {
        let values: Vec<f32> = (0..2 * rows).map(|v| v as f32).collect();
        let expected: Vec<f32> = values.iter().map(|v| 2.0 * v).collect();
        let got = model.run(rows, vec![tensor(&[rows, 2], &values)]).expect("a sound model");
        assert_eq!(got[0].shape(), [rows, 2]);
        assert_eq!(tensor_values::<f32>(&got[0]), Some(&*expected), "{rows} rows");
    }

    #[test]
    fn any_number_of_rows_is_scored() {
        for rows in [0, 1, 128, 129, 1023, 1024, 1025, 2500] {
            check_rows(&doubling(-1), rows);
        }
    }

    #[test]
    fn a_batch_that_the_graph_fixes_is_looped_over() {
        for rows in [0, 1, 2, 3, 4, 7] {
            check_rows(&doubling(1), rows);
            check_rows(&doubling(3), rows);
        }
        assert_eq!(doubling(3).parse().map(|graph| graph.fixed_batch()), Ok(Some(3)));
    }

    #[test]
    fn strings_are_cut_padded_and_joined_like_numbers() {
        let model = ModelBuilder::default().input("x", Element::String, &[2, 1]).output("y", Element::String).node(
            "",
            "Identity",
            &["x"],
            &["y"],
            vec![],
        );
        let got = model.run(3, vec![strings_in(&[3, 1], &["a", "b", "c"])]).expect("a sound model");
        assert_eq!(tensor_values::<String>(&got[0]).map(|texts| texts.join("")), Some("abc".into()));
    }

    #[test]
    fn no_rows_of_strings_are_strings() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1]).output("y", Element::String).node(
            "ai.onnx.ml",
            "LabelEncoder",
            &["x"],
            &["y"],
            vec![crate::testing::floats("keys_floats", &[1.0]), strings("values_strings", &["one"])],
        );
        let got = model.run(0, vec![tensor::<f32>(&[0], &[])]).expect("a sound model");
        assert_eq!(tensor_values::<String>(&got[0]), Some(&[][..]));
    }

    /// Looks `x` up in a table of three; tract panics on an index outside.
    fn lookup() -> ModelBuilder {
        ModelBuilder::default()
            .input("x", Element::I64, &[-1])
            .output("y", Element::F32)
            .constant("table", &tensor(&[3], &[0.0f32, 0.1, 0.2]))
            .node("", "Gather", &["table", "x"], &["y"], vec![])
    }

    #[test]
    fn a_panic_under_the_model_is_an_error_and_the_plan_lives_on() {
        let plan = lookup().parse().and_then(|graph| graph.plan()).expect("a sound model");
        let error = plan.run(2, vec![ints_in(&[2], &[1, 99])]).expect_err("an index outside");
        assert!(matches!(error, Error::Panicked(_) | Error::Failed(_)), "{error}");
        assert!(!error.to_string().contains("99"), "{error}");
        let good = plan.run(2, vec![ints_in(&[2], &[1, 2])]).expect("the plan is unharmed");
        assert_eq!(tensor_values::<f32>(&good[0]), Some(&[0.1f32, 0.2][..]));
    }

    #[test]
    fn a_plan_is_shared_between_threads() {
        let plan = doubling(-1).parse().and_then(|graph| graph.plan()).expect("a sound model");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let plan = &plan;
                scope.spawn(move || {
                    let input = tensor(&[1, 2], &[thread as f32, 1.0]);
                    let got = plan.run(1, vec![input]).expect("a sound model");
                    assert_eq!(tensor_values::<f32>(&got[0]), Some(&[2.0 * thread as f32, 2.0][..]));
                });
            }
        });
    }

    /// The sum of a row, by a loop over its columns that carries the sum along.
    fn summing_loop() -> ModelBuilder {
        let body = ModelBuilder::default()
            .input("before", Element::F32, &[-1])
            .input("value", Element::F32, &[-1])
            .output("after", Element::F32)
            .node("", "Add", &["before", "value"], &["after"], vec![]);
        let attributes = vec![subgraph("body", body), int("num_scan_inputs", 1), ints("scan_input_axes", &[1])];
        ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("zero", &tensor(&[1, 1], &[0.0f32]))
            .constant("columns", &ints_in(&[1], &[1]))
            .node("", "Mul", &["x", "zero"], &["zeros"], vec![])
            .node("", "ReduceSum", &["zeros", "columns"], &["start"], vec![int("keepdims", 0)])
            .node("", "Scan", &["start", "x"], &["y"], attributes)
    }

    #[test]
    fn a_loop_starts_afresh_in_every_batch() {
        let rows = 3000;
        let got = summing_loop().run(rows, vec![tensor(&[rows, 2], &vec![1.0f32; 2 * rows])]);
        let got = got.expect("a sound model");
        assert_eq!(tensor_values::<f32>(&got[0]), Some(&*vec![2.0f32; rows]));
    }

    fn check_input_refused(inputs: Vec<Tensor>) {
        let error = doubling(-1).run(2, inputs).expect_err("a tensor that does not fit");
        assert!(matches!(error, Error::Input(_)), "{error}");
        assert_eq!(error.code(), "score_failed");
    }

    #[test]
    fn tensors_that_do_not_fit_the_inputs_are_refused() {
        check_input_refused(vec![]);
        check_input_refused(vec![tensor(&[2, 2], &[0i64; 4])]);
        check_input_refused(vec![tensor(&[3, 2], &[0.0f32; 6])]);
        check_input_refused(vec![tensor(&[2, 3], &[0.0f32; 6])]);
        check_input_refused(vec![tensor(&[2], &[0.0f32; 2])]);
    }

    #[test]
    fn an_output_without_a_row_dimension_is_refused_when_parsed() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1, 2]).output("y", Element::F32).node(
            "",
            "ReduceMean",
            &["x"],
            &["y"],
            vec![int("keepdims", 0)],
        );
        let error = model.parse().expect_err("one value for all rows");
        assert_eq!(error.code(), "model_invalid");
        assert!(error.to_string().contains("`y`"), "{error}");
    }

    #[test]
    fn a_graph_that_is_right_for_one_row_only_is_run_row_by_row() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("flat", &ints_in(&[2], &[1, -1]))
            .node("", "Reshape", &["x", "flat"], &["y"], vec![]);
        let got = model.run(2, vec![tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0])]);
        assert_eq!(got.expect("a sound model")[0].shape(), [2, 2]);
    }

    #[test]
    fn lengths_that_the_graph_leaves_open_are_taken_from_the_data() {
        let model = ModelBuilder::default().input("x", Element::F32, &[-1, -1]).output("y", Element::F32).node(
            "",
            "Relu",
            &["x"],
            &["y"],
            vec![],
        );
        let plan = model.parse().and_then(|graph| graph.plan()).expect("a sound model");
        for columns in [1, 3] {
            let got = plan.run(200, vec![tensor(&[200, columns], &vec![-1.0f32; 200 * columns])]);
            assert_eq!(got.expect("a sound model")[0].shape(), [200, columns]);
        }
    }
}
