//! Has the splits of jobs run by executors, over Ballista's scheduler.
//!
//! A [`Cluster`] lives in the process of a server: it knows the executors, and gives a [`Driver`] for the server's
//! engine. An [`Executor`] is a process of its own, with a [`Worker`] on the same state. What travels between them is
//! the name of a split: its plan, its inputs and its models lie in the state and in the registry, and its result is a
//! receipt in the state. Ballista says who runs what; that a split is done is said by its receipt alone.
//!
//! [`Driver`]: volley_engine::Driver
//! [`Worker`]: volley_engine::Worker

mod cluster;
mod dispatch;
mod driver;
mod error;
mod executor;
mod executors;
mod failure;
mod gate;
mod launcher;
mod metrics;
mod pulse;
mod queries;
mod settings;
mod task;

pub use cluster::Cluster;
pub use error::ClusterError;
pub use executor::Executor;
pub use executors::{ExecutorStatus, RunningOn};
pub use gate::Token;
pub use metrics::{METRICS_TYPE, metric_lines};
pub use settings::{ClusterSettings, ExecutorSettings, Timers};
