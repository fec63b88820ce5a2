//! Arithmetic done as it is written, where tract makes other arithmetic of it.
//!
//! tract divides by multiplying with the reciprocal, which rounds twice: 49 / 49 is less than one then, and what cuts
//! off or compares behind it finds another number. To it zero times anything is zero, though NaN and infinities are
//! none. It squares integers of 32 bits as singles, and those of 64 not at all. Powers of integers it has for few
//! exponents, and the power of a half is a root to it, which negative infinity does not have. Equality it has not for
//! truths.

use std::ops::{Div, Mul};

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::{logic, math};
use tract_onnx::tract_hir::internal::tract_ndarray::Zip;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::{InferenceBinOp, wire_cast, wire_rank_broadcast};

use super::Built;
use super::cast::{int, long};
use super::node::values;
use super::of_tract::completed;

/// A name of tract's, by which it is known elsewhere, and none of tract's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exact {
    Quotient,
    Product,
}

pub(super) fn build_quotient(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Written { exact: Exact::Quotient, tract: InferenceBinOp(Box::new(math::Div)) }), vec![]))
}

pub(super) fn build_product(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Written { exact: Exact::Product, tract: InferenceBinOp(Box::new(math::Mul)) }), vec![]))
}

impl BinMiniOp for Exact {
    fn name(&self) -> &'static str {
        match self {
            Exact::Quotient => "Div",
            Exact::Product => "Mul",
        }
    }

    fn is_commutative(&self) -> bool {
        *self == Exact::Product
    }

    fn result_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        self.operating_datum_type(a, b)
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        match a.datum_type() {
            DatumType::F16 => in_place(a, b, |a: f16, b| self.of(a, b)),
            DatumType::F32 => in_place(a, b, |a: f32, b| self.of(a, b)),
            DatumType::F64 => in_place(a, b, |a: f64, b| self.of(a, b)),
            DatumType::I32 if *self == Exact::Product => in_place(a, b, i32::wrapping_mul),
            DatumType::I64 if *self == Exact::Product => in_place(a, b, i64::wrapping_mul),
            other => bail!("{other:?} is not supported"),
        }
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        match a.datum_type() {
            DatumType::F16 => into(c, a, b, |a: f16, b| self.of(a, b)),
            DatumType::F32 => into(c, a, b, |a: f32, b| self.of(a, b)),
            DatumType::F64 => into(c, a, b, |a: f64, b| self.of(a, b)),
            DatumType::I32 if *self == Exact::Product => into(c, a, b, i32::wrapping_mul),
            DatumType::I64 if *self == Exact::Product => into(c, a, b, i64::wrapping_mul),
            other => bail!("{other:?} is not supported"),
        }
    }
}

impl Exact {
    #[inline(always)]
    fn of<T: Div<Output = T> + Mul<Output = T>>(self, a: T, b: T) -> T {
        match self {
            Exact::Quotient => a / b,
            Exact::Product => a * b,
        }
    }
}

pub(super) fn in_place<T: Datum + Copy, U: Datum + Copy>(
    a: &mut Tensor,
    b: &Tensor,
    of: impl Fn(T, U) -> T,
) -> TractResult<()> {
    let alike = a.shape() == b.shape();
    let mut a = a.try_as_plain_ram_mut()?;
    match values::<U>(b)? {
        &[b] => a.as_slice_mut::<T>()?.iter_mut().for_each(|a| *a = of(*a, b)),
        b if alike => a.as_slice_mut::<T>()?.iter_mut().zip(b).for_each(|(a, &b)| *a = of(*a, b)),
        _ => {
            let mut a = a.to_array_view_mut::<T>()?;
            Zip::from(&mut a).and_broadcast(&b.to_plain_array_view::<U>()?).for_each(|a, &b| *a = of(*a, b));
        }
    }
    Ok(())
}

pub(super) fn into<T: Datum + Copy, U: Datum + Copy>(
    c: &mut Tensor,
    a: &Tensor,
    b: &Tensor,
    of: impl Fn(T, U) -> T,
) -> TractResult<()> {
    let (a, b) = (a.to_plain_array_view::<T>()?, b.to_plain_array_view::<U>()?);
    let mut c = c.try_as_plain_ram_mut()?;
    let mut c = c.to_array_view_mut::<T>()?;
    Zip::from(&mut c).and_broadcast(&a).and_broadcast(&b).for_each(|c, &a, &b| *c = of(a, b));
    Ok(())
}

/// Exact for floats, and for squares of integers; tract's own for others.
#[derive(Debug, Clone)]
struct Written {
    exact: Exact,
    tract: InferenceBinOp,
}

impl Expansion for Written {
    fn name(&self) -> StaticName {
        self.exact.name().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.tract.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let element = |input: OutletId| Ok::<_, TractError>(model.outlet_fact(input)?.datum_type);
        let element = self.exact.operating_datum_type(element(inputs[0])?, element(inputs[1])?)?;
        let squares = self.exact == Exact::Product && inputs[0] == inputs[1];
        let is_exact = match element {
            DatumType::I32 | DatumType::I64 => squares,
            element => element.is_float() && !squares,
        };
        if !is_exact {
            return self.tract.wire(prefix, model, inputs);
        }
        let wires = wire_rank_broadcast(prefix, model, inputs)?;
        let wires = wire_cast(prefix, model, &wires, element)?;
        model.wire_node(prefix, TypedBinOp(Box::new(self.exact), None), &wires)
    }
}

pub(super) fn build_equal(context: &ParsingContext, node: &NodeProto) -> Built {
    completed(context, node, equal_truths)
}

pub(super) fn build_pow(context: &ParsingContext, node: &NodeProto) -> Built {
    completed(context, node, power)
}

/// Truths are equal where not exactly one of them holds.
fn equal_truths(
    _: &dyn Expansion,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    for input in inputs {
        if model.outlet_fact(*input)?.datum_type != DatumType::Bool {
            return Ok(None);
        }
    }
    let wires = wire_rank_broadcast(prefix, model, inputs)?;
    let differ = model.wire_node(format!("{prefix}.differ"), TypedBinOp(Box::new(logic::Xor), None), &wires)?;
    model.wire_node(prefix, logic::not(), &differ).map(Some)
}

/// Of integers, and of floats with an exponent of which tract would make another operator.
fn power(
    _: &dyn Expansion,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let element = model.outlet_fact(inputs[0])?.datum_type;
    let exponents = match element {
        DatumType::I32 | DatumType::I64 => DatumType::F64,
        _ if element.is_float() && is_misread(model.outlet_fact(inputs[1])?, element)? => element,
        _ => return Ok(None),
    };
    let wires = wire_rank_broadcast(prefix, model, inputs)?;
    let exponents = wire_cast(prefix, model, &wires[1..], exponents)?;
    model.wire_node(prefix, TypedBinOp(Box::new(Power), None), &[wires[0], exponents[0]]).map(Some)
}

/// Whether some exponent is one half, or a double that is two or one half to tract, which looks at it as a single.
fn is_misread(exponent: &TypedFact, element: DatumType) -> TractResult<bool> {
    let Some(constant) = exponent.konst.as_ref().filter(|_| exponent.datum_type == element) else { return Ok(false) };
    let exponents = constant.cast_to::<f64>()?;
    Ok(values::<f64>(&exponents)?.iter().any(|&exponent| match exponent as f32 {
        2.0 => exponent != 2.0,
        single => single == 0.5,
    }))
}

/// Integers go by way of doubles. A square or a cube that no integer holds goes around, as in ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Power;

impl Power {
    fn of(base: i64, exponent: f64) -> i64 {
        match exponent {
            2.0 => base.wrapping_mul(base),
            3.0 => base.wrapping_mul(base).wrapping_mul(base),
            _ => long((base as f64).powf(exponent)),
        }
    }

    fn of_narrow(base: i32, exponent: f64) -> i32 {
        match exponent {
            2.0 | 3.0 => Power::of(base.into(), exponent) as i32,
            _ => int(f64::from(base).powf(exponent)),
        }
    }

    fn of_half(base: f16, exponent: f16) -> f16 {
        f16::from_f32(base.to_f32().powf(exponent.to_f32()))
    }
}

impl BinMiniOp for Power {
    fn name(&self) -> &'static str {
        "Pow"
    }

    fn is_commutative(&self) -> bool {
        false
    }

    fn result_datum_type(&self, base: DatumType, _: DatumType) -> TractResult<DatumType> {
        Ok(base)
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        match a.datum_type() {
            DatumType::I64 => in_place(a, b, Power::of),
            DatumType::I32 => in_place(a, b, Power::of_narrow),
            DatumType::F16 => in_place(a, b, Power::of_half),
            DatumType::F32 => in_place(a, b, f32::powf),
            DatumType::F64 => in_place(a, b, f64::powf),
            other => bail!("numbers are needed, not {other:?}"),
        }
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        match a.datum_type() {
            DatumType::I64 => into(c, a, b, Power::of),
            DatumType::I32 => into(c, a, b, Power::of_narrow),
            DatumType::F16 => into(c, a, b, Power::of_half),
            DatumType::F32 => into(c, a, b, f32::powf),
            DatumType::F64 => into(c, a, b, f64::powf),
            other => bail!("numbers are needed, not {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, standard, tensor};

    /// On both sides of nine rows, up to which a graph is left as tract has it.
    const ROWS: [usize; 3] = [1, 3, 200];

    #[test]
    fn what_is_cut_off_behind_a_division_is_that_of_the_quotient() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 3])
            .output("y", Element::F32)
            .constant("width", &tensor(&[1], &[49.0f32]))
            .node("", "Div", &["x", "width"], &["part"], vec![])
            .node("", "Floor", &["part"], &["y"], vec![]);
        for rows in ROWS {
            let got = model.run(rows, vec![tensor(&[rows, 3], &[48.0f32, 49.0, 98.0].repeat(rows))]);
            assert_close(&got.expect("a sound model")[0], &tensor(&[rows, 3], &[0.0f32, 1.0, 2.0].repeat(rows)));
        }
    }

    #[test]
    fn a_number_is_one_of_itself() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::I64)
            .constant("one", &tensor(&[1], &[1.0f32]))
            .node("", "Div", &["x", "x"], &["part"], vec![])
            .node("", "Equal", &["part", "one"], &["whole"], vec![])
            .node("", "Cast", &["whole"], &["y"], vec![int("to", 7)]);
        for rows in ROWS {
            let got = model.run(rows, vec![tensor(&[rows, 2], &[0.83f32, 1e-40].repeat(rows))]);
            assert_close(&got.expect("a sound model")[0], &ints_in(&[rows, 2], &[1, 1].repeat(rows)));
        }
    }

    #[test]
    fn zero_times_what_is_no_number_is_none() {
        for (zero, width) in [(tensor(&[1], &[0.0f32]), 2), (tensor(&[1, 3], &[0.0f32; 3]), 3)] {
            let times = standard("Mul", vec![]).with(zero);
            let (nan, infinity) = (f32::NAN, f32::INFINITY);
            for row in [[nan, 1.0, 2.0], [-infinity, infinity, -3.0]] {
                let row = &row[..width];
                let expected: Vec<f32> = row.iter().map(|v| v * 0.0).collect();
                for rows in ROWS {
                    let shape = [rows, width];
                    times.gives(tensor(&shape, &row.repeat(rows)), tensor(&shape, &expected.repeat(rows)));
                }
            }
        }
    }

    #[test]
    fn an_integer_times_itself_is_an_integer() {
        let square = |element| {
            let model = ModelBuilder::default().input("x", element, &[-1, 2]).output("y", element);
            model.node("", "Mul", &["x", "x"], &["y"], vec![])
        };
        for rows in ROWS {
            let (narrow, wide) = ([5001i32, -3].repeat(rows), [3_000_000_001i64, -3].repeat(rows));
            let (narrow, wide) = (tensor(&[rows, 2], &narrow), ints_in(&[rows, 2], &wide));
            let got = [(Element::I32, narrow), (Element::I64, wide)]
                .map(|(element, input)| square(element).run(rows, vec![input]).expect("a sound model").remove(0));
            assert_close(&got[0], &tensor(&[rows, 2], &[25_010_001i32, 9].repeat(rows)));
            assert_close(&got[1], &ints_in(&[rows, 2], &[9_000_000_006_000_000_001, 9].repeat(rows)));
        }
    }

    #[test]
    fn powers_of_integers_are_integers() {
        let ten = 10_000_000_000i64;
        for (exponent, expected) in [(0, [1, 1, 1]), (1, [-3, 2, ten]), (2, [9, 4, ten.wrapping_mul(ten)])] {
            standard("Pow", vec![])
                .with(ints_in(&[1], &[exponent]))
                .gives(ints_in(&[1, 3], &[-3, 2, ten]), ints_in(&[1, 3], &expected));
        }
        let halves = standard("Pow", vec![]).with(tensor(&[1], &[0.5f32]));
        halves.gives(tensor(&[1, 2], &[16i32, 17]), tensor(&[1, 2], &[4i32, 4]));
    }

    #[test]
    fn infinity_is_the_power_of_a_half_of_both_infinities() {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        for rows in ROWS {
            let row = [-infinity, infinity, 4.0, -4.0].repeat(rows);
            let expected = [infinity, infinity, 2.0, nan].repeat(rows);
            let halves = standard("Pow", vec![]).with(tensor(&[1], &[0.5f32]));
            halves.gives(tensor(&[rows, 4], &row), tensor(&[rows, 4], &expected));
            let doubles = |row: &[f32]| tensor(&[rows, 4], &row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
            let halves = standard("Pow", vec![]).with(tensor(&[1], &[0.5f64]));
            halves.gives(doubles(&row), doubles(&expected));
        }
    }

    #[test]
    fn an_exponent_close_to_two_is_not_two() {
        let nearly = standard("Pow", vec![]).with(tensor(&[1], &[2.0f64 + 1e-9]));
        nearly.gives(tensor(&[1, 1], &[1e3f64]), tensor(&[1, 1], &[1e6 * (1e-9 * 1e3f64.ln()).exp()]));
    }

    #[test]
    fn truths_are_equal_or_not() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 4])
            .output("y", Element::I64)
            .constant("zero", &tensor(&[1], &[0.0f32]))
            .constant("two", &tensor(&[1], &[2.0f32]))
            .node("", "Less", &["x", "zero"], &["below"], vec![])
            .node("", "Less", &["x", "two"], &["small"], vec![])
            .node("", "Equal", &["below", "small"], &["same"], vec![])
            .node("", "Cast", &["same"], &["y"], vec![int("to", 7)]);
        for rows in ROWS {
            let got = model.run(rows, vec![tensor(&[rows, 4], &[-1.0f32, 0.0, 1.0, 2.0].repeat(rows))]);
            assert_close(&got.expect("a sound model")[0], &ints_in(&[rows, 4], &[1, 0, 0, 1].repeat(rows)));
        }
    }
}
