//! Tables in, results out: file tables from quoted paths, and the partition-preserving write node.
//!
//! ```text
//! a URL                         Stores         -> a store, by connection, its client made once
//! FROM 'trips/'                 TableFactory   -> ListingTable, or an error that says what is wrong
//! CREATE EXTERNAL TABLE         TableFactory   -> the same checks
//! any parsed statement          settle_statement -> the same, names unquoted and formats known
//! COPY … TO, INSERT INTO        WriteRule      -> Write (logical) -> WritePlanner -> WriteExec
//! a physical plan with a write  pack_splits    -> partitions cut from row groups, one split each
//! what it reads                 Inputs, PinnedStores -> the files as they were, or `input_changed`
//! an append, before it begins   check_append   -> nothing, or what differs from the files there
//! WriteExec partition           volley-commit  -> staged files and a receipt; nothing else, ever
//! ```
//!
//! Nothing here begins, decides or publishes a job: the caller does, with `volley-commit`, and hands
//! the job to the plan with [`with_write_context`].

mod codec;
mod error;
mod exec;
mod format;
mod inputs;
mod location;
mod pack;
mod published;
mod reach;
mod redact;
mod stores;
mod table;
mod write;

pub use codec::{decode_logical, decode_physical, encode_logical, encode_physical};
pub use error::{ConnectError, Result};
pub use exec::{SplitTask, SplitTasks, WriteContext, WriteExec, with_write_context};
pub use format::Format;
pub use inputs::{InputFile, InputPart, Inputs, PinnedStores, SplitInput, reading_through};
pub use location::{absolute_url, is_remote, location, shown_store, staging};
pub use pack::{PackedPlan, Split, SplitFile, carrying, pack_splits, writes_the_same_rows};
pub use published::{RowsRead, read_rows};
pub use reach::{Base, Places, Reach};
pub use redact::without_values;
pub use stores::{Budget, Connection, Environment, SecretRef, StoreFault, Stores};
pub use table::{TableFactory, check_append};
pub use write::{RejectsTarget, Write, WritePlanner, WriteRule, WriteTarget, settle_statement};
