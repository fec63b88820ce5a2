//! Tables and writes in a plain DataFusion session, over temporary folders.

mod appends;
mod cut_off;
mod folders;
mod harness;
mod packing;
mod pinned;
mod plans;
mod tables;
mod writes;
