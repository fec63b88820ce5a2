//! The ONNX operators and kernels that tract lacks, and the plans that run them.
//!
//! [`Graph::parse`] reads and checks a model without running anything of it, [`Graph::plan`] makes
//! it ready, [`Plan::run`] scores rows. [`Graph::from_xgboost`] and [`Graph::from_lightgbm`] read the files of those
//! libraries, whose trees are the same as those of ONNX from there on. There is no Arrow, no file and no network here: bytes come
//! in, tensors go in and out.

mod columns;
mod deadline;
mod direct;
mod elementary;
mod error;
mod graph;
mod limits;
mod native;
mod ops;
mod plan;
mod port;
mod tensor;
#[cfg(test)]
mod testing;
mod trees;

pub use direct::{Place, Rows, Values, Words};
pub use error::Error;
pub use graph::Graph;
pub use limits::Limits;
pub use native::{FeatureNames, Predictor};
pub use plan::{Plan, Road};
pub use port::{ClassLabels, Dim, Element, Port};
pub use tensor::{tensor_from, tensor_values};
pub use tract_onnx::prelude::{Datum, DatumType, Tensor};
