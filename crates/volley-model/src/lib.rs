//! Turns a model artifact and an Arrow batch into scores.
//!
//! Reading order: an [`Artifact`] is [`inspect`]ed into a [`Contract`], which is all that planning needs;
//! [`bind`] decides from types alone how columns reach the contract's inputs; [`load`] gives a [`Scorer`],
//! which turns bound columns into [`Scores`]. Nothing here knows where a model came from.

mod artifact;
mod bind;
mod coercion;
mod contract;
mod error;
mod fill;
mod inspect;
mod mlmodel;
mod null_rule;
mod onnxruntime;
mod package;
mod runtimes;
mod score;
mod signature;
#[cfg(test)]
mod testing;
mod tract;
mod trial;

pub use artifact::{Artifact, Digest, FileEntry, InvalidDigest, Manifest};
pub use bind::{
    Argument, Arguments, BindOptions, BindProblem, Binding, BoundInput, BoundParam, CoercionMode, NullRules, Source,
    bind, nearest_name,
};
pub use contract::{
    ClassLabels, Contract, Element, Function, GraphInput, Input, InputType, Output, OutputShape, Param, Runtime,
    SignatureKind, Slot,
};
pub use error::ModelError;
pub use inspect::{inspect, inspect_for};
pub use null_rule::{FillValue, InvalidNullRule, NullRule};
pub use onnxruntime::OnnxRuntime;
pub use runtimes::{Runtimes, load};
pub use score::{Scorer, Scores};
pub use trial::{Trial, try_out};
pub use volley_onnx::Limits;
