//! The larger or the smaller of two numbers, and NaN if one of them is NaN: tract forgets the NaN, and a row that has
//! no score would get one. What it makes of NaN, and of low numbers, in other functions is put right beside them.

use tract_onnx::tract_hir::internal::tract_ndarray::Zip;
use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Kernel, Signature};

/// The larger of two elements, or the smaller; an axis of length 1 stands for any.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chosen {
    Larger,
    Smaller,
}

impl Kernel for Chosen {
    fn name(&self) -> &'static str {
        match self {
            Chosen::Larger => "Larger",
            Chosen::Smaller => "Smaller",
        }
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure!(inputs[0].shape.len() == inputs[1].shape.len(), "both have as many axes");
        let axes = inputs[0].shape.iter().zip(&inputs[1].shape);
        let longer = axes.map(|(a, b)| if a.is_one() { b.clone() } else { a.clone() });
        Ok(vec![Signature::new(inputs[0].element, longer)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs[0].datum_type() {
            DatumType::F16 => self.of::<f16>(inputs, |v| v.is_nan())?,
            DatumType::F32 => self.of::<f32>(inputs, |v| v.is_nan())?,
            DatumType::F64 => self.of::<f64>(inputs, |v| v.is_nan())?,
            other => bail!("floats are needed, not {other:?}"),
        }])
    }
}

/// The first of two inputs, but NaN where the second is.
#[derive(Debug)]
pub(crate) struct NanOf;

impl Kernel for NanOf {
    fn name(&self) -> &'static str {
        "NanOf"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs[0].datum_type() {
            DatumType::F16 => nan_of::<f16>(inputs, |v| v.is_nan())?,
            DatumType::F32 => nan_of::<f32>(inputs, |v| v.is_nan())?,
            DatumType::F64 => nan_of::<f64>(inputs, |v| v.is_nan())?,
            other => bail!("floats are needed, not {other:?}"),
        }])
    }
}

fn nan_of<T: Datum + Copy>(inputs: &[&Tensor], is_nan: impl Fn(T) -> bool) -> TractResult<Tensor> {
    each(inputs, |value, from| if is_nan(from) { from } else { value })
}

fn each<T: Datum + Copy>(inputs: &[&Tensor], kept: impl Fn(T, T) -> T) -> TractResult<Tensor> {
    let pairs = values::<T>(inputs[0])?.iter().zip(values::<T>(inputs[1])?);
    Ok(crate::tensor_from(inputs[0].shape(), pairs.map(|(&value, &from)| kept(value, from)).collect()))
}

/// The first of two inputs, the approximate GELU of the second, but with nothing left of numbers so low that its
/// hyperbolic tangent is one: that of tract ends before, and the number is a factor.
#[derive(Debug)]
pub(crate) struct WithoutTail;

impl WithoutTail {
    /// Below this, what is left is less than any single.
    const LOW: f32 = -10.0;
}

impl Kernel for WithoutTail {
    fn name(&self) -> &'static str {
        "WithoutTail"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        Ok(vec![match inputs[0].datum_type() {
            DatumType::F32 => each(inputs, |value, from: f32| if from < Self::LOW { from * 0.0 } else { value })?,
            _ => inputs[0].clone(),
        }])
    }
}

impl Chosen {
    fn of<T: Datum + Copy + PartialOrd>(self, inputs: &[&Tensor], is_nan: impl Fn(T) -> bool) -> TractResult<Tensor> {
        let [a, b] = [inputs[0], inputs[1]];
        // A NaN on the left is neither larger nor smaller, so it stays.
        let choose = |a: T, b: T| match self {
            Chosen::Larger if a < b || is_nan(b) => b,
            Chosen::Smaller if a > b || is_nan(b) => b,
            _ => a,
        };
        let (a, b) = (a.to_plain_array_view::<T>()?, b.to_plain_array_view::<T>()?);
        if b.len() == 1 {
            let b = b.iter().copied().next().context("it has one element")?;
            return Ok(a.mapv(|a| choose(a, b)).into());
        }
        let shape: TVec<usize> = a.shape().iter().zip(b.shape()).map(|(&a, &b)| if a == 1 { b } else { a }).collect();
        let wide = |view: &tract_ndarray::ArrayViewD<T>| view.broadcast(&*shape).map(|it| it.to_owned());
        let (a, b) = (wide(&a).context("axes of one length")?, wide(&b).context("axes of one length")?);
        Ok(Zip::from(&a).and(&b).map_collect(|&a, &b| choose(a, b)).into())
    }
}
