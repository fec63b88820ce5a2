//! What to run, when, and what became of it: runs that are accepted once, survive whatever dies, and end once.
//!
//! ```text
//! submit ─► key ─► request on record ─► row in the index ─► accepted
//!                                                              │ begins when there is room
//!                                                              ▼
//!                                      Engine::run ─► succeeded, failed, canceled: end on record ─► row in the index
//! ```
//!
//! [`State`] decides what follows from what. [`Jobs`] carries it out through an [`Engine`], which it knows as little
//! of as the engine of it. The facts are small records (`records`) in the state of the jobs, each written once; the
//! SQLite database on this machine is an index of these facts, and is made from them again where it is lost.

mod engine;
mod error;
mod event;
mod facts;
mod index;
mod jobs;
mod records;
mod row;
mod state;

pub use engine::{Ended, Engine, Teller, Work};
pub use error::{Error, Result};
pub use event::{Event, Happened};
pub use facts::{Facts, Unkept};
pub use jobs::{Follower, Home, Jobs, Submission, Submitted};
pub use records::Recorded;
pub use row::{Job, Problem};
pub use state::{Refused, State, Step};
