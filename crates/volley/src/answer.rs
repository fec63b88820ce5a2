//! Answers of commands: an object for programs, or text for people.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::Failure;

/// Prints an answer.
pub fn print(answer: &impl Serialize, text: impl FnOnce() -> String, json: bool) -> Result<(), Failure> {
    let told = if json { serde_json::to_string(answer).expect("an answer has text for keys") + "\n" } else { text() };
    Ok(io::stdout().write_all(told.as_bytes())?)
}
