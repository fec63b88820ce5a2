//! The one front door of a cluster: what may be asked of it, and HTTP over that.
//!
//! ```text
//! HTTP ─► access (token, host) ─► handlers ─► Gateway ─► Jobs (durable) ─► Runner ─► Session of the engine
//!                                                    ├─► a statement of its own ───► Session of the engine ─► rows
//!                                                    └─► Cluster: the executors that there are
//! ```
//!
//! [`Gateway`] knows nothing of HTTP: other doors are built on it. [`Door`] is the HTTP one.

mod door;
mod error;
mod gateway;
mod http;
mod job_request;
mod token;

pub use door::{Door, DoorSettings, Tls};
pub use error::ServerError;
pub use gateway::{Counts, Gateway, GatewaySettings, Reply, StatementRows};
pub use job_request::{Destination, JobRequest, ParamJson, StatementRequest};
pub use token::Token;
pub use volley_jobs::{Event, Follower, Happened, Job, Problem, State, Submitted};
