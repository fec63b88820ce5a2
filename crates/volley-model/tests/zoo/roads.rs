//! A model of the zoo on both roads: column by column, and through tensors.

use std::fs;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use volley_onnx::{Dim, Element, Graph, Limits, Plan, Port, Road, Tensor, tensor_from, tensor_values};

use crate::comparison::{Entry, Zoo};

/// How far scores may be apart, as a part of their size.
const TOLERANCE: f64 = 1e-5;

/// The largest difference between the roads in any score, over batches around the size of a block; `None` for a model
/// that cannot take the direct one.
pub fn compared(zoo: &Zoo, entry: &Entry) -> Result<Option<f64>, String> {
    let file = fs::read(zoo.folder.join("models").join(format!("{}.onnx", entry.name))).expect("a model");
    let graph = Graph::parse(&file, &|_| None, &Limits::default()).map_err(|error| error.to_string())?;
    let direct = graph.plan().map_err(|error| error.to_string())?;
    if direct.road() != Road::Direct {
        return Ok(None);
    }
    let tensors = graph.plan_on_tensors().map_err(|error| error.to_string())?;
    let table = zoo.table("tables", &entry.table);
    let mut largest = 0.0f64;
    for rows in [0, 1, 7, 255, 256, 257, table.num_rows()] {
        let inputs: Vec<Tensor> = graph
            .inputs()
            .iter()
            .zip(&entry.inputs)
            .map(|(port, names)| {
                let column = |name: &String| table.column_by_name(name).expect(name).slice(0, rows);
                tensor(port, &names.iter().map(column).collect::<Vec<_>>(), rows)
            })
            .collect();
        largest = largest.max(difference(&direct, &tensors, rows, inputs)?);
    }
    Ok(Some(largest))
}

fn tensor(port: &Port, columns: &[ArrayRef], rows: usize) -> Tensor {
    let fixed = |dim: &Dim| if let Dim::Fixed(len) = dim { *len } else { columns.len() };
    let shape: Vec<usize> = [rows].into_iter().chain(port.shape.iter().flatten().skip(1).map(fixed)).collect();
    fn by_row<T: ArrowPrimitiveType>(columns: &[ArrayRef], to: &DataType, rows: usize) -> Vec<T::Native> {
        let columns: Vec<ArrayRef> = columns.iter().map(|column| cast(column, to).expect("numbers")).collect();
        (0..rows).flat_map(|row| columns.iter().map(move |it| it.as_primitive::<T>().value(row))).collect()
    }
    match port.element {
        Element::F32 => tensor_from(&shape, by_row::<Float32Type>(columns, &DataType::Float32, rows)),
        Element::F64 => tensor_from(&shape, by_row::<Float64Type>(columns, &DataType::Float64, rows)),
        Element::I32 => tensor_from(&shape, by_row::<Int32Type>(columns, &DataType::Int32, rows)),
        Element::I64 => tensor_from(&shape, by_row::<Int64Type>(columns, &DataType::Int64, rows)),
        Element::String => {
            let columns: Vec<ArrayRef> =
                columns.iter().map(|column| cast(column, &DataType::Utf8).expect("texts")).collect();
            let texts = (0..rows).flat_map(|row| columns.iter().map(move |it| it.as_string::<i32>().value(row)));
            tensor_from(&shape, texts.map(str::to_owned).collect())
        }
        other => panic!("no model of the zoo on the direct road takes {other:?}"),
    }
}

fn difference(a: &Plan, b: &Plan, rows: usize, inputs: Vec<Tensor>) -> Result<f64, String> {
    let (a, b) = (a.run(rows, inputs.clone()), b.run(rows, inputs));
    let (a, b) = (a.map_err(|error| error.to_string())?, b.map_err(|error| error.to_string())?);
    let mut largest = 0.0f64;
    for (at, (a, b)) in a.iter().zip(&b).enumerate() {
        if (a.datum_type(), a.shape()) != (b.datum_type(), b.shape()) {
            return Err(format!("output {at} of {rows} rows is {a:?} on one road and {b:?} on the other"));
        }
        match (doubles(a), doubles(b)) {
            (Some(a), Some(b)) => {
                for (value, (a, b)) in a.into_iter().zip(b).enumerate() {
                    if a == b || (a.is_nan() && b.is_nan()) {
                        continue;
                    }
                    let apart = (a - b).abs() / (1.0 + b.abs());
                    if apart.is_nan() || apart > TOLERANCE {
                        return Err(format!("output {at} of {rows} rows, value {value}: {a} is not {b}"));
                    }
                    largest = largest.max(apart);
                }
            }
            _ if a == b => {}
            _ => return Err(format!("output {at} of {rows} rows has other labels")),
        }
    }
    Ok(largest)
}

fn doubles(tensor: &Tensor) -> Option<Vec<f64>> {
    let singles = tensor_values::<f32>(tensor).map(|values| values.iter().map(|&v| f64::from(v)).collect());
    singles.or_else(|| tensor_values::<f64>(tensor).map(<[f64]>::to_vec))
}
