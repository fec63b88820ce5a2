//! The life of runs, over an engine that keeps what it publishes in memory.

mod lives;
mod memory;
mod restarts;
