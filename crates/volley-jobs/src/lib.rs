//! What to run, when, and what became of it.
