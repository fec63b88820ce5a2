//! `OneHotEncoder`: a column for each known category.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::cast::long;
use super::node::{ensure_numeric, filled, labels, refuse, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cells, Given, Numbers, RowColumn, Words};
use crate::port::ClassLabels;

/// Why a strict encoder refuses.
const UNKNOWN: &str = "a category is not among those the model was trained on";

#[derive(Debug)]
struct OneHotEncoder {
    categories: Categories,
    count: usize,
    /// Whether an unknown category is a row of zeros; otherwise it is an error.
    zeros: bool,
}

#[derive(Debug)]
enum Categories {
    Ints(HashMap<i64, usize>),
    Strings(HashMap<String, usize>),
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    let Some(list) = labels(node, "cats_int64s", "cats_strings")? else {
        return node.bail("no categories are given");
    };
    let count = list.len();
    let categories = match list {
        ClassLabels::Ints(ints) => Categories::Ints(positions(ints)),
        ClassLabels::Strings(strings) => Categories::Strings(positions(strings)),
    };
    let zeros = node.get_attr_opt::<i64>("zeros")?.unwrap_or(1) != 0;
    kernel(node, 1..=1, OneHotEncoder { categories, count, zeros })
}

/// Where a category is listed; the last time, as in ONNX Runtime.
fn positions<K: std::hash::Hash + Eq>(list: Vec<K>) -> HashMap<K, usize> {
    list.into_iter().enumerate().map(|(at, key)| (key, at)).collect()
}

impl Kernel for OneHotEncoder {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let input = &inputs[0];
        match self.categories {
            Categories::Strings(_) => {
                ensure!(input.element == DatumType::String, "strings are needed");
            }
            Categories::Ints(_) => ensure_numeric(input)?,
        }
        let shape = input.shape.iter().cloned().chain([self.count.to_dim()]);
        Ok(vec![Signature::new(DatumType::F32, shape)])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let codes = self.codes(&inputs[0].value()?.cells, build)?;
        let mut columns = Vec::new();
        for codes in codes {
            if !self.zeros {
                build.refuse_unknown(codes, self.count as u32, UNKNOWN);
            }
            columns.extend(build.one_hot(codes, self.count));
        }
        Some(vec![Cells::Singles(columns)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0];
        let found: Vec<Option<usize>> = match &self.categories {
            Categories::Strings(known) => lookup(values::<String>(input)?, |v| known.get(v)),
            Categories::Ints(known) => match input.datum_type() {
                DatumType::I64 => lookup(values::<i64>(input)?, |v| known.get(v)),
                DatumType::I32 => lookup(values::<i32>(input)?, |v| known.get(&i64::from(*v))),
                DatumType::F64 => lookup(values::<f64>(input)?, |v| real(known, *v)),
                _ => lookup(values::<f32>(input)?, |v| real(known, f64::from(*v))),
            },
        };
        if !self.zeros && found.contains(&None) {
            return refuse(UNKNOWN);
        }
        let shape: TVec<usize> = input.shape().iter().copied().chain([self.count]).collect();
        let output = filled::<f32>(&shape, |out| {
            for (row, at) in out.chunks_exact_mut(self.count).zip(found) {
                if let Some(at) = at {
                    row[at] = 1.0;
                }
            }
            Ok(())
        })?;
        Ok(vec![output])
    }
}

impl OneHotEncoder {
    /// The position of each element's category; what is of none has their number.
    fn codes(&self, input: &Cells, build: &mut Builder) -> Option<Vec<RowColumn<u32>>> {
        let unknown = self.count as u32;
        match (&self.categories, input) {
            (Categories::Strings(known), Cells::Texts(texts)) => {
                let words = Words::new(known.iter().map(|(text, &at)| (text.as_str(), at as u32)), unknown);
                let words = Arc::new(words);
                Some(texts.iter().map(|text| text.codes(&words, build)).collect())
            }
            (Categories::Ints(known), input) => {
                let known: Arc<Numbers> = Arc::new(known.iter().map(|(&key, &at)| (key as u64, at as u32)).collect());
                let finite = |v: f64| v.is_finite().then(|| long(v) as u64);
                Some(match input {
                    Cells::Longs(list) => {
                        list.iter().map(|&it| build.find(it, &known, unknown, |v| Some(v as u64))).collect()
                    }
                    Cells::Doubles(list) => list.iter().map(|&it| build.find(it, &known, unknown, finite)).collect(),
                    Cells::Singles(list) => {
                        let finite = move |v: f32| finite(f64::from(v));
                        list.iter().map(|&it| build.find(it, &known, unknown, finite)).collect()
                    }
                    Cells::Texts(_) => return None,
                })
            }
            _ => None,
        }
    }
}

/// The category of a number whose fraction is cut off, as in ONNX Runtime. NaN is of none.
fn real(known: &HashMap<i64, usize>, value: f64) -> Option<&usize> {
    value.is_finite().then(|| known.get(&long(value)))?
}

fn lookup<'k, T>(values: &[T], find: impl Fn(&T) -> Option<&'k usize>) -> Vec<Option<usize>> {
    values.iter().map(|value| find(value).copied()).collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::{int, ints, ints_in, ml, strings, strings_in, tensor};

    #[test]
    fn an_unknown_string_is_a_row_of_zeros() {
        ml("OneHotEncoder", vec![strings("cats_strings", &["a", "b"])])
            .gives(strings_in(&[3, 1], &["b", "x", "a"]), tensor(&[3, 1, 2], &[0.0f32, 1.0, 0.0, 0.0, 1.0, 0.0]));
    }

    #[test]
    fn an_unknown_string_is_an_error_where_zeros_are_not_allowed() {
        ml("OneHotEncoder", vec![strings("cats_strings", &["a", "b"]), int("zeros", 0)])
            .refuses(strings_in(&[1, 1], &["x"]), "not among those the model was trained on");
    }

    #[test]
    fn integers_and_cut_off_floats_find_their_category() {
        let operator = ml("OneHotEncoder", vec![ints("cats_int64s", &[3, 5])]);
        operator.gives(ints_in(&[2], &[5, 4]), tensor(&[2, 2], &[0.0f32, 1.0, 0.0, 0.0]));
        operator.gives(tensor(&[2], &[3.9f32, 5.0]), tensor(&[2, 2], &[1.0f32, 0.0, 0.0, 1.0]));
    }

    #[test]
    fn a_missing_number_is_of_no_category() {
        let operator = ml("OneHotEncoder", vec![ints("cats_int64s", &[0, 1])]);
        operator.gives(tensor(&[2], &[f32::NAN, f32::INFINITY]), tensor(&[2, 2], &[0.0f32; 4]));
        operator.gives(tensor(&[2], &[f64::NAN, 1.0]), tensor(&[2, 2], &[0.0f32, 0.0, 0.0, 1.0]));
    }
}
