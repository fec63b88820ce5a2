//! `Sqrt` of which tract knows no rules: to it the square of a root is what the root was taken of, though that of a
//! negative number is NaN.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_hir::internal::*;

use super::{Built, one_of_the_same_shape};

/// A name of tract's, by which it is known elsewhere.
const NAME: &str = "Sqrt";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Root;

pub(super) fn build(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Root), vec![]))
}

impl Expansion for Root {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        one_of_the_same_shape(s, inputs, outputs)?;
        s.equals(&outputs[0].datum_type, &inputs[0].datum_type)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let element = model.outlet_fact(inputs[0])?.datum_type;
        ensure!(element.is_float(), "floats are needed, not {element:?}");
        model.wire_node(prefix, ElementWiseOp(Box::new(Root), None), inputs)
    }
}

impl ElementWiseMiniOp for Root {
    fn name(&self) -> String {
        NAME.into()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        fn each<T: Datum + Copy>(tensor: &mut Tensor, root: impl Fn(T) -> T) -> TractResult<()> {
            let mut plain = tensor.try_as_plain_ram_mut()?;
            plain.as_slice_mut::<T>()?.iter_mut().for_each(|v| *v = root(*v));
            Ok(())
        }
        match tensor.datum_type() {
            DatumType::F16 => each(tensor, |v: f16| f16::from_f32(v.to_f32().sqrt())),
            DatumType::F32 => each(tensor, f32::sqrt),
            DatumType::F64 => each(tensor, f64::sqrt),
            other => bail!("floats are needed, not {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, assert_close, tensor};
    use crate::{Datum, Element};

    fn check<T: Datum + Copy>(
        element: Element,
        values: [T; 3],
        expected: [T; 3],
        square: impl Fn(ModelBuilder) -> ModelBuilder,
    ) {
        let model = ModelBuilder::default().input("x", element, &[-1, 3]).output("y", element);
        let model = square(model.node("", "Sqrt", &["x"], &["root"], vec![]));
        // On both sides of nine rows, up to which a graph is left as tract has it.
        for rows in [1, 3, 200] {
            let got = model.run(rows, vec![tensor(&[rows, 3], &values.repeat(rows))]).expect("a sound model");
            assert_close(&got[0], &tensor(&[rows, 3], &expected.repeat(rows)));
        }
    }

    #[test]
    fn the_square_of_a_root_of_a_negative_number_is_none() {
        let product = |model: ModelBuilder| model.node("", "Mul", &["root", "root"], &["y"], vec![]);
        let power = |model: ModelBuilder| {
            let model = model.constant("two", &tensor(&[], &[2.0f32]));
            model.node("", "Pow", &["root", "two"], &["y"], vec![])
        };
        let moved = |model: ModelBuilder| {
            let model = model.node("", "Identity", &["root"], &["same"], vec![]);
            model.node("", "Mul", &["same", "same"], &["y"], vec![])
        };
        for square in [&product as &dyn Fn(ModelBuilder) -> ModelBuilder, &power, &moved] {
            check(Element::F32, [-1.0f32, 4.0, f32::NAN], [f32::NAN, 4.0, f32::NAN], square);
        }
        check(Element::F64, [-1.0f64, 4.0, f64::NAN], [f64::NAN, 4.0, f64::NAN], product);
    }
}
