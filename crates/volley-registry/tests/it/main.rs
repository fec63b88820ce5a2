//! The contract of the registry, held by every store it may lie in.

mod contract;
mod faults;
mod locations;
mod model;
mod stage;
