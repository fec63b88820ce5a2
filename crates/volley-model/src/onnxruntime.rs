//! ONNX Runtime, in a library of its own that is loaded when the first model needs it.
//!
//! The cargo feature `ort` brings the binding; without it everything here is there but the last step, so that
//! contracts, plans and messages are the same in every build.

#[cfg(feature = "ort")]
mod batches;
#[cfg(feature = "ort")]
mod library;
#[cfg(feature = "ort")]
mod sessions;
#[cfg(feature = "ort")]
mod values;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Artifact, Contract, Limits, ModelError, Scorer};

/// Whether this program was built with the binding.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "ort");

/// Where ONNX Runtime is, and how much of it there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxRuntime {
    /// Its shared library, as in the folder `onnxruntime/capi` of the Python package. A process loads one and keeps it.
    pub library: PathBuf,
    /// Sessions of a model at most. Each has the model's weights and one thread; who finds none waits.
    pub sessions_max: NonZeroUsize,
}

/// The library, if there is one to load. `is_built_in` is [`IS_BUILT_IN`] but in tests.
pub(crate) fn found(runtime: Option<&OnnxRuntime>, is_built_in: bool) -> Result<&OnnxRuntime, ModelError> {
    let unavailable = |what: String| Err(ModelError::RuntimeUnavailable(what));
    if !is_built_in {
        return unavailable(
            "this program is built without ONNX Runtime: build it with `--features ort`, and name the library in the \
             setting `onnxruntime`"
                .to_owned(),
        );
    }
    match runtime {
        None => unavailable(
            "no library of ONNX Runtime is named: set `onnxruntime` to one, such as libonnxruntime.so in the Python \
             package onnxruntime"
                .to_owned(),
        ),
        Some(OnnxRuntime { library, .. }) if !library.is_file() => unavailable(format!(
            "there is no library of ONNX Runtime at `{}`: name another in the setting `onnxruntime`",
            library.display()
        )),
        Some(runtime) => Ok(runtime),
    }
}

/// Makes a model of ONNX Runtime ready to score.
#[cfg(feature = "ort")]
pub(crate) fn load(
    runtime: Option<&OnnxRuntime>,
    artifact: &Artifact,
    contract: &Contract,
    limits: &Limits,
) -> Result<Arc<dyn Scorer>, ModelError> {
    use crate::package::Package;
    use crate::tract::{TensorScorer, other_files};

    let runtime = found(runtime, IS_BUILT_IN)?;
    let library = library::loaded(&runtime.library)?;
    let package = Package::open(artifact)?;
    let graph = package.foreign_graph(limits)?;
    if !is_of(contract, &graph) {
        return Err(other_files());
    }
    let prepared = graph.preparation().to_vec();
    let (plan, told) = sessions::Sessions::open(library, graph, contract, runtime.sessions_max, limits)?;
    let preparation = [prepared, told].concat();
    Ok(Arc::new(TensorScorer { contract: contract.clone(), plan, preparation }))
}

#[cfg(not(feature = "ort"))]
pub(crate) fn load(
    runtime: Option<&OnnxRuntime>,
    _: &Artifact,
    _: &Contract,
    _: &Limits,
) -> Result<Arc<dyn Scorer>, ModelError> {
    found(runtime, IS_BUILT_IN)?;
    unreachable!("without the binding nothing is found")
}

/// Whether a contract was made from this graph, as far as tensors go. The shapes of outputs may be those that tract
/// inferred; what comes out is measured in every batch.
#[cfg(feature = "ort")]
fn is_of(contract: &Contract, graph: &volley_onnx::Graph) -> bool {
    let inputs = contract.graph_inputs.iter().map(|input| (input.name.as_str(), input.element));
    let outputs = contract.scored().map(|output| output.element);
    inputs.eq(graph.inputs().iter().map(|port| (port.name.as_str(), port.element.into())))
        && outputs.eq(graph.outputs().iter().map(|port| port.element.into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn refused(library: Option<&Path>, is_built_in: bool) -> String {
        let runtime = library.map(|path| OnnxRuntime { library: path.to_owned(), sessions_max: NonZeroUsize::MIN });
        let error = found(runtime.as_ref(), is_built_in).expect_err("refused");
        assert_eq!(error.code(), "runtime_unavailable");
        error.to_string()
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(refused(Some(&here), false).contains("build it with `--features ort`"));
        assert!(refused(None, true).contains("set `onnxruntime` to one"));
        assert!(refused(Some(&here.with_extension("so")), true).contains("there is no library of ONNX Runtime at"));
    }

    #[test]
    fn a_library_that_is_there_is_offered_to_a_program_that_can_load_it() {
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let runtime = OnnxRuntime { library, sessions_max: NonZeroUsize::MIN };
        assert_eq!(found(Some(&runtime), true).ok(), Some(&runtime));
    }
}
