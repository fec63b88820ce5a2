//! Models in the files of XGBoost and LightGBM, scored by the same trees as those of ONNX.

mod cuts;
mod document;
mod features;
mod grove;
mod json;
mod lightgbm;
mod linear;
mod link;
mod model;
mod number;
#[cfg(test)]
mod tests;
mod ubjson;
mod xgboost;

use crate::deadline::contained;
use crate::direct::{Rows, Values};
use crate::error::Error;
use crate::limits::Limits;
use crate::port::Port;
pub use features::FeatureNames;
use model::{Model, Output};
use number::Number;

/// Whose `predict` a native model's own output follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictor {
    /// The library's `Booster`: values, probabilities; with all trees of the file.
    Booster,
    /// The wrapper for scikit-learn: the same, with the trees up to the best iteration where training stopped early.
    Estimator,
    /// The wrapper's classifier: labels; with the same trees.
    Classifier,
}

/// A model in its library's own file, checked and ready to score.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) features: FeatureNames,
    /// Its booster and objective.
    pub(crate) operators: Vec<String>,
    precision: Precision,
}

#[derive(Debug)]
enum Precision {
    Single(Model<f32>),
    Double(Model<f64>),
}

impl Native {
    fn new<T: Number>(model: Model<T>, operators: Vec<String>, precision: impl Fn(Model<T>) -> Precision) -> Native {
        Native {
            inputs: model.features.ports(T::ELEMENT),
            outputs: model.outputs(),
            features: model.features.names().clone(),
            operators,
            precision: precision(model),
        }
    }

    /// Reads an XGBoost model as `save_model` writes it, JSON or UBJSON.
    pub(crate) fn xgboost(file: &[u8], predictor: Predictor, limits: &Limits) -> Result<Native, Error> {
        check_file(file.len(), limits)?;
        contained("while loading", || {
            let (model, operators) = xgboost::read(file, predictor, limits)?;
            Ok(Native::new(model, operators, Precision::Single))
        })
    }

    /// Reads a LightGBM model as `save_model` writes it.
    pub(crate) fn lightgbm(file: &[u8], predictor: Predictor, limits: &Limits) -> Result<Native, Error> {
        check_file(file.len(), limits)?;
        contained("while loading", || {
            let (model, operators) = lightgbm::read(file, predictor, limits)?;
            Ok(Native::new(model, operators, Precision::Double))
        })
    }

    /// Scores `rows`, which are as [`Native::inputs`] says.
    pub(crate) fn score(&self, rows: &dyn Rows) -> Result<Vec<Values>, Error> {
        contained("in its trees", || match &self.precision {
            Precision::Single(model) => model.score(&self.outputs, rows),
            Precision::Double(model) => model.score(&self.outputs, rows),
        })
    }
}

fn check_file(bytes: usize, limits: &Limits) -> Result<(), Error> {
    let max = limits.file_bytes_max;
    if bytes > max {
        return Err(Error::TooLarge { what: "file size in bytes", size: bytes, max });
    }
    Ok(())
}
