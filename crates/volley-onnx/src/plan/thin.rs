//! Products with thin matrices, and arithmetic by column, done by kernels of our own.
//!
//! tract's are made for images and wide layers: ten principal components of 28 columns took it five
//! times as long as ONNX Runtime.

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_hir::internal::*;

use crate::ops::{Arithmetic, ByColumn, product, typed};

/// No axes.
const NONE: [usize; 0] = [];
/// Columns of a thin matrix at most.
const THIN_MAX: usize = 16;

/// Puts our kernels in the place of those nodes of a decluttered model where they are faster. How many there are.
pub(super) fn replace(model: &mut TypedModel) -> TractResult<usize> {
    let mut replaced = 0;
    for id in model.eval_order()? {
        let node = model.node(id);
        let found = if node.op_is::<EinSum>() { thin_product(model, node)? } else { by_column(model, node)? };
        let Some((input, op)) = found else { continue };
        let patch = TypedModelPatch::replace_single_op(model, node, &[input], op)?;
        patch.apply(model)?;
        replaced += 1;
    }
    model.compact()?;
    Ok(replaced)
}

type Found = Option<(OutletId, Box<dyn TypedOp>)>;

/// A matrix of rows multiplied by a constant one.
fn thin_product(model: &TypedModel, node: &TypedNode) -> TractResult<Found> {
    let [rows, matrix] = *node.inputs else { return Ok(None) };
    let Some((columns, targets, transposed)) = constant_product(model, node)? else { return Ok(None) };
    let Some(weights) = singles(model, matrix)? else { return Ok(None) };
    if !is_single_matrix(model, rows)? || targets > THIN_MAX || weights.len() != columns * targets {
        return Ok(None);
    }
    let weight = |target: usize, column: usize| match transposed {
        true => weights[target * columns + column],
        false => weights[column * targets + target],
    };
    let by_target = (0..targets).flat_map(|target| (0..columns).map(move |column| (target, column)));
    let coefficients = by_target.map(|(target, column)| weight(target, column)).collect();
    Ok(Some((rows, typed(product(coefficients, targets)))))
}

/// The rows and columns of the constant in a plain product of two matrices, and whether it is stored by target.
pub(crate) fn constant_product(model: &TypedModel, node: &TypedNode) -> TractResult<Option<(usize, usize, bool)>> {
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let shape = &model.outlet_fact(node.inputs[1])?.shape;
    let Some(&[first, second]) = shape.as_concrete() else { return Ok(None) };
    if op.q_params.is_some() || node.outputs[0].fact.rank() != 2 || model.outlet_fact(node.inputs[0])?.rank() != 2 {
        return Ok(None);
    }
    let (row, summed) = (op.axes.axis((InOut::In(0), 0))?, op.axes.axis((InOut::In(0), 1))?);
    let stays = *row.inputs[1] == NONE && *row.outputs[0] == [0];
    let axis = |at: usize| -> TractResult<bool> {
        let other = op.axes.axis((InOut::In(1), 1 - at))?;
        let is_summed = *summed.inputs[1] == [at] && *summed.outputs[0] == NONE;
        Ok(stays && is_summed && *other.inputs[0] == NONE && *other.outputs[0] == [1])
    };
    Ok(match (axis(0)?, axis(1)?) {
        (true, _) => Some((first, second, false)),
        (_, true) => Some((second, first, true)),
        _ => None,
    })
}

/// A matrix of rows and a constant row.
fn by_column(model: &TypedModel, node: &TypedNode) -> TractResult<Found> {
    let Some(op) = node.op_as::<TypedBinOp>() else { return Ok(None) };
    let [first, second] = *node.inputs else { return Ok(None) };
    let arithmetic = match op.0.name() {
        "Add" => Arithmetic::Add,
        "Sub" => Arithmetic::Subtract,
        "Mul" => Arithmetic::Multiply,
        "Div" => Arithmetic::Divide,
        _ => return Ok(None),
    };
    let commutes = matches!(arithmetic, Arithmetic::Add | Arithmetic::Multiply);
    let (rows, row) = match model.outlet_fact(first)?.konst {
        Some(_) if commutes => (second, first),
        _ => (first, second),
    };
    let Some(numbers) = singles(model, row)? else { return Ok(None) };
    let is_row = numbers.len() > 1 && model.outlet_fact(row)?.shape.as_concrete() == Some(&[1, numbers.len()]);
    let same = model.outlet_fact(rows)?.shape == node.outputs[0].fact.shape;
    if op.1.is_some() || !is_row || !same || !is_single_matrix(model, rows)? || follows_product(model, rows) {
        return Ok(None);
    }
    Ok(Some((rows, typed(ByColumn { arithmetic, numbers }))))
}

/// tract does what follows a product of its own together with that.
pub(super) fn follows_product(model: &TypedModel, outlet: OutletId) -> bool {
    let mut node = model.node(outlet.node);
    while node.op_is::<TypedBinOp>() || node.op_is::<ElementWiseOp>() {
        let is_constant = |it: &&OutletId| model.outlet_fact(**it).is_ok_and(|fact| fact.konst.is_some());
        let Some(input) = node.inputs.iter().find(|it| !is_constant(it)) else { return false };
        node = model.node(input.node);
    }
    node.op_is::<EinSum>()
}

fn is_single_matrix(model: &TypedModel, outlet: OutletId) -> TractResult<bool> {
    let fact = model.outlet_fact(outlet)?;
    Ok(fact.rank() == 2 && fact.datum_type == DatumType::F32 && fact.konst.is_none())
}

/// The elements of a constant of singles.
fn singles(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Vec<f32>>> {
    let fact = model.outlet_fact(outlet)?;
    Ok(fact.konst.as_ref().and_then(|constant| crate::tensor_values::<f32>(constant)).map(<[f32]>::to_vec))
}

#[cfg(test)]
mod tests {
    use crate::Element;
    use crate::testing::{ModelBuilder, assert_close, int, tensor};

    fn check(model: ModelBuilder, expected: [f32; 3]) {
        for rows in [1, 200, 1500] {
            let values: Vec<f32> = (0..rows).flat_map(|_| [1.0f32, 2.0]).collect();
            let got = model.clone().run(rows, vec![tensor(&[rows, 2], &values)]).expect("a sound model");
            let expected: Vec<f32> = (0..rows).flat_map(|_| expected).collect();
            assert_close(&got[0], &tensor(&[rows, 3], &expected));
        }
    }

    /// Three weighted sums of two columns.
    fn product() -> ModelBuilder {
        ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("weights", &tensor(&[2, 3], &[1.0f32, 0.0, 2.0, 10.0, -1.0, 0.5]))
            .constant("row", &tensor(&[3], &[1.0f32, 2.0, 4.0]))
            .node("", "MatMul", &["x", "weights"], &["sums"], vec![])
    }

    #[test]
    fn a_thin_product_and_what_is_done_to_its_columns() {
        for (operator, expected) in [
            ("Add", [22.0, 0.0, 7.0]),
            ("Sub", [20.0, -4.0, -1.0]),
            ("Mul", [21.0, -4.0, 12.0]),
            ("Div", [21.0, -1.0, 0.75]),
        ] {
            check(product().node("", operator, &["sums", "row"], &["y"], vec![]), expected);
        }
        check(product().node("", "Sub", &["row", "sums"], &["y"], vec![]), [-20.0, 4.0, 1.0]);
        check(product().node("", "Add", &["row", "sums"], &["y"], vec![]), [22.0, 0.0, 7.0]);
    }

    #[test]
    fn a_transposed_thin_product() {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("weights", &tensor(&[3, 2], &[1.0f32, 10.0, 0.0, -1.0, 2.0, 0.5]))
            .node("", "Gemm", &["x", "weights"], &["y"], vec![int("transB", 1)]);
        check(model, [21.0, -2.0, 3.0]);
    }
}
