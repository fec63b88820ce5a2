//! Runs ONNX node tests and says how many pass: `node_tests FOLDER [--filter TEXT]`.
//!
//! FOLDER holds one folder for each test, as `tests/data/take_node_tests.py` writes them. A test is *refused* if it
//! gives an error, when loaded or when run, and *failed* if it gives an answer that is wrong. Tests are run by
//! `Graph::evaluate`: what the row dimension of a scoring call rules out, such as single values, is run as well.

#[path = "node_tests/case.rs"]
mod case;

use std::path::PathBuf;
use std::process::ExitCode;

use case::{Outcome, cases};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (folder, filter) = match (arguments.next(), arguments.next().as_deref(), arguments.next()) {
        (Some(folder), None, None) => (PathBuf::from(folder), String::new()),
        (Some(folder), Some("--filter"), Some(filter)) => (PathBuf::from(folder), filter),
        _ => {
            eprintln!("usage: node_tests FOLDER [--filter TEXT]");
            return ExitCode::from(2);
        }
    };
    let cases = match cases(&folder) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::from(2);
        }
    };
    // A panic is an outcome, printed with its test.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut passed, mut failed, mut refused) = (0, 0, 0);
    for case in cases.iter().filter(|case| case.name().contains(&filter)) {
        match case.run() {
            Outcome::Passed => passed += 1,
            Outcome::Failed(why) => {
                failed += 1;
                println!("failed  {}: {why}", case.name());
            }
            Outcome::Refused(why) => {
                refused += 1;
                println!("refused {}: {why}", case.name());
            }
        }
    }
    println!("{passed} passed, {failed} failed, {refused} refused");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
