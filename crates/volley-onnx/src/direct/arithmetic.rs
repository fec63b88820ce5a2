//! Operators that compute each element from the elements at its place.

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_hir::internal::*;

use super::block::{AnyColumn, Block, Cell, Column, Step};
use super::builder::Builder;
use super::number::Float;
use super::value::{Cells, Given, Term, Value};
use crate::ops::{Refusal, int, long};

pub(super) fn binary(op: &TypedBinOp, inputs: &[Given], dims: &[usize], build: &mut Builder) -> Option<Cells> {
    let ([a, b], None) = (inputs, op.1) else { return None };
    let name = op.0.name();
    if let (Some(a), Some(b)) = (a.floats::<f32>(dims), b.floats::<f32>(dims)) {
        return of_floats(name, &a, &b, build);
    }
    if let (Some(a), Some(b)) = (a.floats::<f64>(dims), b.floats::<f64>(dims)) {
        return of_floats(name, &a, &b, build);
    }
    of_longs(name, &a.longs(dims)?, &b.longs(dims)?, build)
}

fn of_floats<T: Float>(name: &str, a: &[Term<T>], b: &[Term<T>], build: &mut Builder) -> Option<Cells> {
    if let Some(compared) = compared(name, a, b, build) {
        return Some(compared);
    }
    Some(T::cells(match name {
        "Add" => each(a, b, build, |a, b| a + b),
        "Sub" => each(a, b, build, |a, b| a - b),
        "SubF" => each(a, b, build, |a, b| b - a),
        "Mul" => each(a, b, build, |a, b| a * b),
        "Div" => each(a, b, build, |a, b| a / b),
        "Pow" => each(a, b, build, T::power),
        // A NaN stays: a row that has no score would get one.
        "Max" => each(a, b, build, |a, b| if a.is_nan() || a > b { a } else { b }),
        "Min" => each(a, b, build, |a, b| if a.is_nan() || a < b { a } else { b }),
        _ => return None,
    }))
}

fn of_longs(name: &str, a: &[Term<i64>], b: &[Term<i64>], build: &mut Builder) -> Option<Cells> {
    if let Some(compared) = compared(name, a, b, build) {
        return Some(compared);
    }
    Some(Cells::Longs(match name {
        "And" => each(a, b, build, |a, b| i64::from(a != 0 && b != 0)),
        "Or" => each(a, b, build, |a, b| i64::from(a != 0 || b != 0)),
        _ => return None,
    }))
}

fn compared<T: Cell + PartialOrd>(name: &str, a: &[Term<T>], b: &[Term<T>], build: &mut Builder) -> Option<Cells> {
    Some(Cells::Longs(match name {
        "Eq" => each(a, b, build, |a, b| i64::from(a == b)),
        "NE" => each(a, b, build, |a, b| i64::from(a != b)),
        "LT" => each(a, b, build, |a, b| i64::from(a < b)),
        "LTE" => each(a, b, build, |a, b| i64::from(a <= b)),
        "GT" => each(a, b, build, |a, b| i64::from(a > b)),
        "GTE" => each(a, b, build, |a, b| i64::from(a >= b)),
        _ => return None,
    }))
}

fn each<T: Cell, U: Cell>(
    a: &[Term<T>],
    b: &[Term<T>],
    build: &mut Builder,
    function: impl Fn(T, T) -> U + Copy + Send + Sync + 'static,
) -> Vec<Column<U>> {
    a.iter().zip(b).map(|(a, b)| a.with(*b, build, function)).collect()
}

pub(super) fn unary(op: &ElementWiseOp, value: &Value, build: &mut Builder) -> Option<Cells> {
    if op.1.is_some() {
        return None;
    }
    match &value.cells {
        Cells::Singles(columns) => of_each(op, columns, build),
        Cells::Doubles(columns) => of_each(op, columns, build),
        Cells::Longs(columns) if &*op.0.name() == "Not" => {
            Some(Cells::Longs(columns.iter().map(|&it| build.map(it, |v| 1 - v)).collect()))
        }
        _ => None,
    }
}

fn of_each<T: Float>(op: &ElementWiseOp, columns: &[Column<T>], build: &mut Builder) -> Option<Cells> {
    if let Some(op) = op.0.downcast_ref::<PowConst>() {
        let exponent = T::of(f64::from(op.exponent));
        return Some(T::cells(all(columns, build, move |v| v.power(exponent))));
    }
    Some(T::cells(match &*op.0.name() {
        "Abs" => all(columns, build, T::abs),
        "Exp" => all(columns, build, T::exp),
        "Ln" => all(columns, build, T::ln),
        "Neg" => all(columns, build, |v| -v),
        "Recip" => all(columns, build, |v| T::ONE / v),
        "Rsqrt" => all(columns, build, |v| T::ONE / v.sqrt()),
        "Sigmoid" => all(columns, build, T::logistic),
        "Sign" => all(columns, build, T::sign),
        "Sqrt" => all(columns, build, T::sqrt),
        "Square" => all(columns, build, |v| v * v),
        "Tanh" => all(columns, build, T::tanh),
        "IsNan" => return Some(Cells::Longs(all(columns, build, |v| i64::from(v.is_nan())))),
        _ => return None,
    }))
}

fn all<T: Cell, U: Cell>(
    columns: &[Column<T>],
    build: &mut Builder,
    function: impl Fn(T) -> U + Copy + Send + Sync + 'static,
) -> Vec<Column<U>> {
    columns.iter().map(|&column| build.map(column, function)).collect()
}

/// The elements as those of another type, and whether integers stay what they are.
pub(crate) fn cast(value: &Value, to: DatumType, build: &mut Builder) -> Option<(Cells, bool)> {
    let is_same = |cells: &Cells| {
        matches!((cells, to), (Cells::Singles(_), DatumType::F32) | (Cells::Doubles(_), DatumType::F64))
    };
    if is_same(&value.cells) {
        return Some((value.cells.clone(), false));
    }
    Some(match &value.cells {
        Cells::Singles(columns) => (of_float(columns, to, build)?, false),
        Cells::Doubles(columns) => (of_float(columns, to, build)?, false),
        Cells::Longs(columns) => match to {
            DatumType::F32 => (Cells::Singles(all(columns, build, |v| v as f32)), false),
            DatumType::F64 => (Cells::Doubles(all(columns, build, |v| v as f64)), false),
            DatumType::I64 | DatumType::TDim => (value.cells.clone(), true),
            DatumType::I32 => (Cells::Longs(all(columns, build, |v| i64::from(v as i32))), value.below.is_some()),
            DatumType::Bool => (Cells::Longs(all(columns, build, |v| i64::from(v != 0))), false),
            _ => return None,
        },
        Cells::Texts(_) => return None,
    })
}

fn of_float<T: Float>(columns: &[Column<T>], to: DatumType, build: &mut Builder) -> Option<Cells> {
    Some(match to {
        DatumType::F32 => Cells::Singles(all(columns, build, T::single)),
        DatumType::F64 => Cells::Doubles(all(columns, build, T::double)),
        DatumType::I64 => Cells::Longs(all(columns, build, |v| long(v.double()))),
        DatumType::I32 => Cells::Longs(all(columns, build, |v| i64::from(int(v.double())))),
        DatumType::Bool => Cells::Longs(all(columns, build, |v| i64::from(v != T::ZERO))),
        _ => return None,
    })
}

/// The elements of one value where a condition holds, those of another elsewhere.
pub(super) fn chosen(inputs: &[Given], dims: &[usize], build: &mut Builder) -> Option<Cells> {
    let [condition, yes, no] = inputs else { return None };
    let condition = condition.longs(dims)?;
    if let (Some(yes), Some(no)) = (yes.floats::<f32>(dims), no.floats::<f32>(dims)) {
        return Some(Cells::Singles(each_chosen(&condition, &yes, &no, build)));
    }
    if let (Some(yes), Some(no)) = (yes.floats::<f64>(dims), no.floats::<f64>(dims)) {
        return Some(Cells::Doubles(each_chosen(&condition, &yes, &no, build)));
    }
    Some(Cells::Longs(each_chosen(&condition, &yes.longs(dims)?, &no.longs(dims)?, build)))
}

fn each_chosen<T: Cell>(
    condition: &[Term<i64>],
    yes: &[Term<T>],
    no: &[Term<T>],
    build: &mut Builder,
) -> Vec<Column<T>> {
    let all = condition.iter().zip(yes).zip(no);
    all.map(|((condition, yes), no)| match (*yes, *no) {
        (yes, Term::Number(no)) => condition.with(yes, build, move |it, yes| if it != 0 { yes } else { no }),
        (Term::Number(yes), no) => condition.with(no, build, move |it, no| if it != 0 { yes } else { no }),
        (Term::Column(yes), Term::Column(no)) => {
            let (condition, output) = (condition.column(build), build.column());
            build.step(Choice { condition, yes, no, output });
            output
        }
    })
    .collect()
}

struct Choice<T> {
    condition: Column<i64>,
    yes: Column<T>,
    no: Column<T>,
    output: Column<T>,
}

impl<T: Cell> Step for Choice<T> {
    fn reads(&self) -> Vec<AnyColumn> {
        vec![self.condition.any(), self.yes.any(), self.no.any()]
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |block, output| {
            let (yes, no) = (block.read(self.yes), block.read(self.no));
            let all = output.iter_mut().zip(block.read(self.condition)).zip(yes.iter().zip(no));
            all.for_each(|((output, condition), (yes, no))| *output = if *condition != 0 { *yes } else { *no });
        });
        Ok(())
    }
}
