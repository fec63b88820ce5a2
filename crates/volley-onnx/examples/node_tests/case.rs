//! One node test: a folder with a model, inputs, and the outputs that are right.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::data_resolver::FopenDataResolver;
use tract_onnx::pb::TensorProto;
use tract_onnx::tensor::load_tensor;
use volley_onnx::{DatumType, Graph, Limits, Tensor, tensor_values};

/// What became of a test.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// A wrong answer.
    Failed(String),
    /// An error instead of an answer.
    Refused(String),
}

/// A folder with `model.onnx`, `tolerance` and data sets.
pub struct Case {
    folder: PathBuf,
}

/// The tests in `folder`, by name.
pub fn cases(folder: &Path) -> io::Result<Vec<Case>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect::<io::Result<_>>()?;
    folders.retain(|folder| folder.join("model.onnx").is_file());
    folders.sort();
    Ok(folders.into_iter().map(|folder| Case { folder }).collect())
}

impl Case {
    pub fn name(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn run(&self) -> Outcome {
        match self.outcome() {
            Ok(outcome) => outcome,
            Err(why) => Outcome::Refused(why),
        }
    }

    fn outcome(&self) -> Result<Outcome, String> {
        let text = |error: io::Error| error.to_string();
        let model = fs::read(self.folder.join("model.onnx")).map_err(text)?;
        let tolerance = Tolerance::read(&fs::read_to_string(self.folder.join("tolerance")).map_err(text)?)?;
        for number in 0.. {
            let set = self.folder.join(format!("test_data_set_{number}"));
            if !set.is_dir() {
                break;
            }
            let (inputs, expected) = (tensors(&set, "input")?, tensors(&set, "output")?);
            let got = Graph::evaluate(&model, inputs, &Limits::default()).map_err(|error| error.to_string())?;
            if let Err(why) = tolerance.check_all(&got, &expected) {
                return Ok(Outcome::Failed(why));
            }
        }
        Ok(Outcome::Passed)
    }
}

fn tensors(set: &Path, kind: &str) -> Result<Vec<Tensor>, String> {
    let mut found = Vec::new();
    loop {
        let path = set.join(format!("{kind}_{}.pb", found.len()));
        let Ok(bytes) = fs::read(&path) else { return Ok(found) };
        let proto = TensorProto::decode(&*bytes).map_err(|_| format!("{kind} is a sequence, a map or an optional"))?;
        let tensor = std::panic::catch_unwind(|| load_tensor(&FopenDataResolver, &proto, None));
        let tensor = tensor.map_err(|_| format!("{kind} cannot be read"))?;
        found.push(tensor.map_err(|error| format!("{kind}: {error}"))?);
    }
}

/// How far a number may be off: by so much of it, and so much more.
struct Tolerance {
    relative: f64,
    absolute: f64,
}

impl Tolerance {
    fn read(text: &str) -> Result<Tolerance, String> {
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        match *numbers {
            [relative, absolute] => Ok(Tolerance { relative, absolute }),
            _ => Err("the tolerance cannot be read".into()),
        }
    }

    fn check_all(&self, got: &[Tensor], expected: &[Tensor]) -> Result<(), String> {
        if got.len() != expected.len() {
            return Err(format!("{} outputs instead of {}", got.len(), expected.len()));
        }
        let mut pairs = got.iter().zip(expected).enumerate();
        pairs.try_for_each(|(at, (got, expected))| {
            self.check(got, expected).map_err(|why| format!("output {at}: {why}"))
        })
    }

    fn check(&self, got: &Tensor, expected: &Tensor) -> Result<(), String> {
        if got.datum_type() != expected.datum_type() {
            return Err(format!("{:?} instead of {:?}", got.datum_type(), expected.datum_type()));
        }
        if got.shape() != expected.shape() {
            return Err(format!("shape {:?} instead of {:?}", got.shape(), expected.shape()));
        }
        match expected.datum_type() {
            DatumType::F16 | DatumType::F32 | DatumType::F64 => self.check_floats(got, expected),
            DatumType::String => check_equal(&texts(got), &texts(expected)),
            _ => check_equal(&integers(got)?, &integers(expected)?),
        }
    }

    fn check_floats(&self, got: &Tensor, expected: &Tensor) -> Result<(), String> {
        let doubles = |tensor: &Tensor| -> Result<Vec<f64>, String> {
            let tensor = tensor.cast_to::<f64>().map_err(|error| error.to_string())?;
            Ok(tensor_values::<f64>(&tensor).unwrap_or_default().to_vec())
        };
        let got_half = got.datum_type() == DatumType::F16;
        let (got, expected) = (doubles(got)?, doubles(expected)?);
        // The answers of some tests are sums of another order: the last digit of a zero is not held against us, nor
        // is a unit in the last place of half precision.
        let relative = if got_half { self.relative.max(2f64.powi(-9)) } else { self.relative };
        let absolute = self.absolute.max(1e-5);
        let far = |(_, (got, expected)): &(usize, (&f64, &f64))| {
            let equal = got == expected || (got.is_nan() && expected.is_nan());
            let near = (*got - *expected).abs() <= absolute + relative * expected.abs();
            !(equal || near && expected.is_finite())
        };
        match got.iter().zip(&expected).enumerate().find(far) {
            Some((at, (got, expected))) => Err(format!("{got} instead of {expected} at {at}")),
            None => Ok(()),
        }
    }
}

fn texts(tensor: &Tensor) -> Vec<String> {
    tensor_values::<String>(tensor).unwrap_or_default().to_vec()
}

/// Integers and truth values; those of 64 bits without a sign keep their bits.
fn integers(tensor: &Tensor) -> Result<Vec<i64>, String> {
    if let Some(values) = tensor_values::<u64>(tensor) {
        return Ok(values.iter().map(|&v| v as i64).collect());
    }
    if let Some(values) = tensor_values::<bool>(tensor) {
        return Ok(values.iter().map(|&v| i64::from(v)).collect());
    }
    let tensor = tensor.cast_to::<i64>().map_err(|error| error.to_string())?;
    Ok(tensor_values::<i64>(&tensor).unwrap_or_default().to_vec())
}

fn check_equal<T: PartialEq + std::fmt::Debug>(got: &[T], expected: &[T]) -> Result<(), String> {
    match got.iter().zip(expected).enumerate().find(|(_, (got, expected))| got != expected) {
        Some((at, (got, expected))) => Err(format!("{got:?} instead of {expected:?} at {at}")),
        None => Ok(()),
    }
}
