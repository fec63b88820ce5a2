//! The protocol from outside: whole jobs over real stores, with every store call failing in turn.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod crashes;
mod every_call;
mod expire;
mod faults;
mod ground;
mod modes;
mod owners;
mod partitions;
mod races;
mod rejects;
mod remains;
mod repairs;
#[cfg(unix)]
mod sigkills;
mod stores;
mod upkeep;
mod world;
