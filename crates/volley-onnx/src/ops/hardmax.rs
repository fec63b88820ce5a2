//! `Hardmax`, with no one where there is no number: a NaN at the beginning is the largest to every search, as in ONNX
//! Runtime, but it equals none, so that nothing is one then.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::double::wire_is_nan;
use super::of_tract::completed;

pub(super) fn build(context: &ParsingContext, node: &NodeProto) -> Built {
    completed(context, node, with_no_one_at_nan)
}

/// tract's is a search for a place.
fn with_no_one_at_nan(
    tract: &dyn Expansion,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let fact = model.outlet_fact(inputs[0])?.clone();
    let found = tract.wire(&format!("{prefix}.found"), model, inputs)?;
    let no_number = wire_is_nan(&format!("{prefix}.no_number"), model, inputs)?;
    let zero = Tensor::zero_dt(fact.datum_type, &[])?.broadcast_into_rank(fact.rank())?;
    let zero = model.add_const(format!("{prefix}.zero"), zero)?;
    model.wire_node(prefix, Iff, &[no_number[0], zero, found[0]]).map(Some)
}

#[cfg(test)]
mod tests {
    use crate::testing::{int, standard, tensor};

    const NAN: f32 = f32::NAN;

    #[test]
    fn a_nan_wins_where_it_comes_first_and_is_passed_over_elsewhere() {
        let rows = tensor(&[3, 3], &[1.0, 3.0, 3.0, 1.0, NAN, 0.0, NAN, 1.0, 2.0]);
        let expected = [0.0f32, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        standard("Hardmax", vec![]).gives(rows, tensor(&[3, 3], &expected));
    }

    #[test]
    fn axes_within_are_searched_across() {
        let rows = tensor(&[1, 2, 2], &[1.0f32, 8.0, 3.0, 4.0]);
        standard("Hardmax", vec![int("axis", 1)]).gives(rows, tensor(&[1, 2, 2], &[0.0f32, 1.0, 1.0, 0.0]));
    }
}
