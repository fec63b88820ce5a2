//! The nodes of a graph as steps over columns.

mod moved;
mod wholes;

use std::marker::PhantomData;

use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Slice, Topk, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_core::ops::nn::{LeakyRelu, Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_hir::internal::*;

use super::arithmetic::{Binary, Choice, Comparison, Convert, Each, Operand, Pairs, Relation, Unary, Whole};
use super::compiler::Compiler;
use super::extreme::Position;
use super::memory::{Bank, Element};
use super::value::{Cell, Kind, Value, together};
use crate::ops::kernel_name;
use moved::joined;

/// What comes out of `node`; `None` if there are no steps for it.
pub(super) fn of(
    compiler: &mut Compiler,
    model: &TypedModel,
    node: &TypedNode,
    inputs: &[Option<Value>],
    rows: &TDim,
) -> TractResult<Option<Vec<Value>>> {
    let facts = node.outputs.iter().map(|output| &output.fact);
    let known: Option<Vec<Kind>> = facts.map(|fact| Kind::of(fact.datum_type)).collect();
    let Some(kinds) = known else { return Ok(None) };
    let mut work = Translation { compiler, kind: kinds[0], rows };
    let op: &dyn TypedOp = node.op.as_ref();
    if op.is::<EinSum>() {
        let value = work.product(model, node, inputs)?;
        return Ok(value.map(|value| vec![value]));
    }
    let Some(inputs) = inputs.iter().cloned().collect::<Option<Vec<Value>>>() else { return Ok(None) };
    if let Some(op) = op.downcast_ref::<Topk>() {
        return Ok(work.few(op, &inputs));
    }
    let value = work.bias(model, node, &inputs).or_else(|| work.node(op, &inputs));
    Ok(value.filter(|value| work.fits(value, &node.outputs[0].fact)).map(|value| vec![value]))
}

struct Translation<'a> {
    compiler: &'a mut Compiler,
    /// Of the first output.
    kind: Kind,
    rows: &'a TDim,
}

impl Translation<'_> {
    /// Whether `value` has the shape and type that tract says.
    fn fits(&self, value: &Value, fact: &TypedFact) -> bool {
        let as_said = |(axis, dim): (usize, &TDim)| {
            if value.rows_at == Some(axis) { dim == self.rows } else { *dim == value.dims[axis].to_dim() }
        };
        value.rows_at.is_some()
            && value.kind == self.kind
            && fact.rank() == value.dims.len()
            && fact.shape.iter().enumerate().all(as_said)
    }

    fn node(&mut self, op: &dyn TypedOp, inputs: &[Value]) -> Option<Value> {
        let first = inputs.first()?;
        if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            return self.binary(op, first, inputs.get(1)?);
        }
        if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            return self.unary(op, first);
        }
        if let Some(op) = op.downcast_ref::<Reduce>() {
            return self.reduced(op, first);
        }
        if let Some(op) = op.downcast_ref::<Softmax>() {
            return self.softmax(op, first);
        }
        if let Some(op) = op.downcast_ref::<AxisOp>() {
            return self.reshaped(op, first);
        }
        if op.is::<Cast>() {
            return self.converted(first);
        }
        if op.is::<Identity>() {
            return Some(first.clone());
        }
        if let Some(op) = op.downcast_ref::<TypedConcat>() {
            return joined(op.axis, inputs);
        }
        if let Some(op) = op.downcast_ref::<Slice>() {
            let (start, end) = (op.start.to_usize().ok()?, op.end.to_usize().ok()?);
            return first.picked(op.axis, &(start..end).collect::<Vec<_>>());
        }
        if let Some(op) = op.downcast_ref::<Gather>() {
            return self.gathered(op.axis, first, inputs.get(1)?);
        }
        if let Some(op) = op.downcast_ref::<MultiBroadcastTo>() {
            return self.broadcast(op, first);
        }
        if op.is::<Iff>() {
            return self.choice(inputs);
        }
        match kernel_name(op)? {
            "Cast" => self.converted(first),
            // Nothing is lost in a search of ours.
            "Unbounded" => Some(first.clone()),
            "ArrayFeatureExtractor" => self.extracted(first, inputs.get(1)?),
            "SquaredDistances" => self.distances(first, inputs.get(1)?),
            "IsNaN" => self.each(Unary::IsNan, first),
            "Round" => self.each(Unary::Rounded, first),
            "Sigmoid" => self.each(Unary::Sigmoid, first),
            _ => None,
        }
    }

    /// What is added to a product that nothing else reads is added where it is summed up.
    fn bias(&mut self, model: &TypedModel, node: &TypedNode, inputs: &[Value]) -> Option<Value> {
        let is_sum = node.op_as::<TypedBinOp>().is_some_and(|op| op.0.name() == "Add" && op.1.is_none());
        let [a, b] = inputs else { return None };
        let (at, product, bias) = if a.rows_at.is_some() { (0, a, b) } else { (1, b, a) };
        let outlet = node.inputs[at];
        // What a product is moved or reshaped to has the same columns, and others may read them before they are moved.
        if !model.node(outlet.node).op_is::<EinSum>() {
            return None;
        }
        let alone = model.node(outlet.node).outputs[outlet.slot].successors.len() == 1
            && !model.output_outlets().ok()?.contains(&outlet);
        if !is_sum || !alone || bias.rows_at.is_some() || bias.kind != product.kind {
            return None;
        }
        let constants = constants::<f64>(&bias.broadcast(&product.dims)?)?;
        let columns = slots(&product.cells)?;
        self.compiler.add(&columns, &constants).then(|| product.clone())
    }

    fn binary(&mut self, op: &TypedBinOp, a: &Value, b: &Value) -> Option<Value> {
        if op.1.is_some() || a.kind.bank() != b.kind.bank() {
            return None;
        }
        let relation = match op.0.name() {
            "Eq" => Some(Relation::Equal),
            "NE" => Some(Relation::NotEqual),
            "LT" => Some(Relation::Less),
            "LTE" => Some(Relation::LessOrEqual),
            "GT" => Some(Relation::Greater),
            "GTE" => Some(Relation::GreaterOrEqual),
            _ => None,
        };
        if let Some(relation) = relation {
            return match a.kind.bank() {
                Bank::Singles => self.compared::<f32>(relation, a, b),
                Bank::Doubles => self.compared::<f64>(relation, a, b),
                Bank::Longs => self.compared::<i64>(relation, a, b),
            };
        }
        let of = match (op.0.name(), a.kind) {
            ("And", Kind::Truth) => Binary::Multiply,
            ("Or", Kind::Truth) => Binary::Larger,
            (_, Kind::Truth) => return None,
            // Those of 32 bits go around at 32 bits.
            ("Add" | "Sub" | "Mul", Kind::Whole(DatumType::I32)) => return None,
            ("Add", _) => Binary::Add,
            ("Sub", _) => Binary::Subtract,
            ("Mul", _) => Binary::Multiply,
            ("Div", Kind::Single | Kind::Double) => Binary::Divide,
            ("Pow", Kind::Single | Kind::Double) => Binary::Power,
            ("Max", _) => Binary::Larger,
            ("Min", _) => Binary::Smaller,
            _ => return None,
        };
        self.pairs(of, a, b)
    }

    fn pairs(&mut self, of: Binary, a: &Value, b: &Value) -> Option<Value> {
        let (dims, rows_at) = together(&[a, b])?;
        let (kind, bank) = (a.kind, a.kind.bank());
        let (a, b) = (a.broadcast(&dims)?, b.broadcast(&dims)?);
        let to = self.compiler.columns(bank, a.len());
        let cells = to.iter().map(|&slot| Cell::Slot(slot)).collect();
        match bank {
            Bank::Singles => self.compiler.step(Pairs::<f32> { of, columns: triples(&a, &b, &to) }),
            Bank::Doubles => self.compiler.step(Pairs::<f64> { of, columns: triples(&a, &b, &to) }),
            Bank::Longs => self.compiler.step(Whole { of, columns: triples(&a, &b, &to) }),
        }
        Some(Value { kind, dims, rows_at, cells })
    }

    fn compared<T: Constant + PartialOrd>(&mut self, of: Relation, a: &Value, b: &Value) -> Option<Value> {
        let (dims, rows_at) = together(&[a, b])?;
        let (a, b) = (a.broadcast(&dims)?, b.broadcast(&dims)?);
        let to = self.compiler.columns(Bank::Singles, a.len());
        self.compiler.step(Comparison::<T> { of, columns: triples(&a, &b, &to) });
        Some(Value { kind: Kind::Truth, dims, rows_at, cells: to.into_iter().map(Cell::Slot).collect() })
    }

    fn unary(&mut self, op: &ElementWiseOp, from: &Value) -> Option<Value> {
        if op.1.is_some() {
            return None;
        }
        let op = op.0.as_ref();
        let of = match (op.name().as_str(), from.kind) {
            ("Not", Kind::Truth) => Unary::Not,
            (_, Kind::Truth | Kind::Whole(_)) => return None,
            ("Abs", _) => Unary::Absolute,
            ("Neg", _) => Unary::Negative,
            ("Square", _) => Unary::Square,
            ("Sqrt", _) => Unary::Root,
            ("Recip", _) => Unary::Reciprocal,
            ("Exp", _) => Unary::Exponential,
            ("Ln", _) => Unary::Logarithm,
            ("Sigmoid", _) => Unary::Sigmoid,
            ("Tanh", _) => Unary::HyperbolicTangent,
            ("Erf", Kind::Single) => Unary::Error,
            ("Floor", _) => Unary::Floor,
            ("Ceil", _) => Unary::Ceiling,
            ("RoundHalfToEven", _) => Unary::Rounded,
            ("Sign", _) => Unary::Sign,
            ("IsNan", _) => Unary::IsNan,
            _ => match (op.downcast_ref::<PowConst>(), op.downcast_ref::<LeakyRelu>()) {
                (Some(op), _) => Unary::Power(f64::from(op.exponent)),
                (_, Some(op)) => Unary::Leaky(f64::from(op.alpha)),
                _ => return None,
            },
        };
        self.each(of, from)
    }

    fn each(&mut self, of: Unary, from: &Value) -> Option<Value> {
        let bank = from.kind.bank();
        let to = self.compiler.columns(bank, from.cells.len());
        let columns = slots(&from.cells)?.into_iter().zip(to.iter().copied()).collect::<Vec<_>>();
        let truths = to.clone();
        match bank {
            Bank::Singles => self.compiler.step(Each::<f32> { of, columns, element: PhantomData }),
            Bank::Doubles => self.compiler.step(Each::<f64> { of, columns, element: PhantomData }),
            Bank::Longs => return None,
        }
        let cells: Vec<Cell> = to.into_iter().map(Cell::Slot).collect();
        if of == Unary::IsNan && bank == Bank::Doubles {
            let to = self.compiler.columns(Bank::Singles, truths.len());
            let cells = to.iter().map(|&slot| Cell::Slot(slot)).collect();
            self.compiler
                .step(Convert::<f64, f32> { columns: truths.into_iter().zip(to).collect(), with: |v| v as f32 });
            return Some(Value { kind: Kind::Truth, cells, ..from.clone() });
        }
        let kind = if of == Unary::IsNan { Kind::Truth } else { from.kind };
        Some(Value { kind, cells, ..from.clone() })
    }

    /// The columns of cells, made for those that are constant.
    fn written(&mut self, cells: &[Cell], bank: Bank) -> Vec<u32> {
        let column = |work: &mut Self, cell: Cell| match cell {
            Cell::Slot(slot) => slot,
            Cell::Real(_) | Cell::Whole(_) => {
                let (one, to) = (Cell::Whole(1), work.compiler.column(bank));
                let of = Binary::Multiply;
                match bank {
                    Bank::Singles => work.compiler.step(Pairs::<f32> { of, columns: triples(&[cell], &[one], &[to]) }),
                    Bank::Doubles => work.compiler.step(Pairs::<f64> { of, columns: triples(&[cell], &[one], &[to]) }),
                    Bank::Longs => work.compiler.step(Whole { of, columns: triples(&[cell], &[one], &[to]) }),
                }
                to
            }
        };
        cells.iter().map(|&cell| column(self, cell)).collect()
    }

    fn reduced(&mut self, op: &Reduce, from: &Value) -> Option<Value> {
        let (dims, groups) = from.groups(&op.axes)?;
        match op.reducer {
            Reducer::ArgMax(last) => self.positions(false, last, from, dims, &groups),
            Reducer::ArgMin(last) => self.positions(true, last, from, dims, &groups),
            Reducer::Sum => self.folded(Binary::Add, from, dims, groups),
            Reducer::Prod => self.folded(Binary::Multiply, from, dims, groups),
            Reducer::Max => self.folded(Binary::Above, from, dims, groups),
            Reducer::Min => self.folded(Binary::Below, from, dims, groups),
            Reducer::MeanOfSquares => {
                let count = groups.first()?.len();
                let squares = self.each(Unary::Square, from)?;
                let (dims, groups) = squares.groups(&op.axes)?;
                let sum = self.folded(Binary::Add, &squares, dims, groups)?;
                let count = Value {
                    dims: vec![1; sum.dims.len()],
                    rows_at: None,
                    cells: vec![Cell::Real(count as f64)],
                    kind: sum.kind,
                };
                self.pairs(Binary::Divide, &sum, &count)
            }
            _ => None,
        }
    }

    /// One after the other, as sums in other runtimes are made.
    fn folded(&mut self, of: Binary, from: &Value, dims: Vec<usize>, groups: Vec<Vec<Cell>>) -> Option<Value> {
        if !matches!(from.kind, Kind::Single | Kind::Double | Kind::Whole(DatumType::I64)) {
            return None;
        }
        let size = groups.first()?.len();
        let like = Value { dims, cells: vec![], ..from.clone() };
        let at = |place: usize| Value { cells: groups.iter().map(|group| group[place]).collect(), ..like.clone() };
        let mut folded = at(0);
        for place in 1..size {
            folded = self.pairs(of, &folded, &at(place))?;
        }
        Some(folded)
    }

    fn positions(
        &mut self,
        smallest: bool,
        last: bool,
        from: &Value,
        dims: Vec<usize>,
        groups: &[Vec<Cell>],
    ) -> Option<Value> {
        let groups: Vec<Vec<u32>> = groups.iter().map(|group| self.written(group, from.kind.bank())).collect();
        let to = self.compiler.columns(Bank::Longs, groups.len());
        let cells = to.iter().map(|&slot| Cell::Slot(slot)).collect();
        let bank = from.kind.bank();
        let room = (self.compiler.column(bank), self.compiler.column(bank));
        let groups = groups.into_iter().zip(to).collect();
        match from.kind {
            Kind::Single => {
                self.compiler.rewarding_step(Position::<f32> { smallest, last, groups, room, of: PhantomData });
            }
            Kind::Double => {
                self.compiler.rewarding_step(Position::<f64> { smallest, last, groups, room, of: PhantomData });
            }
            _ => return None,
        }
        Some(Value { kind: self.kind, dims, rows_at: from.rows_at, cells })
    }

    fn softmax(&mut self, op: &Softmax, from: &Value) -> Option<Value> {
        if !matches!(from.kind, Kind::Single | Kind::Double) || op.kind != SoftmaxKind::Softmax {
            return None;
        }
        let (dims, groups) = from.groups(&op.axes)?;
        let largest = self.folded(Binary::Larger, from, dims, groups)?;
        let below = self.pairs(Binary::Subtract, from, &largest)?;
        let powers = self.each(Unary::Exponential, &below)?;
        let (dims, groups) = powers.groups(&op.axes)?;
        let sum = self.folded(Binary::Add, &powers, dims, groups)?;
        self.pairs(Binary::Divide, &powers, &sum)
    }

    fn converted(&mut self, from: &Value) -> Option<Value> {
        let to = self.kind;
        if from.kind == to {
            return Some(from.clone());
        }
        let from_slots = slots(&from.cells)?;
        let columns = self.compiler.columns(to.bank(), from_slots.len());
        let cells = columns.iter().map(|&slot| Cell::Slot(slot)).collect();
        let columns = from_slots.into_iter().zip(columns).collect();
        match (from.kind, to) {
            (Kind::Truth, Kind::Single) => return Some(Value { kind: to, ..from.clone() }),
            (Kind::Single, Kind::Truth) => {
                self.compiler.step(Convert::<f32, f32> { columns, with: |v| f32::from(u8::from(v != 0.0)) });
            }
            (Kind::Double, Kind::Truth) => {
                self.compiler.step(Convert::<f64, f32> { columns, with: |v| f32::from(u8::from(v != 0.0)) });
            }
            (Kind::Single, Kind::Double) => self.compiler.step(Convert::<f32, f64> { columns, with: f64::from }),
            (Kind::Truth, Kind::Double) => self.compiler.step(Convert::<f32, f64> { columns, with: f64::from }),
            (Kind::Double, Kind::Single) => self.compiler.step(Convert::<f64, f32> { columns, with: |v| v as f32 }),
            (Kind::Whole(_), Kind::Single) => self.compiler.step(Convert::<i64, f32> { columns, with: |v| v as f32 }),
            (Kind::Whole(_), Kind::Double) => self.compiler.step(Convert::<i64, f64> { columns, with: |v| v as f64 }),
            (Kind::Whole(_), Kind::Truth) => {
                self.compiler.step(Convert::<i64, f32> { columns, with: |v| f32::from(u8::from(v != 0)) });
            }
            (Kind::Truth, Kind::Whole(_)) => self.compiler.step(Convert::<f32, i64> { columns, with: |v| v as i64 }),
            (Kind::Single, Kind::Whole(DatumType::I64)) => {
                self.compiler.step(Convert::<f32, i64> { columns, with: |v| crate::ops::long(f64::from(v)) });
            }
            (Kind::Double, Kind::Whole(DatumType::I64)) => {
                self.compiler.step(Convert::<f64, i64> { columns, with: crate::ops::long });
            }
            (Kind::Whole(_), Kind::Whole(DatumType::I64)) => return Some(Value { kind: to, ..from.clone() }),
            _ => return None,
        }
        Some(Value { kind: to, cells, ..from.clone() })
    }

    fn choice(&mut self, inputs: &[Value]) -> Option<Value> {
        let [truth, then, otherwise] = inputs else { return None };
        if then.kind != otherwise.kind || truth.kind != Kind::Truth {
            return None;
        }
        let (dims, rows_at) = together(&[truth, then, otherwise])?;
        let truths = slots(&truth.broadcast(&dims)?)?;
        let (a, b) = (then.broadcast(&dims)?, otherwise.broadcast(&dims)?);
        let bank = then.kind.bank();
        let to = self.compiler.columns(bank, a.len());
        let cells = to.iter().map(|&slot| Cell::Slot(slot)).collect();
        match bank {
            Bank::Singles => self.compiler.step(Choice::<f32> { columns: fours(&truths, &a, &b, &to) }),
            Bank::Doubles => self.compiler.step(Choice::<f64> { columns: fours(&truths, &a, &b, &to) }),
            Bank::Longs => self.compiler.step(Choice::<i64> { columns: fours(&truths, &a, &b, &to) }),
        }
        Some(Value { kind: then.kind, dims, rows_at, cells })
    }
}

/// Their columns, if there is no constant among them.
fn slots(cells: &[Cell]) -> Option<Vec<u32>> {
    cells.iter().map(|cell| if let Cell::Slot(slot) = cell { Some(*slot) } else { None }).collect()
}

/// A number type that constants can be read as.
trait Constant: Element {
    fn constant(cell: Cell) -> Option<Self>;
}

macro_rules! constant {
    ($type:ty) => {
        impl Constant for $type {
            fn constant(cell: Cell) -> Option<Self> {
                match cell {
                    Cell::Real(value) => Some(value as $type),
                    Cell::Whole(value) => Some(value as $type),
                    Cell::Slot(_) => None,
                }
            }
        }
    };
}

constant!(f32);
constant!(f64);
constant!(i64);

fn constants<T: Constant>(cells: &[Cell]) -> Option<Vec<T>> {
    cells.iter().map(|&cell| T::constant(cell)).collect()
}

fn operand<T: Constant>(cell: Cell) -> Operand<T> {
    match (cell, T::constant(cell)) {
        (Cell::Slot(slot), _) => Operand::Slot(slot),
        (_, constant) => Operand::Constant(constant.unwrap_or_default()),
    }
}

fn triples<T: Constant>(a: &[Cell], b: &[Cell], to: &[u32]) -> Vec<(Operand<T>, Operand<T>, u32)> {
    a.iter().zip(b).zip(to).map(|((&a, &b), &to)| (operand(a), operand(b), to)).collect()
}

fn fours<T: Constant>(truths: &[u32], a: &[Cell], b: &[Cell], to: &[u32]) -> Vec<(u32, Operand<T>, Operand<T>, u32)> {
    truths.iter().zip(triples(a, b, to)).map(|(&truth, (a, b, to))| (truth, a, b, to)).collect()
}
