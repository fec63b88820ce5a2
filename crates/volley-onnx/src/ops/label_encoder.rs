//! `LabelEncoder` and `CategoryMapper`: a table from values of one type to values of another.

use std::collections::HashMap;
use std::hash::Hash;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::node::{floats, ints, refuse, strings, values};
use super::{Built, Kernel, Signature, kernel};
use crate::direct::{Builder, Cell, Cells, Given, Numbers, RowColumn, Text, Words};

#[derive(Debug)]
struct LabelEncoder {
    keys: Keys,
    /// The values, and behind them the default.
    values: Tensor,
}

/// The position of each key.
#[derive(Debug)]
enum Keys {
    Strings(HashMap<String, usize>),
    Ints(HashMap<i64, usize>, DatumType),
    Floats(HashMap<u64, usize>, DatumType),
}

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let classes = strings(node, "classes_strings")?;
    if !classes.is_empty() {
        return build_first_version(node, classes);
    }
    let keys = list(ctx, node, "keys")?;
    let list = list(ctx, node, "values")?;
    let default = default_value(ctx, node, list.datum_type())?;
    table(node, &keys, list, default)
}

/// In version 1 a list of strings stands for a table in both directions; the input decides.
fn build_first_version(node: &NodeProto, classes: Vec<String>) -> Built {
    let default_int = node.get_attr_opt("default_int64")?.unwrap_or(-1i64);
    let default_string = node.get_attr_opt("default_string")?.unwrap_or_else(|| "_Unused".to_string());
    both_ways(node, classes, None, default_int, default_string)
}

pub(super) fn build_category_mapper(_: &ParsingContext, node: &NodeProto) -> Built {
    let default_int = node.get_attr_opt("default_int64")?.unwrap_or(-1i64);
    let default_string = node.get_attr_opt("default_string")?.unwrap_or_else(|| "_Unused".to_string());
    let numbers = ints(node, "cats_int64s")?;
    both_ways(node, strings(node, "cats_strings")?, Some(numbers), default_int, default_string)
}

fn both_ways(
    node: &NodeProto,
    texts: Vec<String>,
    numbers: Option<Vec<i64>>,
    default_int: i64,
    default_string: String,
) -> Built {
    let numbers = numbers.unwrap_or_else(|| (0..texts.len() as i64).collect());
    if numbers.len() != texts.len() {
        return node.bail("there are not as many integers as strings");
    }
    let (texts, numbers) = (tensor1(&texts), tensor1(&numbers));
    let to_ints = encoder(&texts, numbers.clone(), tensor0(default_int))?;
    let to_strings = encoder(&numbers, texts, tensor0(default_string))?;
    kernel(node, 1..=1, BothWays { to_ints, to_strings })
}

/// The list in `{name}_strings`, `{name}_int64s`, `{name}_floats` or `{name}_tensor`.
fn list(ctx: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Tensor> {
    if let Some(proto) = node.get_attr_opt::<&TensorProto>(&format!("{name}_tensor"))? {
        return ctx.load_tensor(proto);
    }
    let (texts, numbers, reals) = (
        strings(node, &format!("{name}_strings"))?,
        ints(node, &format!("{name}_int64s"))?,
        floats(node, &format!("{name}_floats"))?,
    );
    match (texts.is_empty(), numbers.is_empty(), reals.is_empty()) {
        (false, true, true) => Ok(tensor1(&texts)),
        (true, false, true) => Ok(tensor1(&numbers)),
        (true, true, false) => Ok(tensor1(&reals)),
        _ => node.bail(&format!("exactly one list of {name} is needed")),
    }
}

fn default_value(ctx: &ParsingContext, node: &NodeProto, element: DatumType) -> TractResult<Tensor> {
    if let Some(proto) = node.get_attr_opt::<&TensorProto>("default_tensor")? {
        return ctx.load_tensor(proto);
    }
    Ok(match element {
        DatumType::String => {
            let text = node.get_attr_opt::<String>("default_string")?;
            tensor0(text.unwrap_or_else(|| "_Unused".into()))
        }
        DatumType::F32 | DatumType::F64 => {
            let real = node.get_attr_opt::<f32>("default_float")?.unwrap_or(-0.0);
            tensor0(real).cast_to_dt(element)?.into_owned()
        }
        _ => {
            let number = node.get_attr_opt::<i64>("default_int64")?.unwrap_or(-1);
            tensor0(number).cast_to_dt(element)?.into_owned()
        }
    })
}

fn table(node: &NodeProto, keys: &Tensor, list: Tensor, default: Tensor) -> Built {
    if keys.len() != list.len() {
        return node.bail("there are not as many values as keys");
    }
    kernel(node, 1..=1, encoder(keys, list, default)?)
}

fn encoder(keys: &Tensor, list: Tensor, default: Tensor) -> TractResult<LabelEncoder> {
    let list = list.clone().into_shape(&[list.len()])?;
    let default = default.clone().into_shape(&[default.len()])?;
    ensure!(default.len() == 1, "the default is not one value");
    Ok(LabelEncoder { keys: Keys::new(keys)?, values: Tensor::stack_tensors(0, &[list, default])? })
}

impl Keys {
    fn new(keys: &Tensor) -> TractResult<Keys> {
        let element = keys.datum_type();
        Ok(match element {
            DatumType::String => Keys::Strings(first_positions(values::<String>(keys)?.iter().cloned())),
            DatumType::I16 | DatumType::I32 | DatumType::I64 => {
                let keys = keys.cast_to::<i64>()?;
                Keys::Ints(first_positions(values::<i64>(&keys)?.iter().copied()), element)
            }
            DatumType::F32 | DatumType::F64 => {
                let keys = keys.cast_to::<f64>()?;
                Keys::Floats(first_positions(values::<f64>(&keys)?.iter().map(|&v| bits(v))), element)
            }
            other => bail!("keys of type {other:?} are not supported"),
        })
    }

    fn element(&self) -> DatumType {
        match self {
            Keys::Strings(_) => DatumType::String,
            Keys::Ints(_, element) | Keys::Floats(_, element) => *element,
        }
    }

    /// The position of each element of `input`; `default` for those that are not there.
    fn find(&self, input: &Tensor, default: usize) -> TractResult<Vec<usize>> {
        Ok(match self {
            Keys::Strings(known) => found(values::<String>(input)?, default, |v| known.get(v)),
            Keys::Ints(known, DatumType::I64) => found(values::<i64>(input)?, default, |v| known.get(v)),
            Keys::Ints(known, _) => {
                let input = input.cast_to::<i64>()?;
                found(values::<i64>(&input)?, default, |v| known.get(v))
            }
            Keys::Floats(known, _) => {
                let input = input.cast_to::<f64>()?;
                found(values::<f64>(&input)?, default, |v| known.get(&bits(*v)))
            }
        })
    }
}

impl Keys {
    /// The position of each element; `unknown` for those that are not there.
    fn codes(&self, input: &Cells, unknown: u32, build: &mut Builder) -> Option<Vec<RowColumn<u32>>> {
        let numbers = |known: &HashMap<u64, usize>| -> Arc<Numbers> {
            Arc::new(known.iter().map(|(&key, &at)| (key, at as u32)).collect())
        };
        Some(match (self, input) {
            (Keys::Strings(known), Cells::Texts(texts)) => {
                let words = Words::new(known.iter().map(|(text, &at)| (text.as_str(), at as u32)), unknown);
                let words = Arc::new(words);
                texts.iter().map(|text| text.codes(&words, build)).collect()
            }
            (Keys::Ints(known, _), Cells::Longs(list)) => {
                let known = Arc::new(known.iter().map(|(&key, &at)| (key as u64, at as u32)).collect());
                list.iter().map(|&it| build.find(it, &known, unknown, |v| Some(v as u64))).collect()
            }
            (Keys::Floats(known, _), Cells::Singles(list)) => {
                let known = numbers(known);
                list.iter().map(|&it| build.find(it, &known, unknown, |v| Some(bits(f64::from(v))))).collect()
            }
            (Keys::Floats(known, _), Cells::Doubles(list)) => {
                let known = numbers(known);
                list.iter().map(|&it| build.find(it, &known, unknown, |v| Some(bits(v)))).collect()
            }
            _ => return None,
        })
    }
}

/// The first of several equal keys counts.
fn first_positions<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut positions = HashMap::new();
    for (at, key) in keys.enumerate() {
        positions.entry(key).or_insert(at);
    }
    positions
}

fn found<'k, T>(values: &[T], default: usize, find: impl Fn(&T) -> Option<&'k usize>) -> Vec<usize> {
    values.iter().map(|value| find(value).copied().unwrap_or(default)).collect()
}

/// Floats as keys: all NaN are one key, and so are both zeros.
fn bits(value: f64) -> u64 {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    canonical.to_bits()
}

impl Kernel for LabelEncoder {
    fn name(&self) -> &'static str {
        "LabelEncoder"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let (given, needed) = (inputs[0].element, self.keys.element());
        ensure!(given == needed, "keys are {needed:?}, the input is {given:?}");
        Ok(vec![Signature { element: self.values.datum_type(), ..inputs[0].clone() }])
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        self.columns(&inputs[0].value()?.cells, build)
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        let positions = self.keys.find(inputs[0], self.values.len() - 1)?;
        let shape = inputs[0].shape();
        let output = match self.values.datum_type() {
            DatumType::String => picked::<String>(&self.values, shape, &positions),
            DatumType::I64 => picked::<i64>(&self.values, shape, &positions),
            DatumType::I32 => picked::<i32>(&self.values, shape, &positions),
            DatumType::I16 => picked::<i16>(&self.values, shape, &positions),
            DatumType::F32 => picked::<f32>(&self.values, shape, &positions),
            DatumType::F64 => picked::<f64>(&self.values, shape, &positions),
            other => refuse(format!("values of type {other:?} are not supported")),
        };
        Ok(vec![output?])
    }
}

impl LabelEncoder {
    fn columns(&self, input: &Cells, build: &mut Builder) -> Option<Vec<Cells>> {
        let codes = self.keys.codes(input, self.values.len() as u32 - 1, build)?;
        fn each<T: Cell + Datum>(
            codes: &[RowColumn<u32>],
            list: &Tensor,
            build: &mut Builder,
        ) -> Option<Vec<RowColumn<T>>> {
            let list: Arc<[T]> = crate::tensor_values::<T>(list)?.into();
            Some(codes.iter().map(|&codes| build.pick(codes, &list)).collect())
        }
        Some(vec![match self.values.datum_type() {
            DatumType::F32 => Cells::Singles(each(&codes, &self.values, build)?),
            DatumType::F64 => Cells::Doubles(each(&codes, &self.values, build)?),
            DatumType::String => {
                let list: Arc<[String]> = crate::tensor_values::<String>(&self.values)?.into();
                Cells::Texts(codes.into_iter().map(|codes| Text::Picked(codes, list.clone())).collect())
            }
            _ => {
                let list = self.values.cast_to::<i64>().ok()?;
                Cells::Longs(each(&codes, &list, build)?)
            }
        }])
    }
}

fn picked<T: Datum>(list: &Tensor, shape: &[usize], positions: &[usize]) -> TractResult<Tensor> {
    let list = values::<T>(list)?;
    Ok(crate::tensor_from(shape, positions.iter().map(|&at| list[at].clone()).collect()))
}

/// A table that is read from strings to integers or back, whichever the input is.
#[derive(Debug)]
struct BothWays {
    to_ints: LabelEncoder,
    to_strings: LabelEncoder,
}

impl BothWays {
    fn direction(&self, element: DatumType) -> &LabelEncoder {
        if element == DatumType::String { &self.to_ints } else { &self.to_strings }
    }
}

impl Kernel for BothWays {
    fn name(&self) -> &'static str {
        "LabelEncoder"
    }

    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        self.direction(inputs[0].element).outputs(inputs)
    }

    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut Builder) -> Option<Vec<Cells>> {
        let input = &inputs[0].value()?.cells;
        let encoder = if matches!(input, Cells::Texts(_)) { &self.to_ints } else { &self.to_strings };
        encoder.columns(input, build)
    }

    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>> {
        self.direction(inputs[0].datum_type()).eval(inputs)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{float, floats, int, ints, ints_in, ml, stored, string, strings, strings_in, tensor};

    #[test]
    fn strings_become_integers_and_unknown_ones_the_default() {
        ml(
            "LabelEncoder",
            vec![strings("keys_strings", &["a", "b"]), ints("values_int64s", &[4, 9]), int("default_int64", 7)],
        )
        .gives(strings_in(&[3], &["b", "?", "a"]), ints_in(&[3], &[9, 7, 4]));
    }

    #[test]
    fn integers_become_strings() {
        ml("LabelEncoder", vec![ints("keys_int64s", &[0, 1]), strings("values_strings", &["no", "yes"])])
            .gives(ints_in(&[3], &[1, 0, 2]), strings_in(&[3], &["yes", "no", "_Unused"]));
    }

    #[test]
    fn nan_is_a_key_and_both_zeros_are_one() {
        ml(
            "LabelEncoder",
            vec![
                floats("keys_floats", &[f32::NAN, 0.0]),
                floats("values_floats", &[1.0, 2.0]),
                float("default_float", -5.0),
            ],
        )
        .gives(tensor(&[3], &[f32::NAN, -0.0, 3.0]), tensor(&[3], &[1.0f32, 2.0, -5.0]));
    }

    #[test]
    fn keys_and_values_may_be_tensors_of_doubles() {
        ml(
            "LabelEncoder",
            vec![
                stored("keys_tensor", tensor(&[2], &[0.5f64, 1.5])),
                stored("values_tensor", ints_in(&[2], &[10, 20])),
                stored("default_tensor", ints_in(&[1], &[-9])),
            ],
        )
        .gives(tensor(&[2], &[1.5f64, 0.25]), ints_in(&[2], &[20, -9]));
    }

    #[test]
    fn version_one_reads_its_list_both_ways() {
        let operator = ml("LabelEncoder", vec![strings("classes_strings", &["x", "y"]), string("default_string", "z")]);
        operator.gives(strings_in(&[2], &["y", "w"]), ints_in(&[2], &[1, -1]));
        operator.gives(ints_in(&[2], &[0, 5]), strings_in(&[2], &["x", "z"]));
    }

    #[test]
    fn a_category_mapper_is_such_a_table_with_integers_of_its_own() {
        let operator = ml(
            "CategoryMapper",
            vec![strings("cats_strings", &["x", "y"]), ints("cats_int64s", &[10, 20]), int("default_int64", 0)],
        );
        operator.gives(strings_in(&[2], &["y", "w"]), ints_in(&[2], &[20, 0]));
        operator.gives(ints_in(&[1], &[10]), strings_in(&[1], &["x"]));
    }
}
