//! The `volley` binary as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The binary that was built with these tests.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("BINARY_UNDER_TEST") {
        return path.into();
    }
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("volley");
    assert!(path.is_file(), "build the binary first: cargo build -p volley");
    path
}

/// `volley ARGUMENTS` in a folder, with nothing of the caller's settings and nothing to read.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    let counts = |name: &str| name.starts_with("VOLLEY_") || name.starts_with("MLFLOW_");
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| counts(&name.to_string_lossy()));
    for name in ours {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs `volley ARGUMENTS` in a folder to its end.
pub fn volley(folder: &Path, arguments: &[&str]) -> Ended {
    Ended::from(command(folder, arguments).output().unwrap())
}

/// The same, where nothing but success is right: what it said.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let ended = volley(folder, arguments);
    assert_eq!(ended.status, Some(0), "volley {arguments:?}\n{}{}", ended.said, ended.warned);
    ended.said
}

/// How a process ended, and what it told.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub said: String,
    /// Standard error.
    pub warned: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code(), said: text(output.stdout), warned: text(output.stderr) }
    }
}

impl Ended {
    /// The JSON object of the last line.
    pub fn json(&self) -> Value {
        let last = self.said.lines().last().unwrap_or_else(|| panic!("nothing was said\n{}", self.warned));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}\n{last}"))
    }

    /// That it ended with `status`, and its error holds all of `parts`.
    pub fn is_error(&self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, Some(status), "{}{}", self.said, self.warned);
        for part in parts {
            assert!(self.warned.contains(part), "{:?} does not say {part:?}", self.warned);
        }
        assert_eq!(self.warned.trim_end().lines().count(), 1, "an error is one line: {}", self.warned);
    }

    /// That it failed, and the JSON object of its last line is an error with this code.
    pub fn has_error_code(&self, code: &str) {
        assert_eq!((self.status, &self.json()["error"]["code"]), (Some(1), &code.into()), "{}", self.warned);
    }

    /// That it ended with `status`, and its last line of warning holds `part`.
    pub fn has_error(&self, status: i32, part: &str) {
        assert_eq!(self.status, Some(status), "{}{}", self.said, self.warned);
        let last = self.warned.lines().last().unwrap_or_default();
        assert!(last.contains(part), "{:?} does not end with {part:?}", self.warned);
    }
}
