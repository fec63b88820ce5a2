//! Steps of arithmetic: a column from one, two or three others.

use std::marker::PhantomData;

use tract_onnx::tract_hir::internal::*;

use super::memory::{Element, Memory};
use super::program::{Step, Use};
use super::real::Real;
use crate::ops::{Work, widely};

/// What a step reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand<T> {
    Slot(u32),
    Constant(T),
}

impl<T: Element> Operand<T> {
    pub(super) fn visit(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        if let Operand::Slot(slot) = self {
            visit(slot, Use::Read);
        }
    }

    #[inline(always)]
    fn view(self, memory: &Memory, rows: usize) -> View<'_, T> {
        match self {
            Operand::Slot(slot) => View::Column(memory.column(slot, rows)),
            Operand::Constant(value) => View::One(value),
        }
    }
}

enum View<'a, T> {
    Column(&'a [T]),
    One(T),
}

/// The columns of steps that read one and write one.
pub(super) fn visit_pairs(columns: &mut [(u32, u32)], visit: &mut dyn FnMut(&mut u32, Use)) {
    for (from, to) in columns {
        visit(from, Use::Read);
        visit(to, Use::Write);
    }
}

fn visit_triples<T: Element>(columns: &mut [(Operand<T>, Operand<T>, u32)], visit: &mut dyn FnMut(&mut u32, Use)) {
    for (a, b, to) in columns {
        a.visit(visit);
        b.visit(visit);
        visit(to, Use::Write);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unary {
    Absolute,
    Negative,
    Square,
    Root,
    Reciprocal,
    Exponential,
    Logarithm,
    Sigmoid,
    HyperbolicTangent,
    Error,
    Floor,
    Ceiling,
    Rounded,
    Sign,
    Power(f64),
    Leaky(f64),
    IsNan,
    Not,
}

#[derive(Debug)]
pub(super) struct Each<T> {
    pub(super) of: Unary,
    /// From and to.
    pub(super) columns: Vec<(u32, u32)>,
    pub(super) element: PhantomData<T>,
}

impl<T: Real> Step for Each<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        widely(AllOf { step: self, memory, rows });
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit_pairs(&mut self.columns, visit);
    }
}

/// A step with the memory that it is run in.
struct AllOf<'a, S> {
    step: &'a S,
    memory: &'a mut Memory,
    rows: usize,
}

impl<T: Real> Work for AllOf<'_, Each<T>> {
    #[inline(always)]
    fn run(self) {
        let (zero, one) = (T::from_double(0.0), T::from_double(1.0));
        let truth = |is: bool| if is { one } else { zero };
        match self.step.of {
            Unary::Absolute => self.each(T::absolute),
            Unary::Negative => self.each(|v| v.multiply(T::from_double(-1.0))),
            Unary::Square => self.each(|v| v.multiply(v)),
            Unary::Root => self.each(T::root),
            Unary::Reciprocal => self.each(|v| one.divide(v)),
            Unary::Exponential => self.each(T::exp),
            Unary::Logarithm => self.each(T::ln),
            Unary::Sigmoid => self.each(|v| one.divide(one.add(v.multiply(T::from_double(-1.0)).exp()))),
            Unary::HyperbolicTangent => self.each(T::tanh),
            Unary::Error => self.each(T::erf),
            Unary::Floor => self.each(T::floor),
            Unary::Ceiling => self.each(T::ceil),
            Unary::Rounded => self.each(T::round_even),
            Unary::Sign => self.each(|v| {
                let sign = if v < zero { T::from_double(-1.0) } else { v };
                if v > zero { one } else { sign }
            }),
            Unary::Power(exponent) => self.each(|v| v.power(T::from_double(exponent))),
            Unary::Leaky(slope) => self.each(|v| if v < zero { v.multiply(T::from_double(slope)) } else { v }),
            Unary::IsNan => self.each(|v| truth(v.is_no_number())),
            Unary::Not => self.each(|v| truth(v == zero)),
        }
    }
}

impl<T: Real> AllOf<'_, Each<T>> {
    #[inline(always)]
    fn each(self, of: impl Fn(T) -> T) {
        for &(from, to) in &self.step.columns {
            let mut out = self.memory.take::<T>(to);
            for (out, &value) in out.iter_mut().zip(self.memory.column::<T>(from, self.rows)) {
                *out = of(value);
            }
            self.memory.put(to, out);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Larger,
    Smaller,
    /// The right one where it is larger: a NaN on the left stays, and one on the right is passed over.
    Above,
    /// The right one where it is smaller.
    Below,
}

#[derive(Debug)]
pub(super) struct Pairs<T> {
    pub(super) of: Binary,
    /// The two operands and the column for the result.
    pub(super) columns: Vec<(Operand<T>, Operand<T>, u32)>,
}

impl<T: Real> Step for Pairs<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        widely(AllOf { step: self, memory, rows });
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit_triples(&mut self.columns, visit);
    }
}

impl<T: Real> Work for AllOf<'_, Pairs<T>> {
    #[inline(always)]
    fn run(self) {
        match self.step.of {
            Binary::Add => self.pairs(T::add),
            Binary::Subtract => self.pairs(T::subtract),
            Binary::Multiply => self.pairs(T::multiply),
            Binary::Divide => self.pairs(T::divide),
            Binary::Power => self.pairs(T::power),
            // A NaN on the left is neither larger nor smaller, so it stays.
            Binary::Larger => self.pairs(|a, b| if a < b || b.is_no_number() { b } else { a }),
            Binary::Smaller => self.pairs(|a, b| if a > b || b.is_no_number() { b } else { a }),
            Binary::Above => self.pairs(|a, b| if b > a { b } else { a }),
            Binary::Below => self.pairs(|a, b| if b < a { b } else { a }),
        }
    }
}

impl<T: Real> AllOf<'_, Pairs<T>> {
    #[inline(always)]
    fn pairs(self, of: impl Fn(T, T) -> T) {
        all_pairs(&self.step.columns, self.memory, self.rows, of);
    }
}

#[inline(always)]
fn all_pairs<T: Element, U: Element>(
    columns: &[(Operand<T>, Operand<T>, u32)],
    memory: &mut Memory,
    rows: usize,
    of: impl Fn(T, T) -> U,
) {
    for &(a, b, to) in columns {
        let mut out = memory.take::<U>(to);
        pairs(a.view(memory, rows), b.view(memory, rows), &mut out[..rows], &of);
        memory.put(to, out);
    }
}

#[inline(always)]
fn pairs<T: Copy, U>(a: View<T>, b: View<T>, out: &mut [U], of: impl Fn(T, T) -> U) {
    match (a, b) {
        (View::Column(a), View::Column(b)) => {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = of(a, b));
        }
        (View::Column(a), View::One(b)) => out.iter_mut().zip(a).for_each(|(out, &a)| *out = of(a, b)),
        (View::One(a), View::Column(b)) => out.iter_mut().zip(b).for_each(|(out, &b)| *out = of(a, b)),
        (View::One(a), View::One(b)) => out.iter_mut().for_each(|out| *out = of(a, b)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Truths about pairs of numbers.
#[derive(Debug)]
pub(super) struct Comparison<T> {
    pub(super) of: Relation,
    pub(super) columns: Vec<(Operand<T>, Operand<T>, u32)>,
}

impl<T: Element + PartialOrd> Step for Comparison<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        widely(AllOf { step: self, memory, rows });
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit_triples(&mut self.columns, visit);
    }
}

impl<T: Element + PartialOrd> Work for AllOf<'_, Comparison<T>> {
    #[inline(always)]
    fn run(self) {
        match self.step.of {
            Relation::Equal => self.truths(|a, b| a == b),
            Relation::NotEqual => self.truths(|a, b| a != b),
            Relation::Less => self.truths(|a, b| a < b),
            Relation::LessOrEqual => self.truths(|a, b| a <= b),
            Relation::Greater => self.truths(|a, b| a > b),
            Relation::GreaterOrEqual => self.truths(|a, b| a >= b),
        }
    }
}

impl<T: Element> AllOf<'_, Comparison<T>> {
    #[inline(always)]
    fn truths(self, of: impl Fn(T, T) -> bool) {
        all_pairs(&self.step.columns, self.memory, self.rows, |a, b| if of(a, b) { 1.0f32 } else { 0.0 });
    }
}

/// The second where the first is true, else the third.
#[derive(Debug)]
pub(super) struct Choice<T> {
    pub(super) columns: Vec<(u32, Operand<T>, Operand<T>, u32)>,
}

impl<T: Element> Step for Choice<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        for &(truth, then, otherwise, to) in &self.columns {
            let mut out = memory.take::<T>(to);
            let truths = memory.column::<f32>(truth, rows);
            let (then, otherwise) = (then.view(memory, rows), otherwise.view(memory, rows));
            let at = |view: &View<T>, row: usize| match view {
                View::Column(column) => column[row],
                View::One(value) => *value,
            };
            for (row, (out, &truth)) in out.iter_mut().zip(truths).enumerate() {
                *out = if truth != 0.0 { at(&then, row) } else { at(&otherwise, row) };
            }
            memory.put(to, out);
        }
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        for (truth, then, otherwise, to) in &mut self.columns {
            visit(truth, Use::Read);
            then.visit(visit);
            otherwise.visit(visit);
            visit(to, Use::Write);
        }
    }
}

/// Whole numbers added or multiplied; those of 64 bits go around.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) of: Binary,
    pub(super) columns: Vec<(Operand<i64>, Operand<i64>, u32)>,
}

impl Step for Whole {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        match self.of {
            Binary::Add => all_pairs(&self.columns, memory, rows, i64::wrapping_add),
            Binary::Subtract => all_pairs(&self.columns, memory, rows, i64::wrapping_sub),
            Binary::Multiply => all_pairs(&self.columns, memory, rows, i64::wrapping_mul),
            Binary::Larger | Binary::Above => all_pairs(&self.columns, memory, rows, i64::max),
            Binary::Smaller | Binary::Below => all_pairs(&self.columns, memory, rows, i64::min),
            other => bail!("{other:?} of whole numbers is not known"),
        }
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit_triples(&mut self.columns, visit);
    }
}

/// Numbers of one type from those of another.
#[derive(Debug)]
pub(super) struct Convert<S, T> {
    pub(super) columns: Vec<(u32, u32)>,
    pub(super) with: fn(S) -> T,
}

impl<S: Element, T: Element> Step for Convert<S, T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        for &(from, to) in &self.columns {
            let mut out = memory.take::<T>(to);
            for (out, &value) in out.iter_mut().zip(memory.column::<S>(from, rows)) {
                *out = (self.with)(value);
            }
            memory.put(to, out);
        }
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        visit_pairs(&mut self.columns, visit);
    }
}
