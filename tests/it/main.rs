//! Tests over several crates. What belongs to one crate is tested beside its code.

mod arrows;
mod binary;
mod docs;
mod fixtures;
mod harness;
mod places;
mod refused;
mod tidy;
mod tree;
mod writes;
