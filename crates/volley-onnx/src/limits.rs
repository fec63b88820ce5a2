//! The bounds within which a model may be loaded: it may come from anyone.

use std::time::Duration;

/// What a model may cost to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the model file and its external data together.
    pub file_bytes_max: usize,
    /// Nodes of the graph and all its subgraphs.
    pub nodes_max: usize,
    /// Bytes of all tensors that are known before the first row: stored ones and those that the
    /// graph would make from constants. No tensor of a batch may be larger either.
    pub constant_bytes_max: usize,
    /// Time for each of parsing and planning.
    pub load_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Protobuf itself cannot go further.
            file_bytes_max: 2 << 30,
            // The largest exported transformers have some ten thousand.
            nodes_max: 100_000,
            constant_bytes_max: 4 << 30,
            load_time_max: Duration::from_secs(60),
        }
    }
}
