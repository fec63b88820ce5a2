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
mod onnxruntime;
mod places;
mod process;
mod refused;
mod rejects;
mod resume;
mod s3_canary;
mod s3_kills;
mod s3_resume;
mod s3_server;
mod s3_tables;
mod s3_writes;
mod tidy;
mod tree;
mod views;
mod writes;
