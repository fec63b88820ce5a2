//! Products of columns, many at once: what the graph rewrite makes of exported polynomial features.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::node::{ints, refuse, rows_and_columns, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given};

/// Each output column is the product of some input columns; of none, it is one.
#[derive(Debug)]
struct Products {
    factors: Vec<Vec<usize>>,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let columns = ints(node, "columns")?;
    let mut rest = columns.as_slice();
    let mut factors = Vec::new();
    for count in ints(node, "counts")? {
        let count =
            usize::try_from(count).ok().filter(|&count| count <= rest.len()).context("a count is impossible")?;
        let (these, others) = rest.split_at(count);
        let these = these.iter().map(|&at| usize::try_from(at).ok().context("a column is impossible"));
        factors.push(these.collect::<TractResult<Vec<usize>>>()?);
        rest = others;
    }
    kernel(node, 1..=1, Products { factors })
}

impl Products {
    fn of<T: Datum + Copy + std::iter::Product>(&self, input: &Tensor) -> TractResult<Vec<Tensor>> {
        let (rows, columns) = rows_and_columns(input)?;
        if self.factors.iter().flatten().any(|&at| at >= columns) {
            return refuse(format!("an index points outside {columns} columns"));
        }
        let mut out = Vec::with_capacity(rows * self.factors.len());
        for row in values::<T>(input)?.chunks_exact(columns.max(1)) {
            out.extend(self.factors.iter().map(|factors| factors.iter().map(|&at| row[at]).product::<T>()));
        }
        Ok(vec![crate::tensor_from(&[rows, self.factors.len()], out)])
    }
}

impl Kernel for Products {
    fn name(&self) -> &'static str {
        "Products"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        ensure!(matches!(inputs[0].element, DatumType::F32 | DatumType::F64 | DatumType::I64), "numbers are needed");
        let [rows, _] = &*inputs[0].shape else { bail!("a matrix is needed") };
        Ok(vec![Signature::new(inputs[0].element, [rows.clone(), self.factors.len().to_dim()])])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let Cells::Singles(input) = &inputs[0].value()?.cells else { return None };
        let product = |factors: &Vec<usize>| {
            let factors = factors.iter().map(|&at| input.get(at).copied()).collect::<Option<Vec<_>>>()?;
            Some(build.fold(&factors, 1.0, |product, v| product * v))
        };
        Some(vec![Cells::Singles(self.factors.iter().map(product).collect::<Option<_>>()?)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        match inputs[0].datum_type() {
            DatumType::F32 => self.of::<f32>(inputs[0]),
            DatumType::F64 => self.of::<f64>(inputs[0]),
            DatumType::I64 => self.of::<i64>(inputs[0]),
            other => refuse(format!("numbers are needed, not {other:?}")),
        }
    }
}
