//! What was done to a model on its way to a plan, told to whoever registers it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ops::is_ours;
use crate::port::ClassLabels;

/// What a file holds folded up.
pub(super) struct Unfolded {
    /// The files that tensor data came from.
    pub(super) data: BTreeSet<String>,
    /// Calls of functions of the model's own.
    pub(super) calls: usize,
    /// Inputs that were maps.
    pub(super) maps: Vec<String>,
}

/// How often each rewrite found something.
pub(super) struct Rewritten {
    /// Nodes in the place of exported polynomial features.
    pub(super) products: usize,
    /// Loops that compute distances.
    pub(super) distances: usize,
    /// Recurrent layers whose first state is named.
    pub(super) states: usize,
    /// Searches for an extreme.
    pub(super) extremes: usize,
}

/// Plain sentences without a full stop, for a model that tract runs.
pub(super) fn told(
    unfolded: &Unfolded,
    zipmaps: &BTreeMap<String, ClassLabels>,
    rewritten: &Rewritten,
    operators: &[String],
) -> Vec<String> {
    let mut told = common(unfolded, zipmaps);
    if rewritten.products > 0 {
        told.push(format!("polynomial features are computed by {}", counted(rewritten.products, "node", "nodes")));
    }
    if rewritten.distances > 0 {
        let loops = counted(rewritten.distances, "loop", "loops");
        told.push(format!("{loops} over the rows of a stored matrix: all distances of a row are computed at once"));
    }
    if rewritten.states > 0 {
        let layers = counted(rewritten.states, "recurrent layer", "recurrent layers");
        told.push(format!("{layers} without a first state: zeros for each row are named"));
    }
    if rewritten.extremes > 0 {
        let searches = counted(rewritten.extremes, "search", "searches");
        told.push(format!("{searches} for an extreme over an axis: infinities are kept, which tract loses"));
    }
    let ours: Vec<&str> = operators.iter().map(String::as_str).filter(|name| is_ours(name)).collect();
    if !ours.is_empty() {
        told.push(format!("our own kernels compute {}", ours.join(", ")));
    }
    told
}

/// What is done for every runtime.
pub(super) fn common(unfolded: &Unfolded, zipmaps: &BTreeMap<String, ClassLabels>) -> Vec<String> {
    let mut told = Vec::new();
    if !unfolded.data.is_empty() {
        let files: Vec<_> = unfolded.data.iter().map(|file| format!("`{file}`")).collect();
        told.push(format!("tensor data is read from {}", files.join(", ")));
    }
    if unfolded.calls > 0 {
        let calls = counted(unfolded.calls, "call", "calls");
        told.push(format!("{calls} of the model's own functions: their nodes are put in their place"));
    }
    for input in &unfolded.maps {
        told.push(format!("the map `{input}` is an input for each of its keys"));
    }
    for (output, classes) in zipmaps {
        told.push(format!("the ZipMap of `{output}` is cut: the matrix under it has its {} classes", classes.len()));
    }
    told
}

/// A number with its noun.
pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        let nothing = Rewritten { products: 0, distances: 0, states: 0, extremes: 0 };
        let folded = Unfolded { data: BTreeSet::new(), calls: 0, maps: vec![] };
        assert_eq!(told(&folded, &BTreeMap::new(), &nothing, &["Add".to_owned()]), [""; 0]);
        let data = BTreeSet::from(["w.data".to_owned()]);
        let unfolded = Unfolded { data, calls: 2, maps: vec!["ages".to_owned()] };
        let zipmaps = BTreeMap::from([("p".to_owned(), ClassLabels::Ints(vec![0, 1]))]);
        let all = Rewritten { products: 1, distances: 1, states: 2, extremes: 1 };
        let operators = ["Add", "Gemm", "ai.onnx.ml.Scaler"].map(str::to_owned);
        assert_eq!(
            told(&unfolded, &zipmaps, &all, &operators),
            [
                "tensor data is read from `w.data`",
                "2 calls of the model's own functions: their nodes are put in their place",
                "the map `ages` is an input for each of its keys",
                "the ZipMap of `p` is cut: the matrix under it has its 2 classes",
                "polynomial features are computed by 1 node",
                "1 loop over the rows of a stored matrix: all distances of a row are computed at once",
                "2 recurrent layers without a first state: zeros for each row are named",
                "1 search for an extreme over an axis: infinities are kept, which tract loses",
                "our own kernels compute Gemm, ai.onnx.ml.Scaler",
            ]
        );
    }
}
