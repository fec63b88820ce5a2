//! Collects the steps of a part of a graph.

use std::collections::HashMap;

use tract_onnx::tract_hir::internal::*;

use super::load::Load;
use super::memory::Bank;
use super::program::{Program, Step};
use super::store::Store;
use super::value::{Cell, Kind, Value};
use crate::plan::is_uniform;

/// An input of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inlet {
    pub(super) node: usize,
    pub(super) slot: usize,
}

#[derive(Default)]
pub(super) struct Compiler {
    /// Those of the columns, each of which is written once.
    banks: Vec<Bank>,
    loads: Vec<(Inlet, Load)>,
    loaded: HashMap<OutletId, (usize, Value)>,
    steps: Vec<Box<dyn Step>>,
    /// How many steps there are that would cost much node by node.
    rewarding: usize,
}

/// How far a compiler was.
pub(super) struct Mark {
    banks: usize,
    loads: usize,
    steps: usize,
    rewarding: usize,
}

impl Compiler {
    pub(super) fn mark(&self) -> Mark {
        Mark { banks: self.banks.len(), loads: self.loads.len(), steps: self.steps.len(), rewarding: self.rewarding }
    }

    /// Forgets all since `mark`.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.banks.truncate(mark.banks);
        self.loads.truncate(mark.loads);
        self.steps.truncate(mark.steps);
        self.rewarding = mark.rewarding;
        self.loaded.retain(|_, (load, _)| *load < mark.loads);
    }

    pub(super) fn column(&mut self, bank: Bank) -> u32 {
        self.banks.push(bank);
        (self.banks.len() - 1) as u32
    }

    pub(super) fn columns(&mut self, bank: Bank, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.column(bank)).collect()
    }

    pub(super) fn step(&mut self, step: impl Step + 'static) {
        self.steps.push(Box::new(step));
    }

    /// A step for whose sake alone a part is worth a program.
    pub(super) fn rewarding_step(&mut self, step: impl Step + 'static) {
        self.rewarding += 1;
        self.step(step);
    }

    /// Lets the step that wrote `columns` last add `constants` to them, if it can; whether it does.
    pub(super) fn add(&mut self, columns: &[u32], constants: &[f64]) -> bool {
        self.steps.last_mut().is_some_and(|step| step.add(columns, constants))
    }

    /// What comes in at `inlet` from outside; `None` if it is nothing for a program.
    pub(super) fn input(
        &mut self,
        model: &TypedModel,
        inlet: Inlet,
        outlet: OutletId,
        rows: &TDim,
    ) -> TractResult<Option<Value>> {
        let fact = model.outlet_fact(outlet)?;
        if let Some(constant) = &fact.konst {
            // What is the same in all rows is that of one.
            let by_rows = fact.rank() > 1 && fact.shape.first() == Some(rows) && !rows.is_one();
            let alike = by_rows && is_uniform(constant, 0)?;
            return Ok(if alike { Value::constant(&constant.slice(0, 0, 1)?) } else { Value::constant(constant) });
        }
        if let Some((_, value)) = self.loaded.get(&outlet) {
            return Ok(Some(value.clone()));
        }
        let kind = Kind::of(fact.datum_type);
        let tail: Option<Vec<usize>> = fact.shape.iter().skip(1).map(|dim| dim.to_usize().ok()).collect();
        let (Some(kind), Some(tail), true) = (kind, tail, fact.shape.first() == Some(rows)) else {
            return Ok(None);
        };
        let width: usize = tail.iter().product();
        if width == 0 || width > 1 << 12 {
            return Ok(None);
        }
        let columns = self.columns(kind.bank(), width);
        let cells = columns.iter().map(|&slot| Cell::Slot(slot)).collect();
        let dims = std::iter::once(1).chain(tail).collect();
        let value = Value { kind, dims, rows_at: Some(0), cells };
        let columns = columns.into_iter().enumerate().collect();
        let load = Load { input: self.loads.len(), element: fact.datum_type, width, columns };
        self.loaded.insert(outlet, (self.loads.len(), value.clone()));
        self.loads.push((inlet, load));
        Ok(Some(value))
    }

    /// The program that gives `values`, with the shapes and types of `facts`, and where its inputs are; `None` if none
    /// is worth it.
    pub(super) fn program(self, values: Vec<Value>, facts: &[&TypedFact]) -> Option<(Vec<Inlet>, Program)> {
        let (inlets, loads): (Vec<_>, Vec<_>) = self.loads.into_iter().unzip();
        let loaded: usize = loads.iter().map(|load| load.columns.len()).sum();
        let stored: usize = values.iter().map(|value| value.cells.len()).sum();
        // To take columns apart and put them together again must not cost more than what is done with them.
        if self.rewarding == 0 && self.banks.len() - loaded <= 2 * (loaded + stored) {
            return None;
        }
        let stores = values.into_iter().zip(facts).map(|(value, fact)| Store::new(value, fact));
        let program = Program::new(loads, self.steps, stores.collect::<Option<_>>()?, &self.banks)?;
        Some((inlets, program))
    }
}
