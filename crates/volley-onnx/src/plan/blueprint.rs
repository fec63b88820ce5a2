//! What plans are made from: the parsed graph, before it is decided for how many rows.

use std::collections::HashSet;

use tract_onnx::pb::ModelProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::Batch;
use super::rows::{self, Mixed};
use crate::deadline::contained;
use crate::error::Error;
use crate::ops::{Refusal, framework};
use crate::port::{Dim, Port};

/// Rows of a batch, by what the largest intermediate tensor then takes. Small models are fastest
/// at 1024; large ones must leave room in the cache, and in memory for other threads.
const BATCH_ROWS: [usize; 4] = [1024, 256, 64, 16];
const TENSOR_BYTES_MAX: usize = 8 << 20;

/// The longest error text of tract that is passed on.
const REASON_LEN_MAX: usize = 300;

/// A graph in tract's form whose inputs still have no shape.
pub(crate) struct Blueprint {
    model: InferenceModel,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    /// The names of the inputs' dimensions: equal names are equal lengths.
    axes: Vec<Vec<Option<String>>>,
    pub(super) fixed_batch: Option<usize>,
    constant_bytes_max: usize,
}

/// A graph with all types and shapes known, for a number of rows.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(super) model: TypedModel,
    pub(super) batch: Batch,
}

impl Blueprint {
    pub(crate) fn new(
        proto: &ModelProto,
        inputs: Vec<Port>,
        outputs: Vec<Port>,
        axes: Vec<Vec<Option<String>>>,
        fixed_batch: Option<usize>,
        constant_bytes_max: usize,
    ) -> Result<Blueprint, Error> {
        let model = framework().model_for_proto_model(proto).map_err(|error| invalid(&error))?;
        Ok(Blueprint { model, inputs, outputs, axes, fixed_batch, constant_bytes_max })
    }

    /// Types for the best batch that the graph allows: a fixed one, any, or row by row.
    pub(crate) fn draft(&self) -> Result<Draft, Error> {
        let draft = match self.fixed_batch {
            Some(rows) => self.draft_for(Batch::Fixed(rows))?,
            None => self.free_draft()?,
        };
        check_memory(&draft.model, self.constant_bytes_max)?;
        if let Some(place) = self.counts_rows() {
            return Err(Error::RowsMixed(place));
        }
        match (rows_apart(&draft.model, draft.batch)?, self.fixed_batch) {
            (Ok(()), _) => Ok(draft),
            (Err(Mixed::Unknown(_)), None) => self.draft_for(Batch::Fixed(1)),
            (Err(Mixed::At(place) | Mixed::Unknown(place)), _) => Err(Error::RowsMixed(place)),
        }
    }

    fn free_draft(&self) -> Result<Draft, Error> {
        let [most, ..] = BATCH_ROWS;
        match self.draft_for(Batch::Fixed(most)) {
            Ok(draft) => match comfortable_rows(&draft.model, most) {
                rows if rows == most => Ok(draft),
                rows => self.draft_for(Batch::Fixed(rows)),
            },
            Err(error) => match self.draft_for(Batch::UpTo(most)) {
                Ok(draft) => Ok(draft),
                Err(_) => {
                    let alone = self.draft_for(Batch::Fixed(1)).map_err(|_| error)?;
                    self.check_rows_do_not_meet(Batch::Fixed(most))?;
                    Ok(alone)
                }
            },
        }
    }

    /// Alone, a row meets no other, and what a graph makes of all of them would pass for its own.
    fn check_rows_do_not_meet(&self, batch: Batch) -> Result<(), Error> {
        let Ok(model) = self.inner(batch) else { return Ok(()) };
        let rows = batch.dim(&model.symbols);
        match contained("while loading", || rows::meet(&model, &rows).map_err(|error| invalid(&error))) {
            Ok(Some(Mixed::At(place))) => Err(Error::RowsMixed(place)),
            // Nothing is known of it: it is run one row at a time.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Where the number of rows goes into a score, which then depends on how many are scored together.
    fn counts_rows(&self) -> Option<String> {
        let asks = |node: &InferenceNode| matches!(&*node.op.name(), "Shape" | "Size");
        // A number that the graph insists on is the same for all batches.
        if self.fixed_batch.is_some() || !self.model.nodes().iter().any(asks) {
            return None;
        }
        // Only with a symbol in its place is the number of rows told from others.
        let batch = Batch::UpTo(BATCH_ROWS[0]);
        let model = self.typed(batch).ok()?;
        contained("while loading", || rows::counted(&model, &batch.dim(&model.symbols)).map_err(|it| invalid(&it)))
            .ok()?
    }

    fn draft_for(&self, batch: Batch) -> Result<Draft, Error> {
        Ok(Draft { model: self.typed(batch)?, batch })
    }

    /// The graph with all types and shapes, its outputs of the declared element types.
    pub(super) fn typed(&self, batch: Batch) -> Result<TypedModel, Error> {
        contained("while loading", || {
            let mut model = self.inner(batch)?;
            let outlets = model.output_outlets().map_err(|error| invalid(&error))?.to_vec();
            let outlets = outlets
                .into_iter()
                .zip(&self.outputs)
                .map(|(outlet, port)| output(&mut model, outlet, port, batch))
                .collect::<Result<Vec<_>, _>>()?;
            model.select_output_outlets(&outlets).map_err(|error| invalid(&error))?;
            Ok(model)
        })
    }

    /// The same with its outputs as they are computed.
    fn inner(&self, batch: Batch) -> Result<TypedModel, Error> {
        contained("while loading", || {
            let model = self.shaped(batch).and_then(|model| model.into_typed());
            model.map_err(|error| invalid(&error))
        })
    }

    fn shaped(&self, batch: Batch) -> TractResult<InferenceModel> {
        let mut model = self.model.clone();
        for at in 0..self.inputs.len() {
            model.set_input_fact(at, self.fact(&model, at, batch, false))?;
        }
        if self.inputs.iter().any(has_free_tail) {
            // Operators may settle what the declaration left open; the rest becomes symbols.
            let settled = model.analyse(true).is_ok();
            for at in 0..self.inputs.len() {
                let known = model.input_fact(at)?.clone();
                let named = self.fact(&model, at, batch, true);
                model.set_input_fact(at, if settled { merged(&known, &named) } else { named })?;
            }
        }
        Ok(model)
    }

    fn fact(&self, model: &InferenceModel, at: usize, batch: Batch, name: bool) -> InferenceFact {
        let port = &self.inputs[at];
        let dims = dims(port).iter().enumerate().map(|(axis, dim)| match (axis, dim) {
            (0, _) => DimFact::from(batch.dim(&model.symbols)),
            (_, Dim::Fixed(len)) => DimFact::from(len.to_dim()),
            (_, Dim::Free) if name => DimFact::from(self.symbol(model, at, axis).to_dim()),
            (_, Dim::Free) => DimFact::default(),
        });
        let shape = ShapeFactoid::closed(dims.collect());
        InferenceFact::dt_shape(port.element.datum_type(), shape)
    }

    /// One symbol for each dimension name, prefixed so that it cannot be taken for the row count.
    fn symbol(&self, model: &InferenceModel, at: usize, axis: usize) -> Symbol {
        let name = self.axes[at].get(axis).and_then(Option::as_ref);
        let name = name.map_or(format!("dim_{at}_{axis}"), |name| format!("dim_{name}"));
        model.symbols.sym(&name)
    }
}

impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blueprint({} nodes)", self.model.nodes().len())
    }
}

impl Draft {
    pub(crate) fn rows_max(&self) -> usize {
        self.batch.rows_max()
    }

    /// `declared` with the shapes that were inferred, which are right more often.
    pub(crate) fn ports(&self, mut declared: Vec<Port>) -> Vec<Port> {
        for (at, port) in declared.iter_mut().enumerate() {
            if let Ok(fact) = self.model.output_fact(at) {
                let tail = fact.shape.iter().skip(1);
                let tail = tail.map(|dim| dim.to_usize().map_or(Dim::Free, Dim::Fixed));
                port.shape = Some(std::iter::once(Dim::Free).chain(tail).collect());
            }
        }
        declared
    }
}

/// Whether rows are mixed in a model for `batch`; one row alone never is.
fn rows_apart(model: &TypedModel, batch: Batch) -> Result<Result<(), Mixed>, Error> {
    if batch == Batch::Fixed(1) {
        return Ok(Ok(()));
    }
    let rows = batch.dim(&model.symbols);
    contained("while loading", || rows::check(model, &rows).map_err(|error| invalid(&error)))
}

/// Undeclared rank is taken for a matrix, the shape of nearly every tabular model.
fn dims(port: &Port) -> &[Dim] {
    port.shape.as_deref().unwrap_or(&[Dim::Free, Dim::Free])
}

fn has_free_tail(port: &Port) -> bool {
    dims(port).iter().skip(1).any(|dim| *dim == Dim::Free)
}

/// `known` where it is concrete, `named` elsewhere.
fn merged(known: &InferenceFact, named: &InferenceFact) -> InferenceFact {
    let dims = named.shape.dims().enumerate().map(|(axis, dim)| {
        let settled = known.shape.dim(axis).filter(|dim| dim.concretize().is_some());
        settled.unwrap_or_else(|| dim.clone())
    });
    InferenceFact { shape: ShapeFactoid::closed(dims.collect()), ..named.clone() }
}

/// The outlet for `port`: of its element type, and with a dimension of rows.
fn output(model: &mut TypedModel, outlet: OutletId, port: &Port, batch: Batch) -> Result<OutletId, Error> {
    let name = &port.name;
    let fact = model.outlet_fact(outlet).map_err(|error| invalid(&error))?.clone();
    let Some(rows) = fact.shape.first() else {
        return Err(Error::Invalid(format!("the output `{name}` is one value, not one a row")));
    };
    if *rows != batch.dim(&model.symbols) {
        return Err(Error::Invalid(format!("the output `{name}` does not have a row for each that goes in")));
    }
    let (from, to) = (fact.datum_type, port.element.datum_type());
    if from == to {
        return Ok(outlet);
    }
    if from == DatumType::String || to == DatumType::String {
        return Err(Error::Invalid(format!("the output `{name}` is declared as {to:?} and computed as {from:?}")));
    }
    let wired = model.wire_node(format!("{name}.declared"), cast(to), &[outlet]);
    Ok(wired.map_err(|error| invalid(&error))?[0])
}

/// What the graph would make of constants alone is made while it is optimised, all at once; what it makes of rows
/// comes and goes, so each counts alone.
fn check_memory(model: &TypedModel, bytes_max: usize) -> Result<(), Error> {
    let too_large = |what, size| Err(Error::TooLarge { what, size, max: bytes_max });
    let mut fed: HashSet<OutletId> = model.input_outlets().map_err(|error| invalid(&error))?.iter().copied().collect();
    let mut constant = 0usize;
    for id in model.eval_order().map_err(|error| invalid(&error))? {
        let node = model.node(id);
        let by_rows = node.inputs.iter().any(|input| fed.contains(input)) || fed.contains(&id.into());
        for (slot, output) in node.outputs.iter().enumerate() {
            let size = bytes(&output.fact);
            if by_rows {
                fed.insert(OutletId::new(id, slot));
            } else {
                constant = constant.saturating_add(size);
            }
            if size > bytes_max {
                return too_large("memory for one tensor in bytes", size);
            }
        }
        if constant > bytes_max {
            return too_large("memory for constants in bytes", constant);
        }
    }
    Ok(())
}

/// The bytes of a tensor; none where its size is open.
fn bytes(fact: &TypedFact) -> usize {
    let len = fact.shape.iter().try_fold(1usize, |len, dim| Some(len.saturating_mul(dim.to_usize().ok()?)));
    len.unwrap_or(0).saturating_mul(fact.datum_type.size_of())
}

/// How many rows keep the largest intermediate tensor within bounds, given a model for `rows`.
fn comfortable_rows(model: &TypedModel, rows: usize) -> usize {
    let largest = model
        .nodes()
        .iter()
        .flat_map(|node| &node.outputs)
        .filter(|outlet| outlet.fact.konst.is_none())
        .map(|outlet| bytes(&outlet.fact))
        .max()
        .unwrap_or(0);
    let fits = |candidate: &usize| largest / rows * candidate <= TENSOR_BYTES_MAX;
    BATCH_ROWS.into_iter().find(fits).unwrap_or(BATCH_ROWS[BATCH_ROWS.len() - 1])
}

/// tract's error in one line: what it was doing, and what was wrong.
pub(crate) fn invalid(error: &TractError) -> Error {
    if let Some(refusal) = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>()) {
        return Error::Invalid(refusal.0.clone());
    }
    let outer = first_line(&error.to_string());
    let root = first_line(&error.root_cause().to_string());
    Error::Invalid(if outer == root { outer } else { format!("{outer}: {root}") })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(REASON_LEN_MAX).collect()
}
