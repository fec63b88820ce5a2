//! `Imputer`: puts a value of the column in the place of missing ones.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ensure_numeric, ensure_per_column, filled, floats, ints, per_column, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cell, Cells, Given, RowColumn};

/// Imputed values and the value that stands for a missing one, for floats or for integers.
#[derive(Debug)]
struct Imputer {
    floats: Vec<f32>,
    missing_float: f32,
    ints: Vec<i64>,
    missing_int: i64,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let imputer = Imputer {
        floats: floats(node, "imputed_value_floats")?,
        missing_float: node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0),
        ints: ints(node, "imputed_value_int64s")?,
        missing_int: node.get_attr_opt("replaced_value_int64")?.unwrap_or(0),
    };
    if imputer.floats.is_empty() == imputer.ints.is_empty() {
        return node.bail("imputed values are needed, either floats or integers");
    }
    kernel(node, 1..=1, imputer)
}

impl Kernel for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure_numeric(&inputs[0])?;
        let float = matches!(inputs[0].element, DatumType::F32 | DatumType::F64);
        ensure!(float == self.ints.is_empty(), "imputed values are not of the input's type");
        Ok(vec![inputs[0].clone()])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let input = inputs[0].value()?;
        let columns = *input.dims.last()?;
        let len = self.floats.len().max(self.ints.len());
        ensure_per_column("the list of imputed values", len, columns).ok()?;
        let (missing, missing_int) = (self.missing_float, self.missing_int);
        let double = |at: usize| f64::from(per_column(&self.floats, at % columns));
        let imputed = match &input.cells {
            Cells::Singles(list) if missing.is_nan() => {
                Cells::Singles(each(list, build, double, |v: f32, to| if v.is_nan() { to as f32 } else { v }))
            }
            Cells::Singles(list) => {
                Cells::Singles(each(list, build, double, move |v: f32, to| if v == missing { to as f32 } else { v }))
            }
            Cells::Doubles(list) => Cells::Doubles(each(list, build, double, move |v: f64, to| {
                if v == f64::from(missing) || (missing.is_nan() && v.is_nan()) { to } else { v }
            })),
            Cells::Longs(list) => {
                let int = |at: usize| per_column(&self.ints, at % columns);
                Cells::Longs(each(list, build, int, move |v: i64, to| if v == missing_int { to } else { v }))
            }
            Cells::Texts(_) => return None,
        };
        Some(vec![imputed])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let (missing, missing_int) = (self.missing_float, self.missing_int);
        let output = match input.datum_type() {
            DatumType::F32 => impute(input, &self.floats, |v: f32| v == missing || (missing.is_nan() && v.is_nan())),
            DatumType::F64 => {
                let doubles: Vec<f64> = self.floats.iter().map(|&v| f64::from(v)).collect();
                impute(input, &doubles, |v: f64| v == f64::from(missing) || (missing.is_nan() && v.is_nan()))
            }
            DatumType::I32 => {
                let ints: Vec<i32> = self.ints.iter().map(|&v| v as i32).collect();
                impute(input, &ints, |v: i32| i64::from(v) == missing_int)
            }
            _ => impute(input, &self.ints, |v: i64| v == missing_int),
        };
        Ok(vec![output?])
    }
}

/// What `impute` makes of each column and its own value.
fn each<T: Cell, V: Copy + Send + Sync + 'static>(
    columns: &[RowColumn<T>],
    build: &mut Builder,
    value: impl Fn(usize) -> V,
    impute: impl Fn(T, V) -> T + Copy + Send + Sync + 'static,
) -> Vec<RowColumn<T>> {
    let columns = columns.iter().enumerate();
    let imputed = columns.map(|(at, &column)| {
        let to = value(at);
        build.map(column, move |v| impute(v, to))
    });
    imputed.collect()
}

fn impute<T: Datum + Copy + tract_num_traits::Zero>(
    input: &Tensor,
    imputed: &[T],
    missing: impl Fn(T) -> bool,
) -> TractResult<Tensor> {
    let columns = input.shape().last().copied().unwrap_or(1);
    ensure_per_column("the list of imputed values", imputed.len(), columns)?;
    let imputed: Vec<T> = (0..columns).map(|at| per_column(imputed, at)).collect();
    let rows = values::<T>(input)?.chunks_exact(columns.max(1));
    filled(input.shape(), |out| {
        for (out, row) in out.chunks_exact_mut(columns.max(1)).zip(rows) {
            for ((out, &v), &imputed) in out.iter_mut().zip(row).zip(&imputed) {
                *out = if missing(v) { imputed } else { v };
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{float, floats, int, ints, ints_in, ml, tensor};

    const NAN: f32 = f32::NAN;

    #[test]
    fn nan_becomes_the_value_of_its_column() {
        ml("Imputer", vec![floats("imputed_value_floats", &[7.0, 8.0]), float("replaced_value_float", NAN)])
            .gives(tensor(&[2, 2], &[1.0f32, NAN, NAN, 0.0]), tensor(&[2, 2], &[1.0f32, 8.0, 7.0, 0.0]));
    }

    #[test]
    fn the_missing_value_is_zero_unless_said_otherwise() {
        ml("Imputer", vec![floats("imputed_value_floats", &[7.0])])
            .gives(tensor(&[2, 2], &[1.0f64, 0.0, 2.0, 0.0]), tensor(&[2, 2], &[1.0f64, 7.0, 2.0, 7.0]));
    }

    #[test]
    fn integers_are_imputed_with_integers() {
        ml("Imputer", vec![ints("imputed_value_int64s", &[5, 6]), int("replaced_value_int64", -1)])
            .gives(ints_in(&[2, 2], &[-1, -1, 3, 1 << 40]), ints_in(&[2, 2], &[5, 6, 3, 1 << 40]));
    }
}
