//! Tests over several crates. What belongs to one crate is tested beside its code.

mod arrows;
mod docs;
mod tidy;
mod tree;
