//! `Cast`, with integers of 64 bits that stay 64 bits wide, and with floats that no integer holds
//! and text as ONNX Runtime takes them.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Built, Kernel, Signature, one_of_the_same_shape, typed};
use crate::port::Element;

#[derive(Debug, Clone)]
struct Cast {
    to: DatumType,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    match Element::from_onnx(node.get_attr::<i32>("to")?) {
        Some(to) => Ok((expand(Cast { to: to.datum_type() }), vec![])),
        None => node.bail_attr("to", "is a type that cannot be computed with"),
    }
}

impl Cast {
    /// Dimensions are integers to ONNX; to tract they are symbols, and must remain so.
    fn result(&self, from: DatumType) -> DatumType {
        if from == DatumType::TDim && self.to == DatumType::I64 { from } else { self.to }
    }
}

impl Expansion for Cast {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        one_of_the_same_shape(s, inputs, outputs)?;
        s.given(&inputs[0].datum_type, move |s, from| s.equals(&outputs[0].datum_type, self.result(from)))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let from = model.outlet_fact(inputs[0])?.datum_type;
        let to = self.result(from);
        if from == to {
            return Ok(inputs.into());
        }
        if from == DatumType::String || to == DatumType::String {
            return model.wire_node(prefix, typed(TextCast { to }), inputs);
        }
        if from.is_float() && to.is_integer() {
            return model.wire_node(prefix, typed(Truncation { to }), inputs);
        }
        model.wire_node(prefix, cast(to), inputs)
    }
}

/// A float without its fraction. NaN and what the integer cannot hold become what the processors
/// that models are trained on make of them.
#[derive(Debug)]
struct Truncation {
    to: DatumType,
}

impl Kernel for Truncation {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![Signature { element: self.to, ..inputs[0].clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        Ok(vec![match input.datum_type() {
            DatumType::F64 => self.truncated(values::<f64>(input)?, input.shape()),
            _ => {
                let doubles = input.cast_to::<f64>()?;
                self.truncated(values::<f64>(&doubles)?, input.shape())
            }
        }?])
    }
}

impl Truncation {
    fn truncated(&self, reals: &[f64], shape: &[usize]) -> TractResult<Tensor> {
        fn each<T: Datum>(reals: &[f64], shape: &[usize], convert: impl Fn(f64) -> T) -> TractResult<Tensor> {
            Ok(crate::tensor_from(shape, reals.iter().map(|&v| convert(v)).collect()))
        }
        match self.to {
            DatumType::I64 => each(reals, shape, long),
            DatumType::I32 => each(reals, shape, int),
            // Narrow integers are the low bits of wider ones.
            DatumType::I16 => each(reals, shape, |v| int(v) as i16),
            DatumType::I8 => each(reals, shape, |v| int(v) as i8),
            DatumType::U8 => each(reals, shape, |v| int(v) as u8),
            DatumType::U16 => each(reals, shape, |v| int(v) as u16),
            DatumType::U32 => each(reals, shape, |v| long(v) as u32),
            DatumType::U64 => each(reals, shape, unsigned_long),
            to => refuse(format!("numbers cannot be read as {to:?}")),
        }
    }
}

/// Without its fraction; the least integer for NaN and for what no integer of 64 bits holds.
pub(crate) fn long(real: f64) -> i64 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&real) { real as i64 } else { i64::MIN }
}

/// The same for 32 bits.
fn int(real: f64) -> i32 {
    i32::try_from(long(real)).unwrap_or(i32::MIN)
}

fn unsigned_long(real: f64) -> u64 {
    const END: f64 = 18_446_744_073_709_551_616.0;
    match real {
        END.. => 0,
        0.0.. => real as u64,
        _ => long(real) as u64,
    }
}

/// To text or from text.
#[derive(Debug)]
struct TextCast {
    to: DatumType,
}

impl Kernel for TextCast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![Signature { element: self.to, ..inputs[0].clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let output = if self.to == DatumType::String { written(input) } else { self.read(input) };
        Ok(vec![output?])
    }
}

impl TextCast {
    fn read(&self, input: &Tensor) -> TractResult<Tensor> {
        let texts = values::<String>(input)?;
        let shape = input.shape();
        match self.to {
            DatumType::F32 => parsed(texts, shape, |text| text.parse::<f32>().ok()),
            DatumType::F64 => parsed(texts, shape, |text| text.parse::<f64>().ok()),
            DatumType::F16 => {
                let singles = parsed(texts, shape, |text| text.parse::<f32>().ok())?;
                Ok(singles.cast_to_dt(self.to)?.into_owned())
            }
            to if to.is_integer() => Ok(parsed(texts, shape, integer)?.cast_to_dt(to)?.into_owned()),
            to => refuse(format!("text cannot be read as {to:?}")),
        }
    }
}

fn parsed<T: Datum>(texts: &[String], shape: &[usize], parse: impl Fn(&str) -> Option<T>) -> TractResult<Tensor> {
    let numbers: Option<Vec<T>> = texts.iter().map(|text| parse(text.trim())).collect();
    match numbers {
        Some(numbers) => Ok(crate::tensor_from(shape, numbers)),
        None => refuse("a text is not a number"),
    }
}

/// Decimals are cut off.
fn integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().or_else(|| {
        let real = text.parse::<f64>().ok()?;
        real.is_finite().then_some(real as i64)
    })
}

fn written(input: &Tensor) -> TractResult<Tensor> {
    let shape = input.shape();
    match input.datum_type() {
        DatumType::F32 => texts::<f32>(input, |&v| general(f64::from(v), DIGITS))?,
        DatumType::F64 => texts::<f64>(input, |&v| general(v, DIGITS))?,
        DatumType::Bool => texts::<bool>(input, |&v| u8::from(v).to_string())?,
        DatumType::F16 => return written(&*input.cast_to::<f32>()?),
        DatumType::U64 => texts::<u64>(input, u64::to_string)?,
        from if from.is_integer() || from == DatumType::TDim => {
            texts::<i64>(&*input.cast_to::<i64>()?, i64::to_string)?
        }
        from => return refuse(format!("{from:?} cannot be written as text")),
    }
    .into_shape(shape)
}

fn texts<T: Datum>(input: &Tensor, write: impl Fn(&T) -> String) -> TractResult<Tensor> {
    let texts: Vec<String> = values::<T>(input)?.iter().map(write).collect();
    Ok(crate::tensor_from(&[texts.len()], texts))
}

/// Significant digits of a float as text, of single and double precision alike.
const DIGITS: usize = 8;

/// A number with that many significant digits, like `%g` of C, which exporters count on.
fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-INF" } else { "INF" }.into();
    }
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an e");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let decimals = digits as i32 - 1 - exponent;
    without_zeros(&format!("{:.*}", decimals as usize, value)).to_owned()
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::general;
    use crate::testing::{int, ints_in, standard, strings_in, tensor};

    const FLOAT: i64 = 1;
    const INT32: i64 = 6;
    const INT64: i64 = 7;
    const STRING: i64 = 8;

    #[test]
    fn large_integers_survive() {
        let operator = standard("Cast", vec![int("to", INT64)]);
        operator.gives(tensor(&[2], &[1e12f64, -7.9]), ints_in(&[2], &[1_000_000_000_000, -7]));
        operator.gives(ints_in(&[1], &[1_700_000_000_123]), ints_in(&[1], &[1_700_000_000_123]));
    }

    #[test]
    fn a_float_that_no_integer_holds_becomes_the_least_one() {
        let reals = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e19, -1e19, -1.5];
        let (least, least_int) = (i64::MIN, i32::MIN);
        standard("Cast", vec![int("to", INT64)])
            .gives(tensor(&[6], &reals), ints_in(&[6], &[least, least, least, least, least, -1]));
        standard("Cast", vec![int("to", INT32)])
            .gives(tensor(&[3], &[f64::NAN, 3e9, -7.9]), tensor(&[3], &[least_int, least_int, -7]));
    }

    #[test]
    fn narrow_and_unsigned_integers_are_what_processors_make_of_a_float() {
        let narrow = |real: f64| (super::int(real) as i8, super::int(real) as u8);
        assert_eq!(narrow(300.7), (44, 44));
        assert_eq!(narrow(-1.5), (-1, 255));
        assert_eq!(narrow(f64::NAN), (0, 0));
        assert_eq!([1e19, -1.5, f64::NAN, 1e30].map(super::unsigned_long), [10u64.pow(19), u64::MAX, 1 << 63, 0]);
    }

    #[test]
    fn text_is_read_as_a_number() {
        standard("Cast", vec![int("to", FLOAT)])
            .gives(strings_in(&[3], &["1.5", " -2", "INF"]), tensor(&[3], &[1.5f32, -2.0, f32::INFINITY]));
        standard("Cast", vec![int("to", INT64)]).gives(strings_in(&[2], &["12", "3.9"]), ints_in(&[2], &[12, 3]));
        standard("Cast", vec![int("to", INT64)]).refuses(strings_in(&[1], &["abc"]), "a text is not a number");
    }

    #[test]
    fn numbers_are_written_as_text() {
        let operator = standard("Cast", vec![int("to", STRING)]);
        operator.gives(tensor(&[3], &[1.0f32, 0.1, f32::NAN]), strings_in(&[3], &["1", "0.1", "NaN"]));
        operator.gives(ints_in(&[1], &[-42]), strings_in(&[1], &["-42"]));
    }

    #[test]
    fn floats_are_written_with_as_many_digits_as_they_need() {
        assert_eq!(general(123_456.789, 8), "123456.79");
        assert_eq!(general(1e20, 8), "1e+20");
        assert_eq!(general(-0.000_012_5, 8), "-1.25e-05");
        assert_eq!(general(0.0, 8), "0");
        assert_eq!(general(0.1, 17), "0.10000000000000001");
    }
}
