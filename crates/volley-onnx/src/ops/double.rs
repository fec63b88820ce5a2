//! Elementwise operators that tract has, but not in double precision.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math::{is_nan, round_half_to_even};
use tract_onnx::tract_core::ops::nn::{leaky_relu, sigmoid};
use tract_onnx::tract_hir::internal::*;

use super::node::values;
use super::{Built, Kernel, Signature, one_of_the_same_shape, typed};
use crate::direct::{Builder, Cells, Given, RowColumn};

#[derive(Debug, Clone, Copy)]
enum Function {
    Sigmoid,
    Round,
    LeakyRelu(f32),
    IsNan,
}

pub(super) fn build_sigmoid(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Function::Sigmoid), vec![]))
}

pub(super) fn build_round(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Function::Round), vec![]))
}

pub(super) fn build_leaky_relu(_: &ParsingContext, node: &NodeProto) -> Built {
    Ok((expand(Function::LeakyRelu(node.get_attr_opt("alpha")?.unwrap_or(0.01))), vec![]))
}

pub(super) fn build_is_nan(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Function::IsNan), vec![]))
}

/// Truths: which elements of a float are NaN.
pub(super) fn wire_is_nan(prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    Function::IsNan.wire(prefix, model, inputs)
}

impl Function {
    fn result(self, from: DatumType) -> DatumType {
        if matches!(self, Function::IsNan) { DatumType::Bool } else { from }
    }

    /// tract's own, for all other types.
    fn of_tract(self) -> Box<dyn TypedOp> {
        match self {
            Function::Sigmoid => Box::new(sigmoid()),
            Function::Round => Box::new(round_half_to_even()),
            Function::LeakyRelu(alpha) => Box::new(leaky_relu(alpha)),
            Function::IsNan => Box::new(is_nan()),
        }
    }
}

impl Expansion for Function {
    fn name(&self) -> StaticName {
        Kernel::name(self).into()
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
        if model.outlet_fact(inputs[0])?.datum_type == DatumType::F64 {
            return model.wire_node(prefix, typed(*self), inputs);
        }
        model.wire_node(prefix, self.of_tract(), inputs)
    }
}

impl Kernel for Function {
    fn name(&self) -> &'static str {
        match self {
            Function::Sigmoid => "Sigmoid",
            Function::Round => "Round",
            Function::LeakyRelu(_) => "LeakyRelu",
            Function::IsNan => "IsNaN",
        }
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let element = self.result(inputs[0].element);
        Ok(vec![Signature { element, ..inputs[0].clone() }])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let Cells::Doubles(input) = &inputs[0].value()?.cells else { return None };
        let mut each = |function: &dyn Fn(RowColumn<f64>, &mut Builder) -> RowColumn<f64>| {
            Cells::Doubles(input.iter().map(|&it| function(it, build)).collect())
        };
        Some(vec![match *self {
            Function::Sigmoid => each(&|it, build| build.map(it, |v: f64| 1.0 / (1.0 + (-v).exp()))),
            Function::Round => each(&|it, build| build.map(it, f64::round_ties_even)),
            Function::LeakyRelu(alpha) => {
                let alpha = f64::from(alpha);
                each(&|it, build| build.map(it, move |v: f64| if v < 0.0 { v * alpha } else { v }))
            }
            Function::IsNan => {
                Cells::Longs(input.iter().map(|&it| build.map(it, |v: f64| i64::from(v.is_nan()))).collect())
            }
        }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let output = match self {
            Function::Sigmoid => map(inputs[0], |v| 1.0 / (1.0 + (-v).exp())),
            Function::Round => map(inputs[0], f64::round_ties_even),
            Function::LeakyRelu(alpha) => map(inputs[0], |v| if v < 0.0 { v * f64::from(*alpha) } else { v }),
            Function::IsNan => map(inputs[0], f64::is_nan),
        };
        Ok(vec![output?])
    }
}

fn map<T: Datum>(input: &Tensor, function: impl Fn(f64) -> T) -> TractResult<Tensor> {
    let values = values::<f64>(input)?;
    Ok(crate::tensor_from(input.shape(), values.iter().map(|&v| function(v)).collect()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{float, int, standard, tensor};

    fn check(op_type: &'static str, values: [f64; 3], expected: [f64; 3]) {
        let singles = values.map(|v| v as f32);
        let attributes = || {
            if op_type == "LeakyRelu" { vec![float("alpha", 0.5)] } else { vec![] }
        };
        standard(op_type, attributes()).gives(tensor(&[3], &values), tensor(&[3], &expected));
        standard(op_type, attributes()).gives(tensor(&[3], &singles), tensor(&[3], &expected.map(|v| v as f32)));
    }

    #[test]
    fn doubles_are_computed_like_singles() {
        let third = 1.0 / 3.0;
        check("Sigmoid", [0.0, 2f64.ln(), -(2f64.ln())], [0.5, 2.0 * third, third]);
        check("Round", [0.5, 1.5, -2.6], [0.0, 2.0, -3.0]);
        check("LeakyRelu", [-4.0, 0.0, 3.0], [-2.0, 0.0, 3.0]);
    }

    #[test]
    fn a_missing_double_is_seen() {
        let model = crate::testing::ModelBuilder::default()
            .input("x", crate::Element::F64, &[-1])
            .output("y", crate::Element::I64)
            .node("", "IsNaN", &["x"], &["missing"], vec![])
            .node("", "Cast", &["missing"], &["y"], vec![int("to", 7)]);
        let got = model.run(2, vec![tensor(&[2], &[f64::NAN, 1.0])]).expect("a sound model");
        assert_eq!(crate::tensor_values::<i64>(&got[0]), Some(&[1i64, 0][..]));
    }
}
