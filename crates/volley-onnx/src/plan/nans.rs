//! NaN kept where tract would lose it: in the larger and the smaller of two numbers, Relu and Clip among them, in
//! Sigmoid and in Tanh. A row that has no score would get one. Searches for an extreme treat NaN as ONNX Runtime does,
//! and what is no place of a OneHot is none. Sums are made in their own type, and GELU of a low number is zero.
//!
//! What follows a product of matrices of tract's own is done together with it, in instructions that keep the NaN.

use tract_onnx::tract_core::ops::array::{OneHot, Topk};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm};
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_hir::internal::*;

use super::thin::follows_product;
use crate::ops::{
    Answer, ByRootOfMean, Chosen, DynamicQuantize, MeanOfSquares, NanOf, Places, Searched, Top, WholeSum, WithoutTail,
    typed, typed_of_several,
};

/// Puts operators that keep NaN in the place of those of a decluttered model that do not.
pub(super) fn keep(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        if let Some(op) = replacement(model, node)? {
            TypedModelPatch::replace_single_op(model, node, &node.inputs[..1], op)?.apply(model)?;
            continue;
        }
        let patch = match (chosen(model, node)?, node.op_as::<ElementWiseOp>(), node.op_as::<Scan>()) {
            (Some(chosen), ..) => choice(model, node, chosen)?,
            (_, Some(op), _) if matches!(&*op.0.name(), "Sigmoid" | "Tanh") => {
                beside_input(model, node, typed_of_several(NanOf, 2, 1))?
            }
            (_, Some(op), _) if op.0.name() == "GeluApproximate" => {
                beside_input(model, node, typed_of_several(WithoutTail, 2, 1))?
            }
            (_, _, Some(scan)) => {
                let mut scan = scan.clone();
                keep(&mut scan.body)?;
                TypedModelPatch::replace_single_op(model, node, &node.inputs, scan)?
            }
            _ => continue,
        };
        patch.apply(model)?;
    }
    model.compact()
}

/// What takes the place of a node whatever is around it.
fn replacement(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Box<dyn TypedOp>>> {
    if node.inputs.is_empty() {
        return Ok(None);
    }
    if let Some(op) = node.op_as::<OneHot>() {
        return Ok(Some(typed(Places::from(op))));
    }
    // The operator has no name but this in what tract tells of itself.
    if node.op.name() == "DynamicQuantizeLinearU8" {
        return Ok(Some(typed_of_several(DynamicQuantize, 1, 3)));
    }
    if let Some(op) = other_sum(node, model.outlet_fact(node.inputs[0])?.datum_type)? {
        return Ok(Some(op));
    }
    // Elements of other types are all numbers.
    if !model.outlet_fact(node.inputs[0])?.datum_type.is_float() {
        return Ok(None);
    }
    let searched = searched(node).map(typed);
    Ok(match searched {
        None => top(model, node)?.map(|op| typed_of_several(op, 1, 2)),
        found => found,
    })
}

/// Sums that tract makes in another type than they are written in, and sums that may be too large for theirs.
fn other_sum(node: &TypedNode, element: DatumType) -> TractResult<Option<Box<dyn TypedOp>>> {
    if let (Some(op), DatumType::F64) = (node.op_as::<RmsNorm>(), element) {
        return Ok(Some(typed(ByRootOfMean { axis: op.axis, epsilon: op.eps.cast_to_scalar()? })));
    }
    Ok(node.op_as::<Reduce>().and_then(|op| match (op.reducer, element) {
        (Reducer::MeanOfSquares, DatumType::F64) => Some(typed(MeanOfSquares { axes: op.axes.clone() })),
        (Reducer::Sum, DatumType::I32) => Some(typed(WholeSum { axes: op.axes.clone() })),
        _ => None,
    }))
}

/// A search for the first few, of which it is known how many they are.
fn top(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Top>> {
    let Some(op) = node.op_as::<Topk>() else { return Ok(None) };
    let Some(count) = &model.outlet_fact(node.inputs[1])?.konst else { return Ok(None) };
    let count = usize::try_from(count.cast_to_scalar::<i64>()?)?;
    Ok(Some(Top { axis: op.axis, count, largest: op.largest }))
}

/// A search along one axis, or for a value along several.
fn searched(node: &TypedNode) -> Option<Searched> {
    let op = node.op_as::<Reduce>()?;
    let (largest, answer) = match op.reducer {
        Reducer::ArgMax(last) => (true, Answer::Place { last }),
        Reducer::ArgMin(last) => (false, Answer::Place { last }),
        Reducer::Max => (true, Answer::Value),
        Reducer::Min => (false, Answer::Value),
        _ => return None,
    };
    let fits = op.axes.len() == 1 || answer == Answer::Value;
    fits.then(|| Searched { axes: op.axes.clone(), largest, answer })
}

fn chosen(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Chosen>> {
    let Some(op) = node.op_as::<TypedBinOp>() else { return Ok(None) };
    let chosen = match op.0.name() {
        "Max" => Chosen::Larger,
        "Min" => Chosen::Smaller,
        _ => return Ok(None),
    };
    let is_float = node.outputs[0].fact.datum_type.is_float();
    Ok((is_float && !is_fused(model, node)?).then_some(chosen))
}

/// Whether a choice between the elements of a product and one number is made in instructions that keep NaN.
fn is_fused(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let mut with_number = false;
    for input in &node.inputs {
        with_number |= model.outlet_fact(*input)?.konst.as_ref().is_some_and(|constant| constant.len() == 1);
    }
    let of_product = node.inputs.iter().any(|&input| follows_product(model, input));
    Ok(of_product && with_number && is_matrix(&node.outputs[0].fact))
}

/// Whether more than one row and more than one column come out: tract's instructions for a single one lose NaN.
fn is_matrix(fact: &TypedFact) -> bool {
    fact.shape.iter().filter(|dim| !dim.is_one()).count() > 1
}

fn choice(model: &TypedModel, node: &TypedNode, chosen: Chosen) -> TractResult<TypedModelPatch> {
    let [mut a, mut b] = [node.inputs[0], node.inputs[1]];
    if model.outlet_fact(a)?.konst.is_some() {
        (a, b) = (b, a);
    }
    TypedModelPatch::replace_single_op(model, node, &[a, b], typed(chosen))
}

/// What `op` makes of the output of the node and its input takes the place of the output.
fn beside_input(model: &TypedModel, node: &TypedNode, op: Box<dyn TypedOp>) -> TractResult<TypedModelPatch> {
    let mut patch = TypedModelPatch::default();
    let input = patch.tap_model(model, node.inputs[0])?;
    let output = patch.wire_node(&node.name, node.op.clone(), &[input])?[0];
    let kept = patch.wire_node(format!("{}.kept", node.name), op, &[output, input])?[0];
    patch.shunt_outside(model, node.id.into(), kept)?;
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, assert_close, standard, string, tensor};
    use crate::{Element, tensor_values};

    const NAN: f32 = f32::NAN;

    #[test]
    fn an_activation_of_nan_is_nan() {
        let rows = tensor(&[3, 1], &[NAN, -1.0, 2.0]);
        standard("Relu", vec![]).gives(rows.clone(), tensor(&[3, 1], &[NAN, 0.0, 2.0]));
        let zero = || tensor(&[1], &[0.0f32]);
        for (operator, expected) in [("Max", [NAN, 0.0, 2.0]), ("Min", [NAN, -1.0, 0.0])] {
            standard(operator, vec![]).with(zero()).gives(rows.clone(), tensor(&[3, 1], &expected));
        }
        let clip = standard("Clip", vec![]).with(tensor(&[], &[0.0f32])).with(tensor(&[], &[1.0f32]));
        clip.gives(rows, tensor(&[3, 1], &[NAN, 0.0, 1.0]));
    }

    #[test]
    fn gelu_of_a_low_number_is_zero() {
        let row = tensor(&[1, 4], &[-1e6f32, -100.0, 2.0, NAN]);
        let gelu = standard("Gelu", vec![string("approximate", "tanh")]);
        gelu.gives(row, tensor(&[1, 4], &[0.0, 0.0, 1.954_597_7, NAN]));
    }

    #[test]
    fn other_activations_of_nan_are_nan_too() {
        let mut lost = vec![];
        for operator in [
            "Abs",
            "Ceil",
            "Cos",
            "Elu",
            "Erf",
            "Exp",
            "Floor",
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "Log",
            "Mish",
            "Neg",
            "Reciprocal",
            "Round",
            "Selu",
            "Sigmoid",
            "Sign",
            "Sin",
            "Softplus",
            "Softsign",
            "Sqrt",
            "Tanh",
        ] {
            let model = ModelBuilder::default().input("x", Element::F32, &[-1, 1]).output("y", Element::F32);
            let model = model.node("", operator, &["x"], &["y"], vec![]);
            let scores = model.run(2, vec![tensor(&[2, 1], &[NAN, 0.5])]).expect(operator);
            let scores = tensor_values::<f32>(&scores[0]).expect("singles");
            if !scores[0].is_nan() || scores[1].is_nan() {
                lost.push((operator, scores.to_vec()));
            }
        }
        assert!(lost.is_empty(), "{lost:?}");
    }

    #[test]
    fn a_layer_of_any_width_keeps_nan() {
        for (width, batch) in [(1, -1), (3, -1), (24, -1), (200, -1), (1, 1), (24, 1), (200, 1)] {
            let model = ModelBuilder::default()
                .input("x", Element::F32, &[batch, 2])
                .output("y", Element::F32)
                .constant("weights", &tensor(&[2, width], &vec![1.0f32; 2 * width]))
                .constant("bias", &tensor(&[width], &vec![-1.0f32; width]))
                .node("", "MatMul", &["x", "weights"], &["sums"], vec![])
                .node("", "Add", &["sums", "bias"], &["moved"], vec![])
                .node("", "Relu", &["moved"], &["large"], vec![])
                .node("", "Clip", &["large", "low", "high"], &["y"], vec![])
                .constant("low", &tensor(&[], &[-1.0f32]))
                .constant("high", &tensor(&[], &[2.0f32]));
            for rows in [2, 1024] {
                let values = [[NAN, 1.0], [1.0, 2.0]].concat().repeat(rows / 2);
                let scores = model.clone().run(rows, vec![tensor(&[rows, 2], &values)]).expect("a sound model");
                let expected = [vec![NAN; width], vec![2.0; width]].concat().repeat(rows / 2);
                assert_close(&scores[0], &tensor(&[rows, width], &expected));
            }
        }
    }

    #[test]
    fn two_columns_are_compared_row_by_row() {
        let model = ModelBuilder::default()
            .input("a", Element::F32, &[-1, 2])
            .input("b", Element::F32, &[-1, 1])
            .output("y", Element::F32)
            .node("", "Max", &["a", "b"], &["y"], vec![]);
        let inputs = vec![tensor(&[2, 2], &[1.0f32, 5.0, NAN, 0.0]), tensor(&[2, 1], &[3.0f32, NAN])];
        let scores = model.run(2, inputs).expect("a sound model");
        assert_close(&scores[0], &tensor(&[2, 2], &[3.0, 5.0, NAN, NAN]));
    }
}
