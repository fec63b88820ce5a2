//! Where the facts about runs are kept, as this crate sees it.

use async_trait::async_trait;
use serde_json::Value;

/// Records in a store, each created once, whole, and never changed or removed.
#[async_trait]
pub trait Facts: Send + Sync + 'static {
    /// Creates a record unless one is there: that one stands then. It outlives whatever dies once this returns.
    ///
    /// Error: `owner_replaced` if another process may have read these records before this one was among them.
    async fn write(&self, key: &str, record: Value) -> Result<(), Unkept>;

    /// A record, if it is there.
    async fn read(&self, key: &str) -> Result<Option<Value>, Unkept>;

    /// The names of the records in a folder.
    async fn names(&self, folder: &str) -> Result<Vec<String>, Unkept>;

    /// Which of the processes that write them one after another this one is.
    fn epoch(&self) -> u64;
}

/// Why a fact is not kept, or not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unkept {
    /// Stable code.
    pub code: String,
    /// One line.
    pub message: String,
    /// Whether the same call may succeed later without anyone changing anything.
    pub is_transient: bool,
}
