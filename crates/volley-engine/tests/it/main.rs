//! Engines as processes use them: several on one state, several states at one destination, stopped and cut off.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod jobs;
