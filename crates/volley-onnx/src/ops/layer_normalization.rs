//! `LayerNormalization` of doubles in doubles, as ONNX Runtime computes it whatever type the node names for what is in
//! between: tract takes the default there at its word, and that is singles.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::of_tract::{expansion, of_tract, with_int};

/// tract's, as it is written and for doubles.
#[derive(Debug, Clone)]
struct LayerNormalization {
    written: Box<dyn InferenceOp>,
    double: Box<dyn InferenceOp>,
}

pub(super) fn build(context: &ParsingContext, node: &NodeProto) -> Built {
    let (written, closed_over) = of_tract(context, node)?;
    let (double, _) = of_tract(context, &with_int(node, "stash_type", DataType::Double as i64))?;
    Ok((expand(LayerNormalization { written, double }), closed_over))
}

impl Expansion for LayerNormalization {
    fn name(&self) -> StaticName {
        self.written.name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        expansion(self.written.as_ref())?.nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        s.given(&inputs[0].datum_type, move |s, element| expansion(self.of(element))?.rules(s, inputs, outputs))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let element = model.outlet_fact(inputs[0])?.datum_type;
        expansion(self.of(element))?.wire(prefix, model, inputs)
    }
}

impl LayerNormalization {
    fn of(&self, element: DatumType) -> &dyn InferenceOp {
        if element == DatumType::F64 { self.double.as_ref() } else { self.written.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use crate::tensor_values;
    use crate::testing::{ModelBuilder, tensor};

    #[test]
    fn doubles_are_normalized_in_doubles() {
        let model = ModelBuilder::default()
            .input("x", crate::Element::F64, &[-1, 2])
            .output("y", crate::Element::F64)
            .constant("scale", &tensor(&[2], &[1.0f64, 3.0]))
            .constant("bias", &tensor(&[2], &[0.1f64, 0.0]))
            .node("", "LayerNormalization", &["x", "scale", "bias"], &["y"], vec![]);
        let (low, high) = (0.1f64, 0.3f64);
        let (mean, epsilon) = ((low + high) / 2.0, f64::from(1e-5f32));
        let deviation = (((low - mean).powi(2) + (high - mean).powi(2)) / 2.0 + epsilon).sqrt();
        let expected = [(low - mean) / deviation + 0.1, (high - mean) / deviation * 3.0];
        let got = model.run(1, vec![tensor(&[1, 2], &[low, high])]).expect("a sound model");
        let got = tensor_values::<f64>(&got[0]).expect("doubles");
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
        }
    }
}
