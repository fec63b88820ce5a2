//! Tests over several crates. What belongs to one crate is tested beside its code.

mod arrows;
mod binary;
mod coercions;
mod docs;
mod fixtures;
mod guide;
mod harness;
mod kills;
mod models;
mod places;
mod process;
mod refused;
mod resume;
mod tidy;
mod tree;
mod views;
mod writes;
