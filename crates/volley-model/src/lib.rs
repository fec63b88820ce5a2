//! Turns a model artifact and an Arrow batch into scores.
