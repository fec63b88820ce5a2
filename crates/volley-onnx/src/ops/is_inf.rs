//! `IsInf` of floats of every precision: tract knows single precision.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{refuse, values};
use super::{Built, Kernel, Signature, kernel};

/// Which infinities count.
#[derive(Debug)]
struct IsInf {
    positive: bool,
    negative: bool,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let counts = |name: &str| -> TractResult<bool> { Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(1) != 0) };
    kernel(node, 1..=1, IsInf { positive: counts("detect_positive")?, negative: counts("detect_negative")? })
}

impl Kernel for IsInf {
    fn name(&self) -> &'static str {
        "IsInf"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure!(inputs[0].element.is_float(), "floats are needed, not {:?}", inputs[0].element);
        Ok(vec![Signature { element: DatumType::Bool, ..inputs[0].clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let counts = |v: f64| (self.positive && v == f64::INFINITY) || (self.negative && v == f64::NEG_INFINITY);
        let found: Vec<bool> = match inputs[0].datum_type() {
            DatumType::F16 => values::<f16>(inputs[0])?.iter().map(|v| counts(v.to_f64())).collect(),
            DatumType::F32 => values::<f32>(inputs[0])?.iter().map(|v| counts(f64::from(*v))).collect(),
            DatumType::F64 => values::<f64>(inputs[0])?.iter().map(|v| counts(*v)).collect(),
            other => return refuse(format!("floats are needed, not {other:?}")),
        };
        Ok(vec![crate::tensor_from(inputs[0].shape(), found)])
    }
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, ints_in, tensor};

    #[test]
    fn infinities_of_both_precisions_are_seen_where_their_sign_counts() {
        let model = |element| {
            ModelBuilder::default()
                .input("x", element, &[-1])
                .output("y", Element::I64)
                .node("", "IsInf", &["x"], &["infinite"], vec![int("detect_negative", 0)])
                .node("", "Cast", &["infinite"], &["y"], vec![int("to", 7)])
        };
        let values = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0];
        let doubles = model(Element::F64).run(4, vec![tensor(&[4], &values)]).expect("doubles");
        let singles = model(Element::F32).run(4, vec![tensor(&[4], &values.map(|v| v as f32))]).expect("singles");
        for got in [doubles, singles] {
            assert_close(&got[0], &ints_in(&[4], &[1, 0, 0, 0]));
        }
    }
}
