//! What commands do with `--cluster`: the same as in process, through the API of a server.

mod client;
mod events;
mod executors;
mod follow;
mod jobs;
mod run;
mod sql;

pub use client::Client;
pub use executors::{ExecutorsArgs, executors};
pub use jobs::jobs;
pub use run::run;
pub use sql::sql;
