//! Which runtime loads a model: the one that its contract names, and no other.

use std::sync::Arc;

use crate::onnxruntime::{self, OnnxRuntime};
use crate::{Artifact, Contract, Limits, ModelError, Runtime, Scorer, tract};

/// The runtimes that are there beside our own, as whoever loads models is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtimes {
    /// Absent, a model that it is to score cannot be loaded; all else goes on.
    pub onnxruntime: Option<OnnxRuntime>,
}

impl Runtimes {
    /// Makes a model ready to score. `contract` is the one that planning used, with its null rules; it must be of these
    /// files. The runtime is the contract's: where that is not here, the error is `runtime_unavailable`.
    ///
    /// Loading takes from milliseconds to `limits.load_time_max`; share the result.
    pub fn load(
        &self,
        artifact: &Artifact,
        contract: &Contract,
        limits: &Limits,
    ) -> Result<Arc<dyn Scorer>, ModelError> {
        match contract.runtime {
            Runtime::Tract | Runtime::Native => tract::load(artifact, contract, limits),
            Runtime::Ort => onnxruntime::load(self.onnxruntime.as_ref(), artifact, contract, limits),
        }
    }

    /// Whether models can be loaded into ONNX Runtime, as far as can be said without loading its library; the error
    /// says what to do.
    pub fn check_onnxruntime(&self) -> Result<(), ModelError> {
        onnxruntime::found(self.onnxruntime.as_ref(), onnxruntime::IS_BUILT_IN).map(drop)
    }
}

/// [`Runtimes::load`] with the runtimes that need nothing from outside.
pub fn load(artifact: &Artifact, contract: &Contract, limits: &Limits) -> Result<Arc<dyn Scorer>, ModelError> {
    Runtimes::default().load(artifact, contract, limits)
}
