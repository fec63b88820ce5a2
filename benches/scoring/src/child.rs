//! A predictor of `peers.py`, in a process that scores when it is told to.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

pub struct Child {
    process: std::process::Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Of all rows.
    pub scores: Vec<f64>,
}

impl Child {
    /// Waits until the model is loaded, or compiled, and has scored the rows of the file.
    pub fn start(peer: &str, model: &Path, rows: &Path, batch: usize) -> Result<Child> {
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py");
        let mut process = Command::new(python)
            .arg(script)
            .args(["serve", peer])
            .args([model, rows])
            .arg(batch.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("PYTHON cannot be started")?;
        let orders = process.stdin.take().context("the process has an input")?;
        let output = process.stdout.take().context("the process has an output")?;
        let mut child = Child { process, orders, answers: BufReader::new(output).lines(), scores: vec![] };
        // Libraries print what they like before.
        while child.answer(peer)? != "ready" {}
        let mut file = rows.as_os_str().to_owned();
        file.push(format!(".{peer}"));
        let bytes = std::fs::read(file)?;
        child.scores = bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        ensure!(child.scores.len() == crate::ROWS, "{peer} has scored {} rows", child.scores.len());
        Ok(child)
    }

    fn answer(&mut self, what: &str) -> Result<String> {
        Ok(self.answers.next().with_context(|| format!("{what} has ended"))??)
    }

    /// Nanoseconds a row of one more round.
    pub fn score(&mut self) -> Result<f64> {
        writeln!(self.orders, "go")?;
        Ok(self.answer("a predictor")?.parse()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends with its input as well; if it cannot be ended, nothing more can be done here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
