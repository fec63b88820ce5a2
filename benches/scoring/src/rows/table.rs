//! Rows of a table, drawn again and again: the same few in the same order would be learned by a processor that guesses
//! which way a branch goes.

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type, Int64Type};
use volley_onnx::{Dim, Element, Port};

use super::{Dice, Input, ROWS, Rows, Values};

impl Rows {
    /// Rows drawn from `table`, whose columns for each of `ports` are named.
    pub fn drawn(ports: &[Port], table: &RecordBatch, names: &[Vec<String>]) -> Result<Rows> {
        let mut dice = Dice::new();
        let rows = table.num_rows();
        let drawn: UInt64Array = (0..ROWS).map(|_| dice.below(rows) as u64).collect();
        let column = |name: &String| -> Result<ArrayRef> {
            let column = table.column_by_name(name).with_context(|| format!("the table has no column `{name}`"))?;
            Ok(take(column, &drawn, None)?)
        };
        let input = |(port, names): (&Port, &Vec<String>)| -> Result<Input> {
            Input::of_columns(port, &names.iter().map(column).collect::<Result<Vec<_>>>()?)
        };
        Ok(Rows::new(ports.iter().zip(names).map(input).collect::<Result<_>>()?))
    }
}

impl Input {
    fn of_columns(port: &Port, columns: &[ArrayRef]) -> Result<Input> {
        let fixed = |dim: &Dim| if let Dim::Fixed(len) = dim { Some(*len) } else { None };
        let declared: Option<Vec<usize>> = port.shape.iter().flatten().skip(1).map(fixed).collect();
        let shape = declared.unwrap_or_else(|| vec![columns.len()]);
        let values = match port.element {
            Element::F16 => Values::Halves(row_by_row::<Float16Type>(columns)?),
            Element::F32 => Values::Floats(row_by_row::<Float32Type>(columns)?),
            Element::F64 => Values::Doubles(row_by_row::<Float64Type>(columns)?),
            Element::I64 => Values::Ints(row_by_row::<Int64Type>(columns)?),
            Element::String => Values::Texts(texts(columns)?),
            other => bail!("the bench has no rows of {other:?}"),
        };
        Ok(Input { name: port.name.clone(), shape, values })
    }
}

fn row_by_row<T: ArrowPrimitiveType>(columns: &[ArrayRef]) -> Result<Vec<T::Native>> {
    let columns: Vec<ArrayRef> = columns.iter().map(|it| cast(it, &T::DATA_TYPE)).collect::<Result<_, _>>()?;
    let columns: Vec<&[T::Native]> = columns.iter().map(|it| it.as_primitive::<T>().values().as_ref()).collect();
    Ok((0..ROWS).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
}

fn texts(columns: &[ArrayRef]) -> Result<Vec<String>> {
    let columns: Vec<ArrayRef> = columns.iter().map(|it| cast(it, &DataType::Utf8)).collect::<Result<_, _>>()?;
    let text = |column: &ArrayRef, row| column.as_string::<i32>().value(row).to_owned();
    Ok((0..ROWS).flat_map(|row| columns.iter().map(move |column| text(column, row))).collect())
}
